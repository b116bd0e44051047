"""The checker of calendars against a campus folder: it must notice, or everything it passes means nothing."""

import copy
import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from simulator.campus import generate
from tests.system import checker

HEADER = "kkh,kcbh,kcmc,xnxq,jxz,zc,jc,xq,lq,room,lc,ghs,xms,st,ed,rq,sfdk,zt,bz,kkxy"
# Offering A: two periods in two rooms at once (one session), later one period by another teacher after a long gap.
# Offering B has the same name as A. Offering C is nameless and overlaps by five minutes. The rest is unusable.
MEETINGS = f"""{HEADER}
A,1,体育（1）,T,1,1,1,东,楼,201,2,007,"张三,李四等",08:00,08:45,2026-09-07,,add,,甲
A,1,体育（1）,T,1,1,1,东,楼,101,1,007,"张三,李四等",08:00,08:45,2026-09-07,,add,,甲
A,1,体育（1）,T,1,1,2,东,楼,201,2,007,"张三,李四等",08:55,09:40,2026-09-07,,add,,甲
A,1,体育（1）,T,1,1,2,东,楼,101,1,007,"张三,李四等",08:55,09:40,2026-09-07,,update,,甲
A,1,体育（1）,T,1,1,3,东,,,,008,王五,10:16,11:00,2026-09-07,,add,,甲
B,1,体育（1）,T,1,1,1,东,,操场,0,,赵六;钱七,08:00,08:45,2026/09/07 00:00:00.000,,add,,甲
C,9,,T,1,2,11,,,,,,,20:10,20:55,2026-09-08,,add,,
C,9,,T,1,2,12,,,,,,,20:50,21:35:00.000,2026-09-08,,,,
A,1,体育（1）,T,1,1,3,东,,,,008,王五,10:16,11:00,2026-09-07,,add,,甲
,1,体育（1）,T,1,1,4,东,,,,008,王五,11:00,11:45,2026-09-07,,add,,甲
D,1,乙,T,1,1,4,东,,,,008,王五,11:45,11:45,2026-09-07,,add,,甲
D,1,乙,T,1,1,4,东,,,,008,王五,11:00,11:45,2026-02-30,,add,,甲
D,1,乙,T,1,1,4,东,,,,008,王五,noon,11:45,2026-09-07,,add,,甲
D,1,乙,T,1,1,4,东,,,,008,王五,11:00,11:45,2026-09-07,,delete,,甲
D,1,乙,T,1,1,4,东,,,,008,王五,,,2026-09-07,,add,,甲
D,1,乙,OLD,1,1,4,东,,,,008,王五,11:00,11:45,2026-03-07,,add,,甲
"""
OTHER_FILES = {
    "teachers": "gh,xm,ssdwdm,ssdwmc\n007,张三,1,甲\n",
    "students": "xh,xm,xydm,xymc,bj\ns1,学一,1,甲,\ns2,学二,1,甲,\n",
    "enrolments": "xh,kkh,xnxq\ns1,A,T\ns2,A,T\ns9,A,T\ns1,B,T\n007,A,T\ns2,C,OLD\n",
    "terms": "xnxq,first_monday,weeks,status,exchange\nT,2026-09-07,18,open,\nOLD,2026-03-02,18,frozen,\n",
}


def event(summary: str, start: str, end: str, room: str, teachers: str) -> dict[str, Any]:
    return {
        "id": f"{summary}{start}",
        "summary": summary,
        "description": f"教学周：1\n教师：{teachers}\n⟦ob:XXXX",
        "start_time": {"datetime": start},
        "end_time": {"datetime": end},
        "locations": [{"name": room}] if room else [],
        "status": "confirmed",
    }


def calendar(number: int, summary: str, members: dict[str, str], *events: dict[str, Any]) -> dict[str, Any]:
    own = {"id": "p0", "user_id": "app", "ex_user_id": None, "role": "owner"}
    permissions = [{"id": f"p{who}", "user_id": f"u{who}", "ex_user_id": who, "role": members[who]} for who in members]
    return {
        "id": f"c{number}",
        "summary": summary,
        "is_deleted": False,
        "permissions": [own, *permissions],
        "events": list(events),
    }


