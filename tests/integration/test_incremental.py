"""Change sets into staging and sessions: the end state is that of an import, whatever happens on the way."""

from __future__ import annotations

import json
import random
from itertools import count as numbers
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, update

from db.engine import in_unit, reading
from db.imports import ImportOver
from db.tables import change_buffer, meetings, quarantine, sessions, terms, touched
from tests.integration.campus_rig import (
    MONDAY,
    ZONE,
    aggregate,
    bring_in,
    contents,
    count,
    free,
    open_entries,
    read_in,
    with_tenant,
    write,
)
from tests.integration.change_rig import Row, take_in, timetable, write_changes
from usecases.sync import touched as touched_cases

pytestmark = pytest.mark.integration

HOURS = {3: ("10:00", "10:45"), 4: ("10:55", "11:40"), 5: ("13:00", "13:45")}
COLUMNS = (*MONDAY, "sj")


@pytest.fixture
def engine(database: Engine) -> Engine:
    return with_tenant(database)


def row(course: str = "A", *, week: int = 1, jc: int = 3, **said: str) -> Row:
    """A class of a course on the Monday of a week."""
    st, ed = HOURS[jc]
    day = f"2024-09-{2 + 7 * (week - 1):02d}"
    known = {"kkh": f"{course}-1", "kcbh": course, "jxz": str(week), "jc": str(jc), "st": st, "ed": ed, "rq": day}
    return {**MONDAY, "sj": "", **known, **said}


def base(folder: Path, *rows: Row) -> Path:
    write(folder, "meetings", rows, COLUMNS)
    return folder


def changes(folder: Path, *rows: Row, name: str = "c.csv") -> Path:
    return write_changes(folder / name, rows, COLUMNS)


def rooms(engine: Engine) -> list[str]:
    """Rooms of the sessions in the order of their times."""
    with reading(engine) as connection:
        rows = connection.execute(sessions.select().order_by(sessions.c.start_ms, sessions.c.id))
        return [one.rooms for one in rows]


class DiesAt:
    """A fence behind which the process is gone, from the nth unit on."""

    def __init__(self, nth: int) -> None:
        self.left = nth

    def __call__(self, _connection: Connection) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed


class Killed(BaseException):
    """The process is gone; nothing of ours catches it."""


def test_killed_in_any_unit_a_change_set_goes_on_and_is_applied_once(engine: Engine, tmp_path: Path) -> None:
    """A worker dies in the middle of a thousand changes: no half of them, and none twice."""
    start = base(tmp_path / "c", *(row(one, week=week) for one in "ABC" for week in (1, 2)))
    sets = changes(
        tmp_path,
        row("A", room="9", zt="update"),
        row("A", week=2, zt="delete"),
        row("B", jc=5, zt="add"),
        row("B", jc=5, room="8", zt="add"),
        row("C", zt="delete"),
        row("C", week=2, zt="delete"),
        row("D", kkh="", zt="add"),
        row("E", zt="add"),
    )
    end = base(
        tmp_path / "end",
        row("A", room="9"), row("B"), row("B", week=2), row("B", jc=5), row("B", jc=5, room="8"), row("E"),
    )  # fmt: skip
    bring_in(engine, end, run_id="end")
    expected = timetable(engine)
    for nth in numbers():
        bring_in(engine, start, run_id=f"base{nth}")
        fence = DiesAt(nth)
        try:
            take_in(engine, sets, run_id=f"set{nth}", fence=fence)
        except Killed:
            take_in(engine, sets, run_id=f"set{nth}")
        assert timetable(engine) == expected, nth
        assert count(engine, change_buffer) == 0 and open_entries(engine, "reject")["no_kkh"] == 1
        if fence.left >= 0:
            assert nth > 8, "there are more units than that"
            return


