"""What a call came to, written in one fenced transaction: mirror, jobs, counters, and how long things rest."""

import json
import random
from dataclasses import dataclass, replace

from sqlalchemy import Connection, update

from db import closing, jobs, mirror, walks
from db.clock import now_ms
from db.jobs import Put
from db.mirror import IntentRow, SentRow, Wanted
from db.tables import users
from domain.ids import key_of, marker_of
from domain.lanes import Times
from domain.outcomes import Reaction, counts_before, reaction
from domain.settlement import Mirrored, Verb, longer, shorter
from observability.failpoints import failpoint
from remote.wps.errors import (
    WpsAuth,
    WpsError,
    backoff_ms,
    retries_after,
)
from usecases.deps import Deps
from usecases.sync.failures import GO_ON, Rest, failure_of, rest_after
from usecases.sync.work import Burying, Call, Closing, Done, Outcome


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose lane is being drained, and what it needs to write."""

    tenant: str
    lane: str
    times: Times
    secret: bytes
    deps: Deps


def commit_intents(connection: Connection, scope: Scope, call: Call) -> Call | None:
    """Say in the mirror what is about to be sent; only for jobs still queued at the rev that was read.

    Returns the call with what is left of it, or None. The settlement time is written now: if this process dies in the next
    moment, whoever comes next knows from when the outcome can be read off WPS.
    """
    fresh, now = mirror.still_wanted(connection, {one.job_id: one.rev for one in call.wanted}, tenant=scope.tenant)
    call = _only(call, fresh)
    if not call.wanted:
        return None
    if call.kind == "walk":
        return replace(call, walk=walks.begin_or_resume(connection, tenant=scope.tenant, new_id=scope.deps.new_id()))
    if not call.writes:
        return call
    settle_at = now + scope.times.settle_ms
    key = {"tenant": scope.tenant, "term": call.ref.term}
    mirror.write_intents(connection, _intents(call), now=now, **key)
    mirror.doubt_group(connection, group_id=call.ref.group_id, until=settle_at, **key)
    if call.kind == "calendar" and call.verb is not Verb.DELETE:
        mirror.set_name(connection, target=call.ref.group_id, name=call.name, **key)
    if counts_before(alone=call.alone):
        jobs.change_attempts(connection, tenant=scope.tenant, job_ids=[call.wanted[0].job_id], by=1)
    return call


def take_back(connection: Connection, scope: Scope, call: Call) -> None:
    """The call was promised and is not made: as if nobody had promised it.

    A list may have come down to one that was still wanted, whose attempt was counted.
    """
    _forget_intents(connection, scope, call)
    _give_back(connection, scope, call)


def _only(call: Call, job_ids: set[str]) -> Call:
    if len(job_ids) == len(call.wanted):
        return call
    kept = [index for index, one in enumerate(call.wanted) if one.job_id in job_ids]
    bodies = tuple(call.bodies[index] for index in kept) if call.bodies else ()
    return replace(call, wanted=tuple(call.wanted[index] for index in kept), bodies=bodies, packed=None)


def _intents(call: Call) -> list[IntentRow]:
    if call.kind != "event":
        one = call.wanted[0]
        hash_ = call.roll_hash if call.kind == "members" else one.desired_hash
        return [IntentRow(one.target, call.verb, hash_, one.rev, ids=_named(call))]
    rows = []
    for index, one in enumerate(call.wanted):
        assert one.mirrored is not None
        times = [ms for ms in (one.mirrored.from_ms, one.mirrored.until_ms) if ms is not None]
        if call.bodies:
            times += [call.bodies[index].start_ms, call.bodies[index].end_ms]
        rows.append(IntentRow(one.target, call.verb, one.desired_hash, one.rev, min(times), max(times)))
    return rows


def _named(call: Call) -> str | None:
    """What a call about members names: its ids and the verb."""
    if call.members is None:
        return None
    if call.members.remove is not None:
        return json.dumps({"remove": list(call.members.remove)})
    return json.dumps({"add": [list(pair) for pair in call.members.add]})


def record(connection: Connection, scope: Scope, call: Call, outcome: Outcome) -> Rest:
    """Write the outcome of a call. The lane has been entered by the same unit."""
    if isinstance(outcome, Done):
        return _RECORDERS[call.kind](connection, scope, call, outcome)
    error = outcome.error
    what = reaction(
        failure_of(error),
        writes=call.writes,
        alone=call.alone,
        names_people=call.members is not None and bool(call.members.add),
        attempts=call.wanted[0].attempts,
    )
    if what in (Reaction.SETTLE_LATE, Reaction.SETTLE_SOON):
        return _unknown(connection, scope, call, error, answered=what is Reaction.SETTLE_SOON)
    if call.writes:
        _forget_intents(connection, scope, call)
    return _refused(connection, scope, call, error, what)


# --- done -------------------------------------------------------------------------------------------------------------


def _calendar(connection: Connection, scope: Scope, call: Call, outcome: Done) -> Rest:
    one = call.wanted[0]
    if call.verb is not Verb.DELETE:
        row = SentRow(one.target, outcome.ids[one.target], one.desired_hash, None, None, 100)
        mirror.write_sent(connection, [row], tenant=scope.tenant, term=call.ref.term)
    closed = closing.done(connection, [one], tenant=scope.tenant, lane=scope.lane)
    if call.verb is Verb.DELETE:
        calendar_deleted(connection, scope, term=call.ref.term, group_id=call.ref.group_id, wanted_again=not closed)
    _unpark(connection, scope, call)
    return GO_ON


def calendar_deleted(connection: Connection, scope: Scope, *, term: str, group_id: str, wanted_again: bool) -> None:
    """The calendar was deleted on purpose. Where it was put again meanwhile, what waits for it is wanted too."""
    forget_calendar(connection, scope, term=term, group_id=group_id)
    if not wanted_again:
        cancelled = jobs.cancel_group(connection, tenant=scope.tenant, group_id=group_id)
        closing.count(connection, cancelled, field="superseded")


def forget_calendar(connection: Connection, scope: Scope, *, term: str, group_id: str) -> None:
    """The calendar is gone, and with it everything in it."""
    for row in mirror.group_rows(connection, tenant=scope.tenant, term=term, group_id=group_id):
        if row.state == "live" or row.intent is not None:
            gone(connection, scope, row, term=term)
    mirror.drop_members(connection, None, tenant=scope.tenant, term=term, group_id=group_id)


def gone(connection: Connection, scope: Scope, row: Mirrored, *, term: str) -> None:
    """The object is gone; the next one will carry a marker of its own."""
    generation = row.generation + 1
    marker = row.marker and marker_of(scope.secret, tenant=scope.tenant, target=row.target, generation=generation)
    mirror.write_gone(connection, row.target, tenant=scope.tenant, term=term, marker=marker, generation=generation)


def _event(connection: Connection, scope: Scope, call: Call, outcome: Done) -> Rest:
    one = call.wanted[0]
    if call.verb is Verb.DELETE:
        assert one.mirrored is not None
        gone(connection, scope, one.mirrored, term=call.ref.term)
        closing.done(connection, [one], tenant=scope.tenant, lane=scope.lane)
        _unpark(connection, scope, call)
        return GO_ON
    made = [index for index, one in enumerate(call.wanted) if one.target in outcome.ids]
    mirror.write_sent(
        connection, [_sent(call, index, outcome) for index in made], tenant=scope.tenant, term=call.ref.term
    )
    closing.done(connection, [call.wanted[index] for index in made], tenant=scope.tenant, lane=scope.lane)
    missing = [one.target for one in call.wanted if one.target not in outcome.ids]
    if missing:
        _look_again(connection, scope, call)
    else:
        _unpark(connection, scope, call)
    return GO_ON


def _sent(call: Call, index: int, outcome: Done) -> SentRow:
    one, body = call.wanted[index], call.bodies[index]
    assert one.mirrored is not None
    list_max = longer(one.mirrored.list_max)
    return SentRow(one.target, outcome.ids[one.target], one.desired_hash, body.start_ms, body.end_ms, list_max)


def _look_again(connection: Connection, scope: Scope, call: Call) -> None:
    """WPS has answered, so nothing lands later: only the lag of its lists has to pass."""
    at = now_ms(connection) + scope.times.lag_ms
    mirror.doubt_group(connection, tenant=scope.tenant, term=call.ref.term, group_id=call.ref.group_id, until=at)


def _members(connection: Connection, scope: Scope, call: Call, outcome: Done) -> Rest:
    one = call.wanted[0]
    assert call.members is not None
    key = {"tenant": scope.tenant, "term": call.ref.term, "group_id": call.ref.group_id}
    if call.members.remove is not None:
        mirror.drop_members(connection, [call.members.remove[0]], **key)
    asked = {user for user, _ in call.members.add}
    given = [row for row in outcome.permissions if row[0] in asked]
    mirror.add_members(connection, given, **key)
    if len({row[0] for row in given}) < len(asked):
        _look_again(connection, scope, call)
        return GO_ON
    _forget_intents(connection, scope, call)
    mirror.set_list_max(
        connection, [one.target], tenant=scope.tenant, term=call.ref.term, list_max=longer(_list_max(one))
    )
    if call.members.left_after:
        _give_back(connection, scope, call)
    else:
        _close_roll(connection, scope, call.ref.term, one, call.roll_hash)
    return GO_ON


def _list_max(one: Wanted) -> int:
    return one.mirrored.list_max if one.mirrored is not None else 100


def _close_roll(connection: Connection, scope: Scope, term: str, one: Wanted, roll_hash: str) -> None:
    mirror.write_sent(
        connection, [SentRow(one.target, "", roll_hash, None, None, _list_max(one))], tenant=scope.tenant, term=term
    )
    closing.done(connection, [one], tenant=scope.tenant, lane=scope.lane)


def _users(connection: Connection, scope: Scope, call: Call, outcome: Done) -> Rest:
    now = now_ms(connection)
    mine = (users.c.tenant_id == scope.tenant,)
    connection.execute(update(users).where(*mine, users.c.code.in_(call.codes)).values(checked_ms=now))
    for person in sorted(outcome.users, key=lambda one: one.ex_id):
        connection.execute(update(users).where(*mine, users.c.code == person.ex_id).values(wps_id=person.id))
    closing.done(connection, call.wanted, tenant=scope.tenant, lane=scope.lane)
    return GO_ON


def _walk(connection: Connection, scope: Scope, call: Call, outcome: Done) -> Rest:
    walks.store_page(
        connection,
        tenant=scope.tenant,
        walk_id=outcome.walk_id,
        calendars=[(one.id, one.name) for one in outcome.calendars],
        next_token=outcome.next_token,
    )
    failpoint("walk.after_page")
    if outcome.next_token is None:
        closing.done(connection, call.wanted, tenant=scope.tenant, lane=scope.lane)
    return GO_ON


_RECORDERS = {"calendar": _calendar, "members": _members, "event": _event, "users": _users, "walk": _walk}


# --- not done -----------------------------------------------------------------------------------------------------------


def _unpark(connection: Connection, scope: Scope, call: Call) -> None:
    mirror.free_group(connection, tenant=scope.tenant, term=call.ref.term, group_id=call.ref.group_id)


def _give_back(connection: Connection, scope: Scope, call: Call) -> None:
    """Return the attempt that was counted before the call."""
    if call.writes and call.alone:
        jobs.change_attempts(connection, tenant=scope.tenant, job_ids=[call.wanted[0].job_id], by=-1)


def _forget_intents(connection: Connection, scope: Scope, call: Call) -> None:
    targets = [one.target for one in call.wanted]
    mirror.clear_intents(connection, targets, tenant=scope.tenant, term=call.ref.term)
    _unpark(connection, scope, call)


def _unknown(connection: Connection, scope: Scope, call: Call, error: WpsError, *, answered: bool) -> Rest:
    """The intents stay. Where WPS has answered, only the lag of its lists has to be waited for.

    Something in the way of a write (a conflict) is answered in the same way: read, compare, and only then again.
    """
    ids, wait = [one.job_id for one in call.wanted], 0
    if error.outage:
        _give_back(connection, scope, call)
    elif call.alone and call.wanted[0].attempts < retries_after(error.error_class):
        wait = backoff_ms(error.policy, call.wanted[0].attempts + 1, random.random())  # noqa: S311 (jitter, not a secret)
    jobs.retry_later(
        connection, tenant=scope.tenant, job_ids=ids, wait_ms=wait, code=error.error_class, message=str(error)
    )
    if answered:
        _look_again(connection, scope, call)
    return GO_ON


def _refused(connection: Connection, scope: Scope, call: Call, error: WpsError, what: Reaction) -> Rest:
    ids = [one.job_id for one in call.wanted]
    if what is Reaction.REST:
        # None of these says anything about the jobs: their attempt is given back.
        _give_back(connection, scope, call)
        return rest_after(error)
    if what is Reaction.MAKE_ANEW:
        _not_there(connection, scope, call)
        return GO_ON
    if what is Reaction.LEAVE_OUT:
        assert call.members is not None
        _unmap(connection, scope, call.members.add[0][0])
        _give_back(connection, scope, call)
        return GO_ON
    if what is Reaction.HALVE:
        targets, half = [one.target for one in call.wanted], shorter(100, failed=len(call.wanted))
        mirror.set_list_max(connection, targets, tenant=scope.tenant, term=call.ref.term, list_max=half)
        jobs.retry_later(
            connection, tenant=scope.tenant, job_ids=ids, wait_ms=0, code=error.error_class, message=str(error)
        )
        return GO_ON
    if not call.writes:
        jobs.change_attempts(connection, tenant=scope.tenant, job_ids=ids, by=1)
    one = call.wanted[0]
    if call.kind == "walk":
        walks.abandon(connection, tenant=scope.tenant)
    if what is Reaction.BURY:
        closing.dead(connection, one, tenant=scope.tenant, lane=scope.lane, code=error.error_class, message=str(error))
        return GO_ON
    wait = backoff_ms(error.policy, one.attempts + 1, random.random())  # noqa: S311 (jitter, not a secret)
    jobs.retry_later(
        connection, tenant=scope.tenant, job_ids=ids, wait_ms=wait, code=error.error_class, message=str(error)
    )
    return Rest(1000, "token renewed") if isinstance(error, WpsAuth) else GO_ON


def _not_there(connection: Connection, scope: Scope, call: Call) -> None:
    """An event that was to be changed is created anew; anything else means that its calendar is gone."""
    one = call.wanted[0]
    if call.kind == "event" and call.verb is Verb.UPDATE and one.mirrored is not None:
        gone(connection, scope, one.mirrored, term=call.ref.term)
        return
    calendar = mirror.read_one(connection, tenant=scope.tenant, term=call.ref.term, target=call.ref.group_id)
    forget_calendar(connection, scope, term=call.ref.term, group_id=call.ref.group_id)
    if calendar is not None:
        put_calendar_again(connection, scope, calendar, term=call.ref.term, run_id=one.run_id)


def put_calendar_again(
    connection: Connection, scope: Scope, calendar: Mirrored, *, term: str, run_id: str | None
) -> None:
    """Somebody deleted the calendar: it is asked for again, unless an open job says already what is wanted of it."""
    if calendar.name is None or jobs.is_open(connection, tenant=scope.tenant, kind="calendar", target=calendar.target):
        return
    one = Put(
        kind="calendar",
        target=calendar.target,
        group_id=calendar.target,
        term=term,
        lane=scope.lane,
        payload=json.dumps({"name": calendar.name}, ensure_ascii=False),
        desired_hash=key_of(calendar.name),
        tier=0,
        priority=0,
    )
    jobs.put(
        connection,
        [one],
        tenant=scope.tenant,
        import_no=calendar.import_no,
        run_id=run_id,
        new_id=scope.deps.new_id,
    )


def _unmap(connection: Connection, scope: Scope, user_id: str) -> None:
    """WPS does not know the account any more: the person is looked up again by the next run."""
    connection.execute(
        update(users).where(users.c.tenant_id == scope.tenant, users.c.wps_id == user_id).values(wps_id=None)
    )


# --- without a call -----------------------------------------------------------------------------------------------------


def close(connection: Connection, scope: Scope, work: Closing) -> None:
    """Close jobs whose target already is what they ask for."""
    if work.wanted[0].kind == "members":
        _close_roll(connection, scope, work.ref.term, work.wanted[0], work.roll_hash)
        return
    closed = closing.done(connection, work.wanted, tenant=scope.tenant, lane=scope.lane)
    one = work.wanted[0]
    if closed and one.kind == "calendar" and not one.desired_hash:
        # It was never made, and nobody wants it any more: what waits for it would wait for ever.
        calendar_deleted(connection, scope, term=work.ref.term, group_id=work.ref.group_id, wanted_again=False)


def bury(connection: Connection, scope: Scope, work: Burying) -> None:
    """Jobs that used up their attempts become dead letters."""
    for one in work.wanted:
        message = f"gave up after {one.attempts} attempts; last: {one.last_error or 'its worker died'}"
        code = one.error_code or "attempts"
        closing.dead(connection, one, tenant=scope.tenant, lane=scope.lane, code=code, message=message)
