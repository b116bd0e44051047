"""Stages of an undo: how much it would delete, and then what it takes back, a page of calendars after the other."""

import json
from collections import Counter

from sqlalchemy import Connection

from db import run_questions, sync_runs
from db.engine import reading
from db.tables import AnyRow
from domain.guards import ask_about_deletes, unanswered
from usecases.sync import undoing
from usecases.sync.stages.base import Asks, Done, More, Running, Step
from usecases.sync.stages.guard import table


def ask_before_undoing(on: Running, stage: AnyRow) -> Step:
    """What the run created is deleted: the same limits hold as for a sync."""
    undone = json.loads(on.run.scope)["undoes"]
    lanes = undoing.losses(on.deps, undone)
    with reading(on.deps.engine) as tx:
        confirmed = run_questions.confirmed(tx, tenant=on.deps.tenant, run_id=on.run_id)
    left = unanswered(ask_about_deletes(lanes), confirmed)
    if left:
        return Asks(left, {"lanes": table(lanes), "sample": undoing.sample(on.deps, undone)})
    going = sum(one.going for one in lanes)
    on.progress(stage.position, done=going, total=going)
    return Done("to delete, within the limits" if going else "nothing to delete")


def take_back(on: Running, stage: AnyRow) -> Step:
    """Pin what a page of calendars was, and ask the lanes for it. Done again after a death, it changes nothing."""
    deps, undone = on.deps, json.loads(on.run.scope)["undoes"]
    done, scope = stage.done, json.loads(on.run.scope)
    left = Counter(scope.get("left", {}))
    for page in undoing.pages(deps, undone, after=stage.cursor):
        on.unit(lambda tx, page=page: undoing.pin(tx, deps, page, undone_run=undone, undo_id=on.run_id))  # type: ignore[misc]
        lanes, count = undoing.put(deps, page, import_no=on.import_no, undo_id=on.run_id, fence=on.fence)
        left.update(each.why.value for _, each in page.skipped)
        scope["left"] = dict(left)

        def remember(tx: Connection, text: str = json.dumps(scope)) -> None:
            sync_runs.change_run(tx, on.run_id, tenant=on.deps.tenant, scope=text)

        if page.skipped:
            on.unit(remember)
        done += count
        on.progress(stage.position, cursor=page.cursor, done=done, total=done)
        on.ring_lanes(lanes)
        if on.stopping:
            return More()
    said = "; ".join(f"{count:,} left: {why}" for why, count in sorted(left.items()))
    return Done(said or ("taken back" if done else "nothing to take back"))
