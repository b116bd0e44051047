"""`obsync changes`, `classes` and `days` as somebody types them, in a term that is still to come."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.fixtures_stores import Valkey
from tests.integration.campus_rig import MONDAY, TERM, write
from workers.cli import main

pytestmark = [pytest.mark.integration, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]

Console = Callable[..., Any]
TODAY = datetime.now(UTC).date()
FIRST = TODAY + timedelta(days=14 - TODAY.weekday())
"""A Monday that is not over while this runs."""


@pytest.fixture
def console(database_url: str, valkey: Valkey, data_dir: Path, tmp_path: Path) -> Console:
    """A command line on a timetable of one course, on two Mondays."""
    environ = {
        "PATH": os.environ["PATH"],
        "OBSYNC_DATA_DIR": str(data_dir),
        "OBSYNC_DATABASE_URL": database_url,
        "OBSYNC_BROKER_URL": valkey.url,
        "OBSYNC_SECRET_KEY": "s" * 40,
        "OBSYNC_ENCRYPTION_KEYS": f"k:{base64.b64encode(bytes(32)).decode()}",
    }

    def run(*words: str, ends: int = 0) -> Any:
        done = CliRunner().invoke(main, [*words, "--json"], env=environ)
        assert done.exit_code == ends, (done.output, done.exception)
        return json.loads(done.stdout)

    run("migrate")
    days = [FIRST + timedelta(weeks=week) for week in (0, 1)]
    rows = [{**MONDAY, "jxz": str(n + 1), "rq": day.isoformat()} for n, day in enumerate(days)]
    write(tmp_path / "campus", "meetings", rows)
    write(tmp_path / "campus", "teachers", [{"gh": "t1", "xm": "甲"}, {"gh": "t2", "xm": "乙"}])
    run("import", str(tmp_path / "campus"))
    return run


def test_a_class_is_found_and_decided_about(console: Console) -> None:
    """From looking for it to the list of what was decided, by what a person can type."""
    (one,) = console("classes", "--teacher", "t1", "--day", FIRST.isoformat())["items"]
    assert (one["course"], one["changed"], one["first_of_day"]) == ("代数", [], True)
    assert len(console("classes", "--course", "代", "--room", "一教101", "--term", TERM)["items"]) == 2
    short, later = one["id"][:16], (FIRST + timedelta(days=2)).isoformat()
    words = ("--to", later, "--start", "14:00", "--room", "二教5", "--reason", "出差", "--no-wait")
    shown = console("changes", "move", short, *words, "--dry-run")
    assert [item["type"] for item in shown["items"]] == ["room_change", "moved"]
    assert console("changes")["items"] == []
    moved = console("changes", "move", short, *words)
    assert [item["type"] for item in moved["items"]] == ["room_change", "moved"] and moved["conflicts"] == []
    console("changes", "substitute", one["id"], "--teacher", "乙", "--no-wait")
    console("changes", "room", one["id"], "三教1", "--no-wait")
    console("changes", "cancel", one["id"], "--no-wait")
    console("changes", "make-up", TERM, "A-1,A", "--on", later, "--start", "8:00", "--end", "8:45", "--no-wait")
    listed = console("changes")["items"]
    assert [item["type"] for item in listed] == [
        "make_up", "cancelled", "room_change", "substitute", "room_change", "moved"
    ]  # fmt: skip
    assert listed[-1]["course"] == "代数" and listed[-1]["before"]["date"] == FIRST.isoformat()
    assert console("changes", "list", "--term", TERM) == console("changes")
    console("changes", "withdraw", moved["batch"], "--no-wait")
    assert {item["state"] for item in console("changes", "--type", "moved")["items"]} == {"withdrawn"}
    assert {run["kind"] for run in console("runs")["items"]} == {"import", "change"}
    assert {"changes.moved", "changes.withdraw"} <= {act["action"] for act in console("audit")["items"]}


def test_days_are_previewed_exchanged_and_taken_back(console: Console) -> None:
    saturday = (FIRST + timedelta(days=5)).isoformat()
    pair = f"{saturday}={FIRST.isoformat()}"
    shown = console("days", "preview", TERM, pair)
    assert (shown["sessions"], shown["items"][0]["held_on"], shown["conflicts_total"]) == (1, saturday, 0)
    done = console("days", "apply", TERM, pair, "--reason", "调休", "--no-wait")
    assert console("days")["items"][0]["batch"] == done["batch"]
    undone = console("days", "undo", done["batch"], "--no-wait")
    assert [one["state"] for one in undone["items"]] == ["withdrawn"] and console("days", "list") == console("days")


@pytest.mark.parametrize(
    ("words", "ends", "says"),
    [
        (("changes", "cancel", "nothing"), 2, "no class has the id"),
        (("changes", "withdraw", "nothing"), 2, "no change nothing"),
        (("changes", "make-up", TERM, "Z", "--on", "2099-01-01", "--start", "8:00", "--end", "9:00"), 2, "no course Z"),
        (("days", "preview", "1999", "2099-01-01=2099-01-02"), 2, "no term 1999"),
        (("days", "apply", TERM, "2099-01-01=2099-01-02"), 1, "没有课"),
        (("days", "undo", "nothing"), 2, "no exchange days"),
    ],
)
def test_what_cannot_be_done_says_why_and_what_to_do(
    console: Console, words: tuple[str, ...], ends: int, says: str
) -> None:
    answer = console(*words, ends=ends)
    assert says in answer["error"] and answer["remedy"]


def test_a_clash_is_shown_and_done_only_when_that_is_said(console: Console) -> None:
    first, second = (one["id"] for one in console("classes")["items"])
    to = ("--to", FIRST.isoformat(), "--no-wait")
    refused = console("changes", "move", second, *to, ends=1)
    assert {one["other_session"] for one in refused["conflicts"]} == {first}
    assert console("changes", "move", second, *to, "--confirm")["conflicts"] == refused["conflicts"]
