"""Schedules: rows that say what starts when. A tick turns due times into slots, and each slot into one task.

    tick ─▶ slot (waiting) + task, one transaction ─▶ started: a run | skipped, failed: the reason stays on the slot

Any number of ticks may run at once, anywhere: the schedule's row is locked while its slots are decided, and a slot is
inserted by one of them only.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, tzinfo
from typing import Any, Final

from sqlalchemy import Connection

from db import audit, schedules, switches, tasks
from db import sources as source_rows
from db.clock import now_ms as database_now_ms
from db.engine import in_unit, reading
from db.sync_runs import RunActive
from db.tables import AnyRow
from db.tasks import Task
from domain.runs import RESTS
from domain.schedules import (
    BREAKER,
    CANDIDATES,
    EACH,
    RUN,
    RUN_ONCE,
    THROTTLED,
    Decision,
    Window,
    backs_off,
    decide,
    minute_of_day,
    read_windows,
    tick_is_late,
    windows_of,
)
from domain.schedules import QUEUE as QUEUE_SIGN
from domain.switches import MAINTENANCE, READ_ONLY, WORDS
from observability.failpoints import failpoint
from observability.log import get_logger
from ratelimit.limiter import LimiterAway
from remote.sources.base import BadSource
from usecases import cron, named_sources, recounts, tenants
from usecases.deps import Deps
from usecases.sync import runs, sources
from usecases.sync.stages.base import VISIBILITY_MS
from usecases.terms import TermRefused, UnknownTerm

log = get_logger("schedules")

KIND = "schedule.slot"
QUEUE = "sync"
SCHEDULER, KEEPER = "scheduler", "keeper"
ZONES = UTC_ZONE, TENANT_ZONE = ("utc", "tenant")
NAME = "incremental"
RECOVERY = "verify-recovery"
FIRST_AFTER_MS = 3_600_000  # a new tenant looks at its first sync in peace
_RECOVERY_MS = 120_000  # what comes back within two minutes comes back once
_TURN_MS = 5_000  # how long a slot that must not be left out waits before it asks for its turn again


def _default(
    name: str,
    kind: str,
    payload: dict[str, Any],
    cron_: str,
    *,
    max_queued: int | None,
    backs_off: tuple[str, ...] = (),
) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind,
        "payload": json.dumps(payload),
        "cron": cron_,
        "zone": TENANT_ZONE,
        "policy": RUN_ONCE,
        "enabled": True,
        "windows": None,
        "max_queued": max_queued,
        "backs_off": ",".join(backs_off),
        "busy_every_min": None,
        "last_slot": 0,
    }


_DEFAULTS: tuple[dict[str, Any], ...] = (
    _default(NAME, "run", {"run": "incremental"}, "0 * * * *", max_queued=1_000, backs_off=(BREAKER,)),
    _default("sources", "sources", {}, "*/15 * * * *", max_queued=None),
    _default("verify-touched", "verify", {"only": "touched"}, "40 * * * *", max_queued=1_000, backs_off=(BREAKER,)),
    _default("verify-nightly", "verify", {"only": "all"}, "15 2 * * *", max_queued=1_000, backs_off=(BREAKER,)),
    _default(
        "verify-weekly", "verify", {"only": "all", "fields": True}, "15 3 * * 0", max_queued=1_000, backs_off=(BREAKER,)
    ),
    _default("recount-nightly", "recount", {}, "30 3 * * *", max_queued=None),
    _default(RECOVERY, "verify", {"only": "touched"}, "", max_queued=None, backs_off=(BREAKER,)),
)


class UnknownSchedule(Exception):
    """There is no schedule of that name. `known` are the names there are."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"there is no schedule {name!r}")
        self.name = name
        self.known = known


def seed(connection: Connection, *, tenant: str) -> None:
    """Give the tenant the schedules everybody has, beginning in an hour. Those that are there stay as they are."""
    since_ms = database_now_ms(connection) + FIRST_AFTER_MS
    schedules.make(connection, [{"tenant_id": tenant, "since_ms": since_ms, **row} for row in _DEFAULTS])


# --- ticks ------------------------------------------------------------------------------------------------------------


