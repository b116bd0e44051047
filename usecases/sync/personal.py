"""Layout `personal`: a calendar for each person with an account and a class, with one event for each of their classes."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, Connection, or_

from db import personal, planning
from db.engine import reading
from db.personal import Person
from db.planning import Chosen, State
from db.rolls import READER
from db.tables import mirror as mirror_table
from db.tables import rolls as roll_table
from domain import pins
from domain.ids import key_of
from domain.layouts import COURSE, PERSONAL, PREFIX, layout_of, own_calendar_target, own_event_key, person_key
from domain.plans import Desired, SessionView, desired_event, diff, event_target, members_target
from domain.rolls import roll_hash
from domain.tiers import Horizon
from usecases.sync.personal_scope import Inside, part_of
from usecases.sync.planning import ANY_COLLEGE, UNIT, CoursePlan, Names, Planner

Class = tuple[SessionView, Desired]


@dataclass(frozen=True, slots=True)
class _Page:
    """What the people of a page share: their classes by offering, what WPS has, names, and the days that matter."""

    classes: Mapping[str, Sequence[Class]]
    state: State
    names: Names
    horizon: Horizon


@dataclass(frozen=True, slots=True)
class PersonalPlanner(Planner):
    """Plans a calendar for each person. Everything from the jobs on is as in the other layout."""

    def in_order(self, after: str | None) -> Iterator[tuple[str, list[CoursePlan]]]:
        """First everybody, then calendars that nobody needs any more, then those of another layout: who changes layouts sees
        the new calendars before the old ones go.
        """
        phase, term, last = json.loads(after) if after is not None else ("people", "", "")
        if self.chosen is not None and not self.chosen.only.is_everything:
            yield from self._pages_of_part(self.chosen, term, last)
            return
        if phase == "people":
            for following in self.terms(roll_table, term):
                yield from self._people_pages(following, last if following == term else "")
            term, last = "", ""
        if phase in ("people", "unneeded"):
            for following in self.terms(mirror_table, term):
                yield from self._unneeded_pages(following, last if following == term else "")
            term, last = "", ""
        for following in self.terms(mirror_table, term):
            yield from self.foreign_pages(following, last if following == term else "", layout=COURSE)

    def of_takers(
        self, term: str, *, after: str, chosen: Chosen, codes: Sequence[str]
    ) -> Iterator[tuple[str, list[CoursePlan]]]:
        """Pages of plans, after the number `after`, for those who take what a run has chosen, and for these people."""
        taking = or_(chosen.holds(roll_table.c.term, roll_table.c.offering_id), roll_table.c.code.in_(codes))
        for cursor, plans in self._people_pages(term, after, among=[taking]):
            yield json.loads(cursor)[2], plans

    def _people_pages(
        self, term: str, last: str, *, among: Sequence[ColumnElement[bool]] = ()
    ) -> Iterator[tuple[str, list[CoursePlan]]]:
        while True:
            with reading(self.engine) as tx:
                page = personal.people(tx, tenant=self.tenant, term=term, after=last, among=among)
                plans = [plan for plan in self._plans_of(tx, term, page) if plan.is_needed]
            if not page:
                return
            last = page[-1].code
            yield json.dumps(["people", term, last]), plans

    def _unneeded_pages(self, term: str, last: str) -> Iterator[tuple[str, list[CoursePlan]]]:
        while True:
            with reading(self.engine) as tx:
                page = personal.calendars(
                    tx, tenant=self.tenant, term=term, prefix=PREFIX[PERSONAL], after=last, limit=UNIT
                )
                codes = sorted({one.code for one in page if one.code is not None})
                needed = personal.still_needed(tx, codes, tenant=self.tenant, term=term)
                gone = [one for one in page if one.code not in needed]
                plans = [plan for one in gone if (plan := self.left_over(tx, term, one.target, one.lane)) is not None]
                if not page:
                    copies = planning.dead_copies(tx, tenant=self.tenant, term=term)
                    found = [self.left_over(tx, term, one.target, one.lane) for one in copies]
                    plans = [plan for plan in found if plan is not None]
            last = page[-1].target if page else last
            if page or plans:
                yield json.dumps(["unneeded", term, last]), plans
            if not page:
                return

    def _pages_of_part(self, chosen: Chosen, since: str, last: str) -> Iterator[tuple[str, list[CoursePlan]]]:
        """The same of a part of the timetable, person by person; calendars of the other layout stay."""
        terms = {*self.terms(roll_table, since), *self.terms(mirror_table, since)}
        for term in sorted(terms.intersection(chosen.only.terms or terms)):
            with reading(self.engine) as tx:
                part = part_of(tx, chosen, tenant=self.tenant, term=term)
                codes = part.codes
                if codes is None:
                    codes = personal.everybody(tx, tenant=self.tenant, term=term)
            left = [one for one in codes if term > since or one > last]
            for start in range(0, len(left), personal.PAGE_PEOPLE):
                page = left[start : start + personal.PAGE_PEOPLE]
                with reading(self.engine) as tx:
                    plans = self._plans_of_part(tx, term, page, part.courses)
                yield json.dumps(["part", term, page[-1]]), plans

    def _plans_of_part(
        self, tx: Connection, term: str, codes: Sequence[str], courses: frozenset[str] | None
    ) -> list[CoursePlan]:
        """What the calendars of these people need, those that nobody needs any more too."""
        people = personal.people_among(tx, codes, tenant=self.tenant, term=term)
        plans = self._plans_of(tx, term, people)
        needed = {one.code for one in people}
        groups = [own_calendar_target(person_key(term=term, code=one)) for one in codes if one not in needed]
        left = [
            plan
            for one in personal.kept(tx, groups, tenant=self.tenant, term=term)
            if (plan := self.left_over(tx, term, one.target, one.lane)) is not None
        ]
        if courses is not None:
            self._narrow(tx, term, plans, left, courses)
        return [plan for plan in (*plans, *left) if plan.is_needed]

    def _narrow(
        self, tx: Connection, term: str, plans: list[CoursePlan], left: list[CoursePlan], courses: frozenset[str]
    ) -> None:
        """Leave in the plans what the events of these courses need."""
        groups = [plan.group for plan in (*plans, *left)]
        wanted = {target: said for plan in plans for target, said in plan.sources.items() if target.startswith("evt:")}
        inside = Inside.of(tx, courses, groups, wanted, tenant=self.tenant, term=term)
        state = planning.state(
            tx, tenant=self.tenant, term=term, groups=[one.group for one in (*plans, *left) if one.goes]
        )
        for plan in (*plans, *left):
            if plan.goes:
                inside.left_over(plan, state)
            else:
                inside.narrow(plan)

    def of_calendar(self, tx: Connection, *, term: str, group_id: str) -> CoursePlan | None:
        """What one person's calendar needs, as the given transaction sees it; None when nobody needs it any more."""
        if layout_of(group_id) != PERSONAL:
            return None
        found = personal.person(tx, tenant=self.tenant, term=term, group_id=group_id)
        return self._plans_of(tx, term, [found], dead=False)[0] if found is not None else None

    def of_calendars(self, tx: Connection, calendars: Sequence[tuple[str, str, str]]) -> list[CoursePlan]:
        """What some calendars (term, target, lane) need, whether or not anybody still needs them."""
        found = []
        for term, target, lane in calendars:
            plan = self.of_calendar(tx, term=term, group_id=target)
            plan = self.left_over(tx, term, target, lane) if plan is None else plan
            found += [plan] if plan is not None and plan.is_needed else []
        return found

    def _plans_of(self, tx: Connection, term: str, people: Sequence[Person], *, dead: bool = True) -> list[CoursePlan]:
        """`dead`: whether what died is put again."""
        if not people:
            return []
        groups = [own_calendar_target(one.id) for one in people]
        state = planning.state(tx, tenant=self.tenant, term=term, groups=groups)
        page = _Page(
            self._classes(tx, term, sorted({offering for one in people for offering in one.offerings})),
            state if dead else replace(state, dead={}),
            Names(tx, self, people),
            self.horizon(tx),
        )
        return [_plan(one, page) for one in people]

    def _classes(self, tx: Connection, term: str, offering_ids: Sequence[str]) -> dict[str, list[Class]]:
        """Offering → its classes, each with the event that whoever takes it gets."""
        called = personal.titles(tx, offering_ids, tenant=self.tenant, term=term)
        held = planning.classes(tx, tenant=self.tenant, term=term, offering_ids=offering_ids)
        return {
            offering: [(one, desired_event(one, summary=called[offering])) for one in listed]
            for offering, listed in held.items()
        }


