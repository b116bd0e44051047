"""Families of failures, their counts and states, and the list of dead letters, page by page."""

from __future__ import annotations

import dataclasses
from importlib import import_module
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert

from db import audit, failure_lists, jobs
from db.engine import in_unit, make_engine, reading
from db.failure_lists import EVERYTHING, Which
from db.migrate import upgrade
from db.migrations import versions
from db.tables import jobs as job_rows
from domain.failures import Fault, fault_of
from tests.integration import dead_rig
from tests.integration.dead_rig import LANE, TENANT, calendar, copies, die, event, roll
from tests.integration.drain_rig import World
from usecases import dead_letters, failures
from usecases.deps import Deps

pytestmark = pytest.mark.integration

EVERY_STATE = (failures.OPEN, failures.RESOLVED, failures.GONE)


@pytest.fixture
def deps(here: World) -> Deps:
    """What the command line has."""
    return dataclasses.replace(here.deps, tenant=TENANT)


@pytest.fixture
def engine(deps: Deps) -> Engine:
    return deps.engine


def test_one_fault_on_many_targets_is_one_family_with_its_counts(deps: Deps, engine: Engine) -> None:
    """A list of twenty thousand rows is not read by anybody."""
    roll(engine, "c1", "s1", "s2")
    roll(engine, "c2", "s2", "s3")
    ids = die(engine, *(event(n) for n in range(3)), *(event(n, "c2", lane="外语学院") for n in range(2)))
    (one,) = failures.families(deps)
    assert (one["left"], one["total"], one["people"], one["waiting"], one["state"]) == (5, 5, 3, 0, "open")
    assert one["lanes"] == [{"lane": LANE, "count": 3}, {"lane": "外语学院", "count": 2}]
    assert (one["kind"], one["verb"], one["class"], one["code"]) == ("event", "create", "bad_request", 400411023)
    assert one["message"] == "text is not allowed: no. ‹n›"
    assert one["sample"]["id"] in ids and one["sample"]["target"].startswith("课c")
    assert one["first_ms"] <= one["last_ms"] and one["command"] and one["remedy"] and one["cause"]


def test_what_waits_for_a_dead_calendar_counts_with_it(deps: Deps, engine: Engine) -> None:
    """One calendar that cannot be made is forty missing classes."""
    in_unit(
        engine,
        lambda tx: jobs.put(tx, [event(1), event(2)], tenant=TENANT, import_no=1, run_id="r1", new_id=deps.new_id),
    )
    die(engine, calendar())
    (one,) = failures.families(deps)
    assert (one["kind"], one["left"], one["waiting"]) == ("calendar", 1, 2)


def test_the_family_that_hits_most_people_comes_first_and_the_newest_first_in_json(deps: Deps, engine: Engine) -> None:
    """Ten events of an empty course matter less than one that a thousand people miss."""
    roll(engine, "c1", *(f"s{n}" for n in range(20)))
    die(engine, event(1))
    die(
        engine,
        *(event(n, "c2") for n in range(10)),
        code="server",
        message="events.update: server (status 500, code 5): x",
    )
    items = failures.families(deps)
    assert [one["class"] for one in items] == ["server", "bad_request"]
    assert [one["class"] for one in failures.worst_first(items)] == ["bad_request", "server"]


def test_a_resolved_family_opens_again_when_something_of_it_dies(deps: Deps, engine: Engine) -> None:
    """Resolved means seen to, not never to be shown again."""
    die(engine, event(1), event(2))
    (one,) = failures.families(deps)
    assert failures.resolve(deps, one["id"], note="the registry mends the names on Monday", actor="cli:root") == 2
    assert failures.families(deps) == []
    seen = failures.one_family(deps, one["id"])
    assert (seen["state"], seen["resolved_by"], seen["left"]) == ("resolved", "cli:root", 2)
    die(engine, event(3))
    (again,) = failures.families(deps)
    assert (again["id"], again["state"], again["left"], again["note"]) == (one["id"], "open", 3, seen["note"])
    with reading(engine) as tx:
        (act,) = audit.listing(tx, tenant=TENANT, thing=one["id"])
    assert (act["actor"], act["action"], act["after"]["resolved"]) == ("cli:root", "failures.resolve", 2)


def test_a_family_is_gone_when_all_of_it_was_put_again_and_its_history_stays(deps: Deps, engine: Engine) -> None:
    """Whoever comes after the night shift sees what there was."""
    die(engine, event(1), event(2))
    (one,) = failures.families(deps)
    assert dead_letters.put_again(deps, Which(family=one["id"]), actor="cli:root") == 2
    assert failures.families(deps) == []
    (gone,) = failures.families(deps, states=EVERY_STATE)
    assert (gone["state"], gone["left"], gone["total"]) == ("gone", 0, 2)
    items, _ = failures.records(deps, Which(family=one["id"]), after=None, limit=10, dead_only=False)
    assert [each["state"] for each in items] == ["again", "again"]