def tick(deps: Deps, *, ran_by: str, now_ms: int | None = None) -> int:
    """Decide every slot that is due, and remember that somebody looked. Returns how many slots this tick started.

    `now_ms` stands for the database's time. A schedule that cannot be read is logged and does not stop the others.
    """
    with reading(deps.engine) as tx:
        now = database_now_ms(tx) if now_ms is None else now_ms
        rows = schedules.all_of(tx, tenant=deps.tenant)
    begun: list[str] = []
    for row in rows:
        try:
            if _due(deps, row, now):
                begun += in_unit(deps.engine, lambda tx, name=row.name: _decide(deps, tx, name, now))  # type: ignore[misc]
        except (cron.BadCron, ValueError) as error:
            log.error("schedules.unreadable", name=row.name, reason=str(error))
    in_unit(deps.engine, lambda tx: schedules.record_tick(tx, tenant=deps.tenant, at_ms=now, ran_by=ran_by))
    for job_id in begun:
        deps.ring(job_id)
    return len(begun)


def late_tick(deps: Deps) -> bool:
    """Do the tick that nobody has done for a minute and a half. False when the schedules are looked after."""
    with reading(deps.engine) as tx:
        row = schedules.newest_tick(tx, tenant=deps.tenant)
        late = tick_is_late(None if row is None else row.at_ms, now_ms=database_now_ms(tx))
    if late:
        log.warning("schedules.tick_late", newest_ms=None if row is None else row.at_ms)
        tick(deps, ran_by=KEEPER)
    return late


def _due(deps: Deps, row: AnyRow, now_ms: int) -> list[int]:
    """The newest slots that nobody has decided."""
    if not row.enabled:
        return []
    zone, after_ms = _zone(deps, row.zone), max(row.since_ms, row.last_slot)
    return cron.newest_due(
        row.cron, zone=zone, after_ms=after_ms, until_ms=now_ms, most=CANDIDATES, windows=_windows(row)
    )


def _windows(row: AnyRow) -> tuple[Window, ...]:
    return windows_of(json.loads(row.windows)) if row.windows else ()


def _decide(deps: Deps, tx: Connection, name: str, now_ms: int) -> list[str]:
    """Under the lock of its row, so that slots are looked for and decided by one tick at a time. Returns new job ids."""
    row = schedules.get(tx, tenant=deps.tenant, name=name, lock=True)
    due = [] if row is None else _due(deps, row, now_ms)
    if row is None or not due:
        return []
    made = [_make(deps, tx, name, decision) for decision in decide(row.policy, due, now_ms=now_ms)]
    schedules.change(tx, tenant=deps.tenant, name=name, last_slot=due[-1])
    schedules.forget_before(tx, tenant=deps.tenant, name=name, before_ms=now_ms - schedules.KEPT_MS)
    failpoint("tick.after_slot")
    return [job_id for job_id in made if job_id is not None]


def _make(
    deps: Deps, tx: Connection, name: str, decision: Decision, *, asked: bool = False, wait_ms: int = 0
) -> str | None:
    """Insert the slot and, if it starts and nobody had inserted it, its task. Returns the task's id."""
    job_id = deps.new_id() if decision.starts else None
    inserted = schedules.insert_slot(
        tx,
        tenant=deps.tenant,
        name=name,
        slot_ms=decision.slot_ms,
        job_id=job_id,
        state="waiting" if decision.starts else "skipped",
        reason=decision.reason,
    )
    if not inserted or job_id is None:
        return None
    payload = {"name": name, "slot_ms": decision.slot_ms, "asked": asked}
    return tasks.put_task(
        tx,
        tenant=deps.tenant,
        queue=QUEUE,
        kind=KIND,
        target=f"{name}:{decision.slot_ms}",
        payload=json.dumps(payload),
        run_id=None,
        new_id=lambda: job_id,
        wait_ms=wait_ms,
    )


def _zone(deps: Deps, zone: str) -> tzinfo:
    return UTC if zone == UTC_ZONE else deps.zone


# --- slots ------------------------------------------------------------------------------------------------------------


def act(deps: Deps, task: Task) -> None:
    """Start what the slot stands for, or write down why not. Whatever happens, it happens with the end of the task."""
    asked = json.loads(task.payload)
    slot = _Slot(deps, task, asked["name"], asked["slot_ms"])
    with reading(deps.engine) as tx:
        row = schedules.get(tx, tenant=deps.tenant, name=slot.name)
        known = schedules.slot_of(tx, tenant=deps.tenant, name=slot.name, slot_ms=slot.slot_ms)
        objection = None if row is None else _objection(deps, tx, row, asked=asked["asked"])
    if row is None or known is None or known.state != "waiting":
        in_unit(deps.engine, lambda tx: tasks.finish_task(tx, task))
    elif objection is not None:
        slot.end("skipped", objection)
    elif row.kind == "sources":
        slot.end("started", named_sources.check_all(deps))
    elif row.kind == "recount":
        _begin_recount(deps, slot)
    elif row.kind == "verify":
        _begin_look(deps, slot, row)
    else:
        _begin_run(deps, slot, row)


