"""What of a person's calendar a run over a part of the timetable changes: the events of the part, and what these need."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from db import personal_scopes
from db.planning import Chosen, State
from domain.plans import Desired, diff
from domain.settlement import Mirrored, Verb
from usecases.sync.planning import CoursePlan


@dataclass(frozen=True, slots=True)
class Part:
    """Of a term, sorted numbers of people (None: everybody's calendars) and courses (None: all of their classes)."""

    codes: Sequence[str] | None
    courses: frozenset[str] | None


def part_of(tx: Connection, chosen: Chosen, *, tenant: str, term: str) -> Part:
    """What of a term the run is about."""
    courses = None if chosen.of_people else personal_scopes.courses(tx, chosen.only, tenant=tenant, term=term)
    return Part(personal_scopes.people(tx, chosen, courses, tenant=tenant, term=term), courses)


@dataclass(frozen=True, slots=True)
class Inside:
    """Of some calendars, which events belong to the courses of a part."""

    targets: Collection[str]

    @classmethod
    def of(
        cls,
        tx: Connection,
        courses: frozenset[str],
        groups: Sequence[str],
        wanted: Mapping[str, str],
        *,
        tenant: str,
        term: str,
    ) -> "Inside":
        """`wanted` has the session of each event that is wanted; those that WPS has are looked up."""
        known = personal_scopes.sessions_of_events(tx, groups, tenant=tenant, term=term) | dict(wanted)
        are_of = personal_scopes.are_of(tx, sorted(set(known.values())), courses, tenant=tenant, term=term)
        return cls(frozenset(target for target, session in known.items() if are_of[session]))

    def narrow(self, plan: CoursePlan) -> CoursePlan:
        """Leave in the plan what the part says: its events, and calendar and reader where these are not there yet."""
        events = [one for one in plan.operations if one.kind == "event" and one.target in self.targets]
        new = any(one.kind == "calendar" and one.verb is Verb.CREATE for one in plan.operations)
        rest = [one for one in plan.operations if one.kind != "event"]
        first = [one for one in rest if (events if new else one.kind == "members" and one.verb is Verb.CREATE)]
        plan.operations = [*first, *events]
        plan.unwanted = [one for one in plan.unwanted if one in self.targets]
        plan.void = [one for one in plan.void if one in self.targets]
        return plan

    def left_over(self, plan: CoursePlan, state: State) -> CoursePlan:
        """What of a calendar that nobody needs any more goes: all of it where all that is in it is of the part."""
        there = state.mirrored.get(plan.group, [])
        if all(one.target in self.targets for one in _present(there)):
            return plan
        calendar = next(one for one in there if one.target == plan.group)
        stays = Desired("calendar", plan.group, calendar.sent_hash, "", calendar.name or "")
        found = diff([stays], there, queued=state.queued, calendar=plan.group, dead=state.dead)
        plan.operations = [one for one in found if one.kind == "event"]
        return self.narrow(plan)


def _present(there: Iterable[Mirrored]) -> Iterable[Mirrored]:
    return (one for one in there if one.kind == "event" and (one.state == "live" or one.intent is not None))
