"""Stage calendars, its first step: what differs from the mirror becomes jobs."""

from sqlalchemy import Connection

from db import changes, import_bases
from db.engine import in_unit
from db.planning import Chosen
from db.tables import AnyRow
from observability.failpoints import failpoint
from usecases import off_peak
from usecases.sync import layout
from usecases.sync.stages import choose
from usecases.sync.stages.base import Done, More, Running, Step
from usecases.sync.turns import scope_of


def put_operations(on: Running, stage: AnyRow) -> Step:
    """A page of courses after the other; lanes begin with what is put while the rest is still compared."""
    deps = on.deps
    everything = scope_of(on.run).is_everything
    if not everything and stage.cursor is None:
        choose.everything_in_scope(on)
    planner = layout.planner(
        deps.engine, deps.tenant, deps.secret, chosen=None if everything else Chosen(on.run_id, only=scope_of(on.run))
    )
    done = stage.done
    for cursor, plans in planner.pages(after=stage.cursor):
        touched = planner.put(
            plans,
            import_no=on.import_no,
            run_id=on.run_id,
            new_id=deps.new_id,
            fence=on.fence,
            priority=on.run.priority,
            held_from=off_peak.held_from(on.deps),
        )
        failpoint("plan.after_unit")
        done += sum(len(plan.operations) for plan in plans)
        on.progress(stage.position, cursor=cursor, done=done, total=done)
        on.ring_lanes(touched)
        if on.stopping:
            return More()
    _settle(on, everything=everything)
    return Done("operations" if done else "nothing to send")


def _settle(on: Running, *, everything: bool) -> None:
    """What changes had touched is put with all the rest; or only what lies in the scope is."""
    if not everything:
        choose.forget(on)
        return

    def work(tx: Connection) -> int:
        on.fence(tx)
        return changes.settle(tx, tenant=on.deps.tenant, up_to=on.import_no)

    while in_unit(on.deps.engine, work):
        pass
    on.unit(lambda tx: import_bases.set_planned(tx, tenant=on.deps.tenant, import_no=on.import_no))
