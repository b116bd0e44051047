"""What a failure is about, in words: the course, the day, the person's batch; not a target's id."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from db.tables import AnyRow, mirror, offerings

_NOUN = {
    "calendar": "calendar 日历",
    "members": "people of a calendar 成员",
    "event": "event 日程",
    "users": "accounts 账号",
    "walk": "list of calendars 日历列表",
    "verify": "verification 核对",
    "run.advance": "run 同步批次",
    "schedule.slot": "schedule 定时任务",
}
_VERB = {"create": "create", "update": "update", "delete": "delete", "read": "look up"}


def operation(kind: str, verb: str) -> str:
    """What was tried."""
    return " ".join(part for part in (_VERB.get(verb, verb), _NOUN.get(kind, kind)) if part)


def thing(kind: str, count: int) -> str:
    """So many of a kind, for a sentence."""
    word = {"calendar": "calendars", "members": "lists of people", "event": "events", "users": "look-ups of accounts"}
    return f"{count:,} {word.get(kind, kind)}"


class Words:
    """The words for a page of failures, looked up together."""

    def __init__(self, tx: Connection, rows: Sequence[AnyRow], *, tenant: str, zone: ZoneInfo) -> None:
        self._zone = zone
        self._courses = _courses(tx, rows, tenant=tenant)
        self._starts = _starts(tx, rows, tenant=tenant)

    def of(self, row: AnyRow) -> str:
        """The target of a failure, as people call it."""
        wanted = json.loads(row.payload)
        course = self._courses.get((row.term, row.offering_id), row.target)
        if row.kind == "event":
            return self._event(row, wanted, course)
        if row.kind == "users":
            codes = wanted.get("codes", [])
            return f"{len(codes)} people, from {codes[0]}" if codes else "nobody"
        return course if row.lane is not None else str(row.target)

    def _event(self, row: AnyRow, wanted: Mapping[str, Any] | None, course: str) -> str:
        start_ms = wanted["start_ms"] if wanted else self._starts.get((row.term, row.target))
        title = wanted["summary"] if wanted else course
        if start_ms is None:
            return str(title)
        return f"{title} {datetime.fromtimestamp(start_ms / 1000, self._zone):%Y-%m-%d %H:%M}"


def _courses(tx: Connection, rows: Sequence[AnyRow], *, tenant: str) -> dict[tuple[str, str], str]:
    """(term, offering) → its name; for a course that is gone, the name of the calendar it had."""
    found: dict[tuple[str, str], str] = {}
    for term, ids in _by_term(rows, "offering_id").items():
        groups = [f"cal:{one}" for one in ids]
        where = (mirror.c.tenant_id == tenant, mirror.c.term == term, mirror.c.target.in_(groups))
        for row in tx.execute(select(mirror.c.target, mirror.c.name).where(*where, mirror.c.name.is_not(None))):
            found[term, row.target.partition(":")[2]] = row.name
        mine = (offerings.c.tenant_id == tenant, offerings.c.term == term, offerings.c.id.in_(ids))
        for row in tx.execute(select(offerings).where(*mine)):
            found[term, row.id] = row.name or row.kcbh or row.kkh
    return found


def _starts(tx: Connection, rows: Sequence[AnyRow], *, tenant: str) -> dict[tuple[str, str], int]:
    """When the events that were to be deleted take place."""
    deleted = [row for row in rows if row.kind == "event" and row.payload == "null"]
    found: dict[tuple[str, str], int] = {}
    for term, targets in _by_term(deleted, "target").items():
        where = (mirror.c.tenant_id == tenant, mirror.c.term == term, mirror.c.target.in_(targets))
        for row in tx.execute(select(mirror.c.target, mirror.c.from_ms).where(*where, mirror.c.from_ms.is_not(None))):
            found[term, row.target] = row.from_ms
    return found


def _by_term(rows: Sequence[AnyRow], column: str) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for row in rows:
        if value := getattr(row, column):
            found.setdefault(row.term, set()).add(value)
    return {term: sorted(values) for term, values in sorted(found.items())}
