"""What a sync would send, row by row, without sending it and without changing anything.

With a source, timetable and mirror are copied into a database of their own in the data folder, the source is read into the
copy by the very code that a run uses, and the plan is made there; then the copy is removed. What a dry run says is what the
run does because it is the same work, done elsewhere.
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from db import accounts, discrepancies, guards, import_bases, imports, scopes
from db import sources as source_parts
from db.copying import copy_timetable
from db.engine import in_unit, make_engine, reading
from db.migrate import make_for_a_while
from db.planning import Chosen
from domain.guards import LaneLoss, Question, ask_about_deletes, ask_about_repairs, ask_about_rows
from domain.scopes import EVERYTHING, Scope
from remote.sources.united import United
from usecases import tenants
from usecases.deps import Deps
from usecases.sync import aggregating, importing, layout, sources
from usecases.sync.importing import ImportReport
from usecases.sync.plan_rows import rows_of
from usecases.sync.planning import tally
from usecases.sync.stages.guard import table

_RUN = "dry-run"
_PAGE = 500


@dataclass(slots=True)
class Shown:
    """What would be sent: totals by kind and verb, the first rows, what the run would ask, and what was read for it."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    rows: list[dict[str, Any]] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    lanes: list[dict[str, Any]] = field(default_factory=list)
    read: ImportReport | None = None
    unmapped_people: int = 0

    @property
    def operations(self) -> int:
        return sum(self.counts.values())


def of_timetable(deps: Deps, *, limit: int) -> Shown:
    """What is different between the timetable as it was read last and the mirror; the first `limit` rows of it."""
    return _plan(deps, deps.engine, limit, [])


def of_source(
    deps: Deps,
    address: str,
    *,
    mapping: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    only: Scope = EVERYTHING,
    limit: int,
    say: Callable[[str], None] = lambda _: None,
) -> Shown:
    """What a full run over `only` of the source would send; the first `limit` rows of it. `say` hears how far it is.

    People whose account is not known are looked up by a run only: those it finds come on top. Raises `BadSource`.
    """
    chosen = sources.choose(deps, address, mapping)
    source = chosen.open()
    try:
        source.check()
        with _copy(deps, say) as there:
            if settings:
                in_unit(there.engine, lambda tx: tenants.change_settings(tx, tenant=deps.tenant, **settings))
            say("reading the source 读取数据")
            number = _read(there, source)
            asked = _about_rows(deps, there, number)
            report = importing.complete(there.engine, tenant=deps.tenant, import_no=number, fence=_free)
            _aggregate(there, number)
            say("comparing 计算差异")
            found = _plan(deps, there.engine, limit, asked, only)
            found.read = report
            return found
    finally:
        source.close()


def of_repair(deps: Deps) -> tuple[list[Question], list[dict[str, Any]]]:
    """What a repair would ask first, and its lanes."""
    with reading(deps.engine) as tx:
        lanes = guards.repairs(tx, tenant=deps.tenant, states=discrepancies.NOT_HEALED)
    return ask_about_repairs(lanes), table(lanes)


def _plan(deps: Deps, ours: Engine, limit: int, asked: list[Question], only: Scope = EVERYTHING) -> Shown:
    found = Shown(questions=list(asked))
    with reading(ours) as tx:
        lanes: list[LaneLoss] = guards.losses(tx, tenant=deps.tenant, only=only)
        found.unmapped_people = accounts.unmapped_count(tx, tenant=deps.tenant)
    found.questions += ask_about_deletes(lanes)
    found.lanes = table(lanes)
    for _, plans in layout.planner(ours, deps.tenant, deps.secret, chosen=_chosen(ours, deps.tenant, only)).pages():
        found.counts += tally(plans)
        if len(found.rows) < limit:
            with reading(ours) as here, reading(deps.engine) as there:
                found.rows += rows_of(here, there, plans, tenant=deps.tenant)
            del found.rows[limit:]
    return found


def _chosen(ours: Engine, tenant: str, only: Scope) -> Chosen | None:
    """What a run over a part plans, written down in the copy as the run does in the database; None: everything."""
    if only.is_everything:
        return None
    after: tuple[str, str, str] | None = ("courses", "", "")

    def page(tx: Connection) -> tuple[str, str, str] | None:
        assert after is not None
        return scopes.choose_all(tx, only, tenant=tenant, run_id=_RUN, after=after, limit=_PAGE)

    while after is not None:
        after = in_unit(ours, page)
    return Chosen(_RUN, only=only)


@contextmanager
def _copy(deps: Deps, say: Callable[[str], None]) -> Iterator[Deps]:
    """The same tenant in a database that goes away."""
    with tempfile.TemporaryDirectory(prefix="dry-run-", dir=deps.data_dir) as folder:
        engine = make_engine(f"sqlite:///{Path(folder).resolve() / 'copy.db'}", pool_size=2)
        try:
            make_for_a_while(engine)
            say("copying the timetable 复制课表")
            with reading(deps.engine) as tx:
                copy_timetable(tx, engine, tenant=deps.tenant)
            yield replace(deps, engine=engine)
        finally:
            engine.dispose()


def _read(there: Deps, source: Any) -> int:
    engine, tenant = there.engine, there.tenant
    with reading(engine) as tx:
        first = imports.latest_complete(tx, tenant) is None
    number = importing.begin(engine, tenant=tenant, run_id=_RUN, source=source, fence=_free)
    if isinstance(source, United):
        parts = [source_parts.Part(one.number, one.name, source_parts.READ) for one in source.members]
        in_unit(engine, lambda tx: source_parts.note(tx, parts, tenant=tenant, import_no=number))
    while not importing.step(
        engine, tenant=tenant, import_no=number, source=source, zone=there.zone, fence=_free, may_be_empty=not first
    ).finished:
        continue
    return number


def _about_rows(deps: Deps, there: Deps, number: int) -> list[Question]:
    """What the run would ask before it makes sessions."""
    with reading(deps.engine) as ours, reading(there.engine) as new:
        last = imports.latest_complete(ours, deps.tenant)
        if last is None:
            return []
        last = import_bases.staging_no(ours, tenant=deps.tenant, import_no=last)
        before = guards.rows_used(ours, tenant=deps.tenant, import_no=last)
        return ask_about_rows(before, guards.rows_used(new, tenant=deps.tenant, import_no=number))


def _aggregate(there: Deps, number: int) -> None:
    cursor, finished = None, False
    while not finished:
        page = aggregating.step(
            there.engine, tenant=there.tenant, import_no=number, cursor=cursor, zone=there.zone, fence=_free
        )
        cursor, finished = page.cursor, page.finished


def _free(_connection: Connection) -> None:
    """Nobody else knows of the copy."""