def _objection(deps: Deps, tx: Connection, row: AnyRow, *, asked: bool) -> str | None:
    """Why the slot is left out, if it is. A person who asks for it knows about the load, and about switches."""
    if row.kind == "sources":
        return None  # looks, and changes nothing
    if not asked and (closed := _closed(tx, deps.tenant)) is not None:
        return closed
    if row.kind == "recount":
        return None
    has_source = "source" in tenants.settings(tx, tenant=deps.tenant) or any(source_rows.all_of(tx, tenant=deps.tenant))
    if not has_source or not schedules.was_synced(tx, tenant=row.tenant_id):
        return "no sync has succeeded yet"
    return None if asked else _load(deps, tx, row)


def _closed(tx: Connection, tenant: str) -> str | None:
    """The switch under which nothing begins by itself: who could stop it is kept out."""
    on = next((name for name in (MAINTENANCE, READ_ONLY) if switches.is_on(tx, name, tenant=tenant)), None)
    return None if on is None else f"{' '.join(WORDS[on])}: until `obsync switches off {on}`"


def _load(deps: Deps, tx: Connection, row: AnyRow) -> str | None:
    """Why it is left out under the load there is, if it is."""
    signs = _signs(deps, tx, row)
    started = schedules.last_started(tx, tenant=row.tenant_id, name=row.name)
    since = None if started is None else database_now_ms(tx) - started
    told = backs_off(signs, since_start_ms=since, busy_every_min=row.busy_every_min)
    if told is not None and signs == {QUEUE_SIGN} and row.busy_every_min is None:
        return f"more than {row.max_queued} jobs wait in the lanes"
    return told


def _signs(deps: Deps, tx: Connection, row: AnyRow) -> set[str]:
    """The signs of load that this schedule minds. While the limiter's store is away nothing is known of WPS."""
    minds = set(row.backs_off.split(",")) if row.backs_off else set[str]()
    found = set[str]()
    if row.max_queued is not None and schedules.queued_more_than(tx, tenant=row.tenant_id, limit=row.max_queued):
        found.add(QUEUE_SIGN)
    if RUN in minds and schedules.any_run(tx, tenant=row.tenant_id):
        found.add(RUN)
    if not minds & {THROTTLED, BREAKER}:
        return found
    limiter, key = deps.remote.limiter, deps.remote.limiter_key
    try:
        if BREAKER in minds and limiter.breaker(key).state != "closed":
            found.add(BREAKER)
        if THROTTLED in minds and limiter.state(key).rate_per_s < limiter.state(key).max_rate_per_s:
            found.add(THROTTLED)
    except LimiterAway:
        log.warning("schedules.load_unknown", name=row.name)
    return found


@dataclass(frozen=True)
class _Slot:
    """A slot whose task this worker has claimed."""

    deps: Deps
    task: Task
    name: str
    slot_ms: int

    def ending(
        self, state: str, *, reason: str | None = None, run_id: str | None = None
    ) -> Callable[[Connection], None]:
        """What is written when it ends so."""

        def work(tx: Connection) -> None:
            tasks.keep_task(tx, self.task, visibility_ms=VISIBILITY_MS)
            schedules.decide_slot(
                tx,
                tenant=self.deps.tenant,
                name=self.name,
                slot_ms=self.slot_ms,
                state=state,
                reason=reason,
                run_id=run_id,
            )
            tasks.finish_task(tx, self.task)

        return work

    def end(self, state: str, reason: str) -> None:
        in_unit(self.deps.engine, self.ending(state, reason=reason))
        say = log.info if state == "started" else log.warning
        say("schedules.slot", name=self.name, slot_ms=self.slot_ms, state=state, reason=reason)


def _begin_look(deps: Deps, slot: _Slot, row: AnyRow) -> None:
    """A run that looks, and repairs what is simple when it has found something."""
    said = json.loads(row.payload)
    try:
        run_id = runs.begin_look(
            deps,
            kind="verify",
            only=said["only"],
            fields=bool(said.get("fields")),
            repairs=True,
            also=lambda tx, run_id: slot.ending("started", run_id=run_id)(tx),
        )
    except RunActive as active:
        slot.end("skipped", str(active))
    else:
        log.info("schedules.slot", name=slot.name, slot_ms=slot.slot_ms, state="started", run_id=run_id)


def _begin_recount(deps: Deps, slot: _Slot) -> None:
    """Attendance is counted again; while that goes on already, nothing is added to it."""
    reason = recounts.begin(
        deps, actor="schedule", also=lambda tx, one: slot.ending("started", reason=f"recount {one}")(tx)
    )
    log.info("schedules.slot", name=slot.name, slot_ms=slot.slot_ms, state="started", reason=reason)


