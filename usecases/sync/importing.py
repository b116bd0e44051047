"""A source becomes a numbered import: page by page into staging, then judged as a whole, then made the latest.

    begin ─▶ step, step, … (terms, periods, rooms, people, meetings, enrolments) ─▶ complete
                └──────────── any error: fail; sessions, mirror and jobs are as before

The cursor moves in the unit of the rows it counts, so a crash repeats at most a page and never skips one. Every row of
meetings ends up used, rejected or held. What a row is refused for is in the quarantine, never only in a log.
"""

import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine

from db import imports, people, quarantine, timetable
from db.engine import in_unit, reading
from db.imports import Import, ImportOver
from db.quarantine import Entry
from domain.changes import line_in_source, line_source
from domain.timetable import Calendar
from observability.failpoints import failpoint
from remote.sources.base import BadSource, Readable, SourceRow, part_of
from usecases.sync import findings, precedence
from usecases.sync.bulk import PAGE_ROWS, PAUSE_S, STEP_ROWS, Fence
from usecases.sync.staging import Stage, stage_meetings, stage_others

T = TypeVar("T")

_MEETINGS: Final = "meetings"
_ENROLMENTS: Final = "enrolments"

Stages = Callable[[Import, Sequence[SourceRow], Calendar | None, str], Stage]
"""What stages a page within a unit: the import, its rows, what meetings are read against, and the name of the file."""


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """Where reading is: rows of `part` that are done. `finished` when the whole source has been read."""

    rows_done: int
    finished: bool
    part: str


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import found. rows_in = staged + rejected + held rows, all of meetings; findings are by reason."""

    rows_in: int
    staged: int
    rejected: int
    held: dict[str, int]
    findings: dict[str, int]
    rejects: dict[str, int]


def begin(
    engine: Engine,
    *,
    tenant: str,
    run_id: str,
    source: Readable,
    fence: Fence,
    kind: str = imports.WHOLE,
    watermark: str | None = None,
    source_no: int = 0,
) -> int:
    """The number of the run's import: the one it has in staging if the source is still the same, else a new one.

    Raises BadSource before anything is written when a file or column is missing, UnknownTenant, what `fence` raises.
    """
    source.check()
    fingerprint, parts = source.fingerprint(), source.parts()
    files = {part: source.file_of(part) for part in parts}

    def work(connection: Connection) -> int:
        fence(connection)
        while (staging := imports.staging_of(connection, tenant=tenant, run_id=run_id)) is not None:
            if staging.fingerprint == fingerprint:
                return staging.import_no
            imports.fail(connection, tenant=tenant, import_no=staging.import_no, error="the source changed meanwhile")
        return imports.begin(
            connection,
            tenant=tenant,
            run_id=run_id,
            source=source.name,
            files=files,
            fingerprint=fingerprint,
            part=parts[0],
            kind=kind,
            watermark=watermark,
            source_no=source_no,
        )

    return in_unit(engine, work)


def step(
    engine: Engine,
    *,
    tenant: str,
    import_no: int,
    source: Readable,
    zone: ZoneInfo,
    fence: Fence,
    may_be_empty: bool = False,
    may_change: bool = False,
    stages: Stages | None = None,
) -> ImportProgress:
    """Read on for up to 2,000 rows. Give every step the same `source`: it reads on where it is.

    `may_change`: people may write to it meanwhile. `stages` says what becomes of a page where that is not staging.

    Raises BadSource when the source cannot be read on, changed meanwhile or has no usable row (unless it `may_be_empty`,
    because somebody is asked about that), ImportOver when the import is no longer in staging, what `fence` raises.
    """
    with reading(engine) as connection:
        at = imports.load(connection, tenant=tenant, import_no=import_no)
    if at.state != imports.STAGING:
        raise ImportOver(import_no, f"is {at.state}")
    parts = source.parts()
    reader = _Reader(engine, tenant, source, zone, fence, parts, may_be_empty, may_change, stages)
    for _ in range(STEP_ROWS // PAGE_ROWS):
        if at.part == imports.READ:
            break
        at = reader.page(at)
        time.sleep(PAUSE_S)
    return ImportProgress(at.cursor, at.part == imports.READ, at.part)


def fail(engine: Engine, *, tenant: str, import_no: int, error: str) -> None:
    """End an import that cannot go on; its staging is never read. One that already ended stays as it is."""
    in_unit(engine, lambda connection: imports.fail(connection, tenant=tenant, import_no=import_no, error=error))


def latest_complete(connection: Connection, tenant: str) -> int | None:
    """The number of the tenant's newest complete import; None before the first."""
    return imports.latest_complete(connection, tenant)