def true_dump() -> dict[str, Any]:
    """Written by hand from the rows above, one end time in another offset."""
    day = "2026-09-07T"
    first = event("体育（1）", f"{day}08:00:00+08:00", f"{day}01:40:00Z", "楼101、楼201", "李四等、张三")
    second = event("体育（1）", f"{day}10:16:00+08:00", f"{day}11:00:00+08:00", "", "王五")
    other = event("体育（1）", f"{day}08:00:00+08:00", f"{day}08:45:00+08:00", "操场", "赵六、钱七")
    nameless = event("9", "2026-09-08T20:10:00+08:00", "2026-09-08T21:35:00+08:00", "", "")
    gone = calendar(9, "体育（1） ·GONE234", {}, first) | {"is_deleted": True}
    return {
        "calendars": [
            calendar(1, "体育（1） ·BBBBBB2", {"s1": "reader"}, other),
            calendar(2, "体育（1） ·AAAAAA2", {"007": "writer", "s1": "reader", "s2": "reader"}, first, second),
            calendar(3, "9 ·CCCCCC2", {}, nameless),
            gone,
        ],
        "users": [],
    }


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    (tmp_path / "meetings.csv").write_text(MEETINGS, encoding="utf-8-sig")
    for name, text in OTHER_FILES.items():
        (tmp_path / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode()))
    return tmp_path


def test_a_true_dump_passes(tiny: Path) -> None:
    """Rooms at once, a gap of 36 minutes, names alike, blank names, other offsets: all as the rules say."""
    assert checker.check(tiny, true_dump()) == []


def test_every_row_is_accounted_for(tiny: Path) -> None:
    """Nothing is dropped silently: rows in are rows used, rejected, or held with their reason."""
    _, counts = checker.read_campus(tiny)
    assert (counts.rows_in, counts.rows_used, counts.sessions) == (16, 8, 4)
    assert counts.rejected == {
        "exact duplicate": 1, "no kkh": 1, "end not after start": 1, "unreadable date": 1, "unreadable time": 1,
    }  # fmt: skip
    assert counts.held == {"zt delete": 1, "no period table": 1, "frozen term": 1}


Spoil = Callable[[list[dict[str, Any]]], object]


def _move(calendars: list[dict[str, Any]]) -> None:
    calendars[1]["events"][1]["start_time"]["datetime"] = "2026-09-07T10:17:00+08:00"


def _double(calendars: list[dict[str, Any]]) -> None:
    calendars[0]["events"] *= 2


SPOILS: dict[str, tuple[Spoil, str]] = {
    "event moved": (_move, "event missing"),
    "event missing": (lambda found: found[1]["events"].pop(), "event missing"),
    "event doubled": (_double, "event too many"),
    "event cancelled": (lambda found: found[2]["events"][0].update(status="cancelled"), "event missing"),
    "room wrong": (lambda found: found[0]["events"][0].update(locations=[]), "event missing"),
    "room order": (
        lambda found: found[1]["events"][0].update(locations=[{"name": "楼201、楼101"}]),
        "event missing",
    ),
    "teacher wrong": (lambda found: found[0]["events"][0].update(description="教师：赵六"), "event missing"),
    "title wrong": (lambda found: found[2]["events"][0].update(summary="C"), "event missing"),
    "time without offset": (
        lambda found: found[2]["events"][0].update(end_time={"datetime": "2026-09-08T21:35:00"}),
        "unreadable time",
    ),
    "reader missing": (lambda found: found[1]["permissions"].pop(), "s2 is not reader"),
    "stranger reads": (
        lambda found: found[2]["permissions"].append({"ex_user_id": "s1", "role": "reader"}),
        "s1 should not be reader",
    ),
    "member twice": (lambda found: found[0]["permissions"].append(found[0]["permissions"][1]), "too many"),
    "teacher only reads": (lambda found: found[1]["permissions"][1].update(role="reader"), "007 is not writer"),
    "unknown user": (
        lambda found: found[2]["permissions"].append({"user_id": "u?", "role": "reader"}),
        "unknown user",
    ),
    "calendar too many": (
        lambda found: found.append(copy.deepcopy(found[0]) | {"id": "c7", "summary": "体育（1） ·DDDDDD2"}),
        "belongs to no offering",
    ),
    "calendar of nobody": (lambda found: found.append(calendar(8, "乙 ·EEEEEE2", {})), "belongs to no offering"),
    "calendar missing": (lambda found: found.pop(0), "no calendar for"),
    "calendar deleted": (lambda found: found[2].update(is_deleted=True), "no calendar for"),
    "same name twice": (lambda found: found[0].update(summary=found[1]["summary"]), "must be unique"),
    "name without suffix": (lambda found: found[2].update(summary="9"), "seven characters"),
}


@pytest.mark.parametrize("what", SPOILS)
def test_a_spoiled_dump_is_noticed(tiny: Path, what: str) -> None:
    """Each way of being wrong is said, in words that name it."""
    spoil, words = SPOILS[what]
    dump = true_dump()
    spoil(dump["calendars"])
    differences = checker.check(tiny, dump)
    assert any(words in difference for difference in differences), differences


