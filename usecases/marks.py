"""Marks that a person gives: one student, many, all that have a status, or a paper roll; corrections with their reason.

A mark is a fact, and never overwrites one: what it takes back stands below it. It travels to counters and statistics in the
same transaction.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from db import audit, check_ins, rosters
from db.clock import now_ms
from db.engine import in_unit
from domain.attendance import ABSENT, ATTENDED, CORRECTION, EARLY, LATE, LEAVE, NORMAL, Fact
from usecases import rosters as roster_work
from usecases import standings
from usecases.deps import Deps
from usecases.teacher_windows import UnknownClass

CONFIRM, TAKE_BACK = "CONFIRM", "TAKE_BACK"
MARKS: Final = (ATTENDED, LATE, EARLY, ABSENT, LEAVE, CONFIRM, TAKE_BACK)
"""Statuses; CONFIRM makes of a check-in that waits for a person what its time says; TAKE_BACK undoes earlier marks."""

_WORDS: Final[Mapping[str, str]] = {
    **{one.lower(): one for one in (ATTENDED, LATE, EARLY, ABSENT, LEAVE)},
    "出勤": ATTENDED, "到": ATTENDED, "√": ATTENDED, "✓": ATTENDED, "1": ATTENDED, "present": ATTENDED,
    "迟到": LATE, "早退": EARLY, "缺勤": ABSENT, "旷课": ABSENT, "缺": ABSENT, "×": ABSENT, "x": ABSENT, "0": ABSENT,
    "请假": LEAVE, "假": LEAVE,
}  # fmt: skip
_MOST_LINES: Final = 2_000


class UnknownStudents(Exception):
    """These are not on the roster; nothing was marked."""

    def __init__(self, codes: Sequence[str]) -> None:
        super().__init__(f"not on the roster: {', '.join(codes[:20])}")
        self.codes = codes


class OtherCount(Exception):
    """There are not as many as the caller has seen; nothing was marked."""

    def __init__(self, count: int) -> None:
        super().__init__(f"there are {count}")
        self.count = count


class BadRoll(Exception):
    """Lines of a paper roll that cannot be read, (line, what is wrong); nothing was marked."""

    def __init__(self, lines: Sequence[tuple[int, str]]) -> None:
        super().__init__(f"{len(lines)} lines cannot be read")
        self.lines = lines


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a student's status."""

    code: str
    was: str
    now: str


def mark(
    deps: Deps,
    session_id: str,
    wanted: Mapping[str, str],
    *,
    actor: str,
    reason: str,
    about: str = "",
    now: int | None = None,
) -> list[Change]:
    """Mark students (number → one of `MARKS`). All or nothing. Returns those whose status changed.

    Raises UnknownClass, UnknownStudents.
    """
    term = _term(deps, session_id)
    return in_unit(deps.engine, lambda tx: _mark(deps, tx, session_id, term, wanted, actor, reason, about, now))


def mark_all(
    deps: Deps, session_id: str, of_status: str, to: str, *, count: int | None, actor: str, reason: str
) -> tuple[int, list[Change]]:
    """Mark all that have a status. Without `count` nothing is done, and how many there are is returned; with another one than
    there are by now: OtherCount. Raises UnknownClass."""
    term = _term(deps, session_id)
    key = {"tenant": deps.tenant, "term": term}

    def work(tx: Connection) -> tuple[int, list[Change]]:
        everybody = rosters.students(tx, [session_id], **key)[session_id]
        # Under their locks: who checks in meanwhile is not marked absent.
        locked = rosters.lock_details(tx, {session_id: sorted(everybody)}, **key)
        meant = sorted(code for (_, code), row in locked.items() if row.status == of_status)
        if count is None:
            return len(meant), []
        if count != len(meant):
            raise OtherCount(len(meant))
        wanted = dict.fromkeys(meant, to)
        return count, _mark(deps, tx, session_id, term, wanted, actor, reason, "", None)

    return in_unit(deps.engine, work)