@dataclass
class _Reader:
    """Carries one step: reads a page of the source and stages it."""

    engine: Engine
    tenant: str
    source: Readable
    zone: ZoneInfo
    fence: Fence
    parts: Sequence[str]
    may_be_empty: bool
    may_change: bool
    stages: Stages | None
    calendar: Calendar | None = None

    def page(self, at: Import) -> Import:
        """Stage the next page; returns where the import is then."""
        if at.part not in self.parts:
            raise BadSource(self.source.name, f"{at.part} is no longer there", "Put it back and import again")
        rows = self.source.rows(at.part, after=at.cursor, limit=PAGE_ROWS)
        part, cursor = at.part, at.cursor + len(rows)
        if len(rows) < PAGE_ROWS:
            part, cursor = self._following(at.part), 0
        if part == imports.READ and not self.may_change and self.source.fingerprint() != at.fingerprint:
            raise BadSource(self.source.name, "it changed while it was read", "Import again when it is complete")
        stage = self._stage_of(at, rows)

        def work(connection: Connection) -> Import:
            self.fence(connection)
            gain = stage(connection)
            imports.advance(connection, at, tenant=self.tenant, part=part, cursor=cursor, gain=gain)
            return imports.load(connection, tenant=self.tenant, import_no=at.import_no)

        after = in_unit(self.engine, work)
        failpoint("import.after_page")
        whole = at.kind == imports.WHOLE and not self.may_be_empty
        if whole and part_of(at.part)[0] == "meetings" and part != at.part:
            self._refuse_unusable(after)
        return after

    def _following(self, part: str) -> str:
        place = self.parts.index(part) + 1
        return self.parts[place] if place < len(self.parts) else imports.READ

    def _refuse_unusable(self, at: Import) -> None:
        if at.staged + at.held == 0:
            raise BadSource(
                self.source.file_of("meetings"),
                f"none of its {at.rows_in} rows can be used",
                "See `obsync quarantine` for the reason of each row"
                if at.rows_in
                else "Check that it was written whole",
            )

    def _stage_of(self, at: Import, rows: list[SourceRow]) -> Stage:
        """What stages these rows within a unit. Everything that can be done before the unit is done here."""
        file = self.source.file_of(at.part)
        part, source_no = part_of(at.part)
        if part == "meetings" and self.calendar is None:
            with reading(self.engine) as connection:
                self.calendar = timetable.load_calendar(connection, tenant=self.tenant, zone=self.zone)
        if self.stages is not None:
            return self.stages(at, rows, self.calendar, file)
        into: Any = {"tenant": self.tenant, "import_no": at.import_no, "file": file, "source_no": source_no}
        if part == "meetings":
            assert self.calendar is not None
            return stage_meetings(rows, calendar=self.calendar, **into)
        return stage_others(part, rows, **into)


def complete(engine: Engine, *, tenant: str, import_no: int, fence: Fence, everybody: bool = True) -> ImportReport:
    """Judge the import as a whole and make it the latest. Doing it again after a crash changes nothing.

    `everybody`: whoever is in none of its lists of people has left.
    Raises ImportOver when it is not in staging or not read to the end, what `fence` raises.
    """
    with reading(engine) as connection:
        at = imports.load(connection, tenant=tenant, import_no=import_no)
        if at.state == imports.COMPLETE:
            return _report(connection, at, tenant)
        if at.state != imports.STAGING or at.part != imports.READ:
            raise ImportOver(import_no, f"is {at.state}, at {at.part}")
        zone = timetable.load_zone(connection, tenant)
    precedence.settle(engine, tenant=tenant, import_no=import_no, staging_no=import_no, files=at.files, fence=fence)
    judge = _Judge(engine, tenant, import_no, fence, at.files)
    if everybody:
        judge.people_who_left()
    judge.held_rows()
    judge.offerings()
    judge.unknown_students()
    judge.clashes(zone)
    judge.what_is_in_order_again()
    judge.discard_older()

    def flip(connection: Connection) -> ImportReport:
        fence(connection)
        report = _report(connection, at, tenant)
        total = sum(report.findings.values())
        imports.complete(connection, tenant=tenant, import_no=import_no, findings=total)
        return report

    return in_unit(engine, flip)


def _report(connection: Connection, at: Import, tenant: str) -> ImportReport:
    files = {file for name, file in at.files.items() if part_of(name)[0] == "meetings"}
    counts = quarantine.counts(connection, tenant=tenant, import_no=at.import_no, reject_files=files)
    held: Counter[str] = Counter()
    for group in imports.held_groups(connection, tenant=tenant, import_no=at.import_no):
        held[group.reason] += group.count
    return ImportReport(
        rows_in=at.rows_in,
        staged=at.staged,
        rejected=at.rejected,
        held=dict(held),
        findings=dict(counts.findings),
        rejects=dict(counts.rejects),
    )


