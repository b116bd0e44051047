"""From the rows of one offering to its sessions."""

from dataclasses import replace
from datetime import date
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from domain.aggregation import HALF_DAY, Row, Rules, Session, aggregate
from domain.timetable import local_ms

ZONE = ZoneInfo("Asia/Shanghai")
RULES = Rules(zone=ZONE)
HALVES = Rules(zone=ZONE, rule=HALF_DAY)
DAY = "2024-09-02"


def at(clock: str, day: str = DAY) -> int:
    hours, minutes = clock.split(":")
    return local_ms(date.fromisoformat(day), int(hours) * 3600 + int(minutes) * 60, ZONE)


def row(line: int, jc: int | None, start: str, end: str, **changes: object) -> Row:
    day = str(changes.get("date", DAY))
    plain = Row(line, 1, 1, jc, day, at(start, day), at(end, day), "东", "一教", "101", "", "甲")
    return replace(plain, **changes)  # type: ignore[arg-type]


def sessions(*rows: Row, rules: Rules = RULES, names: dict[str, str] | None = None) -> list[Session]:
    return aggregate(rows, offering_id="o", rules=rules, names=names)


def spans(*rows: Row, rules: Rules = RULES) -> list[tuple[int, ...]]:
    return [session.periods for session in sessions(*rows, rules=rules)]


def test_neighbouring_periods_are_one_class() -> None:
    """Students see one event of two hours, not two of one."""
    (session,) = sessions(row(1, 3, "10:00", "10:45"), row(2, 4, "10:55", "11:40"))
    assert (session.start_ms, session.end_ms, session.jc_s) == (at("10:00"), at("11:40"), "3/4")
    assert session.lines == (1, 2)
    assert session.rooms == (("东", "一教", "101"),)
    assert session.teachers == ("甲",)


def test_a_gap_of_35_minutes_joins_and_one_of_36_does_not() -> None:
    """The limit is the longest break that real timetables have inside one class."""
    assert spans(row(1, 3, "10:00", "10:45"), row(2, 4, "11:20", "12:00")) == [(3, 4)]
    assert spans(row(1, 3, "10:00", "10:45"), row(2, 4, "11:21", "12:00")) == [(3,), (4,)]


def test_an_overlap_of_10_minutes_joins_and_one_of_11_does_not() -> None:
    """Periods of some universities overlap by minutes."""
    assert spans(row(1, 12, "20:00", "20:45"), row(2, 13, "20:35", "21:20")) == [(12, 13)]
    assert spans(row(1, 12, "20:00", "20:45"), row(2, 13, "20:34", "21:20")) == [(12,), (13,)]


def test_a_skipped_period_splits_unless_one_ends_as_the_next_starts() -> None:
    """A free hour is a free hour, however short; rows off the grid touch without following numbers."""
    assert spans(row(1, 3, "10:00", "10:45"), row(2, 5, "10:55", "11:40")) == [(3,), (5,)]
    assert spans(row(1, 3, "10:00", "10:45"), row(2, 5, "10:45", "11:30")) == [(3, 5)]
    assert spans(row(1, None, "10:00", "10:45"), row(2, None, "10:45", "11:30")) == [()]


def test_lunch_splits_only_where_it_is_set_and_lies_in_the_gap() -> None:
    """Some universities number through lunch."""
    rows = (row(1, 4, "11:00", "11:45"), row(2, 5, "12:15", "13:00"))
    assert spans(*rows) == [(4, 5)]
    assert spans(*rows, rules=Rules(ZONE, lunch_s=12 * 3600)) == [(4,), (5,)]
    assert spans(*rows, rules=Rules(ZONE, lunch_s=13 * 3600)) == [(4, 5)]


def test_rooms_of_one_period_are_a_set_and_one_session() -> None:
    """One section sits in two rooms at the same time: that is one class with two places."""
    (session,) = sessions(row(1, 3, "10:00", "10:45", room="202"), row(2, 3, "10:00", "10:45"))
    assert session.rooms == (("东", "一教", "101"), ("东", "一教", "202"))


def test_a_change_of_room_or_teacher_splits() -> None:
    """People must know where to go after the break."""
    first, second = row(1, 3, "10:00", "10:45"), row(2, 4, "10:55", "11:40")
    assert spans(first, replace(second, room="202")) == [(3,), (4,)]
    assert spans(first, replace(second, xms="乙")) == [(3,), (4,)]
    assert spans(first, replace(second, xms="甲，乙")) == [(3,), (4,)]