def recovered(deps: Deps, why: str) -> bool:
    """WPS or a worker came back: have a look at what was touched, soon. Many of them within minutes are one look.

    False where the schedule is switched off or has not begun, or a look is due already.
    """

    def work(tx: Connection) -> str | None:
        row = schedules.get(tx, tenant=deps.tenant, name=RECOVERY, lock=True)
        now = database_now_ms(tx)
        if row is None or not row.enabled or row.since_ms > now:
            return None
        slot_ms = (now // _RECOVERY_MS + 1) * _RECOVERY_MS
        return _make(deps, tx, RECOVERY, Decision(slot_ms, True, why), wait_ms=slot_ms - now)

    made = in_unit(deps.engine, work)
    if made is not None:
        log.info("schedules.recovered", reason=why)
    return made is not None


def _begin_run(deps: Deps, slot: _Slot, row: AnyRow) -> None:
    """The run, its task, the slot's end and the end of this task are one transaction."""
    try:
        source = sources.last(deps)
        assert source is not None
        run_id, task_id = runs.begin(
            deps,
            kind=json.loads(row.payload)["run"],
            source=source.address,
            mapping=source.mapping,
            trigger="schedule",
            also=lambda tx, run_id: slot.ending("started", run_id=run_id)(tx),
        )
    except RunActive as active:
        # A run that rests may rest for days: slots do not pile up behind it, whatever their policy.
        if row.policy == EACH and active.state not in RESTS:
            reason = f"waits for its turn: {active}"
            in_unit(deps.engine, lambda tx: tasks.defer_task(tx, slot.task, wait_ms=_TURN_MS))
            log.info("schedules.slot", name=slot.name, slot_ms=slot.slot_ms, state="waiting", reason=reason)
        else:
            slot.end("skipped", str(active))
    except BadSource as bad:
        slot.end("failed", f"{bad.file}: {bad.problem}")
    except (TermRefused, UnknownTerm) as refused:
        slot.end("skipped", str(refused))
    else:
        log.info("schedules.slot", name=slot.name, slot_ms=slot.slot_ms, state="started", run_id=run_id)
        deps.ring(task_id)


# --- what people do ---------------------------------------------------------------------------------------------------


def run_now(deps: Deps, name: str, *, actor: str | None = None) -> int:
    """Make a slot of this instant, whatever the cron says. Returns the slot. Raises `UnknownSchedule`.

    With `actor` the act is in the audit."""

    def work(tx: Connection) -> tuple[int, str | None]:
        _locked(deps, tx, name)
        slot_ms = database_now_ms(tx)
        _note(deps, tx, actor, "schedule.run", name, {"slot_ms": slot_ms})
        return slot_ms, _make(deps, tx, name, Decision(slot_ms, True, "asked for by a person"), asked=True)

    slot_ms, job_id = in_unit(deps.engine, work)
    if job_id is not None:
        deps.ring(job_id)
    return slot_ms


def change(deps: Deps, name: str, *, actor: str | None = None, seen: str | None = None, **wanted: Any) -> None:
    """Set `cron`, `zone`, `policy`, `enabled`, `windows`, `max_queued`, `backs_off`, `busy_every_min`.

    `seen` is the version (`version_of`) that the person decided about. Raises `UnknownSchedule`, `BadCron`, `BadWindow`, and
    `ScheduleChanged` where the schedule has another version by now.

    What becomes due by a change of the times or by switching on counts from now: nothing is caught up for it. With `actor` the
    act is in the audit.
    """

    def work(tx: Connection) -> None:
        row = _locked(deps, tx, name)
        if seen is not None and seen != version_of(row):
            raise ScheduleChanged(name)
        now = database_now_ms(tx)
        values = dict(wanted)
        if "cron" in values:
            zone = _zone(deps, values.get("zone", row.zone))
            values["cron"] = cron.checked(values["cron"], zone=zone, now_ms=now)
        if "windows" in values:
            read = read_windows(values["windows"])
            values["windows"] = json.dumps([asdict(one) for one in read]) if read else None
        if "backs_off" in values:
            values["backs_off"] = ",".join(values["backs_off"])
        times = any(key in values and values[key] != getattr(row, key) for key in ("cron", "zone", "windows"))
        if times or (values.get("enabled") and not row.enabled):
            values["since_ms"] = now
        schedules.change(tx, tenant=deps.tenant, name=name, **values)
        _note(deps, tx, actor, "schedule.change", name, values, before={key: getattr(row, key) for key in values})

    in_unit(deps.engine, work)


class ScheduleChanged(Exception):
    """Somebody else has changed the schedule meanwhile."""


def version_of(row: AnyRow) -> str:
    """Differs where anything does that people set."""
    said = [getattr(row, name) for name in (*_SET, "windows", "backs_off")]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


_SET: Final = ("cron", "zone", "policy", "enabled", "max_queued", "busy_every_min")


def _note(
    deps: Deps, tx: Connection, actor: str | None, action: str, name: str, after: dict[str, Any], before: Any = None
) -> None:
    if actor is not None:
        audit.write(
            tx, tenant=deps.tenant, new_id=deps.new_id, actor=actor, action=action, thing=name, before=before, after=after
        )  # fmt: skip


def _locked(deps: Deps, tx: Connection, name: str) -> AnyRow:
    row = schedules.get(tx, tenant=deps.tenant, name=name, lock=True)
    if row is None:
        raise UnknownSchedule(name, [one.name for one in schedules.all_of(tx, tenant=deps.tenant)])
    return row


def listing(deps: Deps) -> dict[str, Any]:
    """Every schedule with its next and its last slot, and the newest tick."""
    with reading(deps.engine) as tx:
        now = database_now_ms(tx)
        newest = schedules.newest_tick(tx, tenant=deps.tenant)
        rows = schedules.all_of(tx, tenant=deps.tenant)
        items = [_as_dict(deps, tx, row, now) for row in rows]
    tick_ = None if newest is None else {"at_ms": newest.at_ms, "ran_by": newest.ran_by, "age_ms": now - newest.at_ms}
    late = tick_is_late(None if newest is None else newest.at_ms, now_ms=now)
    return {"items": items, "newest_tick": tick_, "tick_is_late": late}


def one(deps: Deps, name: str, *, limit: int) -> dict[str, Any]:
    """One schedule with its newest slots. Raises `UnknownSchedule`."""
    with reading(deps.engine) as tx:
        row = schedules.get(tx, tenant=deps.tenant, name=name)
        if row is None:
            raise UnknownSchedule(name, [known.name for known in schedules.all_of(tx, tenant=deps.tenant)])
        slots = schedules.slots_of(tx, tenant=deps.tenant, name=name, limit=limit)
        return {**_as_dict(deps, tx, row, database_now_ms(tx)), "slots": [_slot_dict(slot) for slot in slots]}


def slot_now(deps: Deps, name: str, slot_ms: int) -> dict[str, Any]:
    """A slot as it is now."""
    with reading(deps.engine) as tx:
        row = schedules.slot_of(tx, tenant=deps.tenant, name=name, slot_ms=slot_ms)
    assert row is not None
    return {"name": name, **_slot_dict(row)}


def _as_dict(deps: Deps, tx: Connection, row: AnyRow, now: int) -> dict[str, Any]:
    shown = ("name", "kind", "cron", "zone", "policy", "enabled", "max_queued", "busy_every_min", "since_ms")
    last = schedules.slots_of(tx, tenant=deps.tenant, name=row.name, limit=1)
    return {
        **{name: getattr(row, name) for name in shown},
        "version": version_of(row),
        "starts": json.loads(row.payload),
        "windows": [one.said for one in _windows(row)],
        "backs_off": [one for one in row.backs_off.split(",") if one],
        "next_slot_ms": (following := _next(deps, row, now)),
        "why": _why(deps, row, following),
        "held_back": _load(deps, tx, row) if row.enabled else None,
        "last_slot": _slot_dict(last[0]) if last else None,
    }


def _next(deps: Deps, row: AnyRow, now: int) -> int | None:
    if not row.enabled:
        return None
    try:
        after_ms = max(now, row.since_ms, row.last_slot)
        return cron.next_due(row.cron, zone=_zone(deps, row.zone), after_ms=after_ms, windows=_windows(row))
    except cron.BadCron:
        return None


def _why(deps: Deps, row: AnyRow, slot_ms: int | None) -> str:
    """What makes the next slot due."""
    if not row.enabled:
        return "disabled"
    if slot_ms is None:
        return "after every recovery" if row.name == RECOVERY else "never"
    minute = minute_of_day(slot_ms, _zone(deps, row.zone))
    window = next((one for one in _windows(row) if one.holds(minute)), None)
    return f"cron {row.cron}" if window is None else f"window {window.said.replace('=', ' every ')} min"


def _slot_dict(row: AnyRow) -> dict[str, Any]:
    shown = ("state", "reason", "run_id", "job_id", "made_ms", "decided_ms")
    return {"slot_ms": row.slot, **{name: getattr(row, name) for name in shown}}
