"""One source row becomes one Meeting, or is refused with a reason and a sentence for a person.

Required are the offering, the term, a date (`rq`, or `jxz` and `zc` through the first Monday) and hours (`st` and `ed`,
or `jc` through the period table). A row that only lacks what a term or a period table would give is *held*: it is kept
and counted, and takes part in nothing until that is there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from domain.terms import STATUSES, PeriodRow, PeriodTable, Term, exchange_pairs
from domain.text import IDENTIFIER_CHARS, clean, split_list

NO_KKH: Final = "no_kkh"
BAD_TERM: Final = "bad_term"
UNREADABLE_DATE: Final = "unreadable_date"
UNREADABLE_TIME: Final = "unreadable_time"
END_NOT_AFTER_START: Final = "end_not_after_start"
TOO_LONG: Final = "too_long"
TOO_MANY_FIELDS: Final = "too_many_fields"
DUPLICATE: Final = "duplicate"
NO_CODE: Final = "no_code"
NO_ROOM: Final = "no_room"

HELD_DELETED: Final = "deleted"
HELD_FROZEN: Final = "frozen_term"
HELD_OTHER_SOURCE: Final = "other_source"  # the offering is that of a source that goes first
HELD_NO_MONDAY: Final = "no_first_monday"
HELD_NO_PERIODS: Final = "no_period_table"

SURPLUS: Final = "…"
"""The key under which a source hands over what stands beyond the last column of a row."""

_TERM_CHARS: Final = 20
_NAME_CHARS: Final = 200
_PEOPLE_CHARS: Final = 500
_ROOM_CHARS: Final = 100
_MOST_WEEKS: Final = 99
_LAST_SECOND: Final = 24 * 3600

_DATE: Final = re.compile(
    r"([0-9]{4})([-/.]?)([0-9]{1,2})\2([0-9]{1,2})(?:[ T][0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?)?"
)
_CLOCK: Final = re.compile(
    r"(?:[0-9]{4}[-/][0-9]{1,2}[-/][0-9]{1,2}[ T])?([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:\.[0-9]+)?)?"
)
_WHOLE: Final = re.compile(r"([0-9]{1,9})(?:\.0+)?")
_DEGREES: Final = re.compile(r"-?[0-9]{1,3}(?:\.[0-9]+)?")
_TERM: Final = re.compile(r"[\w.()（）-]+")


class Refused(Exception):
    """A row that cannot be used: the reason as a word, and a sentence, Chinese first."""

    def __init__(self, reason: str, chinese: str, english: str) -> None:
        super().__init__(f"{chinese} · {english}")
        self.reason = reason
        self.sentence = f"{chinese} · {english}"


@dataclass(frozen=True, slots=True)
class Meeting:
    """One source row, understood. Instants are milliseconds UTC; `held` is the reason why it waits, None when used.

    Of a held row `date`, `start_ms` and `end_ms` may be missing; of a used one they never are.
    """

    term: str
    kkh: str
    kcbh: str
    kcmc: str
    kkxy: str
    xq: str
    lq: str
    room: str
    ghs: str
    xms: str
    jxz: int | None
    zc: int | None
    jc: int | None
    date: str | None
    start_ms: int | None
    end_ms: int | None
    sfdk: str
    held: str | None


class Calendar:
    """What rows are read against: the tenant's zone, terms and period table."""

    def __init__(self, *, zone: ZoneInfo, terms: Mapping[str, Term], periods: PeriodTable) -> None:
        self.zone = zone
        self.terms = terms
        self.periods = periods

    def term(self, code: str) -> Term:
        """The term, open and without a first Monday where nothing is known of it."""
        return self.terms.get(code) or Term(code)


