"""Desired state against the mirror, a page of courses at a time: differences become jobs, agreement becomes nothing."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection, Engine, select, update

from db import dead_letters, jobs, lanes, mirror, rolls, run_changes
from db import pins as pin_rows
from db.dead_letters import OF_THE_TIMETABLE
from db.engine import in_unit, reading
from db.jobs import Put
from db.tables import AnyRow, offerings, sessions
from db.tables import jobs as job_table
from db.tables import mirror as mirror_table
from domain import pins
from domain.calendars import calendar_name
from domain.ids import calendar_tag, key_of, marker_of
from domain.pins import Pin
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

PAGE = 60  # offerings; with their sessions about 2,000 rows
UNIT = 500
_WHOLE_CALENDARS = 10  # with what is in them about 500 rows
PAUSE_S = 0.005
ANY_COLLEGE = "_"

Fence = Callable[[Connection], None]


@dataclass(frozen=True, slots=True)
class Course:
    """An offering as the planner reads it."""

    term: str
    id: str
    kkh: str
    kcbh: str
    name: str
    college: str
    lane: str | None

    @property
    def title(self) -> str:
        """What people call it; nameless courses go by their code."""
        return self.name or self.kcbh or self.kkh


@dataclass(slots=True)
class CoursePlan:
    """What one course needs."""

    term: str
    offering_id: str | None
    lane: str
    operations: list[Operation]
    calendar_names: dict[str, str] = field(default_factory=dict)
    wanted: dict[str, Desired] = field(default_factory=dict)
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

    def pages(self, *, after: str | None = None) -> Iterator[tuple[str, list[CoursePlan]]]:
        """Pages of plans with the cursor to go on from: first every course, then calendars whose course is gone."""
        phase, term, last = _cursor(after)
        if phase == "courses":
            while True:
                with reading(self.engine) as tx:
                    courses = _courses(tx, self.tenant, term, last)
                    plans = self._plans(tx, courses) if courses else []
                if not courses:
                    break
                term, last = courses[-1].term, courses[-1].id
                yield json.dumps(["courses", term, last]), plans
            term, last = "", ""
        while True:
            with reading(self.engine) as tx:
                gone = _calendars(tx, self.tenant, term, last)
                plans = self._orphans(tx, gone) if gone else []
            if not gone:
                return
            term, last = gone[-1][0], gone[-1][1]
            yield json.dumps(["orphans", term, last]), plans

    def _plans(self, tx: Connection, courses: list[Course]) -> list[CoursePlan]:
        found = []
        for term in sorted({course.term for course in courses}):
            mine = [course for course in courses if course.term == term]
            ids = [course.id for course in mine]
            state = _State.read(tx, self.tenant, term, [calendar_target(one) for one in ids])
            held = _sessions(tx, self.tenant, term, ids)
            people = rolls.wanted_members(tx, tenant=self.tenant, term=term, offering_ids=ids)
            taken = _Names(tx, self.tenant)
            for course in mine:
                plan = self._plan(course, held.get(course.id, []), people.get(course.id, {}), state, taken)
                if plan.is_needed:
                    found.append(plan)
        return found

    def of_calendars(self, tx: Connection, calendars: Sequence[tuple[str, str, str]]) -> list[CoursePlan]:
        """What the courses of some calendars (term, target, lane) need, whether or not the timetable still has them."""
        found = []
        for term in sorted({one[0] for one in calendars}):
            ids = [target.partition(":")[2] for t, target, _ in calendars if t == term]
            where = (offerings.c.tenant_id == self.tenant, offerings.c.term == term, offerings.c.id.in_(ids))
            found += self._plans(tx, [_course(row) for row in tx.execute(select(offerings).where(*where))])
        return found + self._orphans(tx, list(calendars))

    def _plan(
        self, course: Course, held: list[SessionView], people: dict[str, str], state: "_State", taken: "_Names"
    ) -> CoursePlan:
        target = calendar_target(course.id)
        there = state.mirrored.get(target, [])
        calendar = next((one for one in there if one.target == target), None)
        # What was sent by a lane is changed by that lane, even for a course that went away and came back elsewhere.
        lane = (calendar and calendar.lane) or course.lane or course.college or ANY_COLLEGE
        plan = CoursePlan(course.term, course.id, lane, [])
        wanted: list[Desired] = []
        if held:
            name = self._name(course, calendar, taken)
            plan.calendar_names[target] = name
            payload = json.dumps({"name": name}, ensure_ascii=False)
            wanted.append(Desired("calendar", target, key_of(name), payload, name))
            members = json.dumps({"offering": course.id, "roll": roll_hash(people)})
            label = f"{course.title} {len(people)}"
            wanted.append(Desired("members", members_target(course.id), roll_hash(people), members, label))
            wanted += [desired_event(session, summary=course.title) for session in held]
        wanted, plan.void = pins.apply(wanted, state.pins.get(target, ()), calendar=target)
        plan.operations = diff(wanted, there, queued=state.queued, calendar=target, dead=state.dead)
        plan.wanted = {one.target: one for one in wanted}
        plan.unwanted = state.unwanted(target, plan.operations)
        return plan

    def of_offering(self, tx: Connection, *, term: str, offering_id: str) -> CoursePlan | None:
        """How one course differs from the mirror, as the given transaction sees it; None when the timetable has no such
        course. Dead letters are no difference."""
        where = (offerings.c.tenant_id == self.tenant, offerings.c.term == term, offerings.c.id == offering_id)
        row = tx.execute(select(offerings).where(*where)).one_or_none()
        if row is None:
            return None
        state = replace(_State.read(tx, self.tenant, term, [calendar_target(offering_id)]), dead={})
        held = _sessions(tx, self.tenant, term, [offering_id]).get(offering_id, [])
        people = rolls.wanted_members(tx, tenant=self.tenant, term=term, offering_ids=[offering_id])
        return self._plan(_course(row), held, people.get(offering_id, {}), state, _Names(tx, self.tenant))

    def _name(self, course: Course, calendar: Mirrored | None, taken: "_Names") -> str:
        """The calendar's name keeps the tag it once got; a new one takes the first that is free."""
        if calendar is not None and calendar.name is not None:
            return calendar_name(course.title, calendar.name[-7:])
        attempt = 0
        while True:
            tag = calendar_tag(self.secret, tenant=self.tenant, offering_id=course.id, attempt=attempt)
            name = calendar_name(course.title, tag)
            if taken.take(name):
                return name
            attempt += 1

    def _orphans(self, tx: Connection, gone: list[tuple[str, str, str]]) -> list[CoursePlan]:
        found = []
        for term in sorted({one[0] for one in gone}):
            mine = [(target, lane) for t, target, lane in gone if t == term]
            ids = [target.partition(":")[2] for target, _ in mine]
            where = (offerings.c.tenant_id == self.tenant, offerings.c.term == term, offerings.c.id.in_(ids))
            known = set(tx.execute(select(offerings.c.id).where(*where)).scalars())
            state = _State.read(tx, self.tenant, term, [target for target, _ in mine])
            for target, lane in mine:
                if target.partition(":")[2] in known:
                    continue
                there = state.mirrored.get(target, [])
                wanted, void = pins.apply([], state.pins.get(target, ()), calendar=target)
                operations = diff(wanted, there, queued=state.queued, calendar=target, dead=state.dead)
                unwanted = state.unwanted(target, operations)
                kept = target.partition(":")[2] if wanted else None
                plan = CoursePlan(term, kept, lane, operations, unwanted=unwanted, void=void)
                if plan.is_needed:
                    found.append(plan)
        return found

    def put(
        self,
        plans: list[CoursePlan],
        *,
        import_no: int,
        run_id: str | None,
        new_id: Callable[[], str],
        fence: Fence,
    ) -> set[str]:
        """Write the operations as jobs, 500 a unit, and close dead letters that nobody wants any more. Returns the lanes that
        have something to do now."""
        self._drop_unwanted(sorted(target for plan in plans for target in plan.unwanted), fence=fence)
        self._lift(plans, fence=fence)
        if run_id is not None:
            self._keep_contents(plans, run_id=run_id, fence=fence)
        rows = sorted(
            ((plan, operation) for plan in plans for operation in plan.operations),
            key=lambda pair: (pair[0].term, pair[1].target),
        )
        touched: set[str] = set()
        for start in range(0, len(rows), UNIT):
            chunk = rows[start : start + UNIT]
            names = {plan.lane for plan, _ in chunk}
            puts = [self.as_put(plan, operation) for plan, operation in chunk]

            def work(
                tx: Connection,
                chunk: list[tuple[CoursePlan, Operation]] = chunk,
                puts: list[Put] = puts,
                names: set[str] = names,
            ) -> None:
                fence(tx)
                lanes.make(tx, tenant=self.tenant, names=names)
                _keep_lanes(tx, self.tenant, [plan for plan, _ in chunk])
                if run_id is not None:
                    changing = [put for put, (_, one) in zip(puts, chunk, strict=True) if one.verb is not Verb.CREATE]
                    run_changes.keep(tx, changing, tenant=self.tenant, run_id=run_id)
                jobs.put(tx, puts, tenant=self.tenant, import_no=import_no, run_id=run_id, new_id=new_id)

            in_unit(self.engine, work)
            touched |= names
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
                dead_letters.drop_unwanted(tx, part, tenant=self.tenant)
                for target in part:
                    # What waited for a calendar that nobody wants waits for nothing.
                    jobs.cancel_group(tx, tenant=self.tenant, group_id=target)

            in_unit(self.engine, work)

    def as_put(self, plan: CoursePlan, operation: Operation) -> Put:
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
            tier=0,
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


