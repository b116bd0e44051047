"""`obsync failures` and `obsync dead` as somebody types them."""

from __future__ import annotations

import base64
import json
import os
import pty
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, Engine

from bootstrap.wiring import new_id
from db import sync_runs
from db.engine import in_unit
from tests.fixtures_stores import Valkey
from tests.integration.dead_rig import copies, die, event, job, roll, states
from workers.cli import main
from workers.cli.console import out
from workers.cli.which import since

pytestmark = pytest.mark.integration

PROJECT = Path(__file__).resolve().parents[2]
MANY = 600


@dataclass
class Console:
    """Commands against one database; in this process, where nothing is to be seen of another."""

    engine: Engine
    environ: dict[str, str]

    def __call__(self, *words: str, ends: int = 0) -> Any:
        """What a command says with --json; it must end with that code."""
        done = CliRunner().invoke(main, [*words, "--json"], env=self.environ)
        assert done.exit_code == ends, (done.output, done.exception)
        return json.loads(done.stdout)

    def shown(self, *words: str) -> str:
        """What a person sees."""
        done = CliRunner().invoke(main, words, env=self.environ)
        assert done.exit_code == 0, (done.output, done.exception)
        return done.stdout

    def start(self, *words: str, stdin: int | None = subprocess.DEVNULL) -> subprocess.Popen[str]:
        """A command in a process of its own."""
        argv = [sys.executable, "-P", "-m", "workers.cli", *words]
        return subprocess.Popen(
            argv, cwd=PROJECT, env=self.environ, text=True, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )


@pytest.fixture
def console(
    database: Engine, database_url: str, valkey: Valkey, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> Console:
    """A command line on a fresh database, in a window wide enough that no cell is broken."""
    monkeypatch.setattr(out, "_width", 240)
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(PROJECT),
        "OBSYNC_DATA_DIR": str(data_dir),
        "OBSYNC_DATABASE_URL": database_url,
        "OBSYNC_BROKER_URL": valkey.url,
        "OBSYNC_SECRET_KEY": "s" * 40,
        "OBSYNC_ENCRYPTION_KEYS": f"k:{base64.b64encode(bytes(32)).decode()}",
    }
    made = Console(database, environ)
    made("migrate")
    return made


def test_two_processes_that_put_all_again_put_each_once(console: Console) -> None:
    """Two people wake up at the same alarm, on two machines."""
    (first,) = die(console.engine, event(1))
    copies(console.engine, first, MANY - 1)
    both = [console.start("failures", "retry", "--all", "--yes", "--json") for _ in range(2)]
    answers = [json.loads(one.communicate(timeout=120)[0]) for one in both]
    assert sum(one["put_again"] for one in answers) == MANY
    assert states(console.engine) == {"superseded": MANY, "queued": MANY}
    assert console("failures")["items"] == []
    assert console("dead", "requeue", "--all") == {"count": 0, "requeued": 0}


def test_a_family_is_found_shown_put_right_and_signed_off(console: Console) -> None:
    """The whole way that somebody goes at three in the morning."""
    roll(console.engine, "c1", "s1", "s2")
    ids = die(console.engine, *(event(n) for n in range(4)))
    (family,) = console("failures", "--since", "1h", "--lane", "数学学院")["items"]
    assert (family["left"], family["people"]) == (4, 2)
    seen = console.shown("failures")
    assert family["id"] in seen and family["remedy"].split(":")[0] in seen and "obsync" in seen
    page = console("failures", "show", family["id"], "--limit", "3")
    rest = console("failures", "show", family["id"], "--after", page["next"])
    assert sorted(one["id"] for one in (*page["items"], *rest["items"])) == sorted(ids)
    assert rest["next"] is None and page["items"][0]["payload"]["summary"] == "课c1"
    assert page["items"][0]["thing"].startswith("课c1 2024-09-0")
    assert console("failures", "retry", ids[0]) == {"count": 1, "put_again": 1}
    assert console("failures", "resolve", family["id"], "--note", "周一改名")["resolved"] == 3
    assert console("failures")["items"] == []
    (resolved,) = console("failures", "--all")["items"]
    assert (resolved["state"], resolved["note"]) == ("resolved", "周一改名")
    assert resolved["resolved_by"].startswith("cli:")
    acts = console("audit")["items"]
    assert sorted(one["action"] for one in acts) == ["failures.resolve", "failures.retry"]
    assert "周一改名" in console.shown("audit", "--thing", family["id"])


