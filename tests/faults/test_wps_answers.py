"""Every answer WPS may give to a write or a list, at the worst place, in a lane that goes on all the same."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import update

from db.tables import lanes
from observability.failpoints import FailedOnPurpose
from tests.contract.wps_rig import wait_until
from tests.faults.checker import all_is_well
from tests.integration.drain_rig import World, calendar, event, gone, lost, members

pytestmark = pytest.mark.integration

REFUSALS: dict[str, tuple[dict[str, Any], str | None]] = {
    # name → fault, error class of the dead letter (None: the job is done in the end)
    "401, the token has gone": ({"do": "status", "params": {"status": 401, "code": 401030001}}, None),
    "403, not allowed": ({"do": "status", "params": {"status": 403, "code": 403000001}}, "auth"),
    "409, in the way": ({"do": "status", "params": {"status": 409, "code": 409000001}}, None),
    "400, locked by another": ({"do": "status", "params": {"status": 400, "code": 400411035}}, None),
    "422, cannot be processed": ({"do": "status", "params": {"status": 422, "code": 400000003}}, "bad_request"),
    "400, wrong data": ({"do": "status", "params": {"status": 400, "code": 400411350}}, "bad_request"),
    "429, too many": ({"do": "throttle", "params": {"retry_after_s": 0.2}}, None),
    "400 that means too many": (
        {"do": "throttle", "params": {"status": 400, "code": 400411036, "retry_after_s": 0.2}},
        None,
    ),
    "400 that means their database": ({"do": "status", "params": {"status": 400, "code": 400411032}}, None),
    "500 and done": ({"do": "error_500_applied"}, None),
    "500 and not done": ({"do": "error_500_not_applied"}, None),
    "502 and done": ({"do": "status", "params": {"status": 502, "code": 0, "applied": True}}, None),
    "503 and not done": ({"do": "status", "params": {"status": 503}}, None),
    "HTML and done": ({"do": "html", "params": {"applied": True}}, None),
    "HTML with 502": ({"do": "html", "params": {"status": 502}}, None),
    "half an answer": ({"do": "half_body"}, None),
    "3 MiB": ({"do": "huge_body"}, None),
    "a gzip bomb": ({"do": "gzip_bomb"}, None),
}


VERBS = ("update", "delete")


def course_of(name: str, verb: str) -> tuple[str, str]:
    """A course and a lane of its own, so that all answers are given at the same time."""
    return f"c{list(REFUSALS).index(name)}{verb}", f"学院 {verb} {name}"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # about what an answer means, not how it is stored
def test_each_answer_to_a_single_write_has_its_one_end(here: World) -> None:
    """Refused, done, or found out; what a person must see becomes a dead letter with its reason, and the lane goes on."""
    both = [(name, verb) for name in REFUSALS for verb in VERBS]
    for course, lane in (course_of(*one) for one in both):
        here.put(calendar(course, name=f"{course} ·abcdefg", lane=lane), *(event(n, course, lane=lane) for n in (0, 1)))
    here.drain()
    here.faults(
        *(
            {
                "match": {"path": f"{here.id_of(course_of(name, verb)[0])}/events/.*/{verb}$"},
                "times": 1,
                **REFUSALS[name][0],
            }
            for name, verb in both
        )
    )
    for name, verb in both:
        course, lane = course_of(name, verb)
        changed = event(0, course, lane=lane, room="202")
        here.put(changed if verb == "update" else gone(changed), event(2, course, lane=lane), import_no=2)
    here.drain()
    for name, verb in both:
        course, error = course_of(name, verb)[0], REFUSALS[name][1]
        row = here.job(event(0, course).target)
        assert (row.state, row.error_code if row.state == "dead" else None) == ("dead" if error else "done", error), (
            name
        )
        left = [("线性代数 0", "202")] if verb == "update" else []
        first = left if error is None else [("线性代数 0", "101")]
        assert here.say(course) == [*first, ("线性代数 1", "101"), ("线性代数 2", "101")], (name, verb)
    all_is_well(here)
    assert all(rule["fired"] == 1 for rule in here.simulator.desk("faults"))


def test_one_refused_token_is_renewed_once_for_all_lanes(here: World) -> None:
    """Twenty lanes that each fetch a token of their own would be a storm of log-ins, each ending the one before."""
    lanes = [f"学院{n}" for n in range(6)]
    for n, lane in enumerate(lanes):
        here.put(calendar(f"c{n}", name=f"c{n} ·abcdefg", lane=lane))
    here.drain()
    tokens = len(here.log("/oauth2/token"))
    here.simulator.desk("clock", {"advance_s": 3 * 3600})
    for n, lane in enumerate(lanes):
        here.put(event(0, f"c{n}", lane=lane))
    with ThreadPoolExecutor(max_workers=len(lanes)) as threads:
        list(threads.map(here.slice, lanes))
    here.drain()
    assert len(here.log("/oauth2/token")) == tokens + 1
    assert all(here.job(event(0, f"c{n}").target).attempts <= 2 for n in range(len(lanes)))
    all_is_well(here)


def test_what_somebody_has_deleted_is_made_again_once_and_deleted_no_second_time(here: World) -> None:
    """A 404 is an answer: a change finds nothing to change and creates, a deletion finds its work done."""
    here.put(calendar(), event(1), event(2))
    here.drain()
    path = f"/v7/calendars/{here.the_calendar()['id']}/events"
    for one in here.events():
        here.simulator.ok("POST", f"{path}/{one['id']}/delete")
    here.put(event(1, room="202"), gone(event(2)), import_no=2)
    here.drain()
    assert here.say("c1") == [("线性代数 1", "202")]
    assert [here.job(event(n).target).state for n in (1, 2)] == ["done", "done"]
    assert len(here.log("events/batch_create")) == 2
    all_is_well(here)


def test_a_gateway_that_knows_us_no_more_rests_the_lane_and_says_why(here: World) -> None:
    """Nothing of it is the job's fault: it keeps its attempts, other lanes go on, and whoever looks reads what to mend."""
    here.put(calendar(), event(1))
    here.drain()
    here.faults({"match": {"path": "/update$"}, "do": "html_403", "times": 1})
    other = calendar("c2", name="离散数学 ·abcdefh", lane="物理")
    here.put(event(1, room="202"), other, import_no=2)
    here.drain(until=lambda: here.job(other.target).state == "done" and here.lane_row().note is not None)
    row, job = here.lane_row(), here.job(event(1).target)
    assert row.note.startswith("WPS refuses us") and row.not_before > row.lease_until
    assert (job.state, job.attempts, here.unsettled()) == ("queued", 0, [])
    with here.engine.begin() as tx:
        tx.execute(update(lanes).values(not_before=0))
    here.drain()
    assert here.say("c1") == [("线性代数 1", "202")]
    all_is_well(here)


