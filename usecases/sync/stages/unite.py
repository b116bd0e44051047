"""Stage prepare where a tenant has several sources: one import of all of them (see `uniting`)."""

from collections.abc import Sequence
from dataclasses import replace

from db import imports, sync_runs
from db import sources as rows
from db.engine import in_unit, reading
from db.sources import CHANGES, READ, SAME, Part
from db.tables import AnyRow
from remote.sources.base import BadSource, ChangeSet
from remote.sources.united import MemberFailed, United
from usecases import alarms
from usecases.sync import importing, uniting
from usecases.sync.sources import Named
from usecases.sync.stages import detect, prepare
from usecases.sync.stages.base import Done, More, RunFailed, Running, Step
from usecases.sync.uniting import Decided

_CAUGHT_UP = "+"
_AS_WHOLE = "whole"


def read_all(on: Running, stage: AnyRow, members: Sequence[Named], *, keep_same: bool) -> Step:
    """Read on, a page at a time; at the end judge the import as a whole. Raises `RunFailed` when no source can be read."""
    if prepare.was_read(on):
        # Confirmed, or killed just before its end: the sources themselves may say something else by now.
        return _judge(on, stage, members)
    decided = uniting.decide(on.deps, members, run_id=on.run_id, keep_same=keep_same)
    try:
        in_unit(on.deps.engine, lambda tx: alarms.review(tx, on.deps))
        outcomes = {one.part.outcome for one in decided}
        if READ not in outcomes:
            return _nothing_to_read(on, decided)
        return _read(on, stage, decided)
    finally:
        uniting.close(decided)


def read_changes(on: Running, stage: AnyRow, members: Sequence[Named]) -> Step:
    """What has changed: nothing; or what one source says of itself; or the sources that have changed, as a whole."""
    if stage.cursor is not None and stage.cursor.startswith(_AS_WHOLE):
        return read_all(on, stage, members, keep_same=True)
    decided = uniting.decide(on.deps, members, run_id=on.run_id, keep_same=True)
    try:
        changed = [one for one in decided if one.part.outcome == READ and one.member is not None]
        found = _change_set(on, changed[0]) if len(changed) == 1 else None
        if found is not None:
            part = replace(changed[0].part, outcome=CHANGES)
            return detect.read_set(on, stage, found, watermark=part.watermark, part=part)
        if not changed:
            return _nothing_to_read(on, decided)
    finally:
        uniting.close(decided)
    on.progress(stage.position, cursor=_AS_WHOLE)
    return More()


def _change_set(on: Running, one: Decided) -> ChangeSet | None:
    """What the only source that has changed says of its changes, where it can and its rows are in what counts now."""
    assert one.member is not None
    with reading(on.deps.engine) as tx:
        last = rows.last_said(tx, tenant=on.deps.tenant).get(one.part.source_no)
    if last is None or last.watermark is None or one.part.watermark is None:
        return None
    return one.member.source.changes(since=last.watermark)


def _nothing_to_read(on: Running, decided: Sequence[Decided]) -> Step:
    told = uniting.sentence([one.part for one in decided])
    if not any(one.part.outcome == SAME for one in decided):
        raise RunFailed(f"None of the sources can be read, and nothing was changed: {told}")
    tenant = on.deps.tenant
    on.unit(
        lambda tx: sync_runs.change_run(
            tx, on.run_id, tenant=on.deps.tenant, import_no=imports.latest_complete(tx, tenant)
        )
    )
    return Done(f"no other source has changed; {told}")


def _read(on: Running, stage: AnyRow, decided: Sequence[Decided]) -> Step:
    deps = on.deps
    united = uniting.to_read(decided)
    import_no = importing.begin(deps.engine, tenant=deps.tenant, run_id=on.run_id, source=united, fence=on.fence)
    on.unit(lambda tx: sync_runs.change_run(tx, on.run_id, tenant=on.deps.tenant, import_no=import_no))
    uniting.begun(deps, decided, import_no=import_no, fence=on.fence)
    try:
        _read_to_the_end(on, stage, united, import_no)
    except MemberFailed as error:
        uniting.broke_off(deps, {error.number: error.bad}, import_no=import_no, fence=on.fence)
    return More()


def _read_to_the_end(on: Running, stage: AnyRow, united: United, import_no: int) -> None:
    """Or until the process stops. Raises `MemberFailed`."""
    deps = on.deps
    while not on.stopping:
        done = importing.step(
            deps.engine,
            tenant=deps.tenant,
            import_no=import_no,
            source=united,
            zone=deps.zone,
            fence=on.fence,
            may_be_empty=True,
            may_change=True,
        )
        on.progress(stage.position, done=done.rows_done, total=done.rows_done, note=done.part)
        if done.finished:
            return


def _judge(on: Running, stage: AnyRow, members: Sequence[Named]) -> Step:
    """What live sources were told meanwhile goes in; then the import is judged like any other."""
    deps, cursor = on.deps, stage.cursor or ""
    with reading(deps.engine) as tx:
        parts = rows.parts_of(tx, tenant=deps.tenant, import_no=on.import_no)
    if not cursor.endswith(_CAUGHT_UP):
        failed = _finish(on, members, parts)
        if failed:
            uniting.broke_off(deps, failed, import_no=on.import_no, fence=on.fence)
            return More()
        on.progress(stage.position, cursor=cursor + _CAUGHT_UP)
    step = prepare.judge(on, stage, everybody=all(one.outcome == READ for one in parts))
    told = uniting.sentence(parts)
    return replace(step, note=f"{step.note}; {told}") if isinstance(step, Done) and told else step


def _finish(on: Running, members: Sequence[Named], parts: Sequence[Part]) -> dict[int, BadSource]:
    """Once, before anything of the import counts: the sources that must not."""
    named = {one.number: one for one in members}
    failed: dict[int, BadSource] = {}
    for part in parts:
        if part.outcome == READ:
            try:
                uniting.finish(on.deps, named[part.source_no], part, import_no=on.import_no, fence=on.fence)
            except BadSource as bad:
                failed[part.source_no] = bad
    return failed