def read_meeting(row: Mapping[str, str | None], calendar: Calendar) -> Meeting:
    """The meeting that `row` says. Raises Refused."""
    kkh = _identifier(row, "kkh")
    if not kkh:
        raise Refused(NO_KKH, "缺少开课号", "no kkh")
    if row.get(SURPLUS):
        raise Refused(TOO_MANY_FIELDS, "列数多于表头", "more fields than the header has columns")
    term = calendar.term(term_code(clean(row.get("xnxq"))))
    week, weekday, period = _whole(row, "jxz", 0), _whole(row, "zc", 1, 7), _whole(row, "jc", 0)
    campus = _identifier(row, "xq")
    day = _day(clean(row.get("rq")), term, week, weekday)
    hours = _hours(clean(row.get("st")), clean(row.get("ed")))
    held = None
    if day is None:
        held = HELD_NO_MONDAY
        _complete_hours(hours, period, None)
    else:
        known = period is not None
        listed = calendar.periods.hours(term=term.code, campus=campus, day=day, period=period or 0) if known else None
        hours = _complete_hours(hours, period, listed)
        held = HELD_NO_PERIODS if None in hours else None
    start_s, end_s = hours
    if start_s is not None and end_s is not None and end_s <= start_s:
        raise Refused(END_NOT_AFTER_START, "结束时间不晚于开始时间", "the end is not after the start")
    if clean(row.get("zt")).lower() == "delete":
        held = HELD_DELETED
    elif term.is_closed:
        held = HELD_FROZEN
    return Meeting(
        term=term.code,
        kkh=kkh,
        kcbh=_identifier(row, "kcbh"),
        kcmc=clean(row.get("kcmc"))[:_NAME_CHARS],
        kkxy=_identifier(row, "kkxy"),
        xq=campus,
        lq=_bounded(row, "lq", _NAME_CHARS),
        room=_bounded(row, "room", _NAME_CHARS),
        ghs=_codes(row),
        xms=_bounded(row, "xms", _PEOPLE_CHARS),
        jxz=week,
        zc=weekday,
        jc=period,
        date=None if day is None else day.isoformat(),
        start_ms=_instant(day, start_s, calendar.zone),
        end_ms=_instant(day, end_s, calendar.zone),
        sfdk=clean(row.get("sfdk"))[:10],
        held=held,
    )


def term_code(text: str) -> str:
    """`text` if it is a term code: letters, digits, - . and brackets, at most 20. Raises Refused."""
    if not text:
        raise Refused(BAD_TERM, "缺少学年学期", "no xnxq")
    if len(text) > _TERM_CHARS or not _TERM.fullmatch(text):
        raise Refused(
            BAD_TERM,
            f"学年学期不合规：{text[:40]}",
            f"{text[:40]!r} is no term code of at most 20 letters, digits and -",
        )
    return text


@lru_cache(maxsize=4096)
def read_date(text: str) -> date | None:
    """The date of `2025-03-03`, `2025/3/3 00:00:00.000`, `2025.3.3` or `20250303`; None when it is none of these."""
    found = _DATE.fullmatch(text)
    if found is None or (not found[2] and len(found[3]) + len(found[4]) != 4):
        return None
    try:
        return date(int(found[1]), int(found[3]), int(found[4]))
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def read_clock(text: str) -> int | None:
    """Seconds since midnight of `8:00`, `08:00:00.000` or a date with such a time; 24:00 is the end of the day."""
    found = _CLOCK.fullmatch(text.replace("：", ":"))
    if found is None:
        return None
    hour, minute, second = int(found[1]), int(found[2]), int(found[3] or 0)
    total = hour * 3600 + minute * 60 + second
    return total if minute < 60 and second < 60 and total <= _LAST_SECOND else None


@lru_cache(maxsize=8192)
def local_ms(day: date, second: int, zone: ZoneInfo) -> int:
    """Milliseconds UTC of a local time of `day`; a time that a clock change skips or repeats is read as before it."""
    days, rest = divmod(second, _LAST_SECOND)
    moment = datetime(day.year, day.month, day.day, tzinfo=zone) + timedelta(days=days, seconds=rest)
    return int(moment.timestamp() * 1000)


