"""A page of a change set becomes rows of the buffer, or rejects. Nothing is changed by it yet."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection

from db import changes, quarantine, timetable
from db.imports import Gain, Import
from db.quarantine import HELD, Entry
from domain import timetable as rows_of
from domain.changes import ADD, DELETE, UPDATE, WHOLE, slot_of, source_line, staged_line
from domain.text import clean
from domain.timetable import HELD_FROZEN, Calendar, Meeting, Refused
from remote.sources.base import SourceRow
from usecases.sync.staging import Stage, rejected, row_hash_of, staged_row

UNKNOWN_CHANGE: Final = "unknown_change"
_OPS: Final = {"add": ADD, "update": UPDATE, "delete": DELETE, "": UPDATE}


@dataclass(frozen=True, slots=True)
class ChangeRows:
    """How the rows of one change set are read: `whole` as in `ChangeSet`."""

    tenant: str
    whole: bool
    source_no: int = 0

    def stage(self, at: Import, rows: Sequence[SourceRow], calendar: Calendar | None, file: str) -> Stage:
        """Read a page now; the result writes it."""
        page = _Page(self, at, file)
        for row in rows:
            try:
                if at.part == "enrolments":
                    page.enrolment(row)
                else:
                    assert calendar is not None
                    page.meeting(row, calendar)
            except Refused as refused:
                page.rejects.append(rejected(row, file, refused.reason, refused.sentence))
        return partial(page.write, rows_in=len(rows) if at.part == "meetings" else 0)


class _Page:
    def __init__(self, how: ChangeRows, at: Import, file: str) -> None:
        assert at.buffer_no is not None
        self._how = how
        self._at = at
        self._file = file
        self._buffer_no = at.buffer_no
        self._kept: list[dict[str, Any]] = []
        self._closed: Counter[str] = Counter()
        self._terms: set[str] = set()
        self._last: dict[str, SourceRow] = {}
        self.rejects: list[Entry] = []

    def meeting(self, row: SourceRow, calendar: Calendar) -> None:
        """Raises Refused."""
        op = WHOLE if self._how.whole else _op(row.values)
        meeting = _deleted(row.values, calendar) if op == DELETE else rows_of.read_meeting(row.values, calendar)
        if calendar.term(meeting.term).is_closed:
            self._closed[meeting.term] += 1
            self._last[meeting.term] = row
            return
        number = self._how.source_no
        line = staged_line(self._buffer_no, source_line(number, row.line))
        hash_ = row_hash_of(row, number)
        content = staged_row(self._how.tenant, self._at.import_no, line, hash_, meeting, source_no=number)
        self._terms.add(meeting.term)
        slot = "" if op == WHOLE else slot_of(content)
        self._kept.append(_kept("meetings", meeting.term, meeting.kkh, row, op, content, slot=slot))

    def enrolment(self, row: SourceRow) -> None:
        """Raises Refused. A number without a student is one that nobody takes any more."""
        if not clean(row.values.get("xh")):
            term = rows_of.term_code(clean(row.values.get("xnxq")))
            self._kept.append(_kept("enrolments", term, clean(row.values.get("kkh")), row, WHOLE, {}))
            return
        read = rows_of.read_enrolment(row.values)
        line = staged_line(self._buffer_no, source_line(self._how.source_no, row.line))
        content = {"kcbh": read.kcbh, "code": read.code, "line": line}
        self._kept.append(_kept("enrolments", read.term, read.kkh, row, WHOLE, content))

    def write(self, connection: Connection, *, rows_in: int) -> Gain:
        tenant = self._how.tenant
        timetable.add_terms(connection, self._terms, tenant=tenant)
        changes.keep(connection, self._kept, tenant=tenant, buffer_no=self._buffer_no)
        quarantine.put_repeatable(connection, self.rejects, tenant=tenant, import_no=self._at.import_no)
        held = [self._held(term) for term in sorted(self._closed)]
        quarantine.put(connection, held, tenant=tenant, import_no=self._at.import_no)
        if not rows_in:
            return Gain()
        return Gain(rows_in, staged=len(self._kept), rejected=len(self.rejects), held=self._closed.total())

    def _held(self, term: str) -> Entry:
        row = self._last[term]
        sentence = f"学期 {term} 已冻结或归档，其变更不予采用 · changes of {term} wait: the term is frozen or archived"
        content = json.dumps(row.values, ensure_ascii=False)
        return Entry(HELD, HELD_FROZEN, self._file, row.line, content, sentence, (term, "changes"))


def _kept(
    part: str, term: str, kkh: str, row: SourceRow, op: str, content: Mapping[str, Any], *, slot: str = ""
) -> dict[str, Any]:
    """A row of the buffer."""
    said = {name: value for name, value in content.items() if name not in ("tenant_id", "import_no")}
    return {
        "part": part,
        "term": term,
        "kkh": kkh,
        "slot": slot,
        "line": row.line,
        "op": op,
        "sj": clean(row.values.get("sj"))[:40],
        "row": json.dumps(said, ensure_ascii=False),
    }


def _op(values: Mapping[str, str | None]) -> str:
    said = clean(values.get("zt")).lower()
    op = _OPS.get(said)
    if op is None:
        english = f"zt {said[:40]!r} is none of add, update, delete"
        raise Refused(UNKNOWN_CHANGE, f"变更类型无法识别：{said[:40]}", english)
    return op


def _deleted(values: Mapping[str, str | None], calendar: Calendar) -> Meeting:
    """What a row that goes says; its hours may be missing where week, weekday and period name its slot."""
    try:
        return rows_of.read_meeting(values, calendar)
    except Refused:
        named = {**values, "st": "", "ed": "", "rq": values.get("rq") or "2000-01-03"}
        meeting = rows_of.read_meeting(named, calendar)
        if None in (meeting.jxz, meeting.zc, meeting.jc):
            raise
        return meeting
