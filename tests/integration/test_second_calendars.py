"""A second calendar of a course: WPS carried a request out after the wait was over. Found in the list of all, and deleted."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from db.engine import reading
from db.tables import jobs
from tests.faults.checker import all_is_well
from tests.integration.drain_rig import World
from tests.integration.verify_rig import CALENDAR, Term

pytestmark = pytest.mark.integration


@pytest.fixture
def term(here: World) -> Term:
    """Two courses, not synced yet."""
    term = Term(here)
    term.imported()
    for course in ("c1", "c2"):
        term.course(course, days=2)
    return term


def landing_too_late(term: Term) -> None:
    """The answer to a create is lost, nothing is found when the wait is over, it is sent again; and then the first one lands."""
    lost = {"match": {"path": "calendars/create$"}, "do": "refused_connection_drop", "times": 1}
    term.here.faults(lost)
    term.sync()
    assert len(term.here.log("calendars/create")) == 3
    term.here.simulator.ok("POST", f"{CALENDAR}/create", {"summary": term.here.mirrored("cal:c1").name})
    names = [one["summary"] for one in term.here.calendars()]
    assert len(names) == 3 and len(set(names)) == 2


def test_a_calendar_that_landed_too_late_is_found_and_deleted_after_two_looks(term: Term) -> None:
    """Every reader would see the course twice, once without classes; no look at single calendars can show it."""
    landing_too_late(term)
    ours = {row.remote_id for row in (term.here.mirrored(f"cal:{course}") for course in ("c1", "c2"))}
    (second,) = {one["id"] for one in term.here.calendars()} - ours
    report = term.verify()["report"]
    assert (report["discrepancies"], [row.thing for row in term.rows()]) == (1, [second])
    assert len(term.here.calendars()) == 3, "one look proves little"
    assert list(term.would_do().values()) == ["delete"]
    run = term.repair()
    assert run["report"]["discrepancies"] == 0
    assert {one["id"] for one in term.here.calendars()} == ours
    assert term.open() == []
    assert term.plan() == {}
    assert term.verify()["report"]["discrepancies"] == 0
    all_is_well(term.here)


def test_a_sample_neither_finds_nor_forgets_a_second_calendar(term: Term) -> None:
    """The list of all calendars is a thousand calls in a large school: the hourly look does without."""
    landing_too_late(term)
    term.verify()
    walked = len(term.here.log(f"{CALENDAR}?"))
    assert walked > 0
    term.verify(sample=5)
    assert len(term.here.log(f"{CALENDAR}?")) == walked
    assert term.open() == [("calendar_copy", "open")]


def test_a_calendar_that_is_deleted_by_hand_meanwhile_is_healed(term: Term) -> None:
    """Somebody read the list of discrepancies and did it himself."""
    landing_too_late(term)
    term.verify()
    (row,) = term.rows()
    term.here.simulator.ok("POST", f"{CALENDAR}/{row.thing}/delete")
    assert term.repair()["report"]["discrepancies"] == 0
    assert len(term.here.calendars()) == 2
    with reading(term.here.engine) as tx:
        assert tx.execute(select(jobs.c.id).where(jobs.c.target.like("sur:%"))).first() is None


def test_a_verification_that_wps_refuses_ends_and_says_so(term: Term) -> None:
    """Waiting for a list that will never be shown would look like work."""
    term.sync()
    term.here.faults({"match": {"method": "GET", "path": "/calendars[?]"}, "do": "html_403"})
    run_id = term.begin()
    term.here.drain(until=lambda: (term.here.lane_row("_").note or "").startswith("WPS refuses us"))
    run = term.go_on(run_id, ends="failed", drain=False)
    assert "OBSYNC_WPS_APP_KEY" in run["error"]


def test_without_the_list_everything_else_is_looked_at(term: Term) -> None:
    """WPS may show each calendar and refuse the list of them."""
    term.sync()
    refused = {
        "match": {"method": "GET", "path": "/calendars[?]"},
        "do": "status",
        "params": {"status": 400, "code": 400000003},
    }
    term.here.faults(refused)
    run = term.verify()
    assert (run["report"]["calendars"], run["report"]["discrepancies"]) == (2, 0)
    assert any("second ones were not looked for" in (stage["note"] or "") for stage in run["stages"])