def _instant(day: date | None, second: int | None, zone: ZoneInfo) -> int | None:
    return None if day is None or second is None else local_ms(day, second, zone)


def read_term(row: Mapping[str, str | None]) -> Term:
    """A row of the terms file. A blank status is OPEN. Raises Refused."""
    code = term_code(clean(row.get("xnxq")))
    monday = _date_or_refuse(row, "first_monday") if clean(row.get("first_monday")) else None
    if monday is not None and monday.isoweekday() != 1:
        raise Refused(UNREADABLE_DATE, f"{monday} 不是星期一", f"first_monday {monday} is not a Monday")
    status = clean(row.get("status")).lower() or STATUSES[0]
    if status not in STATUSES:
        raise Refused(BAD_TERM, f"状态不合规：{status[:40]}", f"the status is none of {', '.join(STATUSES)}")
    return Term(code, monday, _whole(row, "weeks", 1), status, _made_up(clean(row.get("exchange"))))


def _made_up(text: str) -> dict[date, date]:
    try:
        pairs = exchange_pairs(text)
    except ValueError:
        pairs = (("", ""),)
    read = {read_date(taught): read_date(made_up) for made_up, taught in pairs}
    made_up = {taught: day for taught, day in read.items() if taught is not None and day is not None}
    if len(made_up) != len(pairs):
        raise Refused(UNREADABLE_DATE, "调休日期无法识别", "exchange must read made-up date=teaching date;…")
    return made_up


def read_period(row: Mapping[str, str | None]) -> PeriodRow:
    """A row of the periods file; the first day of its clock is in `from` (or `since`). Raises Refused."""
    term = clean(row.get("xnxq"))
    column = "from" if clean(row.get("from")) else "since"
    since = _date_or_refuse(row, column).isoformat() if clean(row.get(column)) else ""
    period = _whole(row, "jc", 0)
    start_s, end_s = _hours(clean(row.get("st")), clean(row.get("ed")))
    if period is None or start_s is None or end_s is None:
        raise Refused(UNREADABLE_TIME, "节次或起止时间缺失", "a period needs jc, st and ed")
    if end_s <= start_s:
        raise Refused(END_NOT_AFTER_START, "结束时间不晚于开始时间", "the end is not after the start")
    return PeriodRow(term_code(term) if term else "", _identifier(row, "xq"), since, period, start_s, end_s)


@dataclass(frozen=True, slots=True)
class Room:
    """A room of the rooms file. Latitude and longitude are texts in degrees, blank where unknown."""

    xq: str
    lq: str
    room: str
    lat: str
    lon: str


def read_room(row: Mapping[str, str | None]) -> Room:
    """A row of the rooms file; coordinates that are none count as unknown. Raises Refused."""
    lq, room = _bounded(row, "lq", _ROOM_CHARS), _bounded(row, "room", _ROOM_CHARS)
    if not room and not lq:
        raise Refused(NO_ROOM, "缺少楼和房间", "neither lq nor room")
    lat, lon = _degrees(clean(row.get("lat")), 90), _degrees(clean(row.get("lon")), 180)
    return Room(_identifier(row, "xq"), lq, room, lat if lon else "", lon if lat else "")


def _degrees(text: str, most: int) -> str:
    return text if len(text) <= 20 and _DEGREES.fullmatch(text) and abs(float(text)) <= most else ""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """That a student takes an offering number; blank `kcbh` means every course under it."""

    term: str
    kkh: str
    kcbh: str
    code: str


def read_enrolment(row: Mapping[str, str | None]) -> Enrolment:
    """A row of the enrolments file. Raises Refused."""
    code, kkh = read_person(row, "xh"), _identifier(row, "kkh")
    if not kkh:
        raise Refused(NO_KKH, "缺少开课号", "no kkh")
    return Enrolment(term_code(clean(row.get("xnxq"))), kkh, _identifier(row, "kcbh"), code)


@dataclass(frozen=True, slots=True)
class Person:
    """A student or teacher of the people files; `college` is the name of the unit, else its code."""

    code: str
    name: str
    college: str


