"""Random timetables, changes, withdrawals and imports: what people see is what the changes that stand make of the last import.

Beside it runs a model that knows no identities and no order: for each aspect of a class, the latest change that stands.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from domain.aggregation import Session
from domain.alterations import CANCELLED, MAKE_UP, MOVED, RESTORED, ROOM_CHANGE, SUBSTITUTE
from domain.teaching_changes import ABSORBED, APPLIED, Around, Before, Change, DayRule, make_up_id, overlay
from domain.terms import PeriodTable, Term
from domain.timetable import local_ms

ZONE = ZoneInfo("Asia/Shanghai")
TYPES = (MOVED, CANCELLED, RESTORED, ROOM_CHANGE, SUBSTITUTE, MAKE_UP)
OF_SOURCE, OF_PEOPLE = range(2, 7), range(9, 14)
"""Days of a month: where the source puts classes, and where people do. Apart, so that a source catches up only when told to."""


def at(day: int, hour: int = 10) -> dict[str, object]:
    one = date(2024, 9, day)
    return {
        "date": one.isoformat(),
        "start_ms": local_ms(one, hour * 3600, ZONE),
        "end_ms": local_ms(one, hour * 3600 + 2700, ZONE),
    }


def session(name: str, day: int, room: str) -> Session:
    when = at(day)
    made = Session(name, 1, 1, (3,), "", 0, 0, (("", "", room),), ("甲",), (), source_date=str(when["date"]))
    return replace(made, **when)  # type: ignore[arg-type]


SOURCES = st.dictionaries(st.sampled_from("abc"), st.tuples(st.sampled_from(OF_SOURCE), st.sampled_from("12")))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("import"), SOURCES),
        st.tuples(st.just("decide"), st.sampled_from("abc"), st.sampled_from(TYPES), st.sampled_from(OF_PEOPLE)),
        st.tuples(st.just("withdraw"), st.integers(0, 20)),
        st.tuples(st.just("day"), st.sampled_from(OF_SOURCE), st.sampled_from([*OF_PEOPLE, None])),
    ),
    max_size=14,
)


@dataclass
class School:
    """The last import, every change with its state, and the exchange days."""

    source: dict[str, Session] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    days: dict[date, DayRule] = field(default_factory=dict)

    @property
    def around(self) -> Around:
        return Around(ZONE, Term("t"), PeriodTable([]), self.days)

    def see(self) -> list[Session]:
        """What people see, and as the product does it, what becomes of the changes is kept."""
        found = overlay(self.source.values(), self.changes, self.around)
        self.changes = [
            replace(one, state=found.verdicts[one.id].state, source_id=found.verdicts[one.id].source_id)
            for one in self.changes
        ]
        return found.sessions

    def decide(self, name: str, kind: str, day: int) -> None:
        number = len(self.changes) + 1
        there = self.source.get(name)
        change = Change(f"c{number}", kind, name, (number, ""), **(at(day) if kind in (MOVED, MAKE_UP) else {}))  # type: ignore[arg-type]
        if kind == MAKE_UP:
            change = replace(change, session_id=make_up_id("o", change.id))
        elif there is None:
            return
        else:
            was = Before(1, 1, (3,), there.date, there.start_ms, there.end_ms, there.rooms, there.teachers)
            change = replace(change, before=was)
        values = {ROOM_CHANGE: {"rooms": (("", "", str(day)),)}, SUBSTITUTE: {"teachers": ((f"t{day}", f"师{day}"),)}}
        self.changes.append(replace(change, **values.get(kind, {})))


def model(school: School) -> dict[str, tuple[object, ...]]:
    """Session → when, room, teachers and whether it is held, straight from the changes that stand."""
    found: dict[str, tuple[object, ...]] = {}
    made = {one.session_id: one for one in school.changes if one.type == MAKE_UP}
    gone = {
        one.session_id: one for one in school.changes if one.session_id not in school.source and one.type == CANCELLED
    }
    for name in {*school.source, *made, *gone}:
        mine = [one for one in school.changes if one.session_id == name]
        held = [one.type for one in mine if one.type in (CANCELLED, RESTORED)]
        base = school.source.get(name) or made.get(name) or gone[name].before
        if name in gone and name not in made and held[-1:] != [CANCELLED]:
            continue
        if name in gone and name not in made:
            base = [one for one in mine if one.type == CANCELLED][-1].before
        assert base is not None
        day, rooms, teachers, cancelled = (
            base.date,
            base.rooms,
            base.names if isinstance(base, Change) else base.teachers,
            False,
        )
        rule = school.days.get(date.fromisoformat(day)) if name not in made else None
        moves = [one for one in mine if one.type == MOVED]
        if moves:
            day = moves[-1].date
        elif rule is not None and rule.held_on is not None:
            day = rule.held_on.isoformat()
        if rule is not None and rule.held_on is None and not moves and not held:
            cancelled = True
        rooms = next((one.rooms for one in reversed(mine) if one.type == ROOM_CHANGE), rooms)
        teachers = next((one.names for one in reversed(mine) if one.type == SUBSTITUTE), teachers)
        found[name] = (day, rooms, teachers, cancelled or held[-1:] == [CANCELLED])
    return found


def seen(sessions: list[Session]) -> dict[str, tuple[object, ...]]:
    return {
        one.id: (one.date, one.rooms, one.teachers, one.alteration is not None and one.alteration.cancelled)
        for one in sessions
    }


@given(STEPS)
def test_people_see_the_last_import_and_the_changes_that_stand(steps: list[tuple[object, ...]]) -> None:
    """Whatever came in whatever order, and however often it was looked at in between."""
    school = School()
    for step in steps:
        match step:
            case ("import", dict() as rows):
                school.source = {name: session(name, day, room) for name, (day, room) in rows.items()}
            case ("decide", str() as name, str() as kind, int() as day):
                school.decide(name, kind, day)
            case ("withdraw", int() as number):
                school.changes = [one for place, one in enumerate(school.changes) if place != number]
            case ("day", int() as day, to):
                taught, held = date(2024, 9, day), None if to is None else date(2024, 9, int(str(to)))
                school.days = {**school.days, taught: DayRule("d", taught, held)}
        sessions = school.see()
        assert seen(sessions) == model(school)
        assert school.see() == sessions


@given(SOURCES.filter(bool), st.data())
def test_a_source_that_takes_a_move_over_changes_nothing_that_people_see(
    rows: dict[str, tuple[int, str]], data: st.DataObject
) -> None:
    """By the same session or by another one, the class keeps its id; then the source may go on as it likes."""
    school = School(source={name: session(name, day, room) for name, (day, room) in rows.items()})
    name = data.draw(st.sampled_from(sorted(rows)))
    school.decide(name, MOVED, 9)
    before = seen(school.see())
    key = data.draw(st.sampled_from([name, "z"]))
    there = school.source.pop(name)
    school.source[key] = replace(there, id=key, source_date="2024-09-09", **at(9))  # type: ignore[arg-type]
    assert seen(school.see()) == before and school.changes[0].state == ABSORBED
    assert school.see() == school.see()
    school.source[key] = replace(school.source[key], source_date="2024-09-10", **at(10))  # type: ignore[arg-type]
    after = seen(school.see())
    assert after[name][0] == "2024-09-10" and after.keys() == before.keys() and school.changes[0].state != APPLIED
