"""What is odd in usable rows. The rows go on; the quarantine tells people, in words, once per thing to look at.

Everything here streams: one offering, or what is going on at one moment, is in memory at a time.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any, Final
from zoneinfo import ZoneInfo

from db.quarantine import FINDING, HELD, Entry
from domain.text import split_list

NO_TEACHER: Final = "no_teacher"
UNKNOWN_TEACHER: Final = "unknown_teacher"
UNKNOWN_STUDENT: Final = "unknown_student"
BLANK_NAME: Final = "blank_name"
TEACHER_CLASH: Final = "teacher_clash"
SHARED_ROOM: Final = "shared_room"
TWO_ROOMS: Final = "two_rooms"
TWO_SOURCES: Final = "two_sources"

_SHOWN_OFFERINGS: Final = 12
_TOLERATED_OVERLAP_MS: Final = 10 * 60_000
"""Periods that follow each other may overlap by this much (some universities' do): that is no clash."""
_WEEKDAYS: Final = "一二三四五六日"
_SHOWN_COLUMNS: Final = (
    "kkh", "kcbh", "kcmc", "jxz", "zc", "jc", "xq", "lq", "room", "ghs", "xms", "date", "sfdk", "kkxy",
)  # fmt: skip

_HELD_SENTENCES: Final = {
    "deleted": ("源数据标记为删除", "the source marks them as deleted"),
    "frozen_term": ("该学期已冻结或归档", "the term is frozen or archived"),
    "no_first_monday": ("缺少该学期第一周的星期一", "the first Monday of the term is not known"),
    "other_source": ("同一开课已由优先的数据源给出", "a source that goes first names the same offerings"),
    "no_period_table": ("缺少上课时间，也没有节次表", "they have no times, and there is no period table"),
}


def row_json(row: Any) -> str:
    """A staged row as JSON, with the columns that people know; blank ones left out."""
    shown = {"xnxq": row.term, **{name: getattr(row, name) for name in _SHOWN_COLUMNS}}
    return json.dumps({name: value for name, value in shown.items() if value not in (None, "")}, ensure_ascii=False)


def held_entry(reason: str, term: str, count: int, first: Any, *, file: str) -> Entry:
    """The one entry for all held rows of a reason and term."""
    chinese, english = _HELD_SENTENCES[reason]
    sentence = f"学期 {term} 有 {count} 行暂缓：{chinese} · {count} rows of {term} wait: {english}"
    return Entry(HELD, reason, file, first.line, row_json(first), sentence, (term,))


def of_offerings(rows: Iterable[Any], *, file: str) -> Iterator[Entry]:
    """Findings about single offerings, from used rows in the order of their offerings."""
    for offering_id, group in groupby(rows, key=lambda row: row.offering_id):
        members = list(group)
        about = _Group(offering_id, members, file)
        yield from about.entry(
            NO_TEACHER, [row for row in members if not row.ghs and not row.xms], "没有教师", "have no teacher"
        )
        yield from about.entry(
            BLANK_NAME, [row for row in members if not row.kcmc], "没有课程名称", "have no course name"
        )
        yield from about.entry(
            TWO_ROOMS, _in_two_rooms(members), "同一时间占用多个教室", "are in several rooms at once"
        )


@dataclass(frozen=True, slots=True)
class _Group:
    offering_id: str
    members: list[Any]
    file: str

    def entry(self, reason: str, odd: list[Any], chinese: str, english: str) -> Iterator[Entry]:
        if not odd:
            return
        first = min(odd, key=lambda row: row.line)
        course = _course(first)
        sentence = (
            f"{course} 共 {len(self.members)} 行，其中 {len(odd)} 行{chinese}"
            f" · {len(odd)} of {len(self.members)} rows of {course} {english}"
        )
        yield Entry(FINDING, reason, self.file, first.line, row_json(first), sentence, (self.offering_id,))


def _in_two_rooms(rows: list[Any]) -> list[Any]:
    rooms: dict[tuple[Any, ...], set[tuple[str, str, str]]] = {}
    for row in rows:
        if row.lq or row.room:
            rooms.setdefault(_slot(row), set()).add((row.xq, row.lq, row.room))
    return [row for row in rows if len(rooms.get(_slot(row), ())) > 1]


def _slot(row: Any) -> tuple[Any, ...]:
    return (row.date, row.start_ms, row.end_ms) if row.jc is None else (row.date, row.jc)


def _course(row: Any) -> str:
    return f"{row.kcmc}（{row.kkh}）" if row.kcmc else f"{row.kkh} {row.kcbh}".strip()


def teachers_named(row: Any) -> Iterator[tuple[str, str]]:
    """(code, name) of the teachers of a row that have a code; names by place, blank where the lists differ in length."""
    codes, names = split_list(row.ghs), split_list(row.xms)
    if len(codes) != len(names):
        names = ("",) * len(codes)
    return zip(codes, names, strict=True)


def unknown_teacher(code: str, name: str, first: Any, *, file: str) -> Entry:
    """A row names a teacher who is in no teachers file."""
    who = f"{name}（{code}）" if name else code
    sentence = f"教师 {who} 不在教师名单中 · teacher {who} is not in the teachers file"
    return Entry(FINDING, UNKNOWN_TEACHER, file, first.line, row_json(first), sentence, (code,))


def unknown_student(code: str, line: int, *, file: str) -> Entry:
    """An enrolment names a student who is in no students file."""
    sentence = f"学生 {code} 不在学生名单中 · student {code} is not in the students file"
    return Entry(FINDING, UNKNOWN_STUDENT, file, line, json.dumps({"xh": code}), sentence, (code,))


@dataclass(slots=True)
class _Use:
    """Rows of one teacher or room that overlap, one after the other."""

    first: Any
    until_ms: int
    offerings: dict[str, str] = field(default_factory=dict)

    def add(self, row: Any) -> None:
        self.until_ms = max(self.until_ms, row.end_ms)
        self.offerings[row.offering_id] = _course(row)


def clashes(rows: Iterable[Any], *, zone: ZoneInfo, file: str) -> Iterator[Entry]:
    """Teachers in two classes at once and rooms that several offerings share, from used rows in the order of start.

    One entry for each teacher or room, weekday, hour and set of offerings, whatever the number of weeks.
    """
    told: set[tuple[str, ...]] = set()
    for _, day in groupby(rows, key=lambda row: row.date):
        for (reason, *who), use in _shared(day):
            entry = _clash(reason, who, use, zone=zone, file=file)
            if entry.identity not in told:
                told.add(entry.identity)
                yield entry


def _shared(day: Iterable[Any]) -> Iterator[tuple[tuple[str, ...], _Use]]:
    """Everything that two or more offerings use at the same time on one day."""
    uses: dict[tuple[str, ...], _Use] = {}
    for row in day:
        for key in _used_by(row):
            use = uses.get(key)
            if use is None or row.start_ms >= use.until_ms - _TOLERATED_OVERLAP_MS:
                if use is not None and len(use.offerings) > 1:
                    yield key, use
                use = uses[key] = _Use(row, row.end_ms)
            use.add(row)
    yield from ((key, use) for key, use in uses.items() if len(use.offerings) > 1)


def _used_by(row: Any) -> Iterator[tuple[str, ...]]:
    for teacher in split_list(row.ghs) or split_list(row.xms):
        yield TEACHER_CLASH, teacher
    if row.room:
        yield SHARED_ROOM, row.xq, row.lq, row.room


def _clash(reason: str, who: list[str], use: _Use, *, zone: ZoneInfo, file: str) -> Entry:
    starts = datetime.fromtimestamp(use.first.start_ms / 1000, zone)
    courses = sorted(use.offerings.values())
    listed = "、".join(courses[:_SHOWN_OFFERINGS]) + ("…" if len(courses) > _SHOWN_OFFERINGS else "")
    when = f"{starts:%Y-%m-%d}（周{_WEEKDAYS[starts.weekday()]}）{starts:%H:%M}"
    what = " ".join(filter(None, who))
    chinese, english = {
        TEACHER_CLASH: (f"教师 {what} 于 {when} 起同时有", f"teacher {what} is in {len(courses)} classes at once"),
        SHARED_ROOM: (f"教室 {what} 于 {when} 起同时有", f"room {what} is used by {len(courses)} classes at once"),
    }[reason]
    sentence = f"{chinese} {len(courses)} 门课：{listed} · {english}"
    identity = (*who, str(starts.weekday()), f"{starts:%H:%M}", *sorted(use.offerings))
    return Entry(FINDING, reason, file, use.first.line, row_json(use.first), sentence, identity)
