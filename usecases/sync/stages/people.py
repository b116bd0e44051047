"""A users run: the lists of people are read anew, their accounts are asked for, and the calendars they share follow.

extract (people) ─▶ view (accounts) ─▶ permissions ─▶ finish
"""

from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import Connection

from db import import_bases, imports, people, sync_runs
from db.engine import in_unit, reading
from db.imports import PEOPLE, READ
from db.planning import Chosen
from db.tables import AnyRow
from remote.sources.base import BadSource, Readable, SourceRow, TimetableSource, part_of
from remote.sources.united import United
from usecases import off_peak
from usecases.sync import importing, layout, sources, uniting
from usecases.sync.bulk import PAGE_ROWS
from usecases.sync.people_rows import PeopleRows
from usecases.sync.stages import choose, drain
from usecases.sync.stages.base import TURN_MS, Done, More, RunFailed, Running, Step
from usecases.sync.stages.prepare import check_credentials
from usecases.sync.turns import scope_of

_PARTS = ("students", "teachers")


@dataclass(frozen=True)
class _Lists:
    """The lists of people of a source, and nothing else of it."""

    source: TimetableSource

    @property
    def name(self) -> str:
        return self.source.name

    def parts(self) -> tuple[str, ...]:
        return tuple(part for part in self.source.parts() if part_of(part)[0] in _PARTS)

    def file_of(self, part: str) -> str:
        return self.source.file_of(part)

    def check(self) -> None:
        self.source.check()

    def fingerprint(self) -> str:
        return self.source.fingerprint()

    def rows(self, part: str, *, after: int, limit: int) -> list[SourceRow]:
        return self.source.rows(part, after=after, limit=limit)

    def close(self) -> None:
        self.source.close()


def read_people(on: Running, stage: AnyRow) -> Step:
    """Students and teachers of the scope, a page at a time."""
    if not on.may_read():
        return More(TURN_MS)
    check_credentials(on)
    lists = _Lists(_answering(on))
    try:
        with reading(on.deps.engine) as tx:
            latest = imports.latest_complete(tx, on.deps.tenant)
        if latest is None:
            raise RunFailed("There is no timetable whose people could be refreshed. Run `obsync sync SOURCE` first")
        if not lists.parts():
            on.unit(lambda tx: sync_runs.change_run(tx, on.run_id, tenant=on.deps.tenant, import_no=latest))
            on.has_read()
            return Done("the source has no lists of people")
        return _read(on, stage, lists, latest)
    finally:
        lists.close()


def _answering(on: Running) -> TimetableSource:
    """The source; of several those that can be read now: the people of the others stay as they are."""
    chosen = sources.of_scope(on.deps, on.scope())
    if not chosen.members:
        return chosen.open()
    found = []
    for one in chosen.members:
        with suppress(BadSource):
            found.append(uniting.watch(on.deps, one).member)
    if not found:
        raise RunFailed("None of the sources can be read, and nothing was changed. See `obsync sources`")
    return United(found)


def _read(on: Running, stage: AnyRow, lists: Readable, latest: int) -> Step:
    deps = on.deps
    number = importing.begin(
        deps.engine, tenant=deps.tenant, run_id=on.run_id, source=lists, fence=on.fence, kind=PEOPLE
    )
    on.unit(lambda tx: sync_runs.change_run(tx, on.run_id, tenant=on.deps.tenant, import_no=number))
    rows_of = PeopleRows(deps.tenant, scope_of(on.run))
    total = stage.done
    while not on.stopping:
        done = importing.step(
            deps.engine,
            tenant=deps.tenant,
            import_no=number,
            source=lists,
            zone=deps.zone,
            fence=on.fence,
            may_change=True,
            stages=rows_of.stage,
        )
        total = max(total, done.rows_done)
        on.progress(stage.position, done=total, total=total, note=done.part)
        if done.part == READ:
            several = sources.of_scope(on.deps, on.scope()).members
            all_read = not several or lists.name == sources.ALL + ",".join(one.name for one in several)
            _complete(on, number, latest, everybody=all_read)
            return Done(f"{rows_of.kept:,} people read")
    return More()


def _complete(on: Running, number: int, latest: int, *, everybody: bool) -> None:
    """The lists are in force. Who left them is marked, but not by a run that looked at some people only."""
    deps = on.deps

    def mark(tx: Connection) -> int:
        on.fence(tx)
        return people.unlist_unseen(tx, tenant=deps.tenant, import_no=number)

    while everybody and scope_of(on.run).is_everything and in_unit(deps.engine, mark) == PAGE_ROWS:
        pass

    def flip(tx: Connection) -> None:
        on.fence(tx)
        at = import_bases.rebase(
            tx, imports.load(tx, tenant=deps.tenant, import_no=number), tenant=deps.tenant, to_no=latest
        )
        imports.complete(tx, tenant=deps.tenant, import_no=at.import_no, findings=0)
        sync_runs.change_run(tx, on.run_id, tenant=on.deps.tenant, import_no=at.import_no)
        sync_runs.leave_reading(tx, tenant=deps.tenant, run_id=on.run_id)

    in_unit(deps.engine, flip)


def put_permissions(on: Running, stage: AnyRow) -> Step:
    """Only who may read and write, and only where the calendar is there; then wait for the lanes."""
    if stage.cursor == "put":
        step = drain.await_lanes(on, stage)
        if isinstance(step, Done):
            choose.unchoose(on)
        return step
    if stage.cursor is None:
        choose.courses_of_people(on)
    chosen = Chosen(on.run_id, only=scope_of(on.run), of_people=True)
    planner = layout.planner(on.deps.engine, on.deps.tenant, on.deps.secret, chosen=chosen)
    for cursor, plans in planner.pages(after=stage.cursor):
        for plan in plans:
            there = all(one.kind != "calendar" for one in plan.operations)
            plan.operations[:] = [one for one in plan.operations if there and one.kind == "members"]
        lanes = planner.put(
            [plan for plan in plans if plan.operations],
            import_no=on.import_no,
            run_id=on.run_id,
            new_id=on.deps.new_id,
            fence=on.fence,
            priority=on.run.priority,
            held_from=off_peak.held_from(on.deps),
        )
        on.progress(stage.position, cursor=cursor)
        on.ring_lanes(lanes)
        if on.stopping:
            return More()
    on.progress(stage.position, cursor="put")
    return More()
