"""From a lane's rows to its next call: the calendar that is most urgent, and what of it fits one call."""

import json
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection

from db import mirror, pins, rolls
from db.clock import now_ms
from db.mirror import GroupRef, Wanted
from domain.calendars import EventBody, with_marker, with_restored_line
from domain.list_size import ListSizes
from domain.outcomes import is_worn_out
from domain.rolls import roll_hash
from domain.settlement import Candidate, Mirrored, Verb, choose_events, member_call, verb_for
from domain.tiers import NEAR
from remote.wps.errors import retries_after
from usecases.sync.work import Burying, Call, Closing, Settling, Verifying, Work


def choose(
    connection: Connection, *, tenant: str, lane: str, sizes: ListSizes, busy: Sequence[str] = ()
) -> Work | None:
    """The lane's next work, or None when nothing is due. The calendars `busy`, two at most, are left out: a call of them is in
    flight, or what came of it is not written yet.

    A list is as long as `sizes` and the most careful of its rows allow.
    """
    now = now_ms(connection)
    found = mirror.due_group(connection, tenant=tenant, lane=lane, now=now, busy=busy)
    if found is None:
        return None
    ref, calendar = found
    if ref.settle:
        intents = mirror.open_intents(connection, tenant=tenant, term=ref.term, group_id=ref.group_id)
        return Settling(ref, calendar, tuple(intents)) if calendar is not None else None
    wanted = mirror.due_jobs(connection, tenant=tenant, lane=lane, ref=ref, now=now)
    if not wanted:
        return None
    worn_out = tuple(one for one in wanted if is_worn_out(one.attempts, max_attempts=retries_after(one.error_code) + 1))
    if worn_out:
        return Burying(ref, worn_out)
    if wanted[0].kind in ("users", "walk"):
        return _look_up(ref, wanted[0])
    work = _of_calendar(connection, ref, calendar, wanted, tenant=tenant, sizes=sizes)
    return replace(work, leaves_some=_leaves_some(work, wanted)) if isinstance(work, Call) else work


def _leaves_some(call: Call, due: Sequence[Wanted]) -> bool:
    return len(call.wanted) < len(due) or (call.members is not None and call.members.left_after)


def _look_up(ref: GroupRef, one: Wanted) -> Call:
    codes = tuple(json.loads(one.payload)["codes"]) if one.kind == "users" else ()
    return Call(ref, one.kind, Verb.NOTHING, (one,), codes=codes)


def _of_calendar(
    connection: Connection,
    ref: GroupRef,
    calendar: Mirrored | None,
    wanted: Sequence[Wanted],
    *,
    tenant: str,
    sizes: ListSizes,
) -> Work | None:
    if calendar is None:
        return None
    by_kind: dict[str, list[Wanted]] = {}
    for one in wanted:
        # A target whose last write is still open is settled before anything else is sent for it.
        if one.mirrored is not None and one.mirrored.intent is None:
            by_kind.setdefault(one.kind, []).append(one)
    if "calendar" in by_kind:
        return _calendar(ref, by_kind["calendar"][0], calendar)
    if calendar.state != "live" or calendar.remote_id is None:
        return None
    urgent = "event" in by_kind and min(one.tier for one in by_kind["event"]) < NEAR
    if "members" in by_kind and not (urgent and by_kind["members"][0].tier >= NEAR):
        one, room = by_kind["members"][0], sizes.members
        return _members(connection, ref, one, calendar.remote_id, tenant=tenant, room=room)
    if "event" in by_kind:
        return _events(ref, by_kind["event"], calendar.remote_id, room=sizes.event)
    # Last of all, and only looked at: what is about to change would be reported as a difference.
    return next((Verifying(ref, calendar, one) for one in wanted if one.kind == "verify"), None)


def _calendar(ref: GroupRef, one: Wanted, calendar: Mirrored) -> Work:
    verb = verb_for(calendar, desired_hash=one.desired_hash or None)
    if verb is Verb.NOTHING:
        return Closing(ref, (one,))
    name = json.loads(one.payload)["name"] if one.desired_hash else ""
    return Call(ref, "calendar", verb, (one,), calendar_id=calendar.remote_id or "", name=name)


def _members(connection: Connection, ref: GroupRef, one: Wanted, calendar_id: str, *, tenant: str, room: int) -> Work:
    assert one.mirrored is not None
    said = json.loads(one.payload)
    # Read now, and not when it was planned: the roll, or what a person had taken back.
    kept = None
    if said.get("pinned"):
        kept = pins.people(connection, tenant=tenant, term=ref.term, target=one.target)
    wanted = (
        rolls.members_now(connection, tenant=tenant, term=ref.term, group_id=ref.group_id) if kept is None else kept
    )
    present = mirror.present_members(connection, tenant=tenant, term=ref.term, group_id=ref.group_id)
    call = member_call(wanted=wanted, present=present, list_max=min(room, one.mirrored.list_max))
    if call is None:
        return Closing(ref, (one,), roll_hash(wanted))
    verb = Verb.CREATE if call.add else Verb.DELETE
    return Call(ref, "members", verb, (one,), calendar_id=calendar_id, members=call, roll_hash=roll_hash(wanted))


def _events(ref: GroupRef, wanted: Sequence[Wanted], calendar_id: str, *, room: int) -> Work:
    by_target = {one.target: one for one in wanted}
    candidates = []
    for one in wanted:
        assert one.mirrored is not None
        verb = verb_for(one.mirrored, desired_hash=one.desired_hash or None)
        # One that has failed alone before goes alone again, so that it cannot take others with it.
        list_max = 1 if one.attempts else min(room, one.mirrored.list_max)
        candidates.append(Candidate(one.target, verb, list_max, one.tier))
    verb, targets = choose_events(candidates)
    chosen = tuple(by_target[target] for target in targets)
    if verb is Verb.NOTHING:
        return Closing(ref, chosen)
    bodies = tuple(body_of(one) for one in chosen) if verb is not Verb.DELETE else ()
    return Call(ref, "event", verb, chosen, calendar_id=calendar_id, bodies=bodies)


def body_of(one: Wanted) -> EventBody:
    """The event that a job asks for, with the marker of its target."""
    assert one.mirrored is not None and one.mirrored.marker is not None
    want = json.loads(one.payload)
    text = with_restored_line(want["description"]) if want.get("restored") else want["description"]
    return EventBody(
        summary=want["summary"],
        description=with_marker(text, one.mirrored.marker),
        start_ms=want["start_ms"],
        end_ms=want["end_ms"],
        location=want["location"],
    )