def test_a_dead_letter_is_edited_through_its_schema(console: Console, tmp_path: Path) -> None:
    """A slip is refused with the reason; what fits is stored and can be put again."""
    (lost,) = die(console.engine, event(1))
    before = job(console.engine, lost)
    refused = console("dead", "edit", lost, "--set", "titel=x", ends=2)
    assert "knows no titel" in refused["error"] and refused["remedy"]
    assert job(console.engine, lost) == before
    changed = console("dead", "edit", lost, "--set", "summary=代数", "--set", "location=null")
    assert (changed["after"]["summary"], changed["after"]["location"]) == ("代数", None)
    whole = tmp_path / "payload.json"
    whole.write_text(json.dumps({**changed["after"], "summary": "几何"}), encoding="utf-8")
    assert console("dead", "edit", lost, "--payload", str(whole))["after"]["summary"] == "几何"
    assert console("dead", "requeue", lost) == {"count": 1, "requeued": 1}
    assert "no dead letter" in console("dead", "edit", lost, "--set", "summary=x", ends=2)["error"]


def test_runs_say_in_a_line_why_they_are_not_green_and_then_by_cause(console: Console) -> None:
    """The first two commands that anybody types."""
    run_id = new_id()

    def begin(tx: Connection) -> None:
        stages = [("finish", "report")]
        sync_runs.begin(tx, tenant="main", run_id=run_id, kind="full", scope={}, mutex="m", stages=stages)

    def end(tx: Connection) -> None:
        families = [{"kind": "event", "total": 2, "cause": "said in the report"}]
        sync_runs.end(tx, run_id, tenant="main", state="partially_succeeded", report={"failures": families})

    in_unit(console.engine, begin)
    die(console.engine, event(1), event(2), run_id=run_id)
    in_unit(console.engine, end)
    (listed,) = console("runs")["items"]
    assert listed["cause"] == "2 events: said in the report"
    shown = console("runs", "show", run_id, ends=3)
    (family,) = shown["failures"]
    assert (family["total"], family["left"]) == (2, 2) and family["command"] and family["remedy"]
    console("failures", "retry", "--all", "--run", run_id)
    assert [one["left"] for one in console("runs", "show", run_id, ends=3)["failures"]] == [0], "as it is now"


@pytest.mark.parametrize(
    ("text", "then"),
    [("2h", "2024-09-02T01:00:00+00:00"), ("2024-09-02", "2024-09-01T16:00:00+00:00"), ("3d", "2024-08-30T03:00:00+00:00"),
     ("2024-09-02T03:00", "2024-09-01T19:00:00+00:00"), ("2024-09-02T03:00Z", "2024-09-02T03:00:00+00:00")],
)  # fmt: skip
def test_since_is_meant_in_the_zone_of_the_school(text: str, then: str) -> None:
    """The list shows its times; a server under UTC must not read them as others."""
    now_ms = int(datetime.fromisoformat("2024-09-02T03:00:00+00:00").timestamp() * 1000)
    found = since(text, zone=ZoneInfo("Asia/Shanghai"), now_ms=now_ms)
    assert found == datetime.fromisoformat(then).timestamp() * 1000


WRONG = (
    ("failures", "show", "nobody"),
    ("failures", "retry"),
    ("failures", "retry", "nobody"),
    ("failures", "resolve", "nobody", "--note", "x"),
    ("dead", "requeue"),
    ("dead", "requeue", "x", "--all"),
    ("dead", "requeue", "x", "--lane", "y"),
    ("dead", "--since", "yesterday"),
    ("dead", "edit", "x"),
    ("dead", "edit", "x", "--set", "y"),
)


def test_a_command_that_is_put_wrongly_changes_nothing_and_says_why(console: Console) -> None:
    """One sentence with the name in it, and what to type instead."""
    die(console.engine, event(1))
    for words in WRONG:
        said = console(*words, ends=2)
        assert said["error"] and said["remedy"], words
    assert states(console.engine) == {"dead": 1}


def test_on_a_terminal_the_count_comes_first_and_no_means_no(console: Console) -> None:
    """Forty thousand calls are started by one word otherwise."""
    die(console.engine, event(1), event(2))
    ours, theirs = pty.openpty()
    running = console.start("failures", "retry", "--all", stdin=theirs)
    os.write(ours, b"n\n")
    _, asked = running.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert "2 failures will be put again" in asked
    assert states(console.engine) == {"dead": 2}
