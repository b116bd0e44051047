"""Stage detect: what has changed is read, goes into the staging, and the offerings it touches get their sessions anew.

A source that cannot say what has changed is read as a whole; one that has not changed at all is not read.
"""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from db import changes, import_bases, imports, sync_runs
from db import sources as source_parts
from db.engine import in_unit, reading
from db.imports import APPLYING, CHANGES, READ, STAGING, WHOLE, Import
from db.sources import Part
from db.tables import AnyRow
from remote.sources.base import ChangeSet, TimetableSource
from remote.sources.csv_folder import ChangesFile
from remote.sources.mapping import read_mapping
from usecases.sync import change_sets, importing, precedence, sources, touched
from usecases.sync.change_rows import ChangeRows
from usecases.sync.stages import aggregate, carry_out, unite
from usecases.sync.stages.base import TURN_MS, Done, More, RunFailed, Running, Step
from usecases.sync.stages.prepare import check_credentials, read_whole

_AS_SET, _AS_WHOLE, _UNCHANGED = "set", "whole", "unchanged"
FILE = "changes"
"""Where the scope of a run names a file of changes."""


@dataclass(frozen=True, slots=True)
class Found:
    """What there is to read, and how."""

    way: str
    source: TimetableSource
    changes: ChangeSet | None
    note: str | None = None


def read_changes(on: Running, stage: AnyRow) -> Step:
    """Read and check all of the change set before anything is changed by it; or the whole source; or nothing."""
    if not on.may_read():
        return More(TURN_MS)
    check_credentials(on)
    kept, tenant = _kept(on), on.deps.tenant
    if kept is not None:
        return Done(kept)
    chosen = sources.of_scope(on.deps, on.scope())
    if chosen.members:
        return unite.read_changes(on, stage, chosen.members)
    found = _find(on, way=None if stage.cursor is None else stage.cursor.rstrip("+"))
    try:
        if stage.cursor is None:
            on.progress(stage.position, cursor=found.way)
        if found.way == _UNCHANGED:
            on.unit(
                lambda tx: sync_runs.change_run(
                    tx, on.run_id, tenant=on.deps.tenant, import_no=imports.latest_complete(tx, tenant)
                )
            )
            return Done(found.note)
        if found.changes is None:
            return read_whole(on, stage, found.source)
        return read_set(on, stage, found.changes, watermark=found.source.watermark() if found.changes.whole else None)
    finally:
        found.source.close()


def keep_changes(on: Running, stage: AnyRow) -> None:
    """While the run waits for its turn: a file of changes is kept in the database, whatever becomes of the file.

    What a live source says is asked when it is needed.
    """
    if on.run.kind != "incremental" or _kept(on) is not None or sources.of_scope(on.deps, on.scope()).members:
        return
    found = _find(on, way=None)
    try:
        if found.way != _AS_SET or found.changes is None or found.changes.whole:
            return
        if isinstance(read_set(on, stage, found.changes, watermark=None), Done):
            on.progress(stage.position, cursor=_AS_SET, note="the change set is kept, and waits")
    finally:
        found.source.close()


def _kept(on: Running) -> str | None:
    """What was read already, as a sentence: the file may be gone by now."""
    with reading(on.deps.engine) as tx:
        at = imports.staging_of(tx, tenant=on.deps.tenant, run_id=on.run_id)
    return _read_so_far(at) if at is not None and at.kind == CHANGES and at.part in (READ, APPLYING) else None


def _read_so_far(at: Import) -> str:
    return f"{at.rows_in:,} changes, {at.rejected:,} rejected, {at.held:,} not to be used"


def _find(on: Running, *, way: str | None) -> Found:
    """What to read. A way that was chosen is kept: a run that died goes on as it began."""
    deps, scope = on.deps, on.scope()
    source = sources.of_scope(deps, scope).open()
    with reading(deps.engine) as tx:
        base = _base(tx, deps.tenant)
        last = import_bases.newest_of_source(tx, tenant=deps.tenant, source=source.name, kinds=(WHOLE, CHANGES))
    found: ChangeSet | None = None
    if scope.get(FILE):
        found = ChangesFile(Path(scope[FILE]), read_mapping(scope.get("mapping")))
    elif base is not None and last is not None and last.staging_no == base.staging_no:
        # Otherwise there is nothing that its changes would fit: another source was read since, or this one never.
        found = source.changes(since=last.watermark)
    if way is None and base is not None:
        return _choose(on, source, found, base)
    return Found(way or (_AS_WHOLE if found is None else _AS_SET), source, None if way == _AS_WHOLE else found)