def test_rows_without_a_room_agree_with_each_other_whatever_the_campus() -> None:
    """No room is no place, and gives no location."""
    first = row(1, 3, "10:00", "10:45", lq="", room="")
    (session,) = sessions(first, row(2, 4, "10:55", "11:40", lq="", room="", xq="西"))
    assert session.rooms == ()


def test_teachers_are_compared_by_code_and_shown_by_name() -> None:
    """The same teacher is spelt in two ways; the staff list helps where a row gives no name."""
    first = row(1, 3, "10:00", "10:45", ghs="t1", xms="甲")
    (session,) = sessions(first, row(2, 4, "10:55", "11:40", ghs="t1", xms="甲先生"))
    assert session.teachers == ("甲", "甲先生")
    (named,) = sessions(row(1, 3, "10:00", "10:45", ghs="t1,t2", xms=""), names={"t1": "甲"})
    assert named.teachers == ("t2", "甲")


def test_a_moved_class_stays_the_same_session() -> None:
    """Another date, hour, room or teacher under the same week, weekday and first period is an update of the event."""
    (before,) = sessions(row(1, 3, "10:00", "10:45"))
    (after,) = sessions(row(9, 3, "14:00", "14:45", date="2024-09-07", room="303", xms="乙"))
    assert before.id == after.id
    (other_week,) = sessions(row(1, 3, "10:00", "10:45", jxz=2))
    (other_offering,) = aggregate([row(1, 3, "10:00", "10:45")], offering_id="p", rules=RULES)
    assert len({before.id, other_week.id, other_offering.id}) == 3


def test_the_sessions_of_a_course_are_neighbours_in_an_index() -> None:
    """Their ids begin as the course's does; a course with ids of before goes on with these."""
    rows = [row(1, 3, "10:00", "10:45"), row(2, 3, "10:00", "10:45", jxz=2, date="2024-09-09")]
    made = aggregate(rows, offering_id="abcdefghij", rules=RULES)
    former = aggregate(rows, offering_id="abcdefghij", rules=RULES, scattered=True)
    assert [one.id for one in made] == ["abcdef" + one.id for one in former]
    assert len({one.id for one in former}) == 2


def test_without_week_or_period_the_date_and_start_name_the_session() -> None:
    """Then a moved class cannot be told from a new one."""
    (first,) = sessions(row(1, 3, "10:00", "10:45", jxz=None))
    (same,) = sessions(row(5, 3, "10:00", "10:45", jxz=None, room="9"))
    (moved,) = sessions(row(1, 3, "10:00", "10:45", jxz=None, date="2024-09-03"))
    assert first.id == same.id != moved.id


def test_of_two_sessions_under_one_key_the_earliest_keeps_it() -> None:
    """A wrong week number in one row must not shuffle the ids of the others."""
    plain, stray = row(1, 3, "10:00", "10:45"), row(2, 3, "10:00", "10:45", date="2024-09-09")
    (alone,) = sessions(plain)
    first, second = sessions(stray, plain)
    assert (first.date, first.id) == (DAY, alone.id)
    assert second.id != alone.id
    assert sessions(plain, stray) == [first, second]


def test_an_exchange_day_can_carry_a_class_of_its_own_and_a_moved_one() -> None:
    """Wednesday's class is held on a Saturday that has one already; both stay and have ids of their own."""
    own = row(1, 1, "08:00", "08:45", zc=6)
    moved = row(2, 5, "13:00", "13:45", zc=3)
    found = sessions(own, moved)
    assert [(session.zc, session.periods) for session in found] == [(6, (1,)), (3, (5,))]
    assert len({session.id for session in found}) == 2


def test_sessions_without_periods_at_the_same_start_have_ids_of_their_own() -> None:
    """Rows off the grid may even start together."""
    found = sessions(
        row(1, None, "10:00", "10:45"), row(2, None, "10:00", "11:45"), row(3, 3, "10:00", "10:45", jxz=None, room="9")
    )
    assert len(found) == 3
    assert len({session.id for session in found}) == 3


