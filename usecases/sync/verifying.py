"""A lane's job of kind `verify`: one calendar is read as a whole, compared with its mirror, and what differs is stored.

It only reads, is paid for like every call, and comes after everything that is to be sent for the calendar. With `repair` in
its payload it is the look before a repair, and what two walks have seen is put right in the same fenced transaction.
"""

import json
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, func, select

from db import closing, discrepancies, jobs, mirror, walks
from db.clock import now_ms
from db.discrepancies import Found
from db.tables import jobs as job_table
from domain.ids import key_of
from domain.plans import Desired
from domain.settlement import Mirrored
from domain.verification import (
    KIND,
    Difference,
    Verdict,
    What,
    compare,
    field_by_field,
    fields_that_differ,
    fingerprint,
)
from remote.wps.errors import WpsError, backoff_ms
from usecases.sync import layout, repairing, walking
from usecases.sync.planning import CoursePlan, Planner
from usecases.sync.recording import Scope
from usecases.sync.walking import Walk
from usecases.sync.work import Verifying

_WRITES = ("calendar", "members", "event")


@dataclass(frozen=True, slots=True)
class Ready:
    """What a walk needs: how far it has come, and our side of the calendar."""

    walk: Walk
    rows: tuple[Mirrored, ...]


def prepare(connection: Connection, scope: Scope, work: Verifying) -> Ready | None:
    """The walk to carry on with; None while the lists of WPS may not show yet what was sent last."""
    key = {"tenant": scope.tenant, "term": work.ref.term, "group_id": work.ref.group_id}
    last = connection.execute(
        select(func.max(job_table.c.finished_ms)).where(
            job_table.c.tenant_id == scope.tenant,
            job_table.c.group_id == work.ref.group_id,
            job_table.c.state == "done",
            job_table.c.kind.in_(_WRITES),
        )
    ).scalar()
    if last is not None and last + scope.times.lag_ms > now_ms(connection):
        return None
    rows = tuple(mirror.group_rows(connection, **key))
    present = mirror.present_members(connection, **key)
    kept = discrepancies.unfinished(connection, tenant=scope.tenant, term=work.ref.term, target=work.ref.group_id)
    if kept is not None:
        walk = Walk.load(kept)
        if walk.fingerprint == fingerprint(rows, present):
            return Ready(walk, rows)
    span = json.loads(work.wanted.payload)
    return Ready(walking.begin(rows, present, from_ms=span["from_ms"], until_ms=span["until_ms"]), rows)


def postpone(connection: Connection, scope: Scope, work: Verifying) -> None:
    """Come back when the lists have caught up."""
    jobs.retry_later(
        connection,
        tenant=scope.tenant,
        job_ids=[work.wanted.job_id],
        wait_ms=scope.times.lag_ms,
        code="fresh",
        message="its last change is too fresh for the lists of WPS",
    )


def keep(connection: Connection, scope: Scope, work: Verifying, walk: Walk) -> None:
    """The walk was interrupted; the job stays queued."""
    discrepancies.keep_walk(connection, walk.dump(), tenant=scope.tenant, term=work.ref.term, target=work.ref.group_id)


def cannot_read(connection: Connection, scope: Scope, work: Verifying, error: WpsError) -> None:
    """WPS does not show this calendar: a later try begins anew; worn out, the job is a dead letter."""
    one = work.wanted
    discrepancies.keep_walk(connection, None, tenant=scope.tenant, term=work.ref.term, target=work.ref.group_id)
    jobs.change_attempts(connection, tenant=scope.tenant, job_ids=[one.job_id], by=1)
    if error.policy.to_person or one.attempts + 1 > error.policy.retries:
        closing.dead(connection, one, tenant=scope.tenant, lane=scope.lane, code=error.error_class, message=str(error))
        return
    wait = backoff_ms(error.policy, one.attempts + 1, 0.5)
    jobs.retry_later(
        connection, tenant=scope.tenant, job_ids=[one.job_id], wait_ms=wait, code=error.error_class, message=str(error)
    )