def _base(tx: Connection, tenant: str) -> Import | None:
    latest = imports.latest_complete(tx, tenant)
    return None if latest is None else imports.load(tx, tenant=tenant, import_no=latest)


def _choose(on: Running, source: TimetableSource, found: ChangeSet | None, base: Import) -> Found:
    """The change set if it is new; else the whole source if that is; else nothing."""
    if found is not None and found.whole:
        known = _known(on, source.name, WHOLE, CHANGES)
        same = known is not None and known.watermark == source.watermark()
        return Found(_UNCHANGED if same else _AS_SET, source, found, _since(known) if same else None)
    known = None
    if found is not None:
        known = _known(on, found.name, CHANGES)
        # A file in the folder that was read once is not read again; one that a person names is, on another timetable.
        again = bool(on.scope().get(FILE)) and known is not None and known.staging_no != base.staging_no
        if known is None or known.fingerprint != found.fingerprint() or again:
            return Found(_AS_SET, source, found)
        if on.scope().get(FILE):
            return Found(_UNCHANGED, source, None, _since(known))
    whole = _known(on, source.name, WHOLE)
    if whole is None or whole.staging_no != base.staging_no or whole.fingerprint != source.fingerprint():
        return Found(_AS_WHOLE, source, None)
    return Found(_UNCHANGED, source, None, _since(known or whole))


def _known(on: Running, name: str, *kinds: str) -> Import | None:
    with reading(on.deps.engine) as tx:
        return import_bases.newest_of_source(tx, tenant=on.deps.tenant, source=name, kinds=kinds)


def _since(known: Import | None) -> str:
    assert known is not None
    return f"the source has not changed since import {known.import_no}"


def read_set(on: Running, stage: AnyRow, found: ChangeSet, *, watermark: str | None, part: Part | None = None) -> Step:
    """A change set becomes rows of the buffer. `part`: whose it is, where there are several sources."""
    deps = on.deps
    source_no = 0 if part is None else part.source_no
    import_no = importing.begin(
        deps.engine,
        tenant=deps.tenant,
        run_id=on.run_id,
        source=found,
        fence=on.fence,
        kind=CHANGES,
        watermark=watermark,
        source_no=source_no,
    )

    def begun(tx: Connection) -> None:
        sync_runs.change_run(tx, on.run_id, tenant=on.deps.tenant, import_no=import_no)
        if part is not None:
            source_parts.note(tx, [part], tenant=deps.tenant, import_no=import_no)

    on.unit(begun)
    how = ChangeRows(deps.tenant, whole=found.whole, source_no=source_no)
    while not on.stopping:
        done = importing.step(
            deps.engine,
            tenant=deps.tenant,
            import_no=import_no,
            source=found,
            zone=deps.zone,
            fence=on.fence,
            may_change=found.whole,
            stages=how.stage,
        )
        with reading(deps.engine) as tx:
            at = imports.load(tx, tenant=deps.tenant, import_no=import_no)
        on.progress(stage.position, done=at.rows_in, total=at.rows_in)
        if done.finished:
            return Done(_read_so_far(at))
    return More()


def apply_changes(on: Running, stage: AnyRow) -> Step:
    """What was read goes into the staging; before it, what a run that died had left half done."""
    if not on.may_read():
        return More(TURN_MS)
    deps = on.deps
    while not on.stopping:
        with reading(deps.engine) as tx:
            at = import_bases.half_applied(tx, tenant=deps.tenant)
            mine = imports.staging_of(tx, tenant=deps.tenant, run_id=on.run_id)
        if at is None and (mine is None or mine.kind != CHANGES):
            return Done()
        if at is None and mine is not None:
            if _latest(on) is None:
                raise RunFailed("There is no timetable that changes could go into. Run `obsync sync SOURCE` first")
            at = change_sets.rebase(deps.engine, mine, tenant=deps.tenant, fence=on.fence)
        assert at is not None
        if not _apply(on, stage, at):
            return More()
    return More()