def test_by_half_days_a_morning_is_one_class_with_all_its_rooms_and_teachers() -> None:
    """Some schools keep one entry for a morning, whatever the free hour in it."""
    first = row(1, 1, "08:00", "08:45")
    (session,) = sessions(row(2, 4, "10:55", "11:40", room="202", xms="乙"), first, rules=HALVES)
    assert (session.start_ms, session.end_ms, session.jc_s) == (at("08:00"), at("11:40"), "1/4")
    assert (session.lines, session.teachers) == ((1, 2), ("乙", "甲"))
    assert session.rooms == (("东", "一教", "101"), ("东", "一教", "202"))
    (alone,) = sessions(first)
    assert session.id == alone.id


def test_by_half_days_noon_divides_by_the_clock_and_not_by_the_period() -> None:
    """Period 5 is at eleven in one school and at two in another; afternoon and evening are one half."""
    rows = (
        row(1, 5, "11:15", "12:00"), row(2, 6, "12:00", "12:45"), row(3, 7, "14:00", "14:45"), row(4, 11, "19:00", "19:45")
    )  # fmt: skip
    assert spans(*rows, rules=HALVES) == [(5,), (6, 7, 11)]
    late = row(9, 4, "11:59", "12:44")
    assert spans(late, rows[1], rules=HALVES) == [(4,), (6,)]
    elsewhere = Rules(zone=ZoneInfo("Europe/Lisbon"), rule=HALF_DAY)
    assert spans(*rows, rules=elsewhere) == [(5, 6, 7), (11,)]


def test_by_half_days_dates_stay_apart_and_lunch_does_not_matter() -> None:
    """The setting for lunch belongs to the other rule."""
    rows = (row(1, 1, "08:00", "08:45"), row(2, 2, "09:00", "09:45", date="2024-09-03", zc=2))
    rules = Rules(zone=ZONE, lunch_s=9 * 3600, rule=HALF_DAY)
    assert spans(*rows, row(3, 3, "10:00", "10:45"), rules=rules) == [(1, 3), (2,)]


def hours(day: int, start: int, length: int) -> tuple[int, int]:
    """Start and end; `start` and `length` count five minutes, from midnight."""
    midnight = at("0:00", f"2024-09-{day:02d}")
    return midnight + start * 300_000, midnight + (start + length) * 300_000


rows_strategy = st.lists(
    st.builds(
        lambda jxz, zc, jc, day, start, length, room, xms: Row(
            0, jxz, zc, jc, f"2024-09-{day:02d}", *hours(day, start, length), "", "", room, "", xms
        ),
        st.sampled_from([None, 1, 2]),
        st.sampled_from([None, 1, 3]),
        st.sampled_from([None, 1, 2, 3, 4]),
        st.integers(2, 4),
        st.integers(130, 150),
        st.integers(1, 20),
        st.sampled_from(["", "1", "2"]),
        st.sampled_from(["", "甲", "甲,乙"]),
    ),
    min_size=1,
    max_size=25,
).map(lambda rows: [replace(one, line=number) for number, one in enumerate(rows)])


either_rule = st.sampled_from([RULES, HALVES])


@given(rows_strategy, either_rule, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_never_matters(rows: list[Row], rules: Rules, random: object) -> None:
    """The same file sorted otherwise must not touch a single event."""
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert sessions(*rows, rules=rules) == sessions(*shuffled, rules=rules)


@given(rows_strategy, either_rule)
def test_every_row_is_in_exactly_one_session(rows: list[Row], rules: Rules) -> None:
    """Rows in = rows in sessions: nothing is dropped and nothing counted twice."""
    found = sessions(*rows, rules=rules)
    assert sorted(line for session in found for line in session.lines) == list(range(len(rows)))
    assert len({session.id for session in found}) == len(found)


@given(rows_strategy, either_rule)
def test_a_session_spans_its_rows_and_lies_on_one_day(rows: list[Row], rules: Rules) -> None:
    """From the least start to the greatest end."""
    for session in sessions(*rows, rules=rules):
        own = [rows[line] for line in session.lines]
        assert {one.date for one in own} == {session.date}
        assert session.start_ms == min(one.start_ms for one in own)
        assert session.end_ms == max(one.end_ms for one in own)
        assert session.periods == tuple(dict.fromkeys(jc for jc in session.periods))
        assert set(session.periods) == {one.jc for one in own if one.jc is not None}


@given(rows_strategy)
def test_by_half_days_a_date_has_at_most_a_morning_and_an_afternoon(rows: list[Row]) -> None:
    """The rule in one sentence, whatever the rows."""
    halves = [(session.date, session.start_ms < at("12:00", session.date)) for session in sessions(*rows, rules=HALVES)]
    assert len(halves) == len(set(halves))
