"""Desired state against the mirror, a page of courses at a time: differences become jobs, agreement becomes nothing."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection, Engine, Table

from db import dead_letters, jobs, lanes, planning, rolls, run_changes, timetable
from db import pins as pin_rows
from db.engine import in_unit, reading
from db.jobs import Put
from db.planning import Chosen, Course, State
from db.sync_runs import NORMAL, URGENT
from db.tables import mirror as mirror_table
from db.tables import offerings
from domain import pins
from domain.calendars import TAG_CHARS, calendar_name
from domain.ids import calendar_tag, key_of, marker_of
from domain.plans import (
    GONE,
    PRIORITY,
    Desired,
    Operation,
    SessionView,
    calendar_target,
    desired_event,
    diff,
    members_target,
)
from domain.rolls import roll_hash
from domain.settlement import Mirrored, Verb
from usecases.sync.read_ahead import one_ahead

UNIT = 500
_WHOLE_CALENDARS = 10  # with what is in them about 500 rows
PAUSE_S = 0.005
ANY_COLLEGE = "_"
_TIER = {NORMAL: 0, URGENT: -1}

Fence = Callable[[Connection], None]


@dataclass(slots=True)
class CoursePlan:
    """What one course needs. `new_lane`: nothing was ever planned for it, so its lane is yet to be written down. `unwanted`:
    targets of dead letters that nothing is asked of any more."""

    term: str
    offering_id: str | None
    lane: str
    operations: list[Operation]
    calendar_names: dict[str, str] = field(default_factory=dict)
    wanted: dict[str, Desired] = field(default_factory=dict)
    new_lane: bool = False
    unwanted: list[str] = field(default_factory=list)  # targets of dead letters that nothing is asked of any more
    void: list[str] = field(default_factory=list)  # pinned targets of which the source says something else now

    @property
    def is_needed(self) -> bool:
        """Whether anything has to be written for it."""
        return bool(self.operations or self.unwanted or self.void)


@dataclass(frozen=True, slots=True)
class Planner:
    """Whose timetable is planned, and the secret that names and marks its objects."""

    engine: Engine
    tenant: str
    secret: bytes
    chosen: Chosen | None = None

    def pages(self, *, after: str | None = None) -> Iterator[tuple[str, list[CoursePlan]]]:
        """Pages of plans with the cursor to go on from: first every course, then calendars whose course is gone.

        Terms that are archived are left alone. A page holds about 2,000 targets; an empty one only moves the cursor. No course
        is on two pages, so that the next page may be read while this one is written. Not on SQLite: there is nothing to wait
        for, and a log that somebody always reads only grows.
        """
        pages = self._pages(after)
        return pages if self.engine.dialect.name == "sqlite" else one_ahead(pages)

    def _pages(self, after: str | None) -> Iterator[tuple[str, list[CoursePlan]]]:
        phase, term, last = _cursor(after)
        if phase == "courses":
            for following in self._terms(offerings, term):
                yield from self._course_pages(following, last if following == term else "")
            term, last = "", ""
        for following in self._terms(mirror_table, term):
            yield from self._orphan_pages(following, last if following == term else "")

    def _terms(self, table: Table, since: str) -> list[str]:
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
                plans = [plan for one in gone if (plan := self._orphan(tx, term, one)) is not None]
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
        names = _Names(tx, self, courses)
        plans = [self._plan(one, held.get(one.id, []), people.get(one.id, {}), state, names) for one in courses]
        return [plan for plan in plans if plan.is_needed]

    def of_calendars(self, tx: Connection, calendars: Sequence[tuple[str, str, str]]) -> list[CoursePlan]:
        """What the courses of some calendars (term, target, lane) need, whether or not the timetable still has them."""
        found = []
        for term in sorted({one[0] for one in calendars}):
            mine = [(target, lane) for t, target, lane in calendars if t == term]
            ids = [target.partition(":")[2] for target, _ in mine]
            known = planning.courses_of(tx, tenant=self.tenant, term=term, offering_ids=ids)
            found += self._plans(tx, term, known)
            there = {one.id for one in known}
            gone = [planning.Orphan(target, lane) for target, lane in mine if target.partition(":")[2] not in there]
            found += [plan for one in gone if (plan := self._orphan(tx, term, one)) is not None]
        return found

    def _plan(
        self, course: Course, held: list[SessionView], people: dict[str, str], state: State, names: "_Names"
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
        names = _Names(tx, self, [course])
        return self._plan(course, held.get(offering_id, []), people.get(offering_id, {}), state, names)

    def _orphan(self, tx: Connection, term: str, gone: planning.Orphan) -> CoursePlan | None:
        """What a calendar needs whose course is gone; None when WPS does not have it and nothing asks for it."""
        state = planning.state(tx, tenant=self.tenant, term=term, groups=[gone.target])
        there = state.mirrored.get(gone.target, [])
        wanted, void = pins.apply([], state.pins.get(gone.target, ()), calendar=gone.target)
        operations = diff(wanted, there, queued=state.queued, calendar=gone.target, dead=state.dead)
        kept = gone.target.partition(":")[2] if wanted else None
        unwanted = state.unwanted(gone.target, operations)
        plan = CoursePlan(term, kept, gone.lane, operations, unwanted=unwanted, void=void)
        return plan if plan.is_needed else None

    def put(
        self,
        plans: list[CoursePlan],
        *,
        import_no: int,
        run_id: str | None,
        new_id: Callable[[], str],
        fence: Fence,
        priority: str = NORMAL,
    ) -> set[str]:
        """Write the operations as jobs, 500 a unit, and close dead letters that nobody wants any more. Returns the lanes that
        have something to do now.

        What a run of priority `urgent` puts goes before everything else in its lane.
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
            chunk, tier = rows[start : start + UNIT], _TIER[priority]
            puts = [self.as_put(plan, operation, tier=tier) for plan, operation in chunk]
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

    def as_put(self, plan: CoursePlan, operation: Operation, *, tier: int = 0) -> Put:
        """The operation as a job."""
        want = operation.desired
        group = operation.target if operation.kind == "calendar" else calendar_target(plan.offering_id or "")
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
            priority=PRIORITY[operation.kind],
            marker=marker_of(self.secret, tenant=self.tenant, target=operation.target, generation=0) if event else None,
            name=plan.calendar_names.get(operation.target),
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


