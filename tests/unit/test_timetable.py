"""Reading one source row: dates, times, what is refused and what only waits."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from domain.terms import ARCHIVED, FROZEN, OPEN, PeriodRow, PeriodTable, Term, later_status
from domain.text import clean, split_list
from domain.timetable import (
    SURPLUS,
    Calendar,
    Refused,
    local_ms,
    read_clock,
    read_date,
    read_enrolment,
    read_meeting,
    read_period,
    read_room,
    read_student,
    read_teacher,
    read_term,
)

SHANGHAI = ZoneInfo("Asia/Shanghai")
TERM = Term("2024-2025-1", first_monday=date(2024, 9, 2), weeks=18)
ROW = {
    "kkh": "A-1", "kcbh": "A", "kcmc": "代数", "xnxq": TERM.code, "jxz": "1", "zc": "1", "jc": "3", "st": "10:00",
    "ed": "10:45", "rq": "2024-09-02", "kkxy": "数学学院", "ghs": "t1,t2", "xms": "甲,乙", "xq": "东", "lq": "一教",
    "room": "101",
}  # fmt: skip


def calendar(*periods: PeriodRow, term: Term = TERM) -> Calendar:
    return Calendar(zone=SHANGHAI, terms={term.code: term}, periods=PeriodTable(periods))


def reason_of(changes: dict[str, str | None], using: Calendar | None = None) -> str:
    with pytest.raises(Refused) as refused:
        read_meeting({**ROW, **changes}, using or calendar())
    assert " · " in refused.value.sentence
    return refused.value.reason


@pytest.mark.parametrize(
    "text",
    [
        "2025-03-03",
        "2025/03/03 00:00:00.000",
        "2025/3/3",
        "2025.3.3",
        "20250303",
        "2025-03-03T00:00:00",
        "2025-3-03 8:00",
    ],
)
def test_every_spelling_of_a_date_is_the_same_day(text: str) -> None:
    """Exports of one university write dates in several ways."""
    assert read_date(text) == date(2025, 3, 3)


@pytest.mark.parametrize(
    "text", ["2025-13-45", "2025-02-30", "2025-03/03", "2025303", "3.3.2025", "周一", "2025-03-03x"]
)
def test_what_is_no_date_is_not_guessed(text: str) -> None:
    """A guessed date puts a class on the wrong day without a word."""
    assert read_date(text) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("8:00", 28800), ("08:00:00.000", 28800), ("08:00", 28800), ("1900-01-01 08:00:00", 28800), ("8：05", 29100),
     ("23:59:59", 86399), ("24:00", 86400)],
)  # fmt: skip
def test_every_spelling_of_a_time_is_the_same_time(text: str, seconds: int) -> None:
    """Databases and spreadsheets write times in several ways."""
    assert read_clock(text) == seconds


@pytest.mark.parametrize("text", ["25:61", "24:01", "8", "8:60", "08:00:60", "8.30", "上午"])
def test_what_is_no_time_is_not_guessed(text: str) -> None:
    """A guessed time is worse than a row somebody looks at."""
    assert read_clock(text) is None


def test_a_local_time_becomes_an_instant_of_the_tenants_zone() -> None:
    """Rows say local times; everything stored is UTC."""
    expected = datetime(2024, 9, 2, 10, 0, tzinfo=SHANGHAI).timestamp() * 1000
    assert local_ms(date(2024, 9, 2), 36000, SHANGHAI) == expected
    assert local_ms(date(2024, 9, 2), 86400, SHANGHAI) == local_ms(date(2024, 9, 3), 0, SHANGHAI)


def test_summer_time_is_the_zones_affair() -> None:
    """A Lisbon class at 10:00 is at 9:00 UTC in summer and 10:00 UTC in winter."""
    lisbon = ZoneInfo("Europe/Lisbon")
    day_ms = 86_400_000
    assert local_ms(date(2018, 7, 2), 36000, lisbon) % day_ms == 9 * 3_600_000
    assert local_ms(date(2018, 12, 3), 36000, lisbon) % day_ms == 10 * 3_600_000


def test_a_whole_row_is_read() -> None:
    """The plain case, all columns."""
    meeting = read_meeting(ROW, calendar())
    assert (meeting.term, meeting.kkh, meeting.kcbh, meeting.kcmc) == (TERM.code, "A-1", "A", "代数")
    assert (meeting.jxz, meeting.zc, meeting.jc, meeting.date) == (1, 1, 3, "2024-09-02")
    assert (meeting.xq, meeting.lq, meeting.room, meeting.ghs, meeting.xms) == ("东", "一教", "101", "t1,t2", "甲,乙")
    assert meeting.end_ms is not None and meeting.start_ms is not None
    assert meeting.end_ms - meeting.start_ms == 45 * 60_000
    assert meeting.held is None


def test_text_is_trimmed_and_in_one_unicode_form() -> None:
    """The same college typed on two keyboards is one college."""
    assert clean("  Cafe\u0301\u3000") == "Caf\u00e9"
    assert read_meeting({**ROW, "kkh": " A-1\u3000", "kkxy": "Cafe\u0301"}, calendar()).kkxy == "Caf\u00e9"


def test_lists_are_split_at_every_separator_and_keep_their_order() -> None:
    """Teacher fields hold commas of both kinds; the first teacher decides a lane."""
    assert split_list("乙,甲，丙、丁;乙, ,王 等") == ("乙", "甲", "丙", "丁", "王 等")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kkh": ""}, "no_kkh"),
        ({"kkh": " \u3000"}, "no_kkh"),
        ({"kkh": None}, "no_kkh"),
        ({"xnxq": ""}, "bad_term"),
        ({"xnxq": "2024 秋\n"}, "bad_term"),
        ({"xnxq": "x" * 21}, "bad_term"),
        ({"rq": "2026-13-45"}, "unreadable_date"),
        ({"rq": "", "jxz": "一"}, "unreadable_date"),
        ({"rq": "", "zc": "8"}, "unreadable_date"),
        ({"st": "25:61"}, "unreadable_time"),
        ({"ed": "later"}, "unreadable_time"),
        ({"ed": "", "jc": ""}, "unreadable_time"),
        ({"st": "10:45", "ed": "10:00"}, "end_not_after_start"),
        ({"st": "10:00", "ed": "10:00"}, "end_not_after_start"),
        ({"kkh": "x" * 61}, "too_long"),
        ({"kkxy": "院" * 61}, "too_long"),
        ({"ghs": "t" * 61}, "too_long"),
        ({"room": "r" * 201}, "too_long"),
        ({SURPLUS: "extra"}, "too_many_fields"),
    ],
)
def test_a_row_that_cannot_be_used_is_refused_with_its_reason(changes: dict[str, str | None], reason: str) -> None:
    """People find the row by its reason and mend it in the source."""
    assert reason_of(changes) == reason


def test_sixty_characters_are_still_an_identifier() -> None:
    """The limit itself is allowed."""
    assert len(read_meeting({**ROW, "kkh": "课" * 60}, calendar()).kkh) == 60


def test_a_week_or_period_that_nothing_depends_on_may_be_odd() -> None:
    """A row with a date and hours of its own is usable whatever stands in jxz, zc and jc."""
    meeting = read_meeting({**ROW, "jxz": "第一周", "zc": "9", "jc": "晚"}, calendar())
    assert (meeting.jxz, meeting.zc, meeting.jc, meeting.held) == (None, None, None, None)


def test_spreadsheet_numbers_are_numbers() -> None:
    """Spreadsheets write week 3 as 3.0."""
    meeting = read_meeting({**ROW, "jxz": "3.0", "jc": " 03 "}, calendar())
    assert (meeting.jxz, meeting.jc) == (3, 3)


def test_a_missing_date_comes_from_week_and_weekday() -> None:
    """Sources without dates have the first Monday of the term."""
    assert read_meeting({**ROW, "rq": "", "jxz": "3", "zc": "7"}, calendar()).date == "2024-09-22"


def test_exchange_days_move_only_computed_dates() -> None:
    """A date in the row is the truth already; a computed one follows the holiday calendar, also to an earlier day."""
    term = read_term({"xnxq": TERM.code, "first_monday": "2024-09-02", "exchange": "2024-09-14=2024-09-16"})
    using = calendar(term=term)
    assert read_meeting({**ROW, "rq": "", "jxz": "3", "zc": "1"}, using).date == "2024-09-14"
    assert read_meeting({**ROW, "rq": "2024-09-16", "jxz": "3", "zc": "1"}, using).date == "2024-09-16"
    assert read_meeting({**ROW, "rq": "", "jxz": "2", "zc": "6"}, using).date == "2024-09-14"


def test_without_a_first_monday_a_dateless_row_waits() -> None:
    """It is not wrong: it becomes a class as soon as somebody enters the first Monday."""
    meeting = read_meeting({**ROW, "rq": ""}, calendar(term=Term(TERM.code)))
    assert (meeting.held, meeting.date, meeting.start_ms) == ("no_first_monday", None, None)


def test_without_hours_and_period_table_a_row_waits() -> None:
    """Whole universities export no times."""
    meeting = read_meeting({**ROW, "st": "", "ed": ""}, calendar())
    assert (meeting.held, meeting.date, meeting.end_ms) == ("no_period_table", "2024-09-02", None)


def test_hours_come_from_the_clock_in_force_on_that_campus_and_date() -> None:
    """Summer and winter clocks differ inside one term, and campuses differ."""
    using = calendar(
        PeriodRow(TERM.code, "东", "2024-09-01", 3, 36000, 38700),
        PeriodRow(TERM.code, "东", "2024-10-01", 3, 36600, 39300),
        PeriodRow(TERM.code, "", "", 3, 30000, 31000),
        PeriodRow("", "西", "", 4, 50000, 51000),
    )

    def start(**changes: str) -> int | None:
        return read_meeting({**ROW, "st": "", "ed": "", **changes}, using).start_ms

    assert start() == local_ms(date(2024, 9, 2), 36000, SHANGHAI)
    assert start(rq="2024-09-30") == local_ms(date(2024, 9, 30), 36000, SHANGHAI)
    assert start(rq="2024-10-01") == local_ms(date(2024, 10, 1), 36600, SHANGHAI)
    assert start(rq="2024-08-31") == local_ms(date(2024, 8, 31), 30000, SHANGHAI)
    assert start(xq="南") == local_ms(date(2024, 9, 2), 30000, SHANGHAI)
    assert start(xq="西", jc="4") == local_ms(date(2024, 9, 2), 50000, SHANGHAI)
    assert start(jc="4") is None


def test_a_row_keeps_the_hour_it_says_and_takes_only_the_other_from_the_table() -> None:
    """Half a time is still what the source means."""
    using = calendar(PeriodRow("", "", "", 3, 36000, 38700))
    meeting = read_meeting({**ROW, "st": "10:10", "ed": ""}, using)
    assert meeting.start_ms == local_ms(date(2024, 9, 2), 36600, SHANGHAI)
    assert meeting.end_ms == local_ms(date(2024, 9, 2), 38700, SHANGHAI)


def test_a_deleted_row_waits_and_a_wrong_one_stays_wrong() -> None:
    """Deleting is a word of the source, not an error; it does not make a bad date good."""
    assert read_meeting({**ROW, "zt": "delete"}, calendar()).held == "deleted"
    assert read_meeting({**ROW, "zt": " DELETE"}, calendar()).held == "deleted"
    assert reason_of({"zt": "delete", "rq": "2026-13-45"}) == "unreadable_date"


@pytest.mark.parametrize("status", [FROZEN, ARCHIVED])
def test_rows_of_a_closed_term_wait(status: str) -> None:
    """Nobody changes a term that people closed."""
    assert read_meeting(ROW, calendar(term=Term(TERM.code, status=status))).held == "frozen_term"


def test_a_source_may_close_a_term_and_never_reopen_it() -> None:
    """The file says open every day, long after a person archived the term."""
    assert later_status(ARCHIVED, OPEN) == ARCHIVED
    assert later_status(OPEN, FROZEN) == FROZEN
    assert later_status(FROZEN, "") == FROZEN


def test_a_first_monday_that_is_no_monday_is_refused() -> None:
    """It would shift every class of the term by days."""
    with pytest.raises(Refused, match="not a Monday"):
        read_term({"xnxq": TERM.code, "first_monday": "2024-09-03"})


@pytest.mark.parametrize("text", ["2024-09-14", "x=2024-09-16", "2024-09-14=2024-13-01", "{broken"])
def test_unreadable_exchange_days_are_refused(text: str) -> None:
    """Half an exchange calendar is worse than none."""
    with pytest.raises(Refused):
        read_term({"xnxq": TERM.code, "exchange": text})


def test_exchange_days_may_also_be_json() -> None:
    """The form in which they are stored."""
    term = read_term({"xnxq": TERM.code, "exchange": '{"2024-09-14": "2024-09-16"}'})
    assert term.made_up == {date(2024, 9, 16): date(2024, 9, 14)}


def test_a_period_names_its_clock_by_its_first_day() -> None:
    """Blank means from the start, for any term and any campus."""
    said = {"xnxq": TERM.code, "xq": "东", "from": "2024/10/1", "jc": "1", "st": "8:00", "ed": "8:45"}
    assert read_period(said) == PeriodRow(TERM.code, "东", "2024-10-01", 1, 28800, 31500)
    assert read_period({"jc": "1", "st": "8:00", "ed": "8:45"}) == PeriodRow("", "", "", 1, 28800, 31500)
    with pytest.raises(Refused):
        read_period({"jc": "1", "st": "8:45", "ed": "8:00"})
    with pytest.raises(Refused):
        read_period({"jc": "", "st": "8:00", "ed": "8:45"})


def test_a_room_without_usable_coordinates_has_none() -> None:
    """A room nobody measured has no fence; it is still a room."""
    assert read_room({"xq": "东", "lq": "一教", "room": "101", "lat": "31.02", "lon": "121.4"}).lat == "31.02"
    half = read_room({"lq": "一教", "room": "101", "lat": "31.02", "lon": "east"})
    assert (half.lat, half.lon) == ("", "")
    with pytest.raises(Refused):
        read_room({"xq": "东", "lat": "1", "lon": "2"})


def test_people_have_a_code_and_the_name_of_their_unit() -> None:
    """The unit's name is what offerings call their college; its code is the fallback."""
    assert read_teacher({"gh": "t1", "xm": "甲", "ssdwdm": "07", "ssdwmc": "数学学院"}).college == "数学学院"
    assert read_student({"xh": "s1", "xm": None, "xydm": "07", "xymc": ""}).college == "07"
    with pytest.raises(Refused):
        read_student({"xh": " "})


def test_an_enrolment_needs_student_section_and_term() -> None:
    """Without one of them nobody can be put on a roll."""
    assert read_enrolment({"xh": "s1", "kkh": "A-1", "xnxq": TERM.code}).kcbh == ""
    for missing in ("xh", "kkh", "xnxq"):
        with pytest.raises(Refused):
            read_enrolment({"xh": "s1", "kkh": "A-1", "xnxq": TERM.code, missing: ""})