def read_student(row: Mapping[str, str | None]) -> Person:
    """A row of the students file. Raises Refused."""
    return _person(row, "xh", "xymc", "xydm")


def read_teacher(row: Mapping[str, str | None]) -> Person:
    """A row of the teachers file. Raises Refused."""
    return _person(row, "gh", "ssdwmc", "ssdwdm")


def _person(row: Mapping[str, str | None], code: str, unit: str, unit_code: str) -> Person:
    college = _identifier(row, unit) or _identifier(row, unit_code)
    return Person(read_person(row, code), clean(row.get("xm"))[:_NAME_CHARS], college)


def read_person(row: Mapping[str, str | None], column: str) -> str:
    """The code of a person in `column` (`xh` or `gh`). Raises Refused when it is missing or too long."""
    code = _identifier(row, column)
    if not code:
        raise Refused(NO_CODE, "缺少学号或工号", f"no {column}")
    return code


def _identifier(row: Mapping[str, str | None], column: str) -> str:
    return _bounded(row, column, IDENTIFIER_CHARS)


def _bounded(row: Mapping[str, str | None], column: str, most: int) -> str:
    text = clean(row.get(column))
    if len(text) > most:
        raise Refused(TOO_LONG, f"{column} 超过 {most} 个字符", f"{column} is longer than {most} characters")
    return text


def _codes(row: Mapping[str, str | None]) -> str:
    text = _bounded(row, "ghs", _PEOPLE_CHARS)
    if len(text) > IDENTIFIER_CHARS and max(map(len, split_list(text))) > IDENTIFIER_CHARS:
        english = f"a teacher code is longer than {IDENTIFIER_CHARS} characters"
        raise Refused(TOO_LONG, f"教师工号超过 {IDENTIFIER_CHARS} 个字符", english)
    return text


def _whole(row: Mapping[str, str | None], column: str, least: int, most: int = _MOST_WEEKS) -> int | None:
    """A whole number; None when it is missing or is none. Matters only where date or hours depend on it."""
    found = _WHOLE.fullmatch(clean(row.get(column)))
    if found is None:
        return None
    value = int(found[1])
    return value if least <= value <= most else None


def _date_or_refuse(row: Mapping[str, str | None], column: str) -> date:
    text = clean(row.get(column))
    day = read_date(text)
    if day is None:
        raise Refused(UNREADABLE_DATE, f"日期无法识别：{text[:40]}", f"{column} {text[:40]!r} is no date")
    return day


def _day(text: str, term: Term, week: int | None, weekday: int | None) -> date | None:
    """The date of a row; None when the term's first Monday is missing. Raises Refused."""
    if text:
        return _date_or_refuse({"rq": text}, "rq")
    if week is None or weekday is None:
        raise Refused(UNREADABLE_DATE, "缺少日期，周次或星期也不可用", "no rq, and jxz or zc is missing or unreadable")
    return term.date_of(week, weekday)


def _hours(start: str, end: str) -> tuple[int | None, int | None]:
    """Start and end as the row says them; None where blank. Raises Refused when one cannot be read."""
    read: list[int | None] = []
    for column, text in (("st", start), ("ed", end)):
        second = read_clock(text) if text else None
        if text and second is None:
            raise Refused(UNREADABLE_TIME, f"时间无法识别：{text[:40]}", f"{column} {text[:40]!r} is no time")
        read.append(second)
    return read[0], read[1]


def _complete_hours(
    said: tuple[int | None, int | None], period: int | None, listed: tuple[int, int] | None
) -> tuple[int | None, int | None]:
    """What the row says, and for what is missing the period table. Raises Refused when a row names no period either."""
    if None not in said:
        return said
    if period is None:
        raise Refused(UNREADABLE_TIME, "缺少时间，节次也不可用", "st or ed is missing, and jc is missing or unreadable")
    start, end = listed or (None, None)
    return (start if said[0] is None else said[0], end if said[1] is None else said[1])
