"""Each class of error through a drain: what is done about it, and after how many calls it goes to a person."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from db.tables import jobs
from remote.wps.errors import POLICIES, Kind, retries_after
from tests.integration.drain_rig import World, calendar, event, event_target

pytestmark = pytest.mark.integration


def answered(status: int, code: int) -> dict[str, Any]:
    return {"do": "status", "params": {"status": status, "code": code}}


ACCIDENTS: dict[str, dict[str, Any]] = {
    "auth": answered(401, 401030001),
    "conflict": answered(409, 400000104),
    "locked": answered(200, 400411035),
    "server": answered(503, 503000001),
    "network": {"do": "refused_connection_drop"},
    "timeout": {"do": "slow", "params": {"delay_s": 0.5}},
}
AT_ONCE: dict[str, tuple[str, dict[str, Any]]] = {
    "forbidden": ("auth", answered(403, 403000001)),
    "data": ("bad_request", answered(400, 400411350)),
    "never seen": ("unknown", answered(200, 12345)),
}


def course_of(name: str) -> tuple[str, str]:
    """A course and a lane of its own for each, so that all are waited for at the same time."""
    number = [*ACCIDENTS, *AT_ONCE].index(name)
    return f"c{number}", f"学院 {number}"


def changed_events(here: World, names: list[str]) -> None:
    """One event for each name, at WPS already, and then wanted in another room."""
    for name in names:
        course, lane = course_of(name)
        here.put(calendar(course, name=f"{name} ·abcdefg", lane=lane), event(1, course, lane=lane))
    here.drain()
    for name in names:
        course, lane = course_of(name)
        here.put(event(1, course, lane=lane, room="202"), import_no=2)


def rule(here: World, name: str, what: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What happens to changes of the events of this course."""
    return {"match": {"path": f"{here.id_of(course_of(name)[0])}/events/.*/update$"}, **what, **more}


def calls(here: World, name: str) -> int:
    return len(here.log(f"{here.id_of(course_of(name)[0])}/events/")) - len(gets(here, name)) - 1  # the first creation


def gets(here: World, name: str) -> list[Any]:
    return [one for one in here.log(f"{here.id_of(course_of(name)[0])}/events/") if one["method"] == "GET"]


def job(here: World, name: str) -> Any:
    return here.job(event_target(f"{course_of(name)[0]}-001"))


def test_one_accident_of_each_class_is_got_over(here: World) -> None:
    """A new token, a lock that is released, a look at what is there, a shorter wait or a longer one: never a person."""
    names = list(ACCIDENTS)
    changed_events(here, names)
    here.faults(*(rule(here, name, what, times=1) for name, what in ACCIDENTS.items()))
    here.drain()
    assert {name: here.say(course_of(name)[0]) for name in names} == {name: [("线性代数 1", "202")] for name in names}
    assert {name: job(here, name).state for name in names} == dict.fromkeys(names, "done")
    assert len(here.log("/oauth2/token")) >= 2, "the token was fetched anew"
    looked_up = {name for name in names if gets(here, name)}
    assert looked_up >= {"conflict", "server", "network", "timeout"}
    assert calls(here, "timeout") == 1, "it had been carried out: found, not repeated"


@pytest.mark.parametrize("name", AT_ONCE)
def test_what_no_repetition_mends_goes_to_a_person_at_once(here: World, name: str) -> None:
    """Five more tries of a wrong time are five calls that others could have had, and a reason that nobody reads."""
    changed_events(here, [name])
    error_class, what = AT_ONCE[name]
    here.faults(rule(here, name, what))
    here.drain()
    assert (job(here, name).state, job(here, name).error_code) == ("dead", error_class)
    assert calls(here, name) == 1
    assert here.count("event")[2] == 1


PATIENCE = {
    "auth": POLICIES[Kind.AUTH].retries,
    "locked": POLICIES[Kind.LOCKED].retries,
    "conflict": retries_after("conflict"),
    "server": retries_after("server"),
    "network": retries_after("network"),
}


def test_after_its_last_retry_each_class_is_a_dead_letter_with_its_name(here: World) -> None:
    """Never silence: what is given up has its class, its last words, and counts as failed."""
    changed_events(here, list(PATIENCE))
    here.faults(*(rule(here, name, ACCIDENTS[name]) for name in PATIENCE))
    with here.engine.begin() as tx:
        for name, retries in PATIENCE.items():
            target = job(here, name).target
            tx.execute(update(jobs).where(jobs.c.target == target, jobs.c.state == "queued").values(attempts=retries))
    here.drain()
    expected = {name: ("dead", "conflict" if name == "locked" else name) for name in PATIENCE}
    assert {name: (job(here, name).state, job(here, name).error_code) for name in PATIENCE} == expected
    assert {calls(here, name) for name in PATIENCE} == {1}
    assert all(job(here, name).last_error for name in PATIENCE)


def test_the_table_is_as_patient_as_promised() -> None:
    """Three new tokens, five tries against a broken service, three against a broken line, none against bad data."""
    assert PATIENCE == {"auth": 3, "locked": 5, "conflict": 5, "server": 5, "network": 3}
    assert retries_after("timeout") == 5
    assert retries_after("unknown") == 0
    assert retries_after(None) == 5
