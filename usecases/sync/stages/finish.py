"""Stage finish: what the run did, and the state in which it ends."""

from typing import Any

from sqlalchemy import Connection, func, select

from db import accounts, failure_lists, run_counts, sync_runs
from db.tables import AnyRow, mirror
from usecases import alarms, failures
from usecases.sync import uniting, verify_runs
from usecases.sync.stages import drain, pace
from usecases.sync.stages.base import Done, More, Running, Step


def report(on: Running, stage: AnyRow) -> Step:
    """Nothing is left to do; the report itself is written with the end of the run.

    A calendar that somebody deleted in the middle is asked for again after its stage: the run waits for that too. So it does for
    what is held until the off-peak hours; meanwhile it stands aside.
    """
    if drain.any_left(on):
        pace.note(on)
        return More(drain.POLL_MS)
    until = drain.held_until(on)
    if until is not None:
        pace.note(on, at_once=on.run.held_until is None)
        _stand_aside(on, stage, until)
        return More(drain.HELD_POLL_MS)
    pace.note(on, at_once=True)
    on.progress(stage.position, done=1, total=1)
    return Done()


def _stand_aside(on: Running, stage: AnyRow, until: int) -> None:
    """Only held jobs are left: the run goes on to be running, and keeps no other run waiting."""
    if on.run.held_until is None or on.run.held_until < until:
        note = drain.note_of(on, None)

        def work(tx: Connection) -> None:
            sync_runs.change_run(tx, on.run_id, tenant=on.deps.tenant, held_until=until)
            sync_runs.change_stage(tx, on.run_id, stage.position, note=note)

        on.unit(work)


def outcome(on: Running, tx: Connection) -> tuple[str, dict[str, Any]]:
    """The state in which the run ends and its report: counts, what is live at WPS, people without an account."""
    tenant = on.deps.tenant
    counts = run_counts.totals(tx, run_id=on.run_id)
    failed = sum(one["failed"] for one in counts.values())
    taken_over = _failed_elsewhere(on, tx) if any(one["superseded"] for one in counts.values()) else 0
    said: dict[str, Any] = {
        "counts": counts,
        "unmapped_people": accounts.unmapped_count(tx, tenant=tenant),
        "live": _live(tx, tenant),
        "failures": failures.of_run(tx, on.deps, on.run_id),
        "taken_over": taken_over,
    }
    if on.run.import_no is not None:
        said["sources"] = uniting.report(tx, tenant=tenant, import_no=on.import_no)
    said["alarms"] = [one["sentence"] for one in alarms.open_in(tx, tenant=tenant)]
    if on.run.kind in verify_runs.KINDS:
        said |= verify_runs.report(tx, tenant=tenant, run_id=on.run_id)
    return "partially_succeeded" if failed or taken_over else "succeeded", said


def _failed_elsewhere(on: Running, tx: Connection) -> int:
    """What another run took over from this one and could not do either leaves neither of them green."""
    return failure_lists.died_elsewhere(tx, tenant=on.deps.tenant, run_id=on.run_id, since_ms=on.run.created_ms)


def _live(tx: Connection, tenant: str) -> dict[str, int]:
    rows = tx.execute(
        select(mirror.c.kind, func.count().label("count"))
        .where(mirror.c.tenant_id == tenant, mirror.c.state == "live", mirror.c.kind != "members")
        .group_by(mirror.c.kind)
    )
    return {row.kind: int(row[1]) for row in rows}
