"""Desired state against the mirror, a page of courses at a time: differences become jobs, agreement becomes nothing."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Protocol

from sqlalchemy import Connection, Engine, Table

from db import dead_letters, jobs, lanes, personal, planning, rolls, run_changes, timetable
from db import pins as pin_rows
from db.engine import in_unit, reading
from db.jobs import Put
from db.planning import Chosen, Course, State
from db.tables import mirror as mirror_table
from db.tables import offerings
from domain import pins
from domain.calendars import TAG_CHARS, calendar_name
from domain.ids import calendar_tag, key_of, marker_of
from domain.layouts import COURSE, PERSONAL, PREFIX, layout_of
from domain.plans import (
    GONE,
    PRIORITY,
    Desired,
    Operation,
    SessionView,
    calendar_target,
    desired_event,
    diff,
    event_target,
    members_target,
)
from domain.rolls import roll_hash
from domain.settlement import Mirrored, Verb
from domain.tiers import FAR, HURRIED, NOBODY_WAITS, NORMAL, URGENT, Horizon
from usecases.sync.read_ahead import one_ahead

UNIT = 500
_WHOLE_CALENDARS = 10  # with what is in them about 500 rows
PAUSE_S = 0.005
ANY_COLLEGE = "_"

Fence = Callable[[Connection], None]


@dataclass(slots=True)
class CoursePlan:
    """What one calendar needs, in layout `course` that of a course, else `offering_id` is None.

    `new_lane`: nothing was ever planned for the course, so its lane is yet to be written down. `sources` has what a target
    does not say of itself: whose calendar it is, and of which session an event. `unwanted`: targets of dead letters that
    nothing is asked of any more.
    """

    term: str
    offering_id: str | None
    lane: str
    operations: list[Operation]
    calendar_names: dict[str, str] = field(default_factory=dict)
    wanted: dict[str, Desired] = field(default_factory=dict)
    new_lane: bool = False
    unwanted: list[str] = field(default_factory=list)  # targets of dead letters that nothing is asked of any more
    void: list[str] = field(default_factory=list)  # pinned targets of which the source says something else now
    calendar: str = ""
    sources: dict[str, str] = field(default_factory=dict)
    tiers: dict[str, int] = field(default_factory=dict)
    priority: int = NOBODY_WAITS

    @property
    def is_needed(self) -> bool:
        """Whether anything has to be written for it."""
        return bool(self.operations or self.unwanted or self.void)

    @property
    def goes(self) -> bool:
        """Whether the whole calendar is to be deleted."""
        return any(one.kind == "calendar" and one.verb is Verb.DELETE for one in self.operations)

    @property
    def group(self) -> str:
        """The target of the calendar."""
        return self.calendar or calendar_target(self.offering_id or "")

    def rank(self, starts: Mapping[str, int], there: Iterable[Mirrored], horizon: Horizon, *, teaches: bool) -> None:
        """Say what goes first: `starts` has when the event of each target that is wanted begins.

        An event is as near as its old or its new time, whichever is nearer; calendar and readers are as near as their
        nearest event.
        """
        if not self.operations:
            return
        before = {one.target: one.from_ms for one in there if one.state == "live" and one.from_ms is not None}
        times = list(starts.values()) or list(before.values())
        least, self.priority = horizon.least(times), horizon.priority(times, teaches=teaches)
        for one in self.operations:
            own = [ms for ms in (starts.get(one.target), before.get(one.target)) if ms is not None]
            self.tiers[one.target] = horizon.least(own) if one.kind == "event" else least


class Named(Protocol):
    """What a calendar is named after."""

    @property
    def id(self) -> str:
        """Makes the name unique."""

    @property
    def title(self) -> str:
        """What people read."""


@dataclass(frozen=True, slots=True)
class Planner:
    """Whose timetable is planned, and the secret that names and marks its objects. This one's layout is `course`.

    `today` is the day that tiers are seen from; None: the day it is by the database's clock.
    """

    engine: Engine
    tenant: str
    secret: bytes
    chosen: Chosen | None = None
    today: date | None = None

    def pages(self, *, after: str | None = None) -> Iterator[tuple[str, list[CoursePlan]]]:
        """Pages of plans with the cursor to go on from: first every course, then calendars whose course is gone, then those
        of another layout.

        Terms that are archived are left alone. A page holds about 2,000 targets; an empty one only moves the cursor. No course
        is on two pages, so that the next page may be read while this one is written. Not on SQLite: there is nothing to wait
        for, and a log that somebody always reads only grows.
        """
        pages = self.in_order(after)
        return pages if self.engine.dialect.name == "sqlite" else one_ahead(pages)

    def in_order(self, after: str | None) -> Iterator[tuple[str, list[CoursePlan]]]:
        """The pages, each read when it is asked for."""
        phase, term, last = _cursor(after)
        if phase == "courses":
            for following in self.terms(offerings, term):
                yield from self._course_pages(following, last if following == term else "")
            term, last = "", ""
        if phase in ("courses", "orphans"):
            for following in self.terms(mirror_table, term):
                yield from self._orphan_pages(following, last if following == term else "")
            term, last = "", ""
        if self.chosen is None:
            for following in self.terms(mirror_table, term):
                yield from self.foreign_pages(following, last if following == term else "", layout=PERSONAL)

    def foreign_pages(self, term: str, last: str, *, layout: str) -> Iterator[tuple[str, list[CoursePlan]]]:
        """Pages of a layout that is not the tenant's any more: every calendar of it goes."""
        while True:
            with reading(self.engine) as tx:
                page = personal.calendars(
                    tx, tenant=self.tenant, term=term, prefix=PREFIX[layout], after=last, limit=UNIT
                )
                plans = [plan for one in page if (plan := self.left_over(tx, term, one.target, one.lane)) is not None]
            if not page:
                return
            last = page[-1].target
            yield json.dumps(["others", term, last]), plans

    def terms(self, table: Table, since: str) -> list[str]:
        """Terms from `since` on that are not archived."""
        with reading(self.engine) as tx:
            return planning.terms_of(tx, table, tenant=self.tenant, since=since)

    def _course_pages(self, term: str, last: str) -> Iterator[tuple[str, list[CoursePlan]]]:
        while True:
            with reading(self.engine) as tx:
                page = planning.courses(tx, tenant=self.tenant, term=term, after=last, chosen=self.chosen)
                plans = self._plans(tx, term, self._changed(tx, term, page)) if page else []
            if not page:
                return
            last = page[-1].id
            yield json.dumps(["courses", term, last]), plans

    def _orphan_pages(self, term: str, last: str) -> Iterator[tuple[str, list[CoursePlan]]]:
        while True:
            with reading(self.engine) as tx:
                gone, reached = planning.orphans(
                    tx, tenant=self.tenant, term=term, after=last, limit=UNIT, chosen=self.chosen
                )
                if reached is None:
                    gone = planning.dead_copies(tx, tenant=self.tenant, term=term) if self.chosen is None else []
                plans = [plan for one in gone if (plan := self.left_over(tx, term, one.target, one.lane)) is not None]
            last = reached or planning.LAST_CALENDAR
            if reached is None and not plans:
                return
            yield json.dumps(["orphans", term, last]), plans
            if reached is None:
                return

    def _changed(self, tx: Connection, term: str, page: Sequence[Course]) -> list[Course]:
        """The courses of a page for which there may be something to do."""
        ids = [course.id for course in page]
        heads = planning.heads(tx, tenant=self.tenant, term=term, offering_ids=ids)
        fresh = {one.id for one in page if calendar_target(one.id) not in heads}
        if len(fresh) == len(page):
            return list(page)
        changed = fresh | planning.changed_courses(tx, tenant=self.tenant, term=term, page=page, chosen=self.chosen)
        quiet = [one for one in page if one.id not in changed]
        people = rolls.wanted_members(tx, tenant=self.tenant, term=term, offering_ids=[one.id for one in quiet])
        changed |= {one.id for one in quiet if not _as_sent(one, people.get(one.id, {}), heads)}
        return [one for one in page if one.id in changed]

    def _plans(self, tx: Connection, term: str, courses: Sequence[Course]) -> list[CoursePlan]:
        ids = [course.id for course in courses]
        if not ids:
            return []
        state = planning.state(tx, tenant=self.tenant, term=term, groups=[calendar_target(one) for one in ids])
        held = planning.classes(tx, tenant=self.tenant, term=term, offering_ids=ids)
        people = rolls.wanted_members(tx, tenant=self.tenant, term=term, offering_ids=ids)
        names, horizon = Names(tx, self, courses), self.horizon(tx)
        plans = [
            self._plan(one, held.get(one.id, []), people.get(one.id, {}), state, names, horizon) for one in courses
        ]
        return [plan for plan in plans if plan.is_needed]

    def of_calendars(self, tx: Connection, calendars: Sequence[tuple[str, str, str]]) -> list[CoursePlan]:
        """What some calendars (term, target, lane) need, whether or not the timetable still wants them."""
        found = []
        for term in sorted({one[0] for one in calendars}):
            mine = [(target, lane) for t, target, lane in calendars if t == term]
            ids = [target.partition(":")[2] for target, _ in mine if layout_of(target) == COURSE]
            known = planning.courses_of(tx, tenant=self.tenant, term=term, offering_ids=ids)
            found += self._plans(tx, term, known)
            there = {calendar_target(one.id) for one in known}
            gone = [one for one in mine if one[0] not in there]
            found += [plan for target, lane in gone if (plan := self.left_over(tx, term, target, lane)) is not None]
        return found

    def _plan(
        self,
        course: Course,
        held: list[SessionView],
        people: dict[str, str],
        state: State,
        names: "Names",
        horizon: Horizon,
    ) -> CoursePlan:
        target = calendar_target(course.id)
        there = state.mirrored.get(target, [])
        calendar = next((one for one in there if one.target == target), None)
        # What was sent by a lane is changed by that lane, even for a course that went away and came back elsewhere.
        lane = (calendar and calendar.lane) or course.lane or course.college or ANY_COLLEGE
        plan = CoursePlan(course.term, course.id, lane, [], new_lane=course.lane is None)
        wanted: list[Desired] = []
        if held:
            name = names.of(course, calendar)
            plan.calendar_names[target] = name
            payload = json.dumps({"name": name}, ensure_ascii=False)
            wanted.append(Desired("calendar", target, key_of(name), payload, name))
            roll = roll_hash(people)
            members = json.dumps({"offering": course.id, "roll": roll})
            wanted.append(Desired("members", members_target(course.id), roll, members, f"{course.title} {len(people)}"))
            wanted += [desired_event(session, summary=course.title) for session in held]
        wanted, plan.void = pins.apply(wanted, state.pins.get(target, ()), calendar=target)
        plan.operations = diff(wanted, there, queued=state.queued, calendar=target, dead=state.dead)
        plan.wanted = {one.target: one for one in wanted}
        plan.unwanted = state.unwanted(target, plan.operations)
        teaches = any(one.teachers for one in held) or rolls.WRITER in people.values()
        plan.rank({event_target(one.id): one.start_ms for one in held}, there, horizon, teaches=teaches)
        return plan

    def of_offering(self, tx: Connection, *, term: str, offering_id: str) -> CoursePlan | None:
        """How one course differs from the mirror, as the given transaction sees it; None when the timetable has no such
        course. Dead letters are no difference."""
        course = planning.course(tx, tenant=self.tenant, term=term, offering_id=offering_id)
        if course is None:
            return None
        state = planning.state(tx, tenant=self.tenant, term=term, groups=[calendar_target(offering_id)])
        state = replace(state, dead={})
        held = planning.classes(tx, tenant=self.tenant, term=term, offering_ids=[offering_id])
        people = rolls.wanted_members(tx, tenant=self.tenant, term=term, offering_ids=[offering_id])
        names, horizon = Names(tx, self, [course]), self.horizon(tx)
        return self._plan(course, held.get(offering_id, []), people.get(offering_id, {}), state, names, horizon)

    def of_calendar(self, tx: Connection, *, term: str, group_id: str) -> CoursePlan | None:
        """What one calendar needs, as the given transaction sees it; None when the timetable does not want it any more."""
        if layout_of(group_id) != COURSE:
            return None
        return self.of_offering(tx, term=term, offering_id=group_id.removeprefix(PREFIX[COURSE]))

    def left_over(self, tx: Connection, term: str, target: str, lane: str) -> CoursePlan | None:
        """What a calendar needs that nobody wants any more; None when WPS does not have it and nothing asks for it."""
        state = planning.state(tx, tenant=self.tenant, term=term, groups=[target])
        there = state.mirrored.get(target, [])
        wanted, void = pins.apply([], state.pins.get(target, ()), calendar=target)
        operations = diff(wanted, there, queued=state.queued, calendar=target, dead=state.dead)
        unwanted = state.unwanted(target, operations)
        plan = CoursePlan(term, None, lane, operations, unwanted=unwanted, void=void, calendar=target)
        plan.rank({}, there, self.horizon(tx), teaches=False)
        return plan if plan.is_needed else None

    def horizon(self, tx: Connection) -> Horizon:
        """The days that matter, seen from today."""
        now, zone = planning.local_day(tx, tenant=self.tenant)
        return Horizon.of(self.today or now, zone)

    def put(
        self,
        plans: list[CoursePlan],
        *,
        import_no: int,
        run_id: str | None,
        new_id: Callable[[], str],
        fence: Fence,
        priority: str = NORMAL,
        held_from: int | None = None,
    ) -> set[str]:
        """Write the operations as jobs, 500 a unit, and close dead letters that nobody wants any more. Returns the lanes that
        have something to do now.

        What a run of priority `urgent` puts goes before everything else in its lane. From the tier `held_from` on jobs wait for
        off-peak hours.
        """
        self._drop_unwanted(sorted(target for plan in plans for target in plan.unwanted), fence=fence)
        self._lift(plans, fence=fence)
        if run_id is not None:
            self._keep_contents(plans, run_id=run_id, fence=fence)
        rows = sorted(
            ((plan, operation) for plan in plans for operation in plan.operations),
            key=lambda pair: (pair[0].term, pair[1].target),
        )
        touched = {plan.lane for plan in plans if plan.operations}
        for start in range(0, len(rows), UNIT):
            chunk = rows[start : start + UNIT]
            puts = [self.as_put(plan, operation, priority=priority, held_from=held_from) for plan, operation in chunk]
            changing = [put for put, (_, one) in zip(puts, chunk, strict=True) if one.verb is not Verb.CREATE]

            def work(
                tx: Connection, puts: list[Put] = puts, changing: list[Put] = changing, first: bool = start == 0
            ) -> None:
                fence(tx)
                if first:
                    lanes.make(tx, tenant=self.tenant, names=touched)
                    _keep_lanes(tx, self.tenant, plans)
                if run_id is not None:
                    run_changes.keep(tx, changing, tenant=self.tenant, run_id=run_id)
                jobs.put(tx, puts, tenant=self.tenant, import_no=import_no, run_id=run_id, new_id=new_id)

            in_unit(self.engine, work)
            time.sleep(PAUSE_S)
        return touched

    def _lift(self, plans: list[CoursePlan], *, fence: Fence) -> None:
        """What was taken back follows the source again when that says something new."""
        for plan in plans:
            if plan.void:

                def work(tx: Connection, plan: CoursePlan = plan) -> None:
                    fence(tx)
                    pin_rows.lift(tx, sorted(plan.void), tenant=self.tenant, term=plan.term)

                in_unit(self.engine, work)

    def _keep_contents(self, plans: list[CoursePlan], *, run_id: str, fence: Fence) -> None:
        """What goes with a calendar is kept before the calendar goes, a few calendars at a time."""
        going = sorted(
            (plan.term, one.target)
            for plan in plans
            for one in plan.operations
            if one.kind == "calendar" and one.verb is Verb.DELETE
        )
        for start in range(0, len(going), _WHOLE_CALENDARS):
            part = going[start : start + _WHOLE_CALENDARS]

            def work(tx: Connection, part: list[tuple[str, str]] = part) -> None:
                fence(tx)
                for term in sorted({one[0] for one in part}):
                    names = [target for t, target in part if t == term]
                    run_changes.keep_contents(tx, names, tenant=self.tenant, term=term, run_id=run_id)

            in_unit(self.engine, work)

    def _drop_unwanted(self, targets: list[str], *, fence: Fence) -> None:
        for start in range(0, len(targets), UNIT):

            def work(tx: Connection, part: list[str] = targets[start : start + UNIT]) -> None:
                fence(tx)
                for calendar in dead_letters.drop_unwanted(tx, part, tenant=self.tenant):
                    # What waited for a calendar that nobody wants waits for nothing.
                    jobs.cancel_group(tx, tenant=self.tenant, group_id=calendar)

            in_unit(self.engine, work)

    def as_put(
        self, plan: CoursePlan, operation: Operation, *, priority: str = NORMAL, held_from: int | None = None
    ) -> Put:
        """The operation as a job."""
        tier = HURRIED if priority == URGENT else plan.tiers.get(operation.target, FAR)
        want = operation.desired
        group = operation.target if operation.kind == "calendar" else plan.group
        event = operation.kind == "event"
        return Put(
            kind=operation.kind,
            target=operation.target,
            group_id=group,
            term=plan.term,
            lane=plan.lane,
            payload=want.payload if want is not None else GONE,
            desired_hash=want.hash if want is not None else "",
            tier=tier,
            priority=plan.priority * len(PRIORITY) + PRIORITY[operation.kind],
            marker=marker_of(self.secret, tenant=self.tenant, target=operation.target, generation=0) if event else None,
            name=plan.calendar_names.get(operation.target),
            source_id=plan.sources.get(operation.target),
            may_wait=held_from is not None and tier >= held_from,
        )