# --- lists while something is in doubt

LISTS: dict[str, list[dict[str, Any]]] = {
    "odd": [
        {"match": {"method": "GET"}, "do": "other_order", "nth": list(range(1, 100, 2))},
        {"match": {"method": "GET"}, "do": "doubled_items"},
    ],
    "broken": [
        {"match": {"path": "/calendars[?]"}, "do": "half_body", "times": 1},
        {"match": {"path": "/events[?]"}, "do": "refused_connection_drop", "times": 1},
        {"match": {"path": "/permissions[?]"}, "do": "gzip_bomb", "times": 1},
    ],
    "refused": [
        {"match": {"path": "/calendars[?]"}, "do": "throttle", "params": {"retry_after_s": 0.1}, "times": 1},
        {"match": {"path": "/events[?]"}, "do": "error_500_not_applied", "times": 1},
        {"match": {"path": "/permissions[?]"}, "do": "html", "times": 1},
    ],
}


@pytest.mark.parametrize(
    "database_url", ["sqlite"], indirect=True
)  # about lists as they are read, not as they are stored
@pytest.mark.parametrize("spoilt", LISTS)
def test_what_is_in_doubt_is_found_in_the_worst_of_lists(here: World, spoilt: str) -> None:
    """A list that shows an object twice, late or not at all must end in neither a second class nor a missing one."""
    here.enrol([("student", "S1"), ("student", "S2")], "c1")
    here.faults(
        *LISTS[spoilt],
        *(lost(path, times=1) for path in ("calendars/create$", "events/batch_create$", "permissions/batch_create$")),
    )
    here.put(calendar(), *(event(n) for n in range(4)), members("c1"))
    here.drain()
    assert [one["summary"] for one in here.events()] == [f"线性代数 {n}" for n in range(4)]
    assert here.readers() == {"S1": "reader", "S2": "reader"}
    assert all(rule["fired"] > 0 for rule in here.simulator.desk("faults"))
    all_is_well(here)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # about what WPS makes of a list