def _taken(person: Person, page: _Page) -> list[Class]:
    """The classes of a person: all of those it teaches or takes, and the single ones for which it stands in."""
    own = {offering for offering, _ in person.taken}
    found = [one for offering, _ in person.taken for one in page.classes.get(offering, ())]
    for offering in person.stood_in:
        for session, event in page.classes.get(offering, ()) if offering not in own else ():
            if session.alteration is not None and person.code in session.alteration.substitutes:
                found.append((session, event))
    return found


def _plan(person: Person, page: _Page) -> CoursePlan:
    target, members = own_calendar_target(person.id), members_target(person.id)
    there = page.state.mirrored.get(target, [])
    calendar = next((one for one in there if one.target == target), None)
    # What was sent by a lane is changed by that lane, even for somebody who is in another college by now.
    lane = (calendar and calendar.lane) or person.college or ANY_COLLEGE
    plan = CoursePlan(person.term, None, lane, [], calendar=target)
    taken = _taken(person, page)
    wanted: list[Desired] = []
    starts: dict[str, int] = {}
    if taken:
        name = page.names.of(person, calendar)
        plan.calendar_names[target] = name
        wanted.append(Desired("calendar", target, key_of(name), json.dumps({"name": name}, ensure_ascii=False), name))
        roll = roll_hash({person.wps_id: READER})
        payload = json.dumps({"person": person.code, "roll": roll}, ensure_ascii=False)
        wanted.append(Desired("members", members, roll, payload, f"{person.title} {person.code}"))
        plan.sources |= {target: person.code, members: person.code}
    for session, event in taken:
        own = replace(event, target=event_target(own_event_key(person.id, session.id)))
        wanted.append(own)
        starts[own.target] = session.start_ms
        plan.sources[own.target] = session.id
    wanted, plan.void = pins.apply(wanted, page.state.pins.get(target, ()), calendar=target)
    plan.operations = diff(wanted, there, queued=page.state.queued, calendar=target, dead=page.state.dead)
    plan.wanted = {one.target: one for one in wanted}
    plan.unwanted = page.state.unwanted(target, plan.operations)
    plan.rank(starts, there, page.horizon, teaches=person.teaches)
    return plan
