"""Typed teaching changes laid over the sessions of the source: sessions as the source has them → sessions as they are to be.

    source ─▶ identity ─▶ exchange days ─▶ changes, one aspect after the other ─▶ what people see

A change says one thing about one class. Of each *aspect* (when, where, by whom, whether at all) the latest change that
stands counts, so that withdrawing one brings back the one before it, in whatever order they came. A change of a single class
goes before an exchange day, which is about all classes of a day.

*Identity.* A class that was moved, or made up, keeps its session id. Where the source catches up it may say so by another
week, weekday or period, which is another id there: the session that stands where the change had put the class takes the
class's id, from then on.

*Catching up.* Where the source says what the change says, the change is absorbed, and with it the earlier ones of its aspect:
from then on the source alone counts, also where it goes on to something else. A cancelled class that the source drops stays
as cancelled, so that nobody wonders where it went; it is held again only when a person says so.

*Contradiction.* Where the source says something that it did not say when the change was made, and that is not what the change
says either, the change stands and a person is told: somebody decided it, and people know of it. To follow the source, the
change is withdrawn.

Nothing here depends on the order of the sessions, and the same sessions with the same changes give the same again.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from domain.aggregation import Room, Session, session_id
from domain.alterations import (
    CANCELLED,
    EXCHANGE_DAY,
    MAKE_UP,
    MOVED,
    RESTORED,
    ROOM_CHANGE,
    SUBSTITUTE,
    TYPES,
    Alteration,
    Original,
    places,
)
from domain.terms import PeriodTable, Term
from domain.timetable import local_ms

APPLIED, ABSORBED, WITHDRAWN = "applied", "absorbed", "withdrawn"
STATES: Final = (APPLIED, ABSORBED, WITHDRAWN)

WHEN, WHERE, WHO, HELD = "when", "where", "who", "held"
ASPECT: Final = {MOVED: WHEN, ROOM_CHANGE: WHERE, SUBSTITUTE: WHO, CANCELLED: HELD, RESTORED: HELD}
"""Type → what about a class it says. A make-up makes a class, an exchange day is about a day."""

_DAY_S: Final = 24 * 3600


@dataclass(frozen=True, slots=True)
class Before:
    """A class as the source had it when the change was made. Instants are milliseconds UTC."""

    jxz: int | None
    zc: int | None
    periods: tuple[int, ...]
    date: str
    start_ms: int
    end_ms: int
    rooms: tuple[Room, ...]
    teachers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one class, not withdrawn; `order` tells which of two is later. Only what its type needs is given:

    moved: date, start_ms, end_ms · room_change: rooms · substitute: teachers as (code, name) · make_up: all of these.
    `source_id` is the session of the source that took the id of the class, once it did.
    """

    id: str
    type: str
    session_id: str
    order: tuple[int, str]
    state: str = APPLIED
    date: str = ""
    start_ms: int = 0
    end_ms: int = 0
    rooms: tuple[Room, ...] = ()
    teachers: tuple[tuple[str, str], ...] = ()
    reason: str = ""
    before: Before | None = None
    source_id: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The teachers as a class has them."""
        return tuple(sorted({name or code for code, name in self.teachers}))


@dataclass(frozen=True, slots=True)
class DayRule:
    """The classes of a day are held on another one, or not at all (`held_on` None)."""

    id: str
    day: date
    held_on: date | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Around:
    """What a class of a term is seen against."""

    zone: ZoneInfo
    term: Term
    periods: PeriodTable
    days: Mapping[date, DayRule] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a change. `classless`: the source has no such class any more; `says`: what it says otherwise."""

    state: str
    source_id: str | None = None
    classless: bool = False
    says: str = ""


@dataclass(frozen=True, slots=True)
class Overlaid:
    """Sessions as they are to be, by date and time, and a verdict for each change."""

    sessions: list[Session]
    verdicts: dict[str, Verdict]


def make_up_id(offering_id: str, change_id: str) -> str:
    """The session id of a make-up class."""
    return session_id(offering_id, MAKE_UP, change_id)


def overlay(sessions: Iterable[Session], changes: Iterable[Change], around: Around) -> Overlaid:
    """Lay the changes of one offering, withdrawn ones left out, and the exchange days of its term over its sessions."""
    mine = sorted(changes, key=lambda one: one.order)
    found, took = _identities(sessions, mine)
    verdicts: dict[str, Verdict] = {}
    made: list[Session] = []
    by_session: dict[str, list[Change]] = {}
    for one in mine:
        by_session.setdefault(one.session_id, []).append(one)
    for known in sorted(found.keys() | by_session.keys()):
        about = _Class(found.get(known), by_session.get(known, []), around)
        made += about.session()
        verdicts |= about.verdicts
    verdicts |= {change_id: replace(verdicts[change_id], source_id=one) for change_id, one in took.items()}
    return Overlaid(sorted(made, key=lambda one: (one.date, one.start_ms, one.end_ms, one.id)), verdicts)


