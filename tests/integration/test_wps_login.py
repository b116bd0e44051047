"""Signing in by a WPS account, against the simulator: the web asks nobody, a worker does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from sqlalchemy import select

from db import people
from db.configs import Place
from db.engine import in_unit, reading, unit
from db.tables import jobs, login_states, logins
from domain.configs import Level
from domain.timetable import Person
from tests.integration.drain_rig import World
from tests.integration.identity_rig import KEY, now
from usecases import configs, identity, sso, tasks, tenants, wps_login
from usecases.deps import Deps
from usecases.identity import NotAuthenticated

pytestmark = pytest.mark.integration
BACK = "https://obsync.example/auth/wps"


@pytest.fixture
def deps(here: World) -> Deps:
    """A school whose people have WPS accounts; two of them are in the lists."""
    made = replace(here.deps, tenant="main", encryption_keys=f"k1:{KEY}")
    with unit(made.engine) as tx:
        tenants.seed(
            tx, tenant="main", zone="Asia/Shanghai", app_id="", app_key="", encryption_keys=made.encryption_keys
        )
        found = [Person(code="s1", name="梅", college=""), Person(code="s2", name="兰", college="")]
        people.save_listed(tx, found, tenant="main", kind="student", import_no=1)
    known = [{"ex_user_id": code, "user_name": code, "status": "active"} for code in ("s1", "s2", "stranger")]
    here.simulator.desk("people", {"people": known})
    here.simulator.desk("sign-in", {"ex_user_id": None})
    return made


def open_page(begun: sso.Begun, **more: str) -> httpx.Response:
    """What a browser gets at the address it was sent to."""
    query = "".join(f"&{name}={value}" for name, value in more.items())
    return httpx.get(begun.url + query, follow_redirects=False, trust_env=False)


def brought(page: httpx.Response) -> dict[str, str]:
    """What the browser brings back."""
    assert page.status_code == 302, page.text
    return {name: values[0] for name, values in parse_qs(urlsplit(page.headers["location"]).query).items()}


def begin(deps: Deps) -> sso.Begun:
    return wps_login.begin(deps, tenant="main", redirect_uri=BACK, back_to="/today")


def work_off(deps: Deps) -> int:
    """What a `jobs` worker does. Returns how many tasks there were."""
    due = tasks.due_tasks(deps, kinds={wps_login.KIND})
    for task_id, _ in due:
        task = tasks.claim(deps, task_id, claim=deps.new_id(), kinds={wps_login.KIND})
        assert task is not None
        wps_login.look_up(deps, task)
    return len(due)


def come_in(deps: Deps, number: str) -> tuple[identity.Tokens, str] | None:
    begun = begin(deps)
    said = brought(open_page(begun, login=number))
    wps_login.came_back(deps, state=said["state"], binding=begun.binding, code=said["code"])
    assert wps_login.outcome(deps, binding=begun.binding) is None, "WPS was not asked yet"
    assert work_off(deps) == 1
    return wps_login.outcome(deps, binding=begun.binding)


def refused(work: Callable[[], object]) -> str:
    with pytest.raises(NotAuthenticated) as told:
        work()
    return told.value.reason


def test_a_listed_student_comes_in_by_the_wps_account(deps: Deps, here: World) -> None:
    """Whoever reads the calendar in WPS is known there already."""
    done = come_in(deps, "s1")
    assert done is not None
    pair, back = done
    assert back == "/today" and identity.scope_of(deps, pair.access, now()).user == "s1"
    again = come_in(deps, "s1")
    assert again is not None and again[0].login_id == pair.login_id
    with reading(deps.engine) as tx:
        (linked,) = tx.execute(select(logins.c.code, logins.c.wps_id)).all()
        kept = tx.execute(select(login_states.c.code)).scalars().all()
    assert linked.code == "s1" and linked.wps_id and set(kept) == {None}
    calls = here.log("users/current")
    assert len(calls) == 2 and {one["lane"] for one in calls} == {"login"}


def test_inside_the_wps_app_no_page_is_shown(deps: Deps, here: World) -> None:
    """A student who opens it from WPS is in it."""
    assert "<form" in open_page(begin(deps)).text
    assert "no such account" in open_page(begin(deps), login="nobody").text
    here.simulator.desk("sign-in", {"ex_user_id": "s2"})
    begun = begin(deps)
    said = brought(open_page(begun))
    wps_login.came_back(deps, state=said["state"], binding=begun.binding, code=said["code"])
    work_off(deps)
    done = wps_login.outcome(deps, binding=begun.binding)
    assert done is not None and identity.scope_of(deps, done[0].access, now()).user == "s2"
    assert refused(lambda: wps_login.outcome(deps, binding=begun.binding)) == "state", "once"


def test_an_account_that_is_nobodys_here_does_not_come_in(deps: Deps) -> None:
    """The company of the app has more people than the school's lists."""
    assert refused(lambda: come_in(deps, "stranger")) == "nobody_with_that_account"
    configs.change(deps, Place(Level.TENANT, "main"), {"sign_in.people": False}, actor="test")
    assert refused(lambda: come_in(deps, "s1")) == "no_login"
    configs.change(deps, Place(Level.TENANT, "main"), {"sign_in.wps": False}, actor="test")
    with pytest.raises(sso.UnknownProvider):
        begin(deps)


def test_a_code_that_is_made_up_or_brought_by_another_browser_is_refused(deps: Deps) -> None:
    """Both are how somebody would come in as somebody else."""
    begun, other = begin(deps), begin(deps)
    said = brought(open_page(begun, login="s1"))
    assert (
        refused(lambda: wps_login.came_back(deps, state=said["state"], binding=other.binding, code=said["code"]))
        == "state"
    )
    assert refused(
        lambda: wps_login.came_back(deps, state=other.state, binding=other.binding, code="", error="access_denied")
    )
    wps_login.came_back(deps, state=said["state"], binding=begun.binding, code="made up")
    work_off(deps)
    assert refused(lambda: wps_login.outcome(deps, binding=begun.binding)) == "code:40100009"
    assert (
        refused(lambda: wps_login.came_back(deps, state=said["state"], binding=begun.binding, code=said["code"]))
        == "state"
    )


def test_wps_that_is_throttled_or_away_is_asked_again(deps: Deps, here: World) -> None:
    """A person waits some seconds more; nobody's web thread does."""
    begun = begin(deps)
    said = brought(open_page(begun, login="s1"))
    wps_login.came_back(deps, state=said["state"], binding=begun.binding, code=said["code"])
    here.faults({"match": {"path": "token"}, "do": "throttle", "times": 1, "params": {"retry_after_s": 0.05}})
    assert work_off(deps) == 1
    assert wps_login.outcome(deps, binding=begun.binding) is None
    in_unit(deps.engine, lambda tx: make_due(tx))
    assert work_off(deps) == 1
    assert wps_login.outcome(deps, binding=begun.binding) is not None


def make_due(tx: Any) -> None:
    tx.execute(jobs.update().values(run_at=0))