def test_a_user_is_found_by_the_directory_where_the_permission_has_no_outer_id(tiny: Path) -> None:
    """A dump may name members by inner id only."""
    dump = true_dump()
    for permission in dump["calendars"][0]["permissions"]:
        permission["ex_user_id"] = None
    assert checker.check(tiny, dump) != []
    dump["users"] = [{"id": "us1", "ex_user_id": "s1"}]
    assert checker.check(tiny, dump) == []


def test_dates_and_times_come_from_the_term_where_the_rows_have_none(tmp_path: Path) -> None:
    """Week and weekday, an exchange day and the clock of that very date make the session."""
    meetings = f"{HEADER}\nA,1,甲,T,2,2,1,东,,,,,,,,,,,,\nA,1,甲,T,2,3,1,西,,,,,,,,,,,,\n"
    (tmp_path / "meetings.csv").write_text(meetings, encoding="utf-8")
    terms = "xnxq,first_monday,weeks,status,exchange\nT,2026-09-07,18,open,2026-09-12=2026-09-15\n"
    (tmp_path / "terms.csv").write_text(terms, encoding="utf-8")
    periods = "xnxq,xq,from,jc,st,ed\nT,东,2026-09-01,1,08:00,08:45\nT,东,2026-09-14,1,08:30,09:15\n"
    (tmp_path / "periods.csv").write_text(periods, encoding="utf-8")
    courses, counts = checker.read_campus(tmp_path)
    assert counts.held == {"no period table": 1}
    assert [checker.say(found) for found in courses[0].events] == ["2026-09-12 08:00-08:45 甲 @- []"]


def dump_of(courses: list[checker.Course]) -> dict[str, Any]:
    """A dump that says of a folder exactly what the checker read, to see that it pairs same-named calendars."""

    def at(minute: int) -> str:
        return datetime.fromtimestamp(minute * 60, checker.ZONE).isoformat()

    return {
        "calendars": [
            calendar(
                number,
                f"{course.name[:31]} ·{number:07d}",
                course.members,
                *(event(title, at(start), at(end), room, "、".join(names)) for start, end, title, room, names in
                  course.events.elements()),
            )
            for number, course in reversed(list(enumerate(courses)))
        ]
    }  # fmt: skip


def test_many_calendars_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """On a generated campus nothing differs but the one event that was moved."""
    summary = generate(tmp_path, seed=2, colleges=8, offerings=150, students=200)
    courses, counts = checker.read_campus(tmp_path)
    assert len(courses) == summary.offerings
    assert counts.rows_in == summary.meetings
    assert counts.held.total() == summary.dirt["deleted"]
    assert counts.rejected.total() == sum(summary.dirt.values()) - summary.dirt["deleted"]
    assert counts.rows_in == counts.rows_used + counts.rejected.total() + counts.held.total()
    dump = dump_of(courses)
    assert checker.check(tmp_path, dump) == []
    sports = next(found for found in dump["calendars"] if found["summary"].startswith("体育（1） ·"))
    sports["events"][0]["end_time"] = {"datetime": "2026-09-01T23:59:00+08:00"}
    assert len(checker.check(tmp_path, dump)) == 2


def test_a_real_term_is_read_whole() -> None:
    """Real rows have cases nobody invents; where they are absent the generated campus stands for them."""
    folder = Path(__file__).parents[3] / "shared" / "data" / "sjtu-2018-2019-3-summer"
    if not folder.is_dir():
        pytest.skip("the published timetables are not beside this project")
    courses, counts = checker.read_campus(folder)
    assert (len(courses), counts.rows_in, counts.rows_used) == (327, 7893, 7893)
    dump = dump_of(courses)
    assert checker.check(folder, dump) == []
    dump["calendars"][50]["events"].pop()
    assert len(checker.check(folder, dump)) == 1


def test_the_command_says_counts_and_exits_by_the_result(tiny: Path) -> None:
    """It runs alone, with nothing of this project importable."""
    dump = tiny / "dump.json"
    dump.write_text(json.dumps(true_dump()), encoding="utf-8")
    command = [sys.executable, "-I", checker.__file__, str(tiny), str(dump)]
    passed = subprocess.run(command, capture_output=True, text=True, check=False, encoding="utf-8")
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert "rows in: 16" in passed.stdout
    dump.write_text(json.dumps({"calendars": []}), encoding="utf-8")
    failed = subprocess.run(command, capture_output=True, text=True, check=False, encoding="utf-8")
    assert failed.returncode == 1
    assert failed.stdout.count("no calendar for") == 3