def test_pages_show_each_failure_once_the_newest_first(deps: Deps, engine: Engine) -> None:
    """Many die in the same millisecond; a page boundary among them must lose nobody."""
    (first,) = die(engine, event(1))
    copies(engine, first, 95)
    seen: list[tuple[int, str]] = []
    after: str | None = None
    while True:
        items, after = failures.records(deps, EVERYTHING, after=after, limit=10)
        assert len(items) <= 10
        seen += [(-one["died_ms"], one["id"]) for one in items]
        if after is None:
            break
    assert len(seen) == len(set(seen)) == 96
    assert [died for died, _ in seen] == sorted(died for died, _ in seen)


def test_filters_narrow_families_records_and_acts_alike(deps: Deps, engine: Engine) -> None:
    """What was counted is what is put again."""
    die(engine, event(1), run_id="r1")
    die(
        engine,
        event(1, "c2", lane="外语学院"),
        run_id="r2",
        code="server",
        message="x: server (status 500, code 51): x",
    )
    for which in (
        Which(lane="外语学院"), Which(code="server"), Which(code="51"), Which(run_id="r2"), Which(kind="event", lane="外语学院"),
    ):  # fmt: skip
        (one,) = failures.families(deps, which)
        (record,), following = failures.records(deps, which, after=None, limit=5)
        assert (one["class"], record["lane"], following) == ("server", "外语学院", None)
        assert dead_letters.count(deps, which) == 1
    assert dead_letters.count(deps, Which(since_ms=one["last_ms"] + 1)) == 0
    assert dead_letters.count(deps, Which(kind="members")) == 0
    assert dead_letters.put_again(deps, Which(code="server"), actor="cli:root") == 1
    assert [each["class"] for each in failures.families(deps)] == ["bad_request"]


def test_a_record_names_the_class_in_words_even_of_a_deletion(deps: Deps, engine: Engine) -> None:
    """`evt:kq3…` tells a registrar nothing."""
    roll(engine, "c1", "s1")
    gone = dataclasses.replace(event(1), payload="null", desired_hash="")
    die(engine, event(0), gone)
    items, _ = failures.records(deps, EVERYTHING, after=None, limit=5)
    assert sorted(one["thing"] for one in items) == ["课c1", "课c1 2024-09-02 08:00"]


def test_the_message_of_a_family_leaves_out_the_targets_own_words() -> None:
    """The service repeats the title it does not like."""
    assert fault_of("a.b: rejected (status 400, code 7): bad 课c1", names=["课c1"]) == Fault(7, "bad ‹name›")


def test_names_are_families_or_jobs_and_anything_else_is_refused(deps: Deps, engine: Engine) -> None:
    """A slip of the finger must not put everything again."""
    one, two = die(engine, event(1), event(2))
    (family,) = failures.families(deps)
    assert failures.named(deps, [one, two]) == [Which(job_ids=(one, two))]
    assert failures.named(deps, [family["id"]]) == [Which(family=family["id"])]
    with pytest.raises(failures.UnknownFamily):
        failures.named(deps, [family["id"], "nobody"])


def test_a_dead_letter_of_another_tenant_is_not_seen(deps: Deps, engine: Engine) -> None:
    """Two schools on one database."""
    die(engine, event(1))
    other = dataclasses.replace(deps, tenant="other")
    assert failures.families(other) == [] and dead_letters.count(other, EVERYTHING) == 0
    assert dead_letters.put_again(other, EVERYTHING, actor="cli:root") == 0
    assert dead_rig.states(engine) == {"dead": 1}


def test_dead_letters_of_before_are_sorted_by_the_migration(empty_database_url: str) -> None:
    """After an upgrade at night the list of failures must not look empty while a thousand jobs are dead."""
    (file,) = Path(versions.__path__[0]).glob("*_failures_families_and_the_audit.py")
    migration = import_module(f"{versions.__name__}.{file.stem}")
    engine = make_engine(empty_database_url)
    upgrade(engine, to=migration.down_revision)
    old = {
        "id": "j1", "tenant_id": TENANT, "lane": LANE, "kind": "event", "target": "evt:1", "term": "t", "group_id": "cal:c1",
        "payload": "{}", "desired_hash": "", "schema_ver": 1, "rev": 1, "import_no": 1, "tier": 0, "priority": 0,
        "state": "dead", "run_at": 0, "attempts": 1, "error_code": "bad_request", "last_error": "no", "created_ms": 1,
        "finished_ms": 5,
    }  # fmt: skip
    others = [
        {"id": "j2", "target": "evt:2"},
        {"id": "j3", "target": "run", "kind": "run.advance", "group_id": "run", "error_code": None},
        {"id": "j4", "target": "evt:4", "state": "done"},
    ]
    in_unit(engine, lambda tx: tx.execute(insert(job_rows), [old, *({**old, **one} for one in others)]))
    upgrade(engine, to=migration.revision)
    with reading(engine) as tx:
        found = failure_lists.families(tx, tenant=TENANT)
        page = failure_lists.page(tx, tenant=TENANT, which=EVERYTHING, after=None, limit=9)
    assert sorted((one.kind, one.error_class, int(one.left), one.last_ms) for one in found) == [
        ("event", "bad_request", 2, 5),
        ("run.advance", "task", 1, 5),
    ]
    assert {(row.id, row.offering_id, row.last_error) for row in page} == {
        ("j1", "c1", "no"),
        ("j2", "c1", "no"),
        ("j3", "", "no"),
    }
    engine.dispose()