def tally(plans: list[CoursePlan]) -> Counter[tuple[str, str]]:
    """(kind, verb) → how many."""
    return Counter((one.kind, one.verb.value) for plan in plans for one in plan.operations)


def _cursor(after: str | None) -> tuple[str, str, str]:
    if after is None:
        return "courses", "", ""
    phase, term, last = json.loads(after)
    return phase, term, last


def _as_sent(course: Course, people: dict[str, str], heads: Mapping[str, planning.Head]) -> bool:
    """Whether calendar and members of a course are as they were sent; events are looked at elsewhere."""
    calendar, members = heads[calendar_target(course.id)], heads.get(members_target(course.id))
    if not course.held:
        return calendar.state != "live" and calendar.settled
    if calendar.name is None or calendar.state != "live" or not calendar.settled:
        return False
    if calendar.sent_hash != key_of(calendar_name(course.title, calendar.name[-TAG_CHARS:])):
        return False
    sent = "" if members is None else members.sent_hash
    return sent == roll_hash(people) and (members is None or members.settled)


def _keep_lanes(tx: Connection, tenant: str, plans: Sequence[CoursePlan]) -> None:
    """A course keeps its first lane for the term, so that two lanes never write to one calendar."""
    by_term: dict[str, dict[str, str]] = {}
    for plan in plans:
        if plan.new_lane and plan.offering_id is not None and plan.operations:
            by_term.setdefault(plan.term, {})[plan.offering_id] = plan.lane
    for term, kept in sorted(by_term.items()):
        timetable.keep_lanes(tx, kept, tenant=tenant, term=term)


class Names:
    """The names of calendars: one keeps the tag it once got, a new one takes the first that is free in every term."""

    def __init__(self, tx: Connection, planner: Planner, calendars: Sequence[Named]) -> None:
        self._tx = tx
        self._planner = planner
        # Almost always the first name is free; all of the page are looked up at once.
        self._first = {one.id: self._name(one, attempt=0) for one in calendars}
        self._taken = planning.names_taken(tx, list(self._first.values()), tenant=planner.tenant)

    def of(self, course: Named, calendar: Mirrored | None) -> str:
        """The name of the calendar, given what WPS has of it."""
        if calendar is not None and calendar.name is not None:
            return calendar_name(course.title, calendar.name[-TAG_CHARS:])
        name, attempt = self._first[course.id], 0
        while name in self._taken:
            attempt += 1
            name = self._name(course, attempt=attempt)
            self._taken |= planning.names_taken(self._tx, [name], tenant=self._planner.tenant)
        self._taken.add(name)
        return name

    def _name(self, course: Named, *, attempt: int) -> str:
        planner = self._planner
        tag = calendar_tag(planner.secret, tenant=planner.tenant, offering_id=course.id, attempt=attempt)
        return calendar_name(course.title, tag)