def _term(deps: Deps, session_id: str) -> str:
    row = roster_work.make_one(deps.engine, session_id, tenant=deps.tenant)
    if row is None:
        raise UnknownClass(session_id)
    return str(row.term)


def _mark(
    deps: Deps, tx: Connection, session_id: str, term: str, wanted: Mapping[str, str], actor: str, reason: str, about: str,
    now: int | None,
) -> list[Change]:  # fmt: skip
    key = {"tenant": deps.tenant, "term": term}
    keys = {session_id: sorted(wanted)}
    before = rosters.lock_details(tx, keys, **key)
    unknown = sorted(wanted.keys() - {code for _, code in before})
    if unknown:
        raise UnknownStudents(unknown)
    at_ms = now_ms(tx) if now is None else now
    timings = _timings(tx, session_id, wanted, key) if CONFIRM in wanted.values() else {}
    facts = [
        (session_id, code, Fact(deps.new_id(), CORRECTION, at_ms, _said(wanted[code], timings.get(code)), about))
        for code in keys[session_id]
    ]
    rosters.add_facts(tx, facts, tenant=deps.tenant, term=term, actor=actor, note=reason or None)
    standings.work_out(tx, keys, tenant=deps.tenant, term=term)
    after = rosters.lock_details(tx, keys, **key)
    changes = [
        Change(code, row.status, after[session_id, code].status)
        for (_, code), row in sorted(before.items())
        if row.status != after[session_id, code].status
    ]
    _audit(deps, tx, session_id, changes, actor, reason)
    return changes


def _timings(tx: Connection, session_id: str, wanted: Mapping[str, str], key: Mapping[str, str]) -> dict[str, str]:
    codes = [code for code, said in wanted.items() if said == CONFIRM]
    found = check_ins.find(tx, {session_id: codes}, tenant=key["tenant"], term=key["term"])
    return {code: row.timing for (_, code), row in found.items()}


def _said(wanted: str, timing: str | None) -> str:
    if wanted == TAKE_BACK:
        return ""
    if wanted != CONFIRM:
        return wanted
    return ATTENDED if timing in (None, NORMAL) else str(timing)


def _audit(deps: Deps, tx: Connection, session_id: str, changes: Sequence[Change], actor: str, reason: str) -> None:
    if not changes:
        return
    audit.write(
        tx,
        tenant=deps.tenant,
        new_id=deps.new_id,
        actor=actor,
        action="attendance.mark",
        thing=session_id,
        before={one.code: one.was for one in changes},
        after={"reason": reason, **{one.code: one.now for one in changes}},
    )


def read_roll(text: str) -> dict[str, str]:
    """A paper roll as CSV, number and status on each line: student → mark. A line with a blank status says nothing; a first
    line whose status is no word of ours is taken for headings. Raises BadRoll."""
    found: dict[str, str] = {}
    wrong: list[tuple[int, str]] = []
    rows = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    for number, row in enumerate(rows, start=1):
        cells = [cell.strip().lstrip("'") for cell in row]
        if not any(cells) or (len(cells) > 1 and not cells[1]):
            continue
        said = _WORDS.get(cells[1].lower()) if len(cells) > 1 else None
        if said is None:
            if number > 1:
                wrong.append((number, f"{cells[1]!r} is no status" if len(cells) > 1 else "there is no status"))
        elif not cells[0] or len(cells[0]) > 60 or found.get(cells[0], said) != said:
            wrong.append((number, "there is no number" if not cells[0] else f"{cells[0][:60]} is there twice"))
        else:
            found[cells[0]] = said
        if number > _MOST_LINES:
            wrong.append((number, f"a roll has at most {_MOST_LINES} lines"))
            break
    if wrong or not found:
        raise BadRoll(wrong or [(1, "there is no student in it")])
    return found
