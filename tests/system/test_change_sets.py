"""A term as it really goes on: a timetable, and then one set of changes after the other."""

from __future__ import annotations

import json
import os
import time
import zlib
from pathlib import Path
from typing import Any

import pytest

from tests.system import whole_term
from tests.system.change_sets import Story, generated, real
from tests.system.conftest import Make
from tests.system.product import Product

pytestmark = pytest.mark.system

WHOLE = os.environ.get("OBSYNC_TEST_WHOLE_TERM") == "1"
TERM = "shu-21009"
_SESSIONS = "SELECT term, id, offering_id, date, start_ms, end_ms, rooms, teachers FROM sessions ORDER BY term, id"


@pytest.fixture(params=["generated", TERM])
def story(request: pytest.FixtureRequest, tmp_path: Path, make_product: Make) -> Story:
    """The real sets with about one course of eighty (all of them when the whole term is asked for), or generated ones."""
    if request.param == "generated":
        return generated(_campus(make_product, tmp_path), tmp_path, sets=3, seed=7)
    folder = request.getfixturevalue("shared_data") / TERM
    return real(folder, tmp_path, of=lambda kkh: WHOLE or zlib.crc32(kkh.encode()) % 80 == 1 or kkh in _ALWAYS)


_ALWAYS = {"00814234-1000", "00853001-3611"}  # of the last and of the first set


def _campus(make_product: Make, home: Path) -> Path:
    made = make_product().obsync(
        "campus", str(home / "made"), "--colleges", "3", "--offerings", "24", "--students", "60"
    )
    assert made.code == 0, made.err
    return home / "made"


@pytest.mark.timeout(14400 if WHOLE else 300)
def test_change_after_change_wps_is_what_the_end_of_the_term_says(
    story: Story, make_product: Make, tmp_path: Path
) -> None:
    """Whoever sends changes all term long must end where somebody arrives who reads the last timetable only."""
    product = make_product(*(("--latency-ms", "1") if WHOLE else ()), campus=story.base)
    product.start()
    product.until_succeeded(3000 if WHOLE else 90)
    for changes in story.changes:
        began, calls = time.monotonic(), len(product.calls())
        run = _incremental(product, changes)
        said = {stage["step"]: stage["note"] for stage in run["stages"]}
        spent = {"set": changes.name, "seconds": round(time.monotonic() - began, 1)}
        print(
            json.dumps(
                {**spent, "calls": len(product.calls()) - calls, "read": said["changes"], "did": said["compare"]}
            )
        )
        verified = product.obsync("verify", "--json", timeout_s=3000)
        assert (verified.code, verified.json["discrepancies"]) == (0, 0), verified.out + verified.err
    found = product.query(_SESSIONS)
    assert whole_term.run_checker(story.after, product.dump(), tmp_path).code == 0
    assert product.plan()["operations"] == 0
    assert product.plan(story.after)["operations"] == 0
    assert product.query(_SESSIONS) == found and found


def _incremental(product: Product, changes: Path) -> dict[str, Any]:
    """The change set goes through; where it deletes so much that a person is asked, nothing goes before the answer."""
    before = len(_writes(product))
    answer = product.obsync("sync", "--changes", str(changes), "--json", timeout_s=3000)
    if answer.code == 3 and answer.json["state"] == "needs_confirmation":
        assert answer.json["questions"] and len(_writes(product)) == before
        run_id = answer.json["id"]
        assert product.obsync("runs", "confirm", run_id).code == 0
        answer = product.obsync("runs", "show", run_id, "--follow", "--json", timeout_s=3000)
    assert answer.code == 0, answer.out + answer.err + product.story()
    run: dict[str, Any] = answer.json
    assert (run["kind"], run["state"]) == ("incremental", "succeeded")
    return run


def _writes(product: Product) -> list[dict[str, Any]]:
    """Calls by which something changes in a calendar; looking up accounts is none."""
    return [one for one in product.calls() if one["method"] == "POST" and "/calendars" in one["path"]]


def test_a_scope_that_names_nothing_there_is_a_usage_error(make_product: Make) -> None:
    """Exit 2, one sentence with the way out, and nothing changed: a mistyped college is found out at once."""
    product = make_product()
    product.start()
    product.until_succeeded(90)
    before = product.fingerprint()
    for scope in ("college=不存在的学院", "colege=数学", "course=NO-SUCH"):
        answer = product.obsync("sync", "--scope", scope, "--json")
        assert answer.code == 2, answer.out
        assert answer.json["remedy"], answer.out
    both = product.obsync("sync", "--kind", "users", "--changes", str(product.campus / "meetings.csv"))
    assert both.code == 2
    assert product.fingerprint() == before
    college = product.query("SELECT college FROM offerings WHERE college <> '' LIMIT 1")[0]["college"]
    answer = product.obsync("sync", "--scope", f"college={college}", "--kind", "incremental", "--json", timeout_s=90)
    assert answer.code == 0, answer.out + answer.err
    assert product.fingerprint() == before