def _identities(sessions: Iterable[Session], changes: Sequence[Change]) -> tuple[dict[str, Session], dict[str, str]]:
    """Sessions of the source by the ids that their classes keep; and change → the session that it took."""
    found = {one.id: one for one in sessions}
    named = {one.session_id for one in changes}
    took: dict[str, str] = {}
    for one in changes:
        if one.type not in (MOVED, MAKE_UP) or one.session_id in found:
            continue
        there = found.get(one.source_id) if one.source_id is not None else _standing_at(one, found, named)
        if there is not None:
            found[one.session_id] = replace(found.pop(there.id), id=one.session_id)
            took[one.id] = there.id
    return found, took


def _standing_at(change: Change, found: Mapping[str, Session], named: set[str]) -> Session | None:
    """A session of the source that nobody has changed and that stands where the change puts its class."""
    if change.state == ABSORBED:
        return None
    at = (change.date, change.start_ms)
    some = [one for one in found.values() if (one.date, one.start_ms) == at and one.id not in named]
    return min(some, key=lambda one: one.id, default=None)


@dataclass(slots=True)
class _Class:
    """One class: what the source says of it, and its changes in their order."""

    source: Session | None
    changes: list[Change]
    around: Around
    verdicts: dict[str, Verdict] = field(default_factory=dict)

    def session(self) -> list[Session]:
        """The class as it is to be, if it is to be at all. Fills the verdicts."""
        base = self.source if self.source is not None else self._without_source()
        if base is None:
            for one in self.changes:
                self.verdicts[one.id] = Verdict(one.state, one.source_id, classless=one.state == APPLIED)
            return []
        for one in self.changes:
            caught_up = one.type == MAKE_UP and self.source is not None
            self.verdicts[one.id] = Verdict(ABSORBED if caught_up else one.state, one.source_id)
        standing = {aspect: self._standing(aspect) for aspect in (WHEN, WHERE, WHO, HELD)}
        return [self._altered(base, {aspect: one for aspect, one in standing.items() if one is not None})]

    def _without_source(self) -> Session | None:
        """A make-up, or a class that was cancelled and that the source does not have any more."""
        for one in self.changes:
            if one.type == MAKE_UP and one.state == APPLIED:
                return Session(
                    one.session_id, None, None, (), one.date, one.start_ms, one.end_ms, one.rooms, one.names, ()
                )  # fmt: skip
        held = [one for one in self.changes if ASPECT.get(one.type) == HELD]
        if not held or held[-1].type != CANCELLED or held[-1].before is None:
            return None
        was = held[-1].before
        return Session(
            held[-1].session_id, was.jxz, was.zc, was.periods, was.date, was.start_ms, was.end_ms, was.rooms,
            was.teachers, (), source_date=was.date,
        )  # fmt: skip

    def _standing(self, aspect: str) -> Change | None:
        """The change that counts for an aspect; those that the source has caught up with are absorbed."""
        mine = [one for one in self.changes if ASPECT.get(one.type) == aspect]
        if aspect == HELD:
            return self._held(mine)
        mine = [one for one in mine if one.state == APPLIED]
        if not mine:
            return None
        value = _VALUE_OF[aspect]
        if self.source is not None and value(mine[-1]) == _SAID[aspect](self.source):
            for one in mine:
                self.verdicts[one.id] = Verdict(ABSORBED, one.source_id)
            return None
        self._contradicted(aspect, mine)
        return mine[-1]

    def _held(self, mine: Sequence[Change]) -> Change | None:
        gone = self.source is None and not any(one.type == MAKE_UP for one in self.changes)
        for one in mine:
            # Only for as long as the class is missing there: a source that loses a row for a day restores nothing.
            if one.type == CANCELLED:
                self.verdicts[one.id] = Verdict(ABSORBED if gone else APPLIED, one.source_id)
        return mine[-1] if mine else None

    def _contradicted(self, aspect: str, mine: Sequence[Change]) -> None:
        if self.source is None:
            return
        says, value = _SAID[aspect](self.source), _VALUE_OF[aspect]
        expected = [value(one) for one in mine] + [_SAID[aspect](one.before) for one in mine if one.before is not None]
        if says not in expected and mine[-1].before is not None:
            last = mine[-1]
            self.verdicts[last.id] = Verdict(APPLIED, last.source_id, says=_words(aspect, self.source, self.around))

    def _altered(self, base: Session, standing: Mapping[str, Change]) -> Session:
        now, types, reasons = base, set[str](), list[tuple[tuple[int, str], str]]()
        rule = self._rule(base, standing)
        if rule is not None:
            reasons.append(((0, ""), rule.reason))
            if rule.held_on is None:
                types |= {CANCELLED, EXCHANGE_DAY}
            elif WHEN not in standing:
                now = on_day(base, rule.held_on, self.around)
                types.add(EXCHANGE_DAY)
        for change in standing.values():
            now = _applied(now, change)
            types |= {change.type} - {RESTORED}
            reasons.append((change.order, "" if change.type == RESTORED else change.reason))
        substitutes = tuple(sorted(code for code, _ in standing[WHO].teachers if code)) if WHO in standing else ()
        reasons += self._make_up_reason(types)
        if not types:
            return base
        return replace(
            now,
            alteration=Alteration(
                tuple(one for one in TYPES if one in types),
                None if MAKE_UP in types else original(base, self.around.zone),
                tuple(dict.fromkeys(reason for _, reason in sorted(reasons) if reason)),
                substitutes,
            ),
        )

    def _make_up_reason(self, types: set[str]) -> list[tuple[tuple[int, str], str]]:
        made = next((one for one in self.changes if one.type == MAKE_UP and self.source is None), None)
        if made is None or made.state != APPLIED:
            return []
        types.add(MAKE_UP)
        return [(made.order, made.reason)]

    def _rule(self, base: Session, standing: Mapping[str, Change]) -> DayRule | None:
        """The exchange day that concerns the class: that of its day in the source, unless a person has said otherwise."""
        if not self.around.days or not base.source_date:
            return None
        rule = self.around.days.get(teaching_day(base, self.around.term))
        if rule is None:
            return None
        if rule.held_on is None:
            return None if HELD in standing or WHEN in standing else rule
        return None if base.date == rule.held_on.isoformat() else rule


