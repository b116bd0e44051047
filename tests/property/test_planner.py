"""The planner on random histories: whatever was there before, one plan carried out is the timetable, and the next is empty.

The model beside it is deliberately simple: a queue with one wish for each target, and a remote side that refuses what cannot
be (an event without a calendar, a second copy, an update of nothing).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st

from domain.plans import PRIORITY, Desired, Operation, calendar_target, diff, event_target, members_target
from domain.settlement import Mirrored, Verb, verb_for

CALENDAR, MEMBERS = calendar_target("o"), members_target("o")
EVENTS = [event_target(str(n)) for n in range(6)]
HASHES = st.sampled_from("abc")


def kind_of(target: str) -> str:
    return {CALENDAR: "calendar", MEMBERS: "members"}.get(target, "event")


@st.composite
def timetables(draw: st.DrawFn) -> list[Desired]:
    """A course as some import has it; empty when the course is gone."""
    if draw(st.integers(0, 4)) == 0:
        return []
    hashes = {CALENDAR: draw(HASHES), MEMBERS: draw(st.sampled_from(["", "a", "b"]))}
    hashes |= {target: draw(HASHES) for target in draw(st.sets(st.sampled_from(EVENTS)))}
    return [Desired(kind_of(target), target, one, "{}", target) for target, one in hashes.items()]


@dataclass
class Course:
    """The mirror, the open jobs, and what the remote side really has."""

    mirror: dict[str, Mirrored] = field(default_factory=dict)
    queue: dict[str, str] = field(default_factory=dict)
    remote: dict[str, str] = field(default_factory=dict)

    def plan(self, desired: list[Desired]) -> list[Operation]:
        return diff(desired, self.mirror.values(), queued=self.queue, calendar=CALENDAR)

    def put(self, operations: list[Operation]) -> None:
        for one in operations:
            fresh = Mirrored(
                one.target,
                one.kind,
                CALENDAR,
                "_",
                "none",
                None,
                None,
                None,
                0,
                "",
                None,
                None,
                100,
                1,
                None,
                None,
                None,
            )
            self.mirror.setdefault(one.target, fresh)
            self.queue[one.target] = one.desired.hash if one.desired is not None else ""

    def drain(self, most: int = 1000) -> None:
        """Carry jobs out, the calendar's first; what waits for a calendar that is not there stays."""
        for target in sorted(self.queue, key=lambda one: (PRIORITY[kind_of(one)], one)):
            if most == 0:
                return
            if target in self.queue and (target == CALENDAR or self.mirror[CALENDAR].state == "live"):
                self._send(target, self.queue.pop(target))
                most -= 1

    def _send(self, target: str, wanted: str) -> None:
        there = self.mirror[target]
        if there.kind == "members":
            self.remote[target] = wanted
            self.mirror[target] = replace(there, state="live", sent_hash=wanted)
            return
        verb = verb_for(there, desired_hash=wanted or None)
        if verb is Verb.DELETE:
            self._delete(target)
        elif verb is not Verb.NOTHING:
            assert (target in self.remote) is (verb is Verb.UPDATE), "a second copy, or an update of nothing"
            assert target == CALENDAR or CALENDAR in self.remote
            self.remote[target] = wanted
            self.mirror[target] = replace(there, state="live", sent_hash=wanted)

    def _delete(self, target: str) -> None:
        gone = list(self.mirror) if target == CALENDAR else [target]
        for one in gone:
            self.remote.pop(one, None)
            self.queue.pop(one, None)
            if self.mirror[one].state == "live":
                self.mirror[one] = replace(self.mirror[one], state="gone", sent_hash="")


histories = st.lists(st.tuples(timetables(), st.integers(0, 9)), max_size=5)


def lived(history: list[tuple[list[Desired], int]]) -> Course:
    """A course after several imports, each carried out as far as its time allowed."""
    course = Course()
    for desired, most in history:
        course.put(course.plan(desired))
        course.drain(most)
    return course


def as_remote(desired: list[Desired]) -> dict[str, str]:
    """What the remote side should have: readers count only where somebody reads."""
    return {one.target: one.hash for one in desired if one.kind != "members" or one.hash}


@given(histories, timetables())
def test_any_past_converges_to_the_timetable_and_then_there_is_nothing_to_do(
    history: list[tuple[list[Desired], int]], desired: list[Desired]
) -> None:
    """The promise of `obsync plan`: after a sync it is empty, and WPS has what the source says."""
    course = lived(history)
    course.put(course.plan(desired))
    course.drain()
    assert {target: one for target, one in course.remote.items() if one} == as_remote(desired)
    assert course.plan(desired) == []


@given(histories, timetables())
def test_planning_twice_before_anything_is_sent_changes_nothing(
    history: list[tuple[list[Desired], int]], desired: list[Desired]
) -> None:
    """A second run over the same import asks for the same states, so no call is made twice."""
    course = lived(history)
    course.put(course.plan(desired))
    queue = dict(course.queue)
    course.put(course.plan(desired))
    assert course.queue == queue


@given(histories, timetables())
def test_nothing_that_is_wanted_is_ever_deleted(
    history: list[tuple[list[Desired], int]], desired: list[Desired]
) -> None:
    """A changed session is an update: its event keeps its id, and people their reminders."""
    operations = lived(history).plan(desired)
    deleted = {one.target for one in operations if one.verb is Verb.DELETE}
    assert deleted.isdisjoint({one.target for one in desired})
    assert all((one.desired is None) is (one.verb is Verb.DELETE) for one in operations)
    assert len({one.target for one in operations}) == len(operations)


@given(histories)
def test_a_course_that_goes_is_one_operation(history: list[tuple[list[Desired], int]]) -> None:
    """Its calendar takes everything along: no call for each of forty events."""
    operations = lived(history).plan([])
    assert [one.target for one in operations] in ([], [CALENDAR])


@given(timetables(), st.data())
def test_only_what_changed_is_touched(desired: list[Desired], data: st.DataObject) -> None:
    """After one row of the source is changed the plan has exactly that session."""
    course = lived([(desired, 1000)])
    events = [one for one in desired if one.kind == "event"]
    if not events:
        return
    changed = data.draw(st.sampled_from(events))
    after = [replace(one, hash="changed") if one is changed else one for one in desired]
    assert [(one.target, one.verb) for one in course.plan(after)] == [(changed.target, Verb.UPDATE)]
    without = [one for one in desired if one is not changed]
    assert [(one.target, one.verb) for one in course.plan(without)] == [(changed.target, Verb.DELETE)]