@dataclass(frozen=True)
class _Judge:
    """What can be said only of the whole import. Every method may be done again."""

    engine: Engine
    tenant: str
    import_no: int
    fence: Fence
    files: Mapping[str, str]

    def people_who_left(self) -> None:
        """Mark who is no longer in the people files."""
        self._until_none(people.unlist_unseen)

    def held_rows(self) -> None:
        """One entry for each reason and term."""
        with reading(self.engine) as connection:
            groups = imports.held_groups(connection, tenant=self.tenant, import_no=self.import_no)
        self._put(
            findings.held_entry(group.reason, group.term, group.count, group.first, file=_MEETINGS) for group in groups
        )

    def offerings(self) -> None:
        """Findings about single offerings, and teachers that nobody lists."""
        told: set[str] = set()
        self._put(findings.of_offerings(self._with_teachers(told), file=_MEETINGS))

    def unknown_students(self) -> None:
        """Students that only enrolments name become users, and findings."""
        with reading(self.engine) as connection:
            found = people.unlisted_students(connection, tenant=self.tenant, import_no=self.import_no)
            while page := list(islice(found, PAGE_ROWS)):
                entries = [findings.unknown_student(student.code, student.line, file=_ENROLMENTS) for student in page]
                self._put_unlisted(people.STUDENT, {student.code: "" for student in page}, entries)

    def clashes(self, zone: ZoneInfo) -> None:
        """Teachers and rooms that are in several classes at once."""
        with reading(self.engine) as connection:
            rows = imports.used_by_time(connection, tenant=self.tenant, import_no=self.import_no)
            self._put(findings.clashes(rows, zone=zone, file=_MEETINGS))

    def what_is_in_order_again(self) -> None:
        """Clear what this import did not meet."""
        self._until_none(quarantine.clear_unseen)

    def discard_older(self) -> None:
        """Remove the staging of older imports, but that of the newest complete one."""
        self._unit(lambda connection: imports.fail_older(connection, tenant=self.tenant, import_no=self.import_no))
        with reading(self.engine) as connection:
            numbers = imports.discardable(connection, tenant=self.tenant, import_no=self.import_no)
        for number in numbers:
            discard = partial(imports.discard, tenant=self.tenant, import_no=number)
            while self._unit(discard):
                time.sleep(PAUSE_S)

    def _with_teachers(self, told: set[str]) -> Iterator[Any]:
        """All used rows by offering; tells of unknown teachers page by page, on the way."""
        after = ("", 0)
        while True:
            with reading(self.engine) as connection:
                page = imports.used_page(
                    connection, tenant=self.tenant, import_no=self.import_no, after=after, limit=STEP_ROWS
                )
                named = teachers_of(page, told)
                known = people.known(connection, list(named), tenant=self.tenant, kind=people.TEACHER)
            told.update(named)
            missing = {code: said for code, said in named.items() if code not in known or not known[code].listed}
            entries = [
                findings.unknown_teacher(code, name, row, file=_MEETINGS) for code, (name, row) in missing.items()
            ]
            for batch in quarantine.batches(entries):
                names = {code: missing[code][0] for entry in batch for code in entry.identity}
                self._put_unlisted(people.TEACHER, names, batch)
            yield from page
            if len(page) < STEP_ROWS:
                return
            after = (page[-1].offering_id, page[-1].line)

    def _put_unlisted(self, kind: str, names: Mapping[str, str], entries: Sequence[Entry]) -> None:
        told = [placed(entry, self.files) for entry in entries]

        def work(connection: Connection) -> None:
            people.save_unlisted(connection, names, tenant=self.tenant, kind=kind, import_no=self.import_no)
            quarantine.put(connection, told, tenant=self.tenant, import_no=self.import_no)

        self._unit(work)
        time.sleep(PAUSE_S)

    def _put(self, entries: Iterable[Entry]) -> None:
        for batch in quarantine.batches(entries):
            told = [placed(entry, self.files) for entry in batch]
            self._unit(partial(quarantine.put, entries=told, tenant=self.tenant, import_no=self.import_no))
            time.sleep(PAUSE_S)

    def _until_none(self, work: Callable[..., int]) -> None:
        while (
            self._unit(lambda connection: work(connection, tenant=self.tenant, import_no=self.import_no)) == PAGE_ROWS
        ):
            time.sleep(PAUSE_S)

    def _unit(self, work: Callable[[Connection], T]) -> T:
        def fenced(connection: Connection) -> T:
            self.fence(connection)
            return work(connection)

        return in_unit(self.engine, fenced)


def placed(entry: Entry, files: Mapping[str, str]) -> Entry:
    """The entry with the file of its source and the line there; `file` names a part until then."""
    number = line_source(entry.line)
    file = imports.file_named(files, entry.file, number) or imports.file_named(files, entry.file)
    return replace(entry, file=file, line=line_in_source(entry.line))


def teachers_of(rows: Iterable[Any], told: Container[str]) -> dict[str, tuple[str, Any]]:
    """Teacher codes met for the first time: name (blank where no row of the page says it) and first row."""
    named: dict[str, tuple[str, Any]] = {}
    for row in rows:
        for code, name in findings.teachers_named(row):
            if code not in told and (code not in named or (name and not named[code][0])):
                named[code] = (name, named[code][1] if code in named else row)
    return named
