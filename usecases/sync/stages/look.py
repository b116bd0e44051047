"""Stages verify and repair, their first steps: the list of all calendars is read, and the lanes are asked to look at each."""

from sqlalchemy import Connection

from db import jobs, sync_runs, walks
from db.clock import now_ms
from db.engine import reading
from db.tables import AnyRow
from usecases.sync import settling, verify_runs
from usecases.sync.stages.base import Done, More, Running, Step
from usecases.sync.stages.drain import POLL_MS, unless_refused


def list_calendars(on: Running, stage: AnyRow) -> Step:
    """Have lane `_` walk the list of all calendars from now on, and wait for the end of the walk.

    Raises `RunFailed` when WPS refuses our credentials.
    """
    tenant = on.deps.tenant
    with reading(on.deps.engine) as tx:
        if stage.cursor is None:
            needed = verify_runs.compares_with_list(tx, tenant=tenant, kind=on.run.kind, scope=on.scope())
            if not needed:
                return Done("not needed")
        elif walks.is_finished(tx, tenant=tenant, started_after=int(stage.cursor)):
            return Done("list of calendars")
        elif jobs.is_dead(tx, tenant=tenant, kind="walk", target=settling.WALK_TARGET):
            return Done("WPS does not show the list of calendars: second ones were not looked for")
        else:
            unless_refused(tx, tenant)

    def ask(tx: Connection) -> None:
        settling.put_walk(tx, tenant=tenant, new_id=on.deps.new_id)
        if stage.cursor is None:
            sync_runs.change_stage(tx, on.run_id, stage.position, cursor=str(now_ms(tx)))

    on.unit(ask)
    on.ring_lanes({"_"})
    return More(POLL_MS)


def ask_to_look(on: Running, stage: AnyRow) -> Step:
    """A page of calendars after the other."""
    asked = verify_runs.ask(
        on.deps,
        step=stage.step,
        run_id=on.run_id,
        scope=on.scope(),
        listed_ms=_listed_ms(on, stage),
        cursor=stage.cursor,
        fence=on.fence,
    )
    done = stage.done + asked.count
    on.progress(stage.position, cursor=asked.cursor, done=done, total=done)
    return More() if asked.cursor is not None else Done("calendars" if done else "nothing to look at")


def _listed_ms(on: Running, stage: AnyRow) -> int | None:
    """When the list of calendars was asked for last; None where this run does without it."""
    with reading(on.deps.engine) as tx:
        before = [one for one in sync_runs.stages_of(tx, on.run_id) if one.position < stage.position]
    last = next((one for one in reversed(before) if one.step == "list"), None)
    return None if last is None or last.cursor is None else int(last.cursor)