def _applied(now: Session, change: Change) -> Session:
    if change.type == MOVED:
        return replace(now, date=change.date, start_ms=change.start_ms, end_ms=change.end_ms)
    if change.type == ROOM_CHANGE:
        return replace(now, rooms=change.rooms)
    return replace(now, teachers=change.names) if change.type == SUBSTITUTE else now


_SAID: Final[Mapping[str, Callable[[Any], Any]]] = {
    WHEN: lambda one: (one.date, one.start_ms, one.end_ms),
    # By what people read: who decides may not know which campus and building the source writes.
    WHERE: lambda one: places(one.rooms),
    WHO: lambda one: one.teachers,
}
_VALUE_OF: Final[Mapping[str, Callable[[Change], Any]]] = {**_SAID, WHO: lambda one: one.names}


def _words(aspect: str, session: Session, around: Around) -> str:
    said = original(session, around.zone)
    if aspect == WHEN:
        return f"{said.date} {said.hours}"
    if aspect == WHO:
        return "、".join(said.teachers) or "—"
    return places(said.rooms) or "—"


def original(session: Session, zone: ZoneInfo) -> Original:
    """The class as the source has it, with its hours in words."""
    start, end = (datetime.fromtimestamp(ms / 1000, zone) for ms in (session.start_ms, session.end_ms))
    return Original(
        session.date, f"{start:%H:%M}–{end:%H:%M}", session.start_ms, session.end_ms, session.rooms, session.teachers
    )


def teaching_day(session: Session, term: Term) -> date:
    """The day whose class it is: where the term's own exchange days have moved it already, the day it was moved from."""
    held = date.fromisoformat(session.source_date or session.date)
    if term.first_monday is None or session.jxz is None or session.zc is None:
        return held
    planned = term.first_monday + timedelta(days=7 * (session.jxz - 1) + session.zc - 1)
    return planned if term.made_up.get(planned) == held else held


def on_day(session: Session, day: date, around: Around) -> Session:
    """The class on another day, at its hours: those of its periods by the clock in force there, where it kept to the clock
    before, else the same time of day."""
    first = date.fromisoformat(session.date)
    start, end = (_second_of(ms, first, around.zone) for ms in (session.start_ms, session.end_ms))
    if (start, end) == _clock(session, first, around):
        start, end = _clock(session, day, around) or (start, end)
    return replace(
        session,
        date=day.isoformat(),
        start_ms=local_ms(day, start, around.zone),
        end_ms=local_ms(day, end, around.zone),
    )


def _second_of(ms: int, day: date, zone: ZoneInfo) -> int:
    """Seconds since the midnight at which `day` begins, by the clock on the wall; more than a day's where it is over."""
    there = datetime.fromtimestamp(ms / 1000, zone)
    return (there.date() - day).days * _DAY_S + there.hour * 3600 + there.minute * 60 + there.second


def _clock(session: Session, day: date, around: Around) -> tuple[int, int] | None:
    """The hours of the class's periods on a day by the period table; None where that does not say."""
    if not session.periods:
        return None
    campus = session.rooms[0][0] if session.rooms else ""
    known = [around.periods.hours(term=around.term.code, campus=campus, day=day, period=one) for one in session.periods]
    hours = [one for one in known if one is not None]
    return (min(one[0] for one in hours), max(one[1] for one in hours)) if len(hours) == len(known) else None
