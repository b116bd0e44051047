"""Stage prepare: the source is read into a numbered import, which is held when too little of the one before is in it."""

from typing import Any

from sqlalchemy import Connection

from db import guards, import_bases, imports, run_questions, source_rows, sync_runs
from db import sources as source_parts
from db.engine import reading
from db.tables import AnyRow
from domain.guards import ask_about_rows, unanswered
from observability.log import get_logger
from remote.sources.base import TimetableSource
from remote.wps.errors import WpsError, WpsMisconfigured
from usecases.sync import catching_up, importing, sources
from usecases.sync.stages import unite
from usecases.sync.stages.base import CREDENTIALS_REMEDY, TURN_MS, Asks, Done, More, RunFailed, Running, Step

log = get_logger("runs")

_CAUGHT_UP = "+"
"""At the end of a cursor: what changed while the source was read is in the import."""


def read_source(on: Running, stage: AnyRow) -> Step:
    """Read on, a page at a time; at the end judge the import as a whole."""
    if not on.may_read():
        return More(TURN_MS)
    if on.run.kind == "full" and not was_read(on):
        check_credentials(on)
    chosen = sources.of_scope(on.deps, on.scope())
    if chosen.members:
        return unite.read_all(on, stage, chosen.members, keep_same=False)
    source = chosen.open()
    try:
        return read_whole(on, stage, source)
    finally:
        source.close()


def read_whole(on: Running, stage: AnyRow, source: TimetableSource) -> Step:
    """Everything the source has becomes an import of its own."""
    if was_read(on):
        # Confirmed, or killed just before its end: the source itself may say something else by now.
        _catch_up(on, stage, source)
        return judge(on, stage)
    deps = on.deps
    # Before the first row: what is written from now on is newer than this, and is read again.
    live, watermark = source.live, source.watermark()
    import_no = importing.begin(
        deps.engine, tenant=deps.tenant, run_id=on.run_id, source=source, fence=on.fence, watermark=watermark
    )
    on.unit(lambda tx: sync_runs.change_run(tx, on.run_id, tenant=on.deps.tenant, import_no=import_no))
    with reading(deps.engine) as tx:
        first = imports.latest_complete(tx, deps.tenant) is None
    while not on.stopping:
        done = importing.step(
            deps.engine,
            tenant=deps.tenant,
            import_no=import_no,
            source=source,
            zone=deps.zone,
            fence=on.fence,
            may_be_empty=not first,
            may_change=live,
        )
        on.progress(stage.position, done=done.rows_done, total=done.rows_done, note=done.part)
        if done.finished:
            return More()
    return More()


def _catch_up(on: Running, stage: AnyRow, source: TimetableSource) -> None:
    """Once, before anything of the import counts."""
    cursor = stage.cursor or ""
    if cursor.endswith(_CAUGHT_UP):
        return
    if source.live:
        catching_up.catch_up(
            on.deps.engine,
            tenant=on.deps.tenant,
            import_no=on.import_no,
            source=source,
            zone=on.deps.zone,
            fence=on.fence,
        )
    on.progress(stage.position, cursor=cursor + _CAUGHT_UP)


def was_read(on: Running) -> bool:
    """Whether the run has an import that was read to its end."""
    if on.run.import_no is None:
        return False
    with reading(on.deps.engine) as tx:
        at = imports.load(tx, tenant=on.deps.tenant, import_no=on.import_no)
    return at.state in (imports.STAGING, imports.COMPLETE) and at.part == imports.READ


def judge(on: Running, stage: AnyRow, *, everybody: bool = True) -> Step:
    """Hold the import for a person, or make it the latest: nothing that is not confirmed reaches the sessions.

    `everybody`: whoever is in none of its lists of people has left.
    """
    deps = on.deps
    asks = _too_little(on)
    if asks is not None:
        on.unit(lambda tx: imports.hold(tx, tenant=deps.tenant, import_no=on.import_no))
        return asks
    report = importing.complete(
        deps.engine, tenant=deps.tenant, import_no=on.import_no, fence=on.fence, everybody=everybody
    )
    held, rejected = sum(report.held.values()), report.rejected
    on.progress(stage.position, done=report.rows_in, total=report.rows_in)
    return Done(f"{rejected:,} rejected, {held:,} held")


def _too_little(on: Running) -> Asks | None:
    tenant, number = on.deps.tenant, on.import_no
    with reading(on.deps.engine) as tx:
        last = imports.latest_complete(tx, tenant)
        if last is None or last >= number:
            return None
        last = import_bases.staging_no(tx, tenant=tenant, import_no=last)
        before, now = _counted(tx, tenant, last), _counted(tx, tenant, number)
        questions = ask_about_rows(*_comparable(before, now))
        left = unanswered(questions, run_questions.confirmed(tx, tenant=on.deps.tenant, run_id=on.run_id))
        if not left:
            return None
        colleges = guards.rows_by_college(tx, tenant=tenant, before=last, now=number)
        shown: dict[str, Any] = {
            "lanes": [
                {"lane": name, "before": was, "now": is_, "going": max(0, was - is_)} for name, was, is_ in colleges
            ],
            "sample": guards.rows_missing(tx, tenant=tenant, before=last, now=number),
            "compared_with": last,
        }
    return Asks(left, shown)


def _counted(tx: Connection, tenant: str, import_no: int) -> dict[tuple[str, str], int]:
    """(part, name of the source) → rows that count; a blank name is that of the source that stands alone."""
    named = {one.source_no: one.name for one in source_parts.parts_of(tx, tenant=tenant, import_no=import_no)}
    if not named:
        return {(part, ""): count for part, count in guards.rows_used(tx, tenant=tenant, import_no=import_no).items()}
    counts = source_rows.used_by_source(tx, tenant=tenant, import_no=import_no)
    found = dict.fromkeys(((part, name) for part in source_rows.TABLES for name in named.values()), 0)
    return found | {(part, named.get(number, str(number))): count for (part, number), count in counts.items()}


def _comparable(
    before: dict[tuple[str, str], int], now: dict[tuple[str, str], int]
) -> tuple[dict[str, int], dict[str, int]]:
    """Source by source where both say it: one that loses everything is not hidden by those that stay."""
    if any(not name for _, name in before) or any(not name for _, name in now):
        # The source that stood alone is one of several now, or the other way round.
        now = {(part, sources.MAIN if name == "" else name): count for (part, name), count in now.items()}
        before = {(part, sources.MAIN if name == "" else name): count for (part, name), count in before.items()}
        if {name for _, name in now} == {name for _, name in before} == {sources.MAIN}:
            return {part: count for (part, _), count in before.items()}, {
                part: count for (part, _), count in now.items()
            }
    return (
        {f"{name}/{part}": count for (part, name), count in before.items()},
        {f"{name}/{part}": count for (part, name), count in now.items()},
    )


def check_credentials(on: Running) -> None:
    """A wrong key is found out before anything is read. WPS being away is no reason: the lanes wait for it."""
    try:
        on.deps.remote.transport.check_credentials()
    except WpsMisconfigured as error:
        raise RunFailed(f"WPS refuses us: {error.message}. {CREDENTIALS_REMEDY}") from error
    except WpsError as error:
        log.warning("runs.credentials_unchecked", run_id=on.run_id, reason=str(error))
