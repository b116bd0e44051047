"""Stage calendars, its first step: what differs from the mirror becomes jobs."""

from db.tables import AnyRow
from usecases.sync import layout
from usecases.sync.stages.base import Done, More, Running, Step


def put_operations(on: Running, stage: AnyRow) -> Step:
    """A page of courses after the other; lanes begin with what is put while the rest is still compared."""
    deps = on.deps
    planner = layout.planner(deps.engine, deps.tenant, deps.secret)
    done = stage.done
    for cursor, plans in planner.pages(after=stage.cursor):
        touched = planner.put(plans, import_no=on.import_no, run_id=on.run_id, new_id=deps.new_id, fence=on.fence)
        done += sum(len(plan.operations) for plan in plans)
        on.progress(stage.position, cursor=cursor, done=done, total=done)
        on.ring_lanes(touched)
        if on.stopping:
            return More()
    return Done("operations" if done else "nothing to send")
