"""The offerings that changes have touched get their sessions, rolls and findings anew; all others stay as they are."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine

from db import changes, import_bases, imports, people, quarantine, timetable
from db.engine import in_unit, reading
from db.quarantine import FINDING, HELD, Entry
from domain.changes import line_in_source, read_line
from domain.text import clean
from usecases.sync import findings
from usecases.sync.aggregating import Writer, made_of
from usecases.sync.bulk import PAUSE_S, Fence
from usecases.sync.importing import placed, teachers_of
from usecases.sync.staging import offering_id

T = TypeVar("T")
Key = tuple[str, str]

PAGE_OFFERINGS: Final = 60
_OF_OFFERINGS: Final = (findings.NO_TEACHER, findings.BLANK_NAME, findings.TWO_ROOMS)


def step(engine: Engine, *, tenant: str, import_no: int, zone: ZoneInfo, fence: Fence) -> int:
    """Do the next touched offerings. Returns how many that were; 0: all are done.

    Raises ImportOver when the import is not the latest complete one, what `fence` raises.
    """
    with reading(engine) as connection:
        keys = changes.to_make(connection, tenant=tenant, limit=PAGE_OFFERINGS)
        at = imports.load(connection, tenant=tenant, import_no=import_no)
        terms = timetable.load_terms(connection, tenant)
        open_keys = [key for key in keys if key[0] not in terms or not terms[key[0]].is_closed]
        ids = sorted(one for _, one in open_keys)
        rows = imports.used_of(connection, tenant=tenant, import_no=at.staging_no, offering_ids=ids)
        page = made_of(connection, rows, tenant=tenant, zone=zone)
    if not keys:
        return 0
    writer = Writer(engine, tenant, import_no, at.staging_no, fence)
    writer.write(page)
    _remove(writer, open_keys)
    _Judge(engine, tenant, import_no, "meetings", fence).offerings(open_keys, rows)

    def done(connection: Connection) -> None:
        writer.check(connection)
        changes.made(connection, keys, tenant=tenant, import_no=import_no)

    in_unit(engine, done)
    return len(keys)


def _remove(writer: Writer, keys: Sequence[Key]) -> None:
    """What the offerings no longer have, they themselves included."""
    by_term = {term: [one for _, one in group] for term, group in groupby(keys, key=lambda key: key[0])}
    for table in timetable.tables_written_again():
        for term, ids in by_term.items():

            def work(connection: Connection, table: Any = table, term: str = term, ids: Sequence[str] = ids) -> None:
                writer.check(connection)
                timetable.remove_unwritten_of(
                    connection, table, tenant=writer.tenant, term=term, offering_ids=ids, import_no=writer.import_no
                )

            in_unit(writer.engine, work)


def judge_rest(engine: Engine, *, tenant: str, import_no: int, zone: ZoneInfo, fence: Fence) -> None:
    """What can be said only of the whole staging: clashes, held rows, and people whom nobody names any more.

    A clash is between offerings, so a change of one may make or end it for another: they are looked for anew.
    """
    judge = _Judge(engine, tenant, import_no, "meetings", fence)
    judge.clashes(zone)
    judge.held()
    judge.people()
    judge.rejects()


@dataclass(frozen=True)
class _Judge:
    """Findings as of an import of changes. Every method may be done again."""

    engine: Engine
    tenant: str
    import_no: int
    file: str
    fence: Fence

    def offerings(self, keys: Sequence[Key], rows: Sequence[Any]) -> None:
        """What is odd in these offerings, given all their used rows."""
        entries = list(findings.of_offerings(rows, file=self.file))
        named = teachers_of(rows, ())
        with reading(self.engine) as connection:
            known = people.known(connection, sorted(named), tenant=self.tenant, kind=people.TEACHER)
        missing = {code: said for code, said in named.items() if code not in known or not known[code].listed}
        entries += [findings.unknown_teacher(code, *said, file=self.file) for code, said in missing.items()]
        met = {(entry.reason, entry.identity) for entry in entries}
        gone = {
            reason: [(one,) for _, one in keys if (reason, (one,)) not in met] for reason in _OF_OFFERINGS
        }  # fmt: skip
        names = {code: name for code, (name, _) in missing.items()}

        def work(connection: Connection) -> None:
            self.fence(connection)
            people.save_unlisted(connection, names, tenant=self.tenant, kind=people.TEACHER, import_no=self.import_no)
            for reason, identities in gone.items():
                quarantine.clear_findings(connection, tenant=self.tenant, reasons=[reason], identities=identities)

        in_unit(self.engine, work)
        self._put(entries)

    def clashes(self, zone: ZoneInfo) -> None:
        """Teachers and rooms that are in several classes at once."""
        with reading(self.engine) as connection:
            staging_no = import_bases.staging_no(connection, tenant=self.tenant, import_no=self.import_no)
            rows = imports.used_by_time(connection, tenant=self.tenant, import_no=staging_no)
            self._put(findings.clashes(rows, zone=zone, file=self.file))
        reasons = (findings.TEACHER_CLASH, findings.SHARED_ROOM)
        self._until_none(partial(quarantine.clear_of, kind=FINDING, reasons=reasons))

    def held(self) -> None:
        """One entry for each reason and term."""
        with reading(self.engine) as connection:
            staging_no = import_bases.staging_no(connection, tenant=self.tenant, import_no=self.import_no)
            groups = imports.held_groups(connection, tenant=self.tenant, import_no=staging_no)
        self._put(findings.held_entry(one.reason, one.term, one.count, one.first, file=self.file) for one in groups)
        self._until_none(partial(quarantine.clear_of, kind=HELD, reasons=()))

    def people(self) -> None:
        """Teachers and students whom no row names any more are nobody's concern."""
        for kind, reason in ((people.TEACHER, findings.UNKNOWN_TEACHER), (people.STUDENT, findings.UNKNOWN_STUDENT)):
            after = ""
            while True:
                with reading(self.engine) as connection:
                    codes = people.named_by_nobody(connection, tenant=self.tenant, kind=kind, after=after)
                if not codes:
                    break
                after, gone = codes[-1], [(code,) for code in codes]
                self._unit(partial(quarantine.clear_findings, reasons=[reason], identities=gone))

    def rejects(self) -> None:
        """A row that could not be used is no concern where its offering was touched and its slot has rows by now."""
        after = ""
        while True:
            with reading(self.engine) as connection:
                page = quarantine.open_rejects(connection, tenant=self.tenant, before=self.import_no, after=after)
                mended = self._mended(connection, page)
            if not page:
                return
            after = page[-1][0]
            self._unit(partial(quarantine.clear_ids, ids=mended))

    def _mended(self, connection: Connection, page: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
        named = {entry_id: _slot_named(self.tenant, row) for entry_id, row in page}
        ids = changes.touched_by(
            connection, {one for one, *_ in named.values()}, tenant=self.tenant, import_no=self.import_no
        )
        staging_no = import_bases.staging_no(connection, tenant=self.tenant, import_no=self.import_no)
        rows = imports.used_of(connection, tenant=self.tenant, import_no=staging_no, offering_ids=sorted(ids))
        filled = {(row.offering_id, str(row.jxz), str(row.zc), str(row.jc)) for row in rows}
        return [entry_id for entry_id, slot in named.items() if slot in filled]

    def _put(self, entries: Iterable[Entry]) -> None:
        with reading(self.engine) as connection:
            files = import_bases.files_of_buffers(connection, tenant=self.tenant)
            number = import_bases.staging_no(connection, tenant=self.tenant, import_no=self.import_no)
            base = imports.load(connection, tenant=self.tenant, import_no=number).files
        for batch in quarantine.batches(entries):
            told = [_placed(entry, files, base) for entry in batch]
            self._unit(partial(quarantine.put, entries=told, import_no=self.import_no))
            time.sleep(PAUSE_S)

    def _until_none(self, work: Callable[..., int]) -> None:
        while self._unit(partial(work, import_no=self.import_no)) == quarantine.PAGE:
            time.sleep(PAUSE_S)

    def _unit(self, work: Callable[..., T]) -> T:
        def fenced(connection: Connection) -> T:
            self.fence(connection)
            return work(connection, tenant=self.tenant)

        return in_unit(self.engine, fenced)


def _slot_named(tenant: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    """Offering, week, weekday and period of a row as it stands in a source."""
    said = {name: clean(row.get(name)) for name in ("xnxq", "kkh", "kcbh", "jxz", "zc", "jc")}
    return (offering_id(tenant, said["xnxq"], said["kkh"], said["kcbh"]), said["jxz"], said["zc"], said["jc"])


def _placed(entry: Entry, files: Mapping[int, str], base: Mapping[str, str]) -> Entry:
    """The entry with the file and line that a person can look up: a changed row stands in a change set."""
    buffer_no, line = read_line(entry.line)
    if not buffer_no:
        return placed(entry, base)
    return replace(entry, file=files.get(buffer_no, entry.file), line=line_in_source(line))