@pytest.mark.parametrize("reply", ["drop", "items"])
def test_a_part_of_a_full_list_is_completed_and_nothing_of_it_made_twice(here: World, reply: str) -> None:
    """A hundred classes, some of them made, nobody knows which, or told in another order: only the others are sent again."""
    here.put(calendar())
    here.drain()
    some = {"fraction": 0.4, "reply": reply}
    here.faults(
        {"match": {"path": "events/batch_create$"}, "do": "partial_batch", "params": some, "times": 1},
        {"match": {"path": "events/batch_create$"}, "do": "other_order"},
    )
    here.put(*(event(n) for n in range(100)))
    here.drain()
    all_is_well(here)
    assert len(here.events()) == len(here.the_calendar()["events"]) == 100
    assert len(here.log("events/batch_create")) > 1


def test_lists_that_lag_as_long_as_they_may_hide_nothing(here: World) -> None:
    """Looked at once, it is not there; concluded from that, it would be there twice."""
    lag_s = (here.deps.times.lag_ms - 10) / 1000
    lags = {"match": {"method": "GET"}, "do": "list_lag_s", "params": {"lag_s": lag_s}}
    here.faults(lags, *(lost(path, times=1) for path in ("calendars/create$", "events/batch_create$")))
    here.put(calendar(), event(1), event(2))
    here.drain()
    all_is_well(here)
    assert len(here.log("events/batch_create")) == 1


def test_a_list_of_many_pages_that_changes_meanwhile_is_read_to_its_end(here: World) -> None:
    """People add and delete events while we look: what is on no page yet is not missing before the last page was seen."""
    here.put(calendar())
    here.drain()
    path = f"/v7/calendars/{here.the_calendar()['id']}/events"
    day = {
        "start_time": {"datetime": "2024-09-03T08:00:00+08:00"},
        "end_time": {"datetime": "2024-09-03T09:35:00+08:00"},
    }
    theirs = [{"summary": f"他人 {n}", "description": "", **day} for n in range(100)]
    for _ in range(2):
        here.simulator.ok("POST", f"{path}/batch_create", {"events": theirs})
    here.faults(
        lost("events/batch_create", times=1),
        {"match": {"method": "GET", "path": "page_token"}, "do": "slow", "params": {"delay_s": 0.2}, "times": 1},
    )
    here.put(*(event(n) for n in range(1, 4)))
    draining = here.executor.submit(here.drain)
    assert wait_until(lambda: bool(here.log(f"{path}?")))
    some = next(one for one in here.the_calendar()["events"] if one["summary"].startswith("他人"))
    here.simulator.ok("POST", f"{path}/{some['id']}/delete")
    draining.result()
    ours = [one["summary"] for one in here.events() if one["summary"].startswith("线性")]
    assert sorted(ours) == ["线性代数 1", "线性代数 2", "线性代数 3"]
    assert any("page_token" in one["path"] for one in here.log(f"{path}?")), "one page proves nothing"


def test_a_walk_that_began_too_early_or_was_left_off_proves_nothing(here: World, arm: Callable[[str], None]) -> None:
    """Calendars are looked for in one walk of the whole list. One that began before the wait was over may have passed the
    place where the calendar appeared."""
    many = [calendar(f"c{n}", name=f"c{n} ·abcdefg") for n in range(25)]
    here.put(*many[:24])
    here.drain()
    arm("walk.after_page:raise@1")  # the first walk dies after its first page
    here.faults({"match": {"path": "calendars/create$"}, "do": "late", "params": {"delay_s": 0.14}, "times": 1})
    here.put(many[24])
    with pytest.raises(FailedOnPurpose, match=r"walk\.after_page"):
        here.drain()
    here.drain()
    assert _names(here) == sorted(f"c{n} ·abcdefg" for n in range(25))
    row = here.mirrored("cal:c24")
    assert row.state == "live"
    all_is_well(here)


def _names(here: World) -> list[str]:
    return sorted(one["summary"] for one in here.calendars())