def _unwanted(state: State, calendar: str, operations: Sequence[Operation]) -> list[str]:
    """The dead letters of a calendar that are not put again by these operations."""
    again = {one.target for one in operations}
    return sorted(target for target, group in state.dead.items() if group == calendar and target not in again)


def _keep_lanes(tx: Connection, tenant: str, plans: Sequence[CoursePlan]) -> None:
    """A course keeps its first lane for the term, so that two lanes never write to one calendar."""
    by_term: dict[str, dict[str, str]] = {}
    for plan in plans:
        if plan.new_lane and plan.offering_id is not None and plan.operations:
            by_term.setdefault(plan.term, {})[plan.offering_id] = plan.lane
    for term, kept in sorted(by_term.items()):
        timetable.keep_lanes(tx, kept, tenant=tenant, term=term)


class _Names:
    """The names of calendars: one keeps the tag it once got, a new one takes the first that is free in every term."""

    def __init__(self, tx: Connection, planner: Planner, courses: Sequence[Course]) -> None:
        self._tx = tx
        self._planner = planner
        # Almost always the first name is free; all of the page are looked up at once.
        self._first = {course.id: self._name(course, attempt=0) for course in courses}
        self._taken = planning.names_taken(tx, list(self._first.values()), tenant=planner.tenant)

    def of(self, course: Course, calendar: Mirrored | None) -> str:
        if calendar is not None and calendar.name is not None:
            return calendar_name(course.title, calendar.name[-TAG_CHARS:])
        name, attempt = self._first[course.id], 0
        while name in self._taken:
            attempt += 1
            name = self._name(course, attempt=attempt)
            self._taken |= planning.names_taken(self._tx, [name], tenant=self._planner.tenant)
        self._taken.add(name)
        return name

    def _name(self, course: Course, *, attempt: int) -> str:
        planner = self._planner
        tag = calendar_tag(planner.secret, tenant=planner.tenant, offering_id=course.id, attempt=attempt)
        return calendar_name(course.title, tag)
