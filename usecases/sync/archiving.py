"""The stages of an archive: the work of a past term is removed page by page, its outcome stays readable.

    staging ─▶ history ─▶ rosters ─▶ counters ─▶ the term says what was removed

Every page is a fenced unit of at most 500 rows; whatever dies in between, the run goes on where it was.
"""

import json
import time
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Connection

from db import archive, sync_runs, terms
from db.archive import Cursor, Page
from db.engine import in_unit
from db.tables import AnyRow
from usecases.sync.stages.base import Done, More, Running, Step

STAGES: Final = (
    ("archive", "staging"),
    ("archive", "history"),
    ("archive", "rosters"),
    ("archive", "counters"),
)
_PAUSE_S: Final = 0.005
_REMOVE: Final[dict[str, Callable[..., Page]]] = {
    "staging": archive.remove_staging,
    "history": archive.remove_history,
    "rosters": archive.remove_members,
    "counters": archive.fold_counts,
}


def put_away(on: Running, stage: AnyRow) -> Step:
    """Remove one kind of work; with the last kind the term is put away."""
    term = str(on.run.term)
    cursor: Cursor = json.loads(stage.cursor) if stage.cursor else []
    done = stage.done
    while not on.stopping:
        removed, following = _page(on, stage, term, cursor, done)
        done += removed
        if following is None:
            if stage.step == STAGES[-1][1]:
                _say_what_was_removed(on, term)
            return Done(f"{done:,} removed" if done else "nothing to remove")
        cursor = following
        time.sleep(_PAUSE_S)
    return More()


def _page(on: Running, stage: AnyRow, term: str, cursor: Cursor, done: int) -> Page:
    """Remove a page and keep where to go on, in one unit."""

    def work(tx: Connection) -> Page:
        on.fence(tx)
        removed, following = _REMOVE[stage.step](tx, tenant=on.deps.tenant, term=term, cursor=cursor)
        values: dict[str, Any] = {"done": done + removed, "total": done + removed}
        if following is not None:
            values["cursor"] = json.dumps(following)
        sync_runs.change_stage(tx, on.run_id, stage.position, **values)
        return removed, following

    return in_unit(on.deps.engine, work)


def _say_what_was_removed(on: Running, term: str) -> None:
    def work(tx: Connection) -> None:
        on.fence(tx)
        removed = {one.step: int(one.done) for one in sync_runs.stages_of(tx, on.run_id) if one.stage == "archive"}
        terms.put_away(tx, tenant=on.deps.tenant, term=term, removed=removed)

    in_unit(on.deps.engine, work)