def test_applying_a_change_set_twice_changes_nothing(engine: Engine, tmp_path: Path) -> None:
    """Somebody sends yesterday's file again: nothing is touched, so nothing is planned."""
    bring_in(engine, base(tmp_path / "c", row("A"), row("B")))
    rows = [row("A", room="9", zt="update"), row("B", jc=5, zt="add"), row("C", zt="add")]
    take_in(engine, changes(tmp_path, *rows), run_id="one")
    before, staged = timetable(engine), count(engine, meetings)
    assert count(engine, touched) == 3
    forget_touched(engine)
    take_in(engine, changes(tmp_path, *rows, name="again.csv"), run_id="two")
    assert (timetable(engine), count(engine, meetings), count(engine, touched)) == (before, staged, 0)


def forget_touched(engine: Engine) -> None:
    in_unit(engine, lambda tx: tx.execute(touched.delete()))


def test_an_update_gives_all_rows_of_its_slot_and_a_delete_takes_the_row_it_names(
    engine: Engine, tmp_path: Path
) -> None:
    """A class in two rooms: an update that names one leaves one, and so does a delete of the other."""
    two = [row("A", room="1"), row("A", room="2"), row("B", room="1"), row("B", room="2"), row("C", room="1")]
    bring_in(engine, base(tmp_path / "c", *two))
    assert rooms(engine)[0].count("101") == 0
    take_in(
        engine,
        changes(
            tmp_path, row("A", room="3", zt="update"), row("B", room="2", zt="delete"), row("C", room="", zt="delete")
        ),
        run_id="one",
    )
    assert sorted(rooms(engine)) == ['[["", "一教", "1"]]', '[["", "一教", "3"]]']


def test_without_a_mark_a_row_replaces_its_slot(engine: Engine, tmp_path: Path) -> None:
    """Some schools send the new rows and leave `zt` blank."""
    bring_in(engine, base(tmp_path / "c", row("A", room="1"), row("A", week=2, room="1")))
    take_in(engine, changes(tmp_path, row("A", room="2", zt=""), row("A", week=3, room="3", zt="")), run_id="one")
    assert [json.loads(one)[0][2] for one in rooms(engine)] == ["2", "1", "3"]


def test_what_the_base_has_in_a_newer_form_is_not_undone(engine: Engine, tmp_path: Path) -> None:
    """A file of changes that lay about while the whole timetable was exported again is older than it."""
    bring_in(engine, base(tmp_path / "c", row("A", room="new", sj="2024-08-20 10:00:00"), row("B")))
    take_in(
        engine,
        changes(
            tmp_path,
            row("A", room="old", zt="update", sj="2024/08/19 10:00:00"),
            row("B", room="newest", zt="update", sj="2024-08-21 09:00:00"),
        ),
        run_id="one",
    )
    assert '"new"' in "".join(rooms(engine)) and '"newest"' in "".join(rooms(engine))


def test_a_closed_term_is_not_changed(engine: Engine, tmp_path: Path) -> None:
    """The marks of a term are given by then; its calendar is history."""
    bring_in(engine, base(tmp_path / "c", row("A", room="1")))
    in_unit(engine, lambda tx: tx.execute(update(terms).values(status="frozen")))
    before = timetable(engine)
    take_in(engine, changes(tmp_path, row("A", room="2", zt="update"), row("A", zt="delete")), run_id="one")
    assert timetable(engine) == before
    assert open_entries(engine, "held")["frozen_term"] == 1


def test_changes_that_waited_take_effect_after_what_came_before_them(engine: Engine, tmp_path: Path) -> None:
    """They were read during a full run: they go on top of it, under a number of their own."""
    bring_in(engine, base(tmp_path / "c", row("A", room="1"), row("B", room="1")))
    sets = changes(tmp_path, row("A", room="2", zt="update"))
    with pytest.raises(Killed):
        take_in(engine, sets, run_id="waits", fence=DiesAt(3))
    number, _ = read_in(engine, base(tmp_path / "c", row("A", room="1"), row("B", room="3")), run_id="full")
    aggregate(engine, number)
    at = take_in(engine, sets, run_id="waits")
    assert at.import_no > number and at.base_no == number
    assert sorted(rooms(engine)) == ['[["", "一教", "2"]]', '[["", "一教", "3"]]']


