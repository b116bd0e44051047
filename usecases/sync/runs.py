"""Runs as stored trees of stages, advanced a step at a time by whoever has the task.

    full:    prepare ─▶ aggregate ─▶ users ─▶ calendars ─▶ events ─▶ finish
    import:  prepare ─▶ aggregate ─▶ finish
    verify, repair: see `verify_runs`

A step does a page or waits for the lanes; everything it has done is in the database when it returns, so a run goes on where
it was whoever died. Each transaction begins with the task's fence: a worker that was taken for dead writes nothing more.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import DBAPIError

from db import accounts, jobs, lanes, run_counts, sync_runs
from db.clock import now_ms
from db.engine import in_unit, reading
from db.jobs import Put, Task
from db.tables import lanes as lane_table
from db.tables import mirror
from db.timetable import UnknownRule
from domain.ids import key_of
from observability.log import get_logger
from remote.sources.base import BadSource
from remote.wps.errors import WpsError, WpsMisconfigured
from usecases import tenants
from usecases.deps import Deps
from usecases.sync import aggregating, importing, sources, verify_runs
from usecases.sync.planning import ANY_COLLEGE, Planner

log = get_logger("runs")

KIND = "run.advance"
QUEUE = "sync"
VISIBILITY_MS = 15_000
POLL_MS = 400
USERS_PER_CALL = 100
SCOPE_MUTEX = "timetable"
_CREDENTIALS_REMEDY = "Check OBSYNC_WPS_APP_ID, OBSYNC_WPS_APP_KEY and OBSYNC_WPS_BASE_URL, then sync again"

IMPORT_STAGES = (("prepare", "import"), ("aggregate", "sessions"))
FULL_STAGES = (
    *IMPORT_STAGES,
    ("users", "accounts"),
    ("calendars", "plan"),
    ("calendars", "calendars"),
    ("calendars", "members"),
    ("events", "events"),
    ("finish", "report"),
)
_DRAINED = {
    "accounts": "users",
    "calendars": "calendar",
    "members": "members",
    "events": "event",
    "verify": "verify",
    "repair": "verify",
}


class RunFailed(Exception):
    """The run cannot go on; the sentence says why and what to do."""


@dataclass(frozen=True, slots=True)
class _Done:
    note: str | None = None


@dataclass(frozen=True, slots=True)
class _More:
    """Go on at once, or after a while."""

    wait_ms: int = 0


_Step = _Done | _More


def begin(
    deps: Deps,
    *,
    kind: str,
    source: str,
    mapping: Mapping[str, Any] | None = None,
    remember: bool = False,
    settings: Mapping[str, Any] | None = None,
    trigger: str = "user",
    also: Callable[[Connection, str], None] | None = None,
) -> tuple[str, str]:
    """Start a run on a source (its path or address). Returns the ids of the run and of its task.

    `remember` makes it the source synced last; `settings` are settings of the tenant that change with the run's start.
    `trigger` says who wanted it: user or schedule. `also` writes, given the run's id, in the same transaction.
    Raises `BadSource` when a file or a column is missing (nothing is written then) and `RunActive`.
    """
    chosen = sources.choose(deps, source, mapping)
    opened = chosen.open()
    try:
        opened.check()
    finally:
        opened.close()
    scope = sources.to_scope(deps, chosen)
    changed = {**(sources.as_settings(deps, chosen) if remember else {}), **(settings or {})}
    run_id = deps.new_id()
    stages = FULL_STAGES if kind == "full" else (*IMPORT_STAGES, ("finish", "report"))

    def work(tx: Connection) -> str:
        sync_runs.begin(
            tx,
            tenant=deps.tenant,
            run_id=run_id,
            kind=kind,
            trigger=trigger,
            scope=scope,
            mutex=SCOPE_MUTEX,
            stages=stages,
        )
        if changed:
            tenants.change_settings(tx, tenant=deps.tenant, **changed)
        if also is not None:
            also(tx, run_id)
        return jobs.put_task(
            tx,
            tenant=deps.tenant,
            queue=QUEUE,
            kind=KIND,
            target=run_id,
            payload="{}",
            run_id=run_id,
            new_id=deps.new_id,
        )

    return run_id, in_unit(deps.engine, work)


def begin_look(deps: Deps, *, kind: str, sample: int | None = None) -> str:
    """Start a run of kind `verify` or `repair`. Returns its id. Raises `RunActive` while another one looks."""
    return verify_runs.begin(deps, kind=kind, sample=sample, queue=QUEUE, task_kind=KIND)


def advance(deps: Deps, task: Task) -> None:
    """Work on a run until it ends, has to wait for lanes, or the process stops. Raises `ClaimLost`."""
    _Runner(deps, task).work()


class _Runner:
    def __init__(self, deps: Deps, task: Task) -> None:
        self._deps = deps
        self._task = task
        self._run_id = task.target
        with reading(deps.engine) as tx:
            run = sync_runs.get(tx, self._run_id)
        assert run is not None
        self._run = run

    def _fence(self, tx: Connection) -> None:
        jobs.keep_task(tx, self._task, visibility_ms=VISIBILITY_MS)

    def work(self) -> None:
        try:
            self._work()
        except (BadSource, RunFailed, UnknownRule) as error:
            self._fail(str(error))

    def _work(self) -> None:
        while not self._deps.stopping.is_set():
            with reading(self._deps.engine) as tx:
                run = sync_runs.get(tx, self._run_id)
                stages = sync_runs.stages_of(tx, self._run_id)
            if run is None or run.state in sync_runs.ENDED:
                in_unit(self._deps.engine, lambda tx: jobs.finish_task(tx, self._task))
                return
            self._run = run
            stage = next((one for one in stages if one.state in ("waiting", "running")), None)
            if stage is None:
                self._finish()
                return
            if stage.state == "waiting":
                self._unit(lambda tx, stage=stage: sync_runs.start_stage(tx, self._run_id, stage.position, stage.stage))  # type: ignore[misc]
            step = self._step(stage)
            if isinstance(step, _Done):
                self._unit(
                    lambda tx, stage=stage, step=step: sync_runs.end_stage(  # type: ignore[misc]
                        tx, self._run_id, stage.position, state="done", note=step.note
                    )
                )
            elif step.wait_ms:
                in_unit(self._deps.engine, lambda tx, ms=step.wait_ms: jobs.defer_task(tx, self._task, wait_ms=ms))  # type: ignore[misc]
                return
        in_unit(self._deps.engine, lambda tx: jobs.defer_task(tx, self._task, wait_ms=0))

    def _unit(self, work: Callable[[Connection], Any]) -> None:
        def fenced(tx: Connection) -> None:
            self._fence(tx)
            work(tx)

        in_unit(self._deps.engine, fenced)

    def _progress(self, position: int, **values: Any) -> None:
        """A page is done and stored."""

        def work(tx: Connection) -> None:
            jobs.made_progress(tx, self._task)
            sync_runs.change_stage(tx, self._run_id, position, **values)

        self._unit(work)

    def _step(self, stage: Any) -> _Step:
        if stage.step == "import":
            return self._import(stage)
        if stage.step == "sessions":
            return self._aggregate(stage)
        if stage.step == "accounts" and stage.cursor != "asked":
            return self._ask_for_accounts(stage)
        if stage.step == "plan":
            return self._plan(stage)
        if stage.step in verify_runs.ASKING:
            return self._ask_to_look(stage)
        if stage.step in _DRAINED:
            return self._await_lanes(stage)
        return self._report(stage)

    # --- stages -------------------------------------------------------------------------------------------------------

    def _import(self, stage: Any) -> _Step:
        if self._run.kind == "full":
            self._check_credentials()
        source = sources.of_scope(self._deps, json.loads(self._run.scope)).open()
        import_no = importing.begin(
            self._deps.engine, tenant=self._deps.tenant, run_id=self._run_id, source=source, fence=self._fence
        )
        self._unit(lambda tx: sync_runs.change_run(tx, self._run_id, import_no=import_no))
        while not self._deps.stopping.is_set():
            done = importing.step(
                self._deps.engine,
                tenant=self._deps.tenant,
                import_no=import_no,
                source=source,
                zone=self._deps.zone,
                fence=self._fence,
            )
            self._progress(stage.position, done=done.rows_done, total=done.rows_done, note=done.part)
            if done.finished:
                report = importing.complete(
                    self._deps.engine, tenant=self._deps.tenant, import_no=import_no, fence=self._fence
                )
                held, rejected = sum(report.held.values()), report.rejected
                self._progress(stage.position, done=report.rows_in, total=report.rows_in)
                return _Done(f"{rejected:,} rejected, {held:,} held")
        return _More()

    def _check_credentials(self) -> None:
        """A wrong key is found out before anything is read. WPS being away is no reason: the lanes wait for it."""
        try:
            self._deps.remote.transport.check_credentials()
        except WpsMisconfigured as error:
            raise RunFailed(f"WPS refuses us: {error.message}. {_CREDENTIALS_REMEDY}") from error
        except WpsError as error:
            log.warning("runs.credentials_unchecked", run_id=self._run_id, reason=str(error))

    def _aggregate(self, stage: Any) -> _Step:
        import_no = self._import_no()
        cursor = stage.cursor
        with reading(self._deps.engine) as tx:
            total = aggregating.total(tx, tenant=self._deps.tenant, import_no=import_no)
        done = stage.done
        while not self._deps.stopping.is_set():
            page = aggregating.step(
                self._deps.engine,
                tenant=self._deps.tenant,
                import_no=import_no,
                cursor=cursor,
                zone=self._deps.zone,
                fence=self._fence,
            )
            cursor, done = page.cursor, done + page.offerings_done
            self._progress(stage.position, cursor=cursor, done=min(done, total), total=total)
            if page.finished:
                return _Done(None)
        return _More()

    def _ask_for_accounts(self, stage: Any) -> _Step:
        """One job of lane `_` for each hundred people whose account is not known yet, found or not found before."""
        with reading(self._deps.engine) as tx:
            codes = accounts.unmapped_codes(tx, tenant=self._deps.tenant)
        chunks = [codes[i : i + USERS_PER_CALL] for i in range(0, len(codes), USERS_PER_CALL)]
        puts = [_look_up(chunk) for chunk in chunks]

        def work(tx: Connection, part: list[Put]) -> None:
            lanes.make(tx, tenant=self._deps.tenant, names=[ANY_COLLEGE])
            jobs.put(
                tx,
                part,
                tenant=self._deps.tenant,
                import_no=self._import_no(),
                run_id=self._run_id,
                new_id=self._deps.new_id,
            )

        puts.sort(key=lambda one: one.target)
        for i in range(0, len(puts), 100):
            self._unit(lambda tx, part=puts[i : i + 100]: work(tx, part))  # type: ignore[misc]
        if puts:
            self._deps.hints.mark([(self._deps.tenant, ANY_COLLEGE)])
            self._deps.ring("lanes")
        self._progress(stage.position, cursor="asked", total=len(puts))
        return _More()

    def _plan(self, stage: Any) -> _Step:
        planner = Planner(self._deps.engine, self._deps.tenant, self._deps.secret)
        done = stage.done
        for cursor, plans in planner.pages(after=stage.cursor):
            touched = planner.put(
                plans,
                import_no=self._import_no(),
                run_id=self._run_id,
                new_id=self._deps.new_id,
                fence=self._fence,
            )
            done += sum(len(plan.operations) for plan in plans)
            self._progress(stage.position, cursor=cursor, done=done, total=done)
            if touched:
                self._deps.hints.mark([(self._deps.tenant, lane) for lane in touched])
                self._deps.ring("lanes")
            if self._deps.stopping.is_set():
                return _More()
        return _Done("operations" if done else "nothing to send")

    def _ask_to_look(self, stage: Any) -> _Step:
        asked = verify_runs.ask(
            self._deps,
            step=stage.step,
            run_id=self._run_id,
            sample=json.loads(self._run.scope).get("sample"),
            cursor=stage.cursor,
            fence=self._fence,
        )
        done = stage.done + asked.count
        self._progress(stage.position, cursor=asked.cursor, done=done, total=done)
        return _More() if asked.cursor is not None else _Done("calendars" if done else "nothing to look at")

    def _await_lanes(self, stage: Any) -> _Step:
        kind = _DRAINED[stage.step]
        with reading(self._deps.engine) as tx:
            counts = run_counts.totals(tx, run_id=self._run_id).get(kind, dict.fromkeys(run_counts.FIELDS, 0))
            open_ = jobs.any_open(tx, tenant=self._deps.tenant, run_id=self._run_id, kind=kind)
            refused = _refusal(tx, self._deps.tenant) if open_ else None
        if refused is not None:
            raise RunFailed(f"{refused}. {_CREDENTIALS_REMEDY}")
        closed = counts["done"] + counts["failed"] + counts["superseded"]
        self._progress(stage.position, done=min(closed, counts["planned"]), total=counts["planned"])
        if open_:
            return _More(POLL_MS)
        return _Done(f"{counts['failed']} failed" if counts["failed"] else None)

    def _report(self, stage: Any) -> _Step:
        self._progress(stage.position, done=1, total=1)
        return _Done()

    def _finish(self) -> None:
        def work(tx: Connection) -> str:
            self._fence(tx)
            counts = run_counts.totals(tx, run_id=self._run_id)
            failed = sum(one["failed"] for one in counts.values())
            state = "partially_succeeded" if failed else "succeeded"
            report = {"counts": counts, "unmapped_people": accounts.unmapped_count(tx, tenant=self._deps.tenant)}
            report["live"] = _live(tx, self._deps.tenant)
            if self._run.kind in verify_runs.KINDS:
                report |= verify_runs.report(tx, tenant=self._deps.tenant, run_id=self._run_id)
            sync_runs.end(tx, self._run_id, state=state, report=report)
            jobs.finish_task(tx, self._task)
            return state

        state = in_unit(self._deps.engine, work)
        log.info("run.ended", run_id=self._run_id, state=state)

    def _fail(self, sentence: str) -> None:
        def work(tx: Connection) -> None:
            self._fence(tx)
            for stage in sync_runs.stages_of(tx, self._run_id):
                if stage.state == "running":
                    sync_runs.end_stage(tx, self._run_id, stage.position, state="failed", note=sentence)
            sync_runs.end(tx, self._run_id, state="failed", error=sentence)
            jobs.finish_task(tx, self._task)

        if self._run.import_no is not None and self._run.stage == "prepare":
            importing.fail(self._deps.engine, tenant=self._deps.tenant, import_no=self._run.import_no, error=sentence)
        in_unit(self._deps.engine, work)
        log.error("run.failed", run_id=self._run_id, reason=sentence)

    def _import_no(self) -> int:
        assert self._run.import_no is not None
        return int(self._run.import_no)


def _look_up(codes: list[str]) -> Put:
    target = f"usr:{key_of(*codes)}"
    return Put("users", target, target, "", ANY_COLLEGE, json.dumps({"codes": codes}), key_of(*codes), 0, 0)


def _live(tx: Connection, tenant: str) -> dict[str, int]:
    rows = tx.execute(
        select(mirror.c.kind, func.count().label("count"))
        .where(mirror.c.tenant_id == tenant, mirror.c.state == "live", mirror.c.kind != "members")
        .group_by(mirror.c.kind)
    )
    return {row.kind: int(row[1]) for row in rows}


def _refusal(tx: Connection, tenant: str) -> str | None:
    """What WPS says when it refuses our credentials, if a lane rests for that reason."""
    return tx.execute(
        select(lane_table.c.note)
        .where(lane_table.c.tenant_id == tenant, lane_table.c.note.like("WPS refuses us%"))
        .where(lane_table.c.not_before > now_ms(tx))
        .limit(1)
    ).scalar()


def wait(
    deps: Deps,
    run_id: str,
    *,
    every_s: float = 0.3,
    patience_s: float = 60.0,
    show: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Follow a run until it ends, showing it each time. Stopping to look does not stop the run.

    A database that is away for less than `patience_s` is waited for: the run waits for it too.
    """
    seen = time.monotonic()
    while True:
        try:
            run = _look(deps, run_id)
        except DBAPIError:
            if time.monotonic() - seen > patience_s:
                raise
        else:
            seen = time.monotonic()
            show(run)
            if run["state"] in sync_runs.ENDED:
                return run
        time.sleep(every_s)


def _look(deps: Deps, run_id: str) -> dict[str, Any]:
    with reading(deps.engine) as tx:
        row = sync_runs.get(tx, run_id)
        assert row is not None
        return sync_runs.as_dict(tx, row, now=now_ms(tx))