def _courses(tx: Connection, tenant: str, term: str, last: str) -> list[Course]:
    after = (offerings.c.term > term) | ((offerings.c.term == term) & (offerings.c.id > last))
    rows = tx.execute(
        select(offerings)
        .where(offerings.c.tenant_id == tenant, after)
        .order_by(offerings.c.term, offerings.c.id)
        .limit(PAGE)
    )
    return [_course(row) for row in rows]


def _course(row: AnyRow) -> Course:
    return Course(row.term, row.id, row.kkh, row.kcbh, row.name, row.college, row.lane)


def _calendars(tx: Connection, tenant: str, term: str, last: str) -> list[tuple[str, str, str]]:
    after = (mirror_table.c.term > term) | ((mirror_table.c.term == term) & (mirror_table.c.target > last))
    rows = tx.execute(
        select(mirror_table.c.term, mirror_table.c.target, mirror_table.c.lane)
        .where(
            mirror_table.c.tenant_id == tenant,
            mirror_table.c.kind == "calendar",
            mirror_table.c.target.like("cal:%") | mirror_table.c.target.like("sur:%"),
            after,
        )
        .order_by(mirror_table.c.term, mirror_table.c.target)
        .limit(UNIT)
    )
    return [(row.term, row.target, row.lane) for row in rows]


