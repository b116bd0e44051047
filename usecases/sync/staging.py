"""A page of a source becomes rows of staging and of the tables of people, terms and rooms, inside one unit."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection

from db import imports, people, quarantine, timetable
from db.imports import Gain
from db.quarantine import REJECT, Entry
from domain import timetable as rows_of
from domain.changes import line_source, source_line
from domain.ids import key_of
from domain.timetable import DUPLICATE, Calendar, Enrolment, Meeting, Refused
from remote.sources.base import SourceRow

Stage = Callable[[Connection], Gain]
"""Writes one page; may be done again after a rolled-back unit."""


def stage_meetings(
    rows: Iterable[SourceRow], *, calendar: Calendar, tenant: str, import_no: int, file: str, source_no: int = 0
) -> Stage:
    """Read a page of meetings now; the result writes it."""
    return _MeetingPage(tenant, import_no, file, source_no, _read_meetings(rows, calendar, source_no)).stage


def stage_others(
    part: str, rows: Iterable[SourceRow], *, tenant: str, import_no: int, file: str, source_no: int = 0
) -> Stage:
    """Read a page of any other part now; the result writes it. Counts nothing: these are no meetings."""
    read, save = _OTHERS[part]
    values: list[tuple[int, Any]] = []
    rejects: list[Entry] = []
    for row in rows:
        try:
            values.append((row.line, read(row.values)))
        except Refused as refused:
            rejects.append(rejected(row, file, refused.reason, refused.sentence))

    def stage(connection: Connection) -> Gain:
        save(connection, [(source_line(source_no, line), said) for line, said in values], tenant, import_no)
        quarantine.put_repeatable(connection, rejects, tenant=tenant, import_no=import_no)
        return Gain()

    return stage


def _read_meetings(
    rows: Iterable[SourceRow], calendar: Calendar, source_no: int
) -> list[tuple[SourceRow, str, Meeting | Refused]]:
    found: list[tuple[SourceRow, str, Meeting | Refused]] = []
    for row in rows:
        try:
            outcome: Meeting | Refused = rows_of.read_meeting(row.values, calendar)
        except Refused as refused:
            outcome = refused
        found.append((row, row_hash_of(row, source_no), outcome))
    return found


def row_hash_of(row: SourceRow, source_no: int = 0) -> str:
    """Equal for two rows of a source exactly when they are the same in every column, as they stand there."""
    said = json.dumps(list(row.values.values()))
    return key_of(said, str(source_no)) if source_no else key_of(said)


# Rows of an offering stand together in most sources.
@lru_cache(maxsize=1024)
def offering_id(tenant: str, term: str, kkh: str, kcbh: str) -> str:
    """What an offering is known by."""
    return key_of("offering", tenant, term, kkh, kcbh)


def rejected(row: SourceRow, file: str, reason: str, sentence: str) -> Entry:
    """The entry of a row that cannot be used."""
    content = json.dumps(row.values, ensure_ascii=False)
    return Entry(REJECT, reason, file, row.line, content, sentence, (file, content))


@dataclass(frozen=True)
class _MeetingPage:
    """A page of meetings, read; what is missing is to tell duplicates from the rows before."""

    tenant: str
    import_no: int
    file: str
    source_no: int
    outcomes: list[tuple[SourceRow, str, Meeting | Refused]]

    def stage(self, connection: Connection) -> Gain:
        """Write used and held rows to staging, the others to the quarantine."""
        hashes = [row_hash for _, row_hash, outcome in self.outcomes if isinstance(outcome, Meeting)]
        seen = imports.known_hashes(connection, hashes, tenant=self.tenant, import_no=self.import_no)
        staged: list[dict[str, Any]] = []
        rejects: list[Entry] = []
        for row, row_hash, outcome in self.outcomes:
            if isinstance(outcome, Refused):
                rejects.append(rejected(row, self.file, outcome.reason, outcome.sentence))
            elif row_hash in seen:
                sentence = "与前面某一行完全相同 · the same as a row before, in every column"
                rejects.append(rejected(row, self.file, DUPLICATE, sentence))
            else:
                seen.add(row_hash)
                line = source_line(self.source_no, row.line)
                staged.append(
                    staged_row(self.tenant, self.import_no, line, row_hash, outcome, source_no=self.source_no)
                )
        timetable.add_terms(connection, {row["term"] for row in staged}, tenant=self.tenant)
        imports.add_meetings(connection, staged)
        quarantine.put_repeatable(connection, rejects, tenant=self.tenant, import_no=self.import_no)
        held = sum(row["held"] is not None for row in staged)
        return Gain(rows_in=len(self.outcomes), staged=len(staged) - held, rejected=len(rejects), held=held)


def staged_row(
    tenant: str, import_no: int, line: int, row_hash: str, meeting: Meeting, *, source_no: int = 0
) -> dict[str, Any]:
    """A meeting as a row of staging."""
    return {
        "tenant_id": tenant,
        "import_no": import_no,
        "offering_id": offering_id(tenant, meeting.term, meeting.kkh, meeting.kcbh),
        "line": line,
        "row_hash": row_hash,
        "source_no": source_no,
        **{name: getattr(meeting, name) for name in Meeting.__slots__},
    }


Values = Sequence[tuple[int, Any]]
"""(line, what the row says)."""


def _save_terms(connection: Connection, values: Values, tenant: str, _import_no: int) -> None:
    timetable.save_terms(connection, (value for _, value in values), tenant=tenant)


def _save_periods(connection: Connection, values: Values, tenant: str, _import_no: int) -> None:
    timetable.save_periods(connection, (value for _, value in values), tenant=tenant)


def _save_rooms(connection: Connection, values: Values, tenant: str, _import_no: int) -> None:
    timetable.save_rooms(connection, (value for _, value in values), tenant=tenant)


def _save_students(connection: Connection, values: Values, tenant: str, import_no: int) -> None:
    listed = (value for _, value in values)
    people.save_listed(connection, listed, tenant=tenant, kind=people.STUDENT, import_no=import_no)


def _save_teachers(connection: Connection, values: Values, tenant: str, import_no: int) -> None:
    listed = (value for _, value in values)
    people.save_listed(connection, listed, tenant=tenant, kind=people.TEACHER, import_no=import_no)


def _save_enrolments(connection: Connection, values: Values, tenant: str, import_no: int) -> None:
    first: dict[Enrolment, int] = {}
    for line, enrolment in values:
        first.setdefault(enrolment, line)
    rows = [
        {
            "tenant_id": tenant,
            "import_no": import_no,
            "term": enrolment.term,
            "kkh": enrolment.kkh,
            "kcbh": enrolment.kcbh,
            "code": enrolment.code,
            "source_no": line_source(line),
            "line": line,
        }
        for enrolment, line in first.items()
    ]
    imports.add_enrolments(connection, rows)


_OTHERS: Final[dict[str, tuple[Callable[[Any], Any], Callable[[Connection, Values, str, int], None]]]] = {
    "terms": (rows_of.read_term, _save_terms),
    "periods": (rows_of.read_period, _save_periods),
    "rooms": (rows_of.read_room, _save_rooms),
    "students": (rows_of.read_student, _save_students),
    "teachers": (rows_of.read_teacher, _save_teachers),
    "enrolments": (rows_of.read_enrolment, _save_enrolments),
}
