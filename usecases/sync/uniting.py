"""One import of several sources: which of them are read, and what stands in for those that are not.

    decide ─▶ begin ─▶ carry over what is not read ─▶ read the others ─▶ check ─▶ judged as any import
                 └── a source breaks off, or is empty: the import fails, and the next one does without that source

A source that cannot be read keeps the rows of its last good import. So nothing of it is ever deleted because it is silent;
what a person wants gone is gone by `obsync sources disable`, and the guard over rows asks about that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection, Table

from db import import_bases, imports, source_rows
from db import sources as rows
from db.engine import in_unit, reading
from db.sources import ABSENT, FAILED, KEPT, READ, SAME, Part
from domain.ids import key_of
from remote.sources.base import BadSource, part_of
from remote.sources.united import Member, United
from usecases.deps import Deps
from usecases.sync import catching_up
from usecases.sync.bulk import Fence
from usecases.sync.sources import Named

_NOT_READ = (SAME, KEPT)


@dataclass(frozen=True, slots=True)
class Decided:
    """What an import is to have of one source; `member` where it could be opened."""

    part: Part
    member: Member | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """A source that answers: what it is, and its mark and watermark now."""

    member: Member
    mark: str
    watermark: str | None


def look(one: Named) -> Look:
    """Open a source and see whether it says something else. Close its member. Raises BadSource."""
    member = one.open()
    try:
        member.source.check()
        watermark = member.source.watermark() if member.source.live else None
        said = watermark if watermark is not None else member.source.fingerprint()
        return Look(member, mark_of(one, said), watermark)
    except BadSource:
        member.source.close()
        raise


def mark_of(one: Named, said: str) -> str:
    """The mark of a source whose watermark, or else fingerprint, this is: another mapping is another timetable."""
    return key_of("mark", repr(sorted(one.mapping.items())), said)


def decide(deps: Deps, members: Sequence[Named], *, run_id: str, keep_same: bool) -> list[Decided]:
    """What to read of these sources, in their order. With `keep_same` a source that says the same is not read again.

    What each answers is written down at its row.
    """
    with reading(deps.engine) as tx:
        there = _in_force(tx, deps.tenant)
        broken = rows.failed_in_run(tx, tenant=deps.tenant, run_id=run_id)
        last = rows.last_said(tx, tenant=deps.tenant)
    found = []
    for one in members:
        failed = broken.get(one.number)
        known = last.get(one.number)
        stands = KEPT if one.number in there else ABSENT
        if failed is not None:
            was = _as_it_was(one, known)
            found.append(Decided(replace(was, outcome=stands, problem=failed.problem, remedy=failed.remedy)))
            continue
        try:
            seen = watch(deps, one)
        except BadSource as bad:
            part = replace(_as_it_was(one, known), outcome=stands, problem=f"{bad.file}: {bad.problem}")
            found.append(Decided(replace(part, remedy=bad.remedy)))
            continue
        same = keep_same and stands == KEPT and known is not None and known.mark == seen.mark
        part = Part(one.number, one.name, SAME if same else READ, seen.mark, seen.watermark)
        found.append(Decided(part, seen.member))
    return found


def _as_it_was(one: Named, known: Part | None) -> Part:
    """Mark and watermark of what stands in the staging."""
    return Part(one.number, one.name, KEPT, known.mark if known else "", known.watermark if known else None)


def _in_force(tx: Connection, tenant: str) -> set[int]:
    """The sources that have rows in what counts now. An import without a list is that of the one source there was."""
    latest = imports.latest_complete(tx, tenant)
    if latest is None:
        return set()
    parts = rows.parts_of(tx, tenant=tenant, import_no=import_bases.staging_no(tx, tenant=tenant, import_no=latest))
    return {one.source_no for one in parts if one.outcome in (READ, *_NOT_READ)} if parts else {0}


def watch(deps: Deps, one: Named) -> Look:
    """Look at a source, and write down whether it answered and whether it says something else. Raises BadSource."""
    try:
        seen = look(one)
    except BadSource as bad:
        sentence = f"{bad.file}: {bad.problem}. {bad.remedy}."
        in_unit(deps.engine, lambda tx: rows.silent(tx, tenant=deps.tenant, source_no=one.number, error=sentence))
        raise
    in_unit(deps.engine, lambda tx: rows.answered(tx, tenant=deps.tenant, source_no=one.number, mark=seen.mark))
    return seen


def close(decided: Sequence[Decided]) -> None:
    """Let go of all sources."""
    for one in decided:
        if one.member is not None:
            one.member.source.close()


def to_read(decided: Sequence[Decided]) -> United:
    """Those that are read, as one. Its fingerprint is that of the decision: another one is another import."""
    chosen = [one.member for one in decided if one.part.outcome == READ and one.member is not None]
    said = (f"{one.part.source_no}:{one.part.outcome}:{one.part.mark}" for one in decided)
    return United(chosen, fingerprint=key_of("sources", *said))


def begun(deps: Deps, decided: Sequence[Decided], *, import_no: int, fence: Fence) -> None:
    """The import knows what it has of each source, and gets the rows of those that are not read. May be done again."""
    parts = [one.part for one in decided]
    kept = [one for one in parts if one.outcome in _NOT_READ]

    def note(tx: Connection) -> int | None:
        fence(tx)
        if not rows.parts_of(tx, tenant=deps.tenant, import_no=import_no):
            rows.note(tx, parts, tenant=deps.tenant, import_no=import_no)
        latest = imports.latest_complete(tx, deps.tenant)
        if latest is None:
            return None
        base = import_bases.staging_no(tx, tenant=deps.tenant, import_no=latest)
        files = imports.load(tx, tenant=deps.tenant, import_no=base).files
        numbers = {one.source_no for one in kept}
        more = {name: file for name, file in files.items() if part_of(name)[1] in numbers}
        import_bases.add_files(tx, more, tenant=deps.tenant, import_no=import_no)
        return base

    base = in_unit(deps.engine, note)
    for one in kept:
        if base is not None:
            _carry_over(deps, one, from_no=base, to_no=import_no, fence=fence)


def _carry_over(deps: Deps, part: Part, *, from_no: int, to_no: int, fence: Fence) -> None:
    def page(tx: Connection, table: Table, after: Sequence[Any]) -> Sequence[Any] | None:
        fence(tx)
        return source_rows.carry_over(
            tx, table, tenant=deps.tenant, from_no=from_no, to_no=to_no, source_no=part.source_no, after=after
        )

    for table in source_rows.TABLES.values():
        after: Sequence[Any] | None = ()
        while after is not None:
            after = in_unit(deps.engine, partial(page, table=table, after=after))

    def rejects(tx: Connection) -> None:
        fence(tx)
        source_rows.keep_rejects(tx, tenant=deps.tenant, import_no=to_no, name=part.name)

    in_unit(deps.engine, rejects)


def broke_off(deps: Deps, failed: Mapping[int, BadSource], *, import_no: int, fence: Fence) -> None:
    """The import comes to nothing; the next one of this run does without these sources."""

    def work(tx: Connection) -> None:
        fence(tx)
        parts = {one.source_no: one for one in rows.parts_of(tx, tenant=deps.tenant, import_no=import_no)}
        told = [
            replace(parts[number], outcome=FAILED, problem=f"{bad.file}: {bad.problem}", remedy=bad.remedy)
            for number, bad in failed.items()
        ]
        rows.note(tx, told, tenant=deps.tenant, import_no=import_no)
        names = ", ".join(one.name for one in told)
        imports.fail(tx, tenant=deps.tenant, import_no=import_no, error=f"{names}: {told[0].problem}")
        for one in told:
            error = f"{one.problem}. {one.remedy}."
            rows.silent(tx, tenant=deps.tenant, source_no=one.source_no, error=error)

    in_unit(deps.engine, work)


def finish(deps: Deps, one: Named, part: Part, *, import_no: int, fence: Fence) -> None:
    """A source was read to its end: what people wrote meanwhile goes in too, before anything of the import counts.

    Raises BadSource when nothing of it can be used, when it changed and cannot say what, or does not answer any more: it was
    read by halves then.
    """
    with reading(deps.engine) as tx:
        count = source_rows.count(tx, tenant=deps.tenant, import_no=import_no, source_no=one.number)
    member = one.open()
    try:
        file = f"{one.name}/{member.source.file_of('meetings')}"
        if count == 0:
            remedy = f"Check that it was written whole; `obsync sources disable {one.name}` takes its classes out"
            raise BadSource(file, "none of its rows of meetings can be used", remedy)
        if part.watermark is not None:
            catching_up.catch_up(
                deps.engine,
                tenant=deps.tenant,
                import_no=import_no,
                source=member.source,
                zone=deps.zone,
                fence=fence,
                part=part,
            )
        elif mark_of(one, member.source.fingerprint()) != part.mark:
            raise BadSource(file, "it changed while it was read", "Sync again when it is complete")
    finally:
        member.source.close()


def sentence(parts: Sequence[Part]) -> str:
    """What was not read, in words; blank where everything was."""
    told = []
    for one in parts:
        if one.outcome == KEPT:
            told.append(f"{one.name} kept as of its last good import ({one.problem}; {one.remedy})")
        elif one.outcome == ABSENT:
            told.append(f"{one.name} left out: it was never read ({one.problem}; {one.remedy})")
    return "; ".join(told)


def report(tx: Connection, *, tenant: str, import_no: int) -> list[dict[str, object]]:
    """What an import has of each source, as a run's report says it; one of changes has only the source that changed."""
    return [
        {"source": one.name, "outcome": one.outcome, "problem": one.problem, "remedy": one.remedy}
        for one in rows.parts_of(tx, tenant=tenant, import_no=import_no)
    ]