def test_an_older_import_that_comes_late_does_not_win(engine: Engine, tmp_path: Path) -> None:
    """Whatever was read first may be finished last; people would see last week's timetable."""
    folder = base(tmp_path / "c", row("A", room="1"))
    bring_in(engine, folder)
    number, _ = read_in(engine, base(tmp_path / "c", row("A", room="2")), run_id="slow")
    take_in(engine, changes(tmp_path, row("A", room="3", zt="update")), run_id="fast")
    with pytest.raises(ImportOver):
        aggregate(engine, number)
    assert rooms(engine) == ['[["", "一教", "3"]]']


def test_only_touched_offerings_are_judged_anew(engine: Engine, tmp_path: Path) -> None:
    """A finding goes when its offering is mended, and those of others stay as old as they are."""
    odd = [row(one, ghs="", xms="") for one in "AB"] + [row("C", room="9"), row("D", room="9")]
    bring_in(engine, base(tmp_path / "c", *odd))
    assert open_entries(engine, "finding") == {
        "no_teacher": 2,
        "shared_room": 2,
        "unknown_teacher": 1,
        "teacher_clash": 1,
    }
    before = contents(engine, quarantine, quarantine.c.reason == "no_teacher", but=set())
    at = take_in(
        engine,
        changes(tmp_path, row("A", jc=4, ghs="t9", xms="壬", zt="add"), row("A", zt="delete"), row("C", zt="delete")),
        run_id="one",
    )
    touched_cases.judge_rest(engine, tenant="main", import_no=at.import_no, zone=ZONE, fence=free)
    found = open_entries(engine, "finding")
    assert found == {"no_teacher": 1, "unknown_teacher": 2}
    after = contents(engine, quarantine, quarantine.c.reason == "no_teacher", but=set())
    assert len(set(before) & set(after)) == 1


def test_random_changes_in_any_batching_come_to_an_import_of_the_end_state(engine: Engine, tmp_path: Path) -> None:
    """Whoever sends ten small files and whoever sends one great one get the same timetable."""
    for seed in range(6):
        dice = random.Random(seed)
        state = {key: [_random(dice, *key)] for key in _KEYS if dice.random() < 0.6}
        bring_in(engine, base(tmp_path / f"s{seed}", *_rows(state)), run_id=f"base{seed}")
        for number in range(dice.randint(1, 4)):
            # A slot is in a set once: an update in the same set as another would add to it.
            keys = dice.sample(_KEYS, dice.randint(1, 9))
            wanted = [change for key in keys for change in _change(dice, state, key)]
            take_in(engine, changes(tmp_path, *wanted), run_id=f"{seed}-{number}")
        found = timetable(engine)
        bring_in(engine, base(tmp_path / f"e{seed}", *_rows(state)), run_id=f"end{seed}")
        assert timetable(engine) == found, seed


_Key = tuple[str, int, int]
_KEYS: list[_Key] = [(course, week, jc) for course in "ABCD" for week in (1, 2) for jc in (3, 4, 5)]


def _rows(state: dict[_Key, list[Row]]) -> list[Row]:
    # A source without a row is refused: there is always this one.
    return [row("Z"), *(one for key in sorted(state) for one in state[key])]


def _random(dice: random.Random, course: str, week: int, jc: int) -> Row:
    return row(course, week=week, jc=jc, room=dice.choice("123"), ghs=dice.choice(("t1", "t2")), zt="add")


def _change(dice: random.Random, state: dict[_Key, list[Row]], key: _Key) -> list[Row]:
    """Some rows of a slot, and the state after them."""
    op = dice.choice(("add", "update", "delete"))
    if op == "delete":
        gone = state.pop(key, None)
        return [{**one, "zt": "delete"} for one in gone or [_random(dice, *key)]]
    fresh = [_random(dice, *key) for _ in range(dice.randint(1, 2))]
    if op == "update":
        state[key] = _distinct(fresh)
        return [{**one, "zt": "update"} for one in fresh]
    state[key] = _distinct([*state.get(key, []), *fresh])
    return fresh


def _distinct(rows: list[Row]) -> list[Row]:
    return [one for place, one in enumerate(rows) if one not in rows[:place]]
