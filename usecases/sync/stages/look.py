"""Stages verify and repair, their first step: the lanes are asked to look at calendars."""

import json

from db.tables import AnyRow
from usecases.sync import verify_runs
from usecases.sync.stages.base import Done, More, Running, Step


def ask_to_look(on: Running, stage: AnyRow) -> Step:
    """A page of calendars after the other."""
    asked = verify_runs.ask(
        on.deps,
        step=stage.step,
        run_id=on.run_id,
        sample=json.loads(on.run.scope).get("sample"),
        cursor=stage.cursor,
        fence=on.fence,
    )
    done = stage.done + asked.count
    on.progress(stage.position, cursor=asked.cursor, done=done, total=done)
    return More() if asked.cursor is not None else Done("calendars" if done else "nothing to look at")