def _sessions(tx: Connection, tenant: str, term: str, ids: list[str]) -> dict[str, list[SessionView]]:
    rows = tx.execute(
        select(sessions)
        .where(sessions.c.tenant_id == tenant, sessions.c.term == term, sessions.c.offering_id.in_(ids))
        .order_by(sessions.c.id)
    )
    found: dict[str, list[SessionView]] = {}
    for row in rows:
        rooms = tuple((xq, lq, room) for xq, lq, room in json.loads(row.rooms))
        view = SessionView(row.id, row.date, row.start_ms, row.end_ms, rooms, tuple(json.loads(row.teachers)))
        found.setdefault(row.offering_id, []).append(view)
    return found


def _keep_lanes(tx: Connection, tenant: str, plans: list[CoursePlan]) -> None:
    """A course keeps its first lane for the term, so that two lanes never write to one calendar."""
    by_lane: dict[tuple[str, str], set[str]] = {}
    for plan in plans:
        if plan.offering_id is not None:
            by_lane.setdefault((plan.term, plan.lane), set()).add(plan.offering_id)
    for (term, lane), ids in sorted(by_lane.items()):
        tx.execute(
            update(offerings)
            .where(
                offerings.c.tenant_id == tenant,
                offerings.c.term == term,
                offerings.c.id.in_(sorted(ids)),
                offerings.c.lane.is_(None),
            )
            .values(lane=lane)
        )


@dataclass(frozen=True, slots=True)
class _State:
    """Mirror rows by calendar, what the open jobs of those calendars ask for, and the targets of their dead letters, each
    with its calendar."""

    mirrored: dict[str, list[Mirrored]]
    queued: dict[str, str]
    dead: dict[str, str]
    pins: dict[str, list[Pin]]

    @classmethod
    def read(cls, tx: Connection, tenant: str, term: str, groups: list[str]) -> "_State":
        mirrored: dict[str, list[Mirrored]] = {}
        rows = tx.execute(
            select(mirror_table).where(
                mirror_table.c.tenant_id == tenant, mirror_table.c.term == term, mirror_table.c.group_id.in_(groups)
            )
        )
        for row in rows:
            mirrored.setdefault(row.group_id, []).append(mirror.mirrored_of(row))
        asked_for = tx.execute(
            select(job_table.c.group_id, job_table.c.target, job_table.c.desired_hash, job_table.c.state).where(
                job_table.c.tenant_id == tenant,
                job_table.c.group_id.in_(groups),
                job_table.c.state.in_((*jobs.OPEN, "dead")),
                job_table.c.kind.in_(OF_THE_TIMETABLE),
            )
        ).all()
        kept = pin_rows.of_calendars(tx, tenant=tenant, term=term, groups=groups)
        dead = {row.target: row.group_id for row in asked_for if row.state == "dead"}
        return cls(mirrored, {row.target: row.desired_hash for row in asked_for if row.state != "dead"}, dead, kept)

    def unwanted(self, calendar: str, operations: Iterable[Operation]) -> list[str]:
        """The dead letters of a calendar that are not put again by these operations."""
        again = {one.target for one in operations}
        return sorted(target for target, group in self.dead.items() if group == calendar and target not in again)


class _Names:
    """Calendar names in use, as far as this page asks for them."""

    def __init__(self, tx: Connection, tenant: str) -> None:
        self._tx = tx
        self._tenant = tenant
        self._taken: set[str] = set()

    def take(self, name: str) -> bool:
        """Whether the name was free, in every term; it is not any more."""
        where = (mirror_table.c.tenant_id == self._tenant, mirror_table.c.name == name)
        used = self._tx.execute(select(mirror_table.c.target).where(*where)).first() is not None
        if used or name in self._taken:
            return False
        self._taken.add(name)
        return True