def record(connection: Connection, scope: Scope, work: Verifying, walk: Walk) -> None:
    """Store what a finished walk found. The lane has been entered by the same unit."""
    key = {"tenant": scope.tenant, "term": work.ref.term, "group_id": work.ref.group_id}
    rows = mirror.group_rows(connection, **key)
    present = mirror.present_members(connection, **key)
    calendar = next((row for row in rows if row.target == work.ref.group_id), None)
    changed = fingerprint(rows, present) != walk.fingerprint
    if calendar is None or changed:
        # Something was sent between two slices of the walk: what it saw is of two different times.
        discrepancies.keep_walk(connection, None, tenant=scope.tenant, term=work.ref.term, target=work.ref.group_id)
        return
    namesakes = _namesakes(connection, scope, work, calendar)
    verdict = compare(
        calendar=calendar,
        rows=rows,
        members={user: role for user, (role, _) in present.items()},
        seen=walk.seen(),
        namesakes=namesakes or (),
    )
    now, run_id = now_ms(connection), work.wanted.run_id
    planner = layout.planner_in(connection, scope.deps.engine, scope.tenant, scope.secret)
    known = discrepancies.of_calendar(connection, **key)
    asked_for = {row.target for row in known if row.state == discrepancies.REPAIRING}
    fields = bool(json.loads(work.wanted.payload).get("fields"))
    plan = _plan(connection, planner, work) if verdict.differences or asked_for or fields else None
    if fields and plan is not None:
        bodies = {
            one.target: (one.hash, json.loads(one.payload)) for one in plan.wanted.values() if one.kind == "event"
        }
        more = field_by_field(rows, walk.seen().events, bodies)
        verdict = replace(verdict, differences=(*verdict.differences, *more))
    to_send = repairing.changing_targets(plan, ())
    found = {one.id: (one, difference) for one, difference in _found(verdict, work, rows, plan)}
    looks = discrepancies.note(
        connection,
        [one for one, _ in found.values()],
        lane=scope.lane,
        run_id=run_id,
        now=now,
        still_to_send=to_send,
        not_looked_for=(What.CALENDAR_COPY.value,) if namesakes is None else (),
        **key,
    )
    discrepancies.verified(
        connection,
        tenant=scope.tenant,
        term=work.ref.term,
        target=work.ref.group_id,
        run_id=run_id,
        now=now,
        events=verdict.events,
        strangers=verdict.strangers,
        members=verdict.members,
        differences=len(verdict.differences),
    )
    if json.loads(work.wanted.payload)["repair"]:
        named = [(row_id, difference, looks[row_id]) for row_id, (_, difference) in sorted(found.items())]
        repairing.heal(
            connection,
            scope,
            work,
            rows,
            walk.seen(),
            named,
            planner=planner,
            plan=plan,
            unfinished=asked_for & to_send,
        )
    closing.done(connection, [work.wanted], tenant=scope.tenant, lane=scope.lane)


def _namesakes(connection: Connection, scope: Scope, work: Verifying, calendar: Mirrored) -> list[str] | None:
    """Ids of all calendars with the name of this one, from the walk of the list that the run has asked for; None without one."""
    listed_ms = json.loads(work.wanted.payload).get("listed_ms")
    if listed_ms is None or calendar.name is None:
        return None
    return walks.find(connection, tenant=scope.tenant, name=calendar.name, started_after=listed_ms)


def _plan(connection: Connection, planner: Planner, work: Verifying) -> CoursePlan | None:
    return planner.of_calendar(connection, term=work.ref.term, group_id=work.ref.group_id)


def _found(
    verdict: Verdict, work: Verifying, rows: list[Mirrored], plan: CoursePlan | None
) -> list[tuple[Found, Difference]]:
    by_target = {row.target: row for row in rows}
    wanted = plan.wanted if plan is not None else {}
    found = []
    for one in verdict.differences:
        id_ = key_of(work.ref.term, work.ref.group_id, one.what.value, one.target, one.thing)
        ours = _ours(one, by_target.get(one.target), wanted.get(one.target))
        if one.what is What.EVENT_EDITED and one.theirs is not None and "summary" in ours:
            ours["differs"] = fields_that_differ(one.theirs, ours)
        found.append((Found(id_, KIND[one.what], one.what.value, one.target, one.thing, ours, _theirs(one)), one))
    return found


def _ours(one: Difference, row: Mirrored | None, wanted: Desired | None) -> dict[str, Any]:
    """What was sent, as far as it is still known: the mirror has the hash and the times, the timetable the words."""
    if KIND[one.what] == "calendar":
        return {"name": one.ours}
    if KIND[one.what] == "member":
        return {"role": one.ours} if one.ours else {}
    if row is None:
        return {}
    if wanted is not None and wanted.hash == row.sent_hash:
        body = json.loads(wanted.payload)
        shown = {name: body[name] for name in ("summary", "start_ms", "end_ms", "location")}
        return {"label": wanted.label, **shown, "remote_id": row.remote_id}
    return {"start_ms": row.from_ms, "end_ms": row.until_ms, "remote_id": row.remote_id}


def _theirs(one: Difference) -> dict[str, Any]:
    if one.what is What.CALENDAR_COPY:
        return {"name": one.seen, "remote_id": one.remote_id}
    if KIND[one.what] == "calendar":
        return {"name": one.seen} if one.seen else {}
    if KIND[one.what] == "member":
        return {"role": one.seen} if one.seen else {}
    if one.theirs is None:
        return {}
    there = one.theirs
    return {
        "remote_id": there.id,
        "summary": there.summary,
        "start_ms": there.start_ms,
        "end_ms": there.end_ms,
        "location": there.location,
        "marked": there.marker is not None,
    }
