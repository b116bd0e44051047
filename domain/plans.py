"""What should exist at WPS for a course, and how that differs from what does."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from domain.alterations import Alteration, lines, titled
from domain.calendars import EventBody
from domain.settlement import Mirrored, Verb, verb_for

GONE = "null"
PLACE_CHARS = 1024  # of a location's name
DESCRIPTION_CHARS = 1900  # a description has 2,000, and the marker needs a line of it
PRIORITY = {"calendar": 0, "members": 1, "event": 2}


@dataclass(frozen=True, slots=True)
class Desired:
    """One remote object that should be there: its target, the hash of its content, the payload of its job, and words
    for a person to recognise it by."""

    kind: str
    target: str
    hash: str
    payload: str
    label: str


@dataclass(frozen=True, slots=True)
class Operation:
    """A difference: what has to be sent for a target. `desired` None: it should not be there."""

    kind: str
    target: str
    verb: Verb
    desired: Desired | None
    label: str


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session as far as its event shows it; instants in milliseconds UTC."""

    id: str
    date: str
    start_ms: int
    end_ms: int
    rooms: tuple[tuple[str, str, str], ...]
    teachers: tuple[str, ...]
    alteration: Alteration | None = None


def calendar_target(offering_id: str) -> str:
    return f"cal:{offering_id}"


def members_target(offering_id: str) -> str:
    return f"mem:{offering_id}"


def event_target(session_id: str) -> str:
    return f"evt:{session_id}"


def course_title(*, name: str, kcbh: str, kkh: str) -> str:
    """What people call a course; nameless ones go by their code, then by the offering's number."""
    return name or kcbh or kkh


def event_of(session: SessionView, *, summary: str) -> EventBody:
    """The event of a session, without its marker: rooms as one place, teachers as a line, and what was changed."""
    places = sorted({lq + room for _, lq, room in session.rooms if lq + room})
    text = f"教师：{'、'.join(session.teachers)}" if session.teachers else ""
    if session.alteration is not None:
        summary = titled(summary, session.alteration)
        text = "\n".join([*filter(None, [text]), *lines(session.alteration, teachers=session.teachers)])
    text = _cut(text, DESCRIPTION_CHARS)
    return EventBody(summary, text, session.start_ms, session.end_ms, _cut("、".join(places), PLACE_CHARS) or None)


def event_hash(session: SessionView, *, summary: str) -> str:
    """The hash of a session's event, as `desired_event` has it."""
    return event_of(session, summary=summary).content_hash()


# One for all: `json.dumps` with options makes an encoder at every call.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def desired_event(session: SessionView, *, summary: str) -> Desired:
    """The job of a session's event."""
    body = event_of(session, summary=summary)
    want = {
        "summary": body.summary,
        "description": body.description,
        "start_ms": body.start_ms,
        "end_ms": body.end_ms,
        "location": body.location,
    }
    return Desired(
        "event", event_target(session.id), body.content_hash(), _encode(want), f"{body.summary} {session.date}"
    )


def diff(
    desired: Sequence[Desired],
    mirrored: Iterable[Mirrored],
    *,
    queued: Mapping[str, str],
    calendar: str,
    dead: Collection[str] = (),
) -> list[Operation]:
    """The operations that turn what is mirrored into what is desired; none when both agree.

    `queued` has the hash that each open job asks for: one that asks for something else than is desired now is replaced
    even where the mirror agrees. `dead` are the targets of dead letters: what is wanted of them is asked for again whatever
    the mirror says. When the calendar goes, everything in it goes with it and needs no operation.
    """
    have = {one.target: one for one in mirrored}
    want = {one.target: one for one in desired}
    found: list[Operation] = []
    for one in desired:
        verb = _verb(one, have.get(one.target), waiting=queued.get(one.target))
        if verb is Verb.NOTHING and one.target in dead:
            verb = Verb.UPDATE
        if verb is not Verb.NOTHING:
            found.append(Operation(one.kind, one.target, verb, one, one.label))
    calendar_goes = calendar not in want
    for target, there in have.items():
        if target in want or there.kind == "members" or (calendar_goes and target != calendar):
            continue
        if is_copy(target) and target not in dead:
            continue
        asked_for = bool(queued.get(target))
        if there.state == "live" or there.intent is not None or asked_for:
            found.append(Operation(there.kind, target, Verb.DELETE, None, there.name or target))
    return found


def is_copy(target: str) -> bool:
    """Whether the target is a second copy of something of ours: deleted by settlement or repair, not by a plan."""
    return target.startswith("sur:")


def _verb(one: Desired, there: Mirrored | None, *, waiting: str | None) -> Verb:
    if one.kind == "members" and there is None:
        return Verb.NOTHING if one.hash == "" else Verb.CREATE
    if there is None:
        return Verb.CREATE
    if one.kind == "members":
        verb = Verb.NOTHING if there.sent_hash == one.hash else Verb.UPDATE
    else:
        verb = verb_for(there, desired_hash=one.hash)
    if verb is Verb.NOTHING and ((waiting is not None and waiting != one.hash) or there.intent is not None):
        return Verb.UPDATE
    return verb
