"""Schedules: rows that say what starts when. A tick turns due times into slots, and each slot into one task.

    tick ─▶ slot (waiting) + task, one transaction ─▶ started: a run | skipped, failed: the reason stays on the slot

Any number of ticks may run at once, anywhere: the schedule's row is locked while its slots are decided, and a slot is
inserted by one of them only.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Any

from sqlalchemy import Connection

from db import schedules, tasks
from db.clock import now_ms as database_now_ms
from db.engine import in_unit, reading
from db.sync_runs import RunActive
from db.tables import AnyRow
from db.tasks import Task
from domain.runs import RESTS
from domain.schedules import CANDIDATES, EACH, RUN_ONCE, Decision, decide, tick_is_late
from observability.failpoints import failpoint
from observability.log import get_logger
from remote.sources.base import BadSource
from usecases import cron, tenants
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
FIRST_AFTER_MS = 3_600_000  # a new tenant looks at its first sync in peace
_TURN_MS = 5_000  # how long a slot that must not be left out waits before it asks for its turn again

_DEFAULTS: tuple[dict[str, Any], ...] = (
    {
        "name": NAME,
        "kind": "run",
        "payload": json.dumps({"run": "incremental"}),
        "cron": "0 * * * *",
        "zone": TENANT_ZONE,
        "policy": RUN_ONCE,
        "enabled": True,
        "max_queued": 1_000,
        "last_slot": 0,
    },
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
    return cron.newest_due(row.cron, zone=zone, after_ms=after_ms, until_ms=now_ms, most=CANDIDATES)


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


def _make(deps: Deps, tx: Connection, name: str, decision: Decision, *, asked: bool = False) -> str | None:
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
        named = "source" in tenants.settings(tx, tenant=deps.tenant)
        objection = None if row is None else _objection(tx, row, named=named, asked=asked["asked"])
    if row is None or known is None or known.state != "waiting":
        in_unit(deps.engine, lambda tx: tasks.finish_task(tx, task))
    elif objection is not None:
        slot.end("skipped", objection)
    else:
        _begin_run(deps, slot, row)


def _objection(tx: Connection, row: AnyRow, *, named: bool, asked: bool) -> str | None:
    """Why the slot is left out, if it is. A person who asks for it knows about the load."""
    if not named or not schedules.was_synced(tx, tenant=row.tenant_id):
        return "no sync has succeeded yet"
    if asked or row.max_queued is None:
        return None
    too_many = schedules.queued_more_than(tx, tenant=row.tenant_id, limit=row.max_queued)
    return f"more than {row.max_queued} jobs wait in the lanes" if too_many else None


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
        log.warning("schedules.slot", name=self.name, slot_ms=self.slot_ms, state=state, reason=reason)


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


def run_now(deps: Deps, name: str) -> int:
    """Make a slot of this instant, whatever the cron says. Returns the slot. Raises `UnknownSchedule`."""

    def work(tx: Connection) -> tuple[int, str | None]:
        _locked(deps, tx, name)
        slot_ms = database_now_ms(tx)
        return slot_ms, _make(deps, tx, name, Decision(slot_ms, True, "asked for by a person"), asked=True)

    slot_ms, job_id = in_unit(deps.engine, work)
    if job_id is not None:
        deps.ring(job_id)
    return slot_ms


def change(deps: Deps, name: str, **wanted: Any) -> None:
    """Set `cron`, `zone`, `policy`, `enabled`, `max_queued`. Raises `UnknownSchedule`, `BadCron`.

    What becomes due by a change of the times or by switching on counts from now: nothing is caught up for it.
    """

    def work(tx: Connection) -> None:
        row = _locked(deps, tx, name)
        now = database_now_ms(tx)
        values = dict(wanted)
        if "cron" in values:
            zone = _zone(deps, values.get("zone", row.zone))
            values["cron"] = cron.checked(values["cron"], zone=zone, now_ms=now)
        times = any(key in values and values[key] != getattr(row, key) for key in ("cron", "zone"))
        if times or (values.get("enabled") and not row.enabled):
            values["since_ms"] = now
        schedules.change(tx, tenant=deps.tenant, name=name, **values)

    in_unit(deps.engine, work)


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
    shown = ("name", "kind", "cron", "zone", "policy", "enabled", "max_queued", "since_ms")
    last = schedules.slots_of(tx, tenant=deps.tenant, name=row.name, limit=1)
    return {
        **{name: getattr(row, name) for name in shown},
        "starts": json.loads(row.payload),
        "next_slot_ms": _next(deps, row, now),
        "last_slot": _slot_dict(last[0]) if last else None,
    }


def _next(deps: Deps, row: AnyRow, now: int) -> int | None:
    if not row.enabled:
        return None
    try:
        return cron.next_due(row.cron, zone=_zone(deps, row.zone), after_ms=max(now, row.since_ms, row.last_slot))
    except cron.BadCron:
        return None


def _slot_dict(row: AnyRow) -> dict[str, Any]:
    shown = ("state", "reason", "run_id", "job_id", "made_ms", "decided_ms")
    return {"slot_ms": row.slot, **{name: getattr(row, name) for name in shown}}
