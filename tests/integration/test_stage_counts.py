"""What a stage says of itself when it is over stays for ever: in the list of runs, in reports, over the API."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from db import sync_runs
from tests.integration.drain_rig import World
from tests.integration.run_rig import registry

pytestmark = pytest.mark.integration


# On SQLite alone: it is about the order of two questions.
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_the_lanes_finish_between_two_questions_is_counted(here: World, tmp_path: Path) -> None:
    """The lanes end everything right after the counts were read: "done 19,828/19,836" would send somebody looking for eight
    events that are there."""
    campus = registry(here, tmp_path / "campus")
    campus.publish("代数", "几何")
    at_it: list[bool] = []

    def finish(_conn: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if "sum(run_counts" in statement and not at_it:
            at_it.append(True)
            lanes = threading.Thread(target=campus.drain)
            lanes.start()
            lanes.join()
            at_it.clear()

    event.listen(campus.deps.engine, "after_cursor_execute", finish)
    run_id, task_id = campus.begin()
    give_up = time.monotonic() + 120
    while campus.look(run_id)["state"] not in sync_runs.ENDED:
        campus.advance(task_id)
        assert time.monotonic() < give_up, campus.look(run_id)
        time.sleep(0.02)
    run = campus.look(run_id)
    assert run["state"] == "succeeded"
    assert {one["step"]: (one["done"], one["total"]) for one in run["stages"] if one["done"] != one["total"] > 0} == {}