def _latest(on: Running) -> int | None:
    with reading(on.deps.engine) as tx:
        return imports.latest_complete(tx, on.deps.tenant)


def _apply(on: Running, stage: AnyRow, at: Import) -> bool:
    """False when the process stops meanwhile."""
    deps = on.deps
    assert at.state == STAGING and at.part == APPLYING and at.buffer_no is not None
    with reading(deps.engine) as tx:
        left = changes.waiting(tx, tenant=deps.tenant, buffer_no=at.buffer_no)
        base = imports.load(tx, tenant=deps.tenant, import_no=at.staging_no)
        parts = source_parts.parts_of(tx, tenant=deps.tenant, import_no=at.staging_no)
        covered = next((one.watermark for one in parts if one.source_no == at.source_no), base.watermark)
    total, done = max(stage.total, left), max(stage.total - left, 0)
    while not on.stopping:
        rows = change_sets.apply_page(
            deps.engine,
            tenant=deps.tenant,
            import_no=at.import_no,
            staging_no=at.staging_no,
            buffer_no=at.buffer_no,
            fence=on.fence,
            covered_until=covered,
            source_no=at.source_no,
        )
        done += rows
        on.progress(stage.position, done=done, total=total)
        if rows == 0:
            precedence.settle(
                deps.engine,
                tenant=deps.tenant,
                import_no=at.import_no,
                staging_no=at.staging_no,
                files=base.files,
                fence=on.fence,
            )
            change_sets.complete(
                deps.engine,
                tenant=deps.tenant,
                import_no=at.import_no,
                fence=on.fence,
                also=lambda tx: sync_runs.change_run(tx, on.run_id, tenant=on.deps.tenant, import_no=at.import_no),
            )
            return True
    return False


def make_sessions(on: Running, stage: AnyRow) -> Step:
    """Sessions and rolls: of everything where the whole source was read, of the touched offerings otherwise."""
    if not on.may_read():
        return More(TURN_MS)
    deps = on.deps
    with reading(deps.engine) as tx:
        at = imports.load(tx, tenant=deps.tenant, import_no=on.import_no)
        total = stage.total or changes.count_to_make(tx, tenant=deps.tenant)
    if at.kind == WHOLE and at.run_id == on.run_id:
        step = aggregate.make_sessions(on, stage)
        if isinstance(step, Done):
            _finish(on)
        return step
    done = stage.done
    while not on.stopping:
        made = touched.step(deps.engine, tenant=deps.tenant, import_no=on.import_no, zone=deps.zone, fence=on.fence)
        done += made
        on.progress(stage.position, done=min(done, total), total=total)
        if made == 0:
            _finish(on)
            return Done(f"{total:,} offerings touched" if total else "nothing touched")
    return More()


def _finish(on: Running) -> None:
    """What failed in an earlier run is tried by this one; and the next run may read."""

    def work(tx: Connection) -> None:
        on.fence(tx)
        changes.touch_failed(tx, tenant=on.deps.tenant, import_no=on.import_no)
        sync_runs.leave_reading(tx, tenant=on.deps.tenant, run_id=on.run_id)

    in_unit(on.deps.engine, work)


def judge(on: Running, stage: AnyRow) -> Step:
    """Stage status, its first step: findings that need the whole staging, when everything urgent is done."""
    deps = on.deps
    with reading(deps.engine) as tx:
        at = imports.load(tx, tenant=deps.tenant, import_no=on.import_no)
        latest = imports.latest_complete(tx, deps.tenant)
    if at.kind == CHANGES and at.run_id == on.run_id and latest == at.import_no:
        touched.judge_rest(deps.engine, tenant=deps.tenant, import_no=at.import_no, zone=deps.zone, fence=on.fence)
        change_sets.discard_stale(deps.engine, tenant=deps.tenant, fence=on.fence)
    carry_out.settle(on)
    on.progress(stage.position, done=1, total=1)
    return Done()
