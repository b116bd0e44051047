"""The latest complete import becomes offerings, sessions and rolls, page by page; what it no longer has is removed.

    None ─▶ o:<last offering done> ─▶ … ─▶ sweep ─▶ … ─▶ finished

Any step may be done again, also after a crash in its middle: rows are written by key with the number of their import.
An import that is not the latest any more writes nothing: every unit checks that, and holds it until it commits.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine

from db import imports, people, rolls, timetable
from db.engine import in_unit, reading
from db.timetable import Offering, RollEntry, SessionOf
from domain.aggregation import Row, Rules, aggregate
from domain.lane_of import Belonging, college_of, most_named
from domain.text import split_list
from usecases.sync.bulk import PAGE_ROWS, PAUSE_S, STEP_ROWS, Fence
from usecases.sync.overlaying import Decided, decided

T = TypeVar("T")

_SWEEP: Final = "sweep"
_AFTER: Final = "o:"


@dataclass(frozen=True, slots=True)
class AggregateProgress:
    """What one step did: give `cursor` to the next one, unless `finished`."""

    cursor: str | None
    offerings_done: int
    sessions: int
    finished: bool


def step(
    engine: Engine, *, tenant: str, import_no: int, cursor: str | None, zone: ZoneInfo, fence: Fence
) -> AggregateProgress:
    """Aggregate the next offerings (about 2,000 rows), or remove some of what the import no longer has.

    Raises ImportOver when the import is not the latest complete one, what `fence` raises.
    """
    writer = Writer(engine, tenant, import_no, import_no, fence)
    if cursor == _SWEEP:
        finished = writer.sweep()
        return AggregateProgress(_SWEEP, 0, 0, finished)
    after = (cursor or _AFTER).removeprefix(_AFTER)
    with reading(engine) as connection:
        page = _read(connection, tenant=tenant, import_no=import_no, after=after, zone=zone)
    writer.write(page)
    following = f"{_AFTER}{page.offerings[-1].id}" if page.more else _SWEEP
    return AggregateProgress(following, len(page.offerings), len(page.sessions), finished=False)


def total(connection: Connection, *, tenant: str, import_no: int) -> int:
    """Offerings that the import has used rows of."""
    return imports.offerings_used(connection, tenant=tenant, import_no=import_no)


@dataclass(frozen=True, slots=True)
class Page:
    """Some offerings with everything that their rows come to."""

    offerings: list[Offering]
    sessions: list[SessionOf]
    teachers: list[RollEntry]
    more: bool
    decided: Decided = field(default_factory=Decided)


def _read(connection: Connection, *, tenant: str, import_no: int, after: str, zone: ZoneInfo) -> Page:
    rows, more = _whole_offerings(connection, tenant=tenant, import_no=import_no, after=after)
    return made_of(connection, rows, tenant=tenant, zone=zone, more=more)


def made_of(connection: Connection, rows: Sequence[Any], *, tenant: str, zone: ZoneInfo, more: bool = False) -> Page:
    """What the rows of whole offerings, in the order of these, come to."""
    codes = sorted({code for row in rows for code in split_list(row.ghs)})
    staff: dict[str, people.Known] = {}
    for first in range(0, len(codes), PAGE_ROWS):
        some = codes[first : first + PAGE_ROWS]
        staff |= people.known(connection, some, tenant=tenant, kind=people.TEACHER)
    rules = timetable.load_rules(connection, tenant=tenant, zone=zone)
    offering_ids = sorted({row.offering_id for row in rows})
    page = Page([], [], [], more, decided(connection, offering_ids, tenant=tenant, zone=zone))
    scattered = timetable.scattered(connection, {(row.term, row.offering_id) for row in rows}, tenant=tenant)
    for id_, group in groupby(rows, key=lambda row: row.offering_id):
        _aggregate_one(list(group), staff, rules, page, scattered=id_ in scattered)
    return page


def _whole_offerings(connection: Connection, *, tenant: str, import_no: int, after: str) -> tuple[Sequence[Any], bool]:
    """The rows of the next offerings, none of them cut; and whether more follow."""
    # No line is as great as this: the page begins with the offering after `after`.
    at = (after, 1 << 62)
    rows = list(imports.used_page(connection, tenant=tenant, import_no=import_no, after=at, limit=STEP_ROWS))
    if len(rows) < STEP_ROWS:
        return rows, False
    last = rows[-1].offering_id
    if rows[0].offering_id != last:
        return [row for row in rows if row.offering_id != last], True
    # One offering that is longer than a page has to be seen whole.
    while True:
        at = (last, rows[-1].line)
        page = imports.used_page(connection, tenant=tenant, import_no=import_no, after=at, limit=STEP_ROWS)
        same = [row for row in page if row.offering_id == last]
        rows += same
        if len(same) < STEP_ROWS:
            return rows, bool(len(page) > len(same))


def _aggregate_one(
    rows: list[Any], staff: Mapping[str, people.Known], rules: Rules, page: Page, *, scattered: bool
) -> None:
    first = rows[0]
    offering = Offering(
        id=first.offering_id,
        term=first.term,
        kkh=first.kkh,
        kcbh=first.kcbh,
        name=most_named(Counter(row.kcmc for row in rows)),
        college=college_of(_belonging(row, staff) for row in rows),
    )
    page.offerings.append(offering)
    names = {code: known.name for code, known in staff.items()}
    made = aggregate(map(_row, rows), offering_id=first.offering_id, rules=rules, names=names, scattered=scattered)
    made = page.decided.laid_over(made, term=first.term, offering_id=first.offering_id, course=offering.title)
    page.sessions.extend((first.term, first.offering_id, session) for session in made)
    codes = sorted({code for row in rows for code in split_list(row.ghs)})
    page.teachers.extend((first.term, first.offering_id, people.TEACHER, code) for code in codes)
    standing_in = {code for one in made if one.alteration is not None for code in one.alteration.substitutes}
    page.teachers.extend((first.term, first.offering_id, rolls.SUBSTITUTE, code) for code in sorted(standing_in))


def _belonging(row: Any, staff: Mapping[str, people.Known]) -> Belonging:
    codes = split_list(row.ghs)
    teacher = staff.get(codes[0]) if codes else None
    return Belonging(college=row.kkxy, unit=teacher.college if teacher else "", campus=row.xq)


def _row(row: Any) -> Row:
    return Row(
        row.line,
        row.jxz,
        row.zc,
        row.jc,
        row.date,
        row.start_ms,
        row.end_ms,
        row.xq,
        row.lq,
        row.room,
        row.ghs,
        row.xms,
    )


@dataclass(frozen=True)
class Writer:
    """Writes offerings, sessions and rolls as of an import, whose rows stand under `staging_no`."""

    engine: Engine
    tenant: str
    import_no: int
    staging_no: int
    fence: Fence

    def write(self, page: Page) -> None:
        """Offerings before their sessions and rolls, each sorted by key, at most 500 rows a unit."""
        made = {"tenant": self.tenant, "import_no": self.import_no}
        titles = {offering.id: offering.title for offering in page.offerings}
        for offerings in _batches(sorted(page.offerings, key=lambda one: (one.term, one.id))):
            self._unit(timetable.save_offerings, offerings, **made)
        for sessions in _batches(sorted(page.sessions, key=lambda one: (one[0], one[2].id))):
            self._unit(timetable.save_sessions, sessions, titles=titles, **made)
        for entries in _batches(page.teachers):
            self._unit(timetable.save_rolls, entries, **made)
        for entries in _batches(self._students(page.offerings)):
            self._unit(timetable.save_rolls, entries, **made)
        if page.decided.verdicts:
            self._unit(lambda connection, _, **how: page.decided.settle(connection, **how), (), **made)

    def _students(self, offerings: Sequence[Offering]) -> Iterator[RollEntry]:
        """Who takes these offerings; an enrolment that names no course code counts for every one of its number."""
        for term in sorted({offering.term for offering in offerings}):
            by_number: dict[str, list[Offering]] = {}
            for offering in offerings:
                if offering.term == term:
                    by_number.setdefault(offering.kkh, []).append(offering)
            with reading(self.engine) as connection:
                for kkh, kcbh, code in imports.enrolled_in(
                    connection, tenant=self.tenant, import_no=self.staging_no, term=term, kkhs=sorted(by_number)
                ):
                    for offering in by_number[kkh]:
                        if kcbh in ("", offering.kcbh):
                            yield term, offering.id, people.STUDENT, code

    def sweep(self) -> bool:
        """Remove up to 2,000 rows that the import no longer has, in open terms; True when none is left."""
        with reading(self.engine) as connection:
            terms = timetable.load_terms(connection, self.tenant)
        left = STEP_ROWS
        for table in timetable.tables_written_again():
            for term in sorted(code for code, term in terms.items() if not term.is_closed):
                since, found = "", PAGE_ROWS
                while found == PAGE_ROWS:
                    if left <= 0:
                        return False
                    found, since = self._remove(table, term, since)
                    left -= found
        self._count()
        return True

    def _remove(self, table: Any, term: str, since: str) -> tuple[int, str]:
        def work(connection: Connection) -> tuple[int, str]:
            self.check(connection)
            return timetable.remove_unwritten(
                connection, table, tenant=self.tenant, term=term, import_no=self.import_no, since=since
            )

        removed = in_unit(self.engine, work)
        time.sleep(PAUSE_S)
        return removed

    def _count(self) -> None:
        def work(connection: Connection) -> None:
            self.check(connection)
            made = timetable.sessions_of(connection, tenant=self.tenant, import_no=self.import_no)
            imports.set_sessions(connection, tenant=self.tenant, import_no=self.import_no, sessions=made)

        in_unit(self.engine, work)

    def _unit(self, save: Any, rows: Sequence[Any], **made: Any) -> None:
        def work(connection: Connection) -> None:
            self.check(connection)
            save(connection, rows, **made)

        in_unit(self.engine, work)
        time.sleep(PAUSE_S)

    def check(self, connection: Connection) -> None:
        """First in every unit: the task is ours, and the import is the latest."""
        self.fence(connection)
        imports.hold_latest(connection, tenant=self.tenant, import_no=self.import_no)


def _batches(rows: Iterable[T]) -> Iterator[list[T]]:
    batch: list[T] = []
    for row in rows:
        batch.append(row)
        if len(batch) == PAGE_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch
