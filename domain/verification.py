"""What WPS shows of a calendar against what the mirror says was sent there.

    mirror rows ─┐
                 ├─ compare ─▶ differences ─ action_for ─▶ heal | wait for another look | ticket
    a whole walk ┘

Nothing here heals by itself: a difference is acted on only when a second walk sees it too, because one look at lists that
lag proves little, and a copy that is deleted by mistake does not come back.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from domain.ids import key_of
from domain.settlement import Mirrored

LOOKS_BEFORE_HEALING = 2


class What(StrEnum):
    """The kinds of difference."""

    CALENDAR_GONE = "calendar_gone"
    CALENDAR_RENAMED = "calendar_renamed"
    CALENDAR_COPY = "calendar_copy"  # a second calendar has the whole name of one of ours
    EVENT_MISSING = "event_missing"
    EVENT_EDITED = "event_edited"
    EVENT_REPLACED = "event_replaced"  # ours is gone, and another event carries its marker
    EVENT_COPY = "event_copy"  # a second event carries the marker of one that is there
    EVENT_UNKNOWN = "event_unknown"  # a marker in our form that belongs to nothing of this calendar
    MEMBER_MISSING = "member_missing"
    MEMBER_EXTRA = "member_extra"
    MEMBER_ROLE = "member_role"


KIND = {one: one.value.partition("_")[0] for one in What}
"""What a difference is about: calendar, event or member."""

SURPLUS = frozenset({What.CALENDAR_COPY, What.EVENT_COPY, What.EVENT_UNKNOWN})


@dataclass(frozen=True, slots=True)
class SeenEvent:
    """An event as the walk saw it, cancelled ones left out. `hash` is that of its content; instants are ms UTC."""

    id: str
    marker: str | None
    hash: str
    start_ms: int
    end_ms: int
    summary: str
    location: str | None


@dataclass(frozen=True, slots=True)
class SeenMember:
    """A permission as the walk saw it, the owner's left out."""

    user_id: str
    role: str
    permission_id: str


@dataclass(frozen=True, slots=True)
class SeenCalendar:
    """Everything a whole walk of one calendar saw; `gone` when there is no such calendar any more."""

    gone: bool
    name: str = ""
    events: tuple[SeenEvent, ...] = ()
    members: tuple[SeenMember, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was sent.

    `target` is ours, or blank where nothing of ours is meant; `thing` tells differences of one target apart: the id of the
    event, of the person or of the second calendar. `remote_id` is the event or calendar that a healing acts on.
    """

    what: What
    target: str
    thing: str
    remote_id: str | None = None
    theirs: SeenEvent | None = None
    ours: str = ""
    seen: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The differences of a calendar, and how much was looked at. `strangers` are events of other people: left alone."""

    differences: tuple[Difference, ...]
    events: int = 0
    strangers: int = 0
    members: int = 0


def fingerprint(rows: Sequence[Mirrored], members: Mapping[str, tuple[str, str]]) -> str:
    """Changes with whatever a call of ours changes in the mirror of a calendar: a walk is good only while it is the same."""
    parts = [
        (row.target, row.state, row.remote_id, row.marker, row.sent_hash, row.name, row.intent is not None)
        for row in sorted(rows, key=lambda one: one.target)
        if row.state != "none" or row.intent is not None
    ]
    return key_of(json.dumps([parts, sorted(members.items())], ensure_ascii=True))


def compare(
    *,
    calendar: Mirrored,
    rows: Sequence[Mirrored],
    members: Mapping[str, str],
    seen: SeenCalendar,
    namesakes: Collection[str] = (),
) -> Verdict:
    """What differs between the mirror of a calendar (its own row, the rows in it, user → role) and what a walk saw.

    `namesakes` are the ids of all calendars that had its whole name in a walk of the list of calendars, its own among them.

    A target whose last write is in doubt is left out: settlement answers for it. So is everything that is not there yet:
    what is still to be sent is the planner's business.
    """
    found = _copies(calendar, namesakes)
    if seen.gone:
        gone = Difference(What.CALENDAR_GONE, calendar.target, calendar.remote_id or "", ours=_name(calendar))
        return Verdict((gone, *found))
    # The hash, because the name in the mirror may be one that was only about to be given.
    if calendar.intent is None and key_of(seen.name) != calendar.sent_hash:
        found.append(
            Difference(What.CALENDAR_RENAMED, calendar.target, calendar.target, ours=_name(calendar), seen=seen.name)
        )
    found += _events([row for row in rows if row.kind == "event"], seen.events)
    target = next((row for row in rows if row.kind == "members"), None)
    if target is None or target.intent is None:
        found += _members(f"mem:{calendar.target.partition(':')[2]}", members, seen.members)
    strangers = sum(1 for one in seen.events if one.marker is None and one.id not in _ids(rows))
    return Verdict(tuple(found), len(seen.events), strangers, len(seen.members))


def _copies(calendar: Mirrored, namesakes: Collection[str]) -> list[Difference]:
    name = _name(calendar)
    if calendar.intent is not None:
        return []
    return [
        Difference(What.CALENDAR_COPY, calendar.target, one, one, ours=name, seen=name)
        for one in sorted(namesakes)
        if one != calendar.remote_id
    ]


def _name(calendar: Mirrored) -> str:
    return calendar.name or ""


def _ids(rows: Sequence[Mirrored]) -> set[str]:
    """What is accounted for. A copy that should be deleted is not, unless its deletion is in doubt."""
    return {
        row.remote_id
        for row in rows
        if row.remote_id is not None and (row.intent is not None or not row.target.startswith("sur:"))
    }


def doubtful(rows: Sequence[Mirrored], events: Mapping[str, SeenEvent]) -> list[str]:
    """Ids of our events that the lists do not show as they were sent: each is looked at by itself before it is reported.

    Somebody may have moved it out of every window, and a list may lag behind.
    """
    found = []
    for row in rows:
        if row.kind == "event" and _is_there(row) and row.remote_id is not None:
            here = events.get(row.remote_id)
            if here is None or not _as_sent(row, here):
                found.append(row.remote_id)
    return sorted(found)


def _is_there(row: Mirrored) -> bool:
    return row.state == "live" and row.intent is None and not row.target.startswith("sur:")


def _as_sent(row: Mirrored, here: SeenEvent) -> bool:
    return here.hash == row.sent_hash and here.marker == row.marker


def _events(rows: Sequence[Mirrored], seen: Sequence[SeenEvent]) -> list[Difference]:
    by_id = {one.id: one for one in seen}
    by_marker: dict[str, list[SeenEvent]] = {}
    known = _ids(rows)
    for one in sorted(seen, key=lambda event: event.id):
        if one.marker is not None and one.id not in known:
            by_marker.setdefault(one.marker, []).append(one)
    found: list[Difference] = []
    for row in sorted(rows, key=lambda one: one.target):
        mates = by_marker.pop(row.marker, []) if row.marker is not None and row.state == "live" else []
        if row.intent is not None and row.marker is not None:
            by_marker.pop(row.marker, None)
            continue
        if not _is_there(row):
            continue
        here = by_id.get(row.remote_id or "")
        if here is None and mates:
            first, *mates = mates
            found.append(Difference(What.EVENT_REPLACED, row.target, row.target, first.id, first))
        elif here is None:
            found.append(Difference(What.EVENT_MISSING, row.target, row.target, row.remote_id))
        elif not _as_sent(row, here):
            found.append(Difference(What.EVENT_EDITED, row.target, row.target, here.id, here))
        found += [Difference(What.EVENT_COPY, row.target, one.id, one.id, one) for one in mates]
    for marker in sorted(by_marker):
        found += [Difference(What.EVENT_UNKNOWN, "", one.id, one.id, one) for one in by_marker[marker]]
    return found


def _members(target: str, ours: Mapping[str, str], seen: Sequence[SeenMember]) -> list[Difference]:
    theirs = {one.user_id: one.role for one in seen}
    found = []
    for user in sorted(ours.keys() | theirs.keys()):
        mine, there = ours.get(user), theirs.get(user)
        if mine == there:
            continue
        what = What.MEMBER_EXTRA if mine is None else What.MEMBER_MISSING if there is None else What.MEMBER_ROLE
        found.append(Difference(what, target, user, ours=mine or "", seen=there or ""))
    return found


FIELDS = ("summary", "start_ms", "end_ms", "location")


def fields_that_differ(theirs: SeenEvent, wanted: Mapping[str, object]) -> list[str]:
    """The fields of an event that are not as wanted. No place and a blank one read the same."""
    found = []
    for name in FIELDS:
        there, ours = getattr(theirs, name), wanted.get(name)
        if there != ours and (there or ours):
            found.append(name)
    return found


def field_by_field(
    rows: Sequence[Mirrored], seen: Sequence[SeenEvent], wanted: Mapping[str, tuple[str, Mapping[str, object]]]
) -> list[Difference]:
    """Events that count as sent, and of which a field is not what the timetable asks for (target → hash and fields)."""
    by_id = {one.id: one for one in seen}
    found = []
    for row in sorted(rows, key=lambda one: one.target):
        here = by_id.get(row.remote_id or "")
        hash_, fields = wanted.get(row.target, ("", {}))
        if here is None or not _is_there(row) or row.sent_hash != hash_ or not _as_sent(row, here):
            continue
        if fields_that_differ(here, fields):
            found.append(Difference(What.EVENT_EDITED, row.target, row.target, here.id, here))
    return found


class Action(StrEnum):
    """What a repair does about a difference."""

    CREATE = "create"
    UPDATE = "update"
    ADOPT = "adopt"
    DELETE = "delete"
    RENAME = "rename"
    REBUILD = "rebuild"
    MEMBERS = "members"
    LOOK_AGAIN = "look_again"
    TICKET = "ticket"


_HEALING = {
    What.CALENDAR_GONE: Action.REBUILD,
    What.CALENDAR_RENAMED: Action.RENAME,
    What.CALENDAR_COPY: Action.DELETE,
    What.EVENT_MISSING: Action.CREATE,
    What.EVENT_EDITED: Action.UPDATE,
    What.EVENT_REPLACED: Action.ADOPT,
    What.EVENT_COPY: Action.DELETE,
    What.EVENT_UNKNOWN: Action.DELETE,
    What.MEMBER_MISSING: Action.MEMBERS,
    What.MEMBER_EXTRA: Action.MEMBERS,
    What.MEMBER_ROLE: Action.MEMBERS,
}


def action_for(what: What, target: str, *, looks: int, changing: Collection[str]) -> Action:
    """What a repair does about a difference that `looks` walks have seen.

    `changing` are the targets for which the timetable asks for something else than was sent: both sides changed, so a person
    should know before one of them is lost. Copies and people are simple even then.
    """
    if looks < LOOKS_BEFORE_HEALING:
        return Action.LOOK_AGAIN
    healing = _HEALING[what]
    simple = what in SURPLUS or healing is Action.MEMBERS
    return Action.TICKET if target in changing and not simple else healing
