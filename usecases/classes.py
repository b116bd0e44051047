"""Finding classes, with what was changed about each."""

from typing import Any

from sqlalchemy import Connection

from db import classes
from db.engine import reading
from db.tables import AnyRow
from domain.alterations import alteration_of
from usecases.deps import Deps


def find(deps: Deps, *, limit: int = 50, **wanted: Any) -> dict[str, Any]:
    """Classes by time; `wanted` as `db.classes.find` has it. Original and actual are both shown.

    `first_of_day` says of each whether it is the first one that day of the person who was asked for (`teacher`, `student`). It
    is kept nowhere: it follows from all the classes of a person as they are, cancelled ones left out.
    """
    with reading(deps.engine) as tx:
        rows = classes.find(tx, tenant=deps.tenant, limit=limit, **wanted)
        first = _first_of_day(tx, deps, rows, wanted)
    return {"items": [as_dict(row, first) for row in rows]}


def _first_of_day(tx: Connection, deps: Deps, rows: list[AnyRow], wanted: dict[str, Any]) -> set[str] | None:
    who = {name: wanted[name] for name in ("teacher", "student") if wanted.get(name) is not None}
    if not who:
        return None
    least: dict[str, tuple[int, str]] = {}
    for day in sorted({row.date for row in rows}):
        for row in classes.find(tx, tenant=deps.tenant, day=day, limit=1_000, **who):
            if not row.cancelled:
                least.setdefault(day, (row.start_ms, row.id))
    return {session_id for _, session_id in least.values()}


def as_dict(row: AnyRow, first: set[str] | None = None) -> dict[str, Any]:
    """A class as people and programs read it."""
    now, altered = classes.as_session(row), alteration_of(row.altered)
    was = altered.original if altered is not None else None
    return {
        "id": row.id,
        "term": row.term,
        "course": classes.title_of(row),
        "kkh": row.kkh,
        "kcbh": row.kcbh,
        "week": row.jxz,
        "weekday": row.zc,
        "periods": row.jc_s,
        "date": row.date,
        "start_ms": row.start_ms,
        "end_ms": row.end_ms,
        "rooms": [list(one) for one in now.rooms],
        "teachers": list(now.teachers),
        "cancelled": bool(row.cancelled),
        "changed": list(altered.types) if altered is not None else [],
        "reasons": list(altered.reasons) if altered is not None else [],
        "original": was and {
            "date": was.date,
            "start_ms": was.start_ms,
            "end_ms": was.end_ms,
            "rooms": [list(one) for one in was.rooms],
            "teachers": list(was.teachers),
        },
        "first_of_day": None if first is None else row.id in first,
    }  # fmt: skip
