"""What a process remembers of those who ask it all the time, and that it lets nobody in whom the database would not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, event

from db.engine import make_engine
from db.tables.identity import login_roles
from domain.tenancy import Role, permissions
from domain.tokens import ACCESS_MS
from tests.integration.identity_rig import School, deps_of, now, school
from usecases import identity, logins
from usecases.callers import Callers
from usecases.identity import NotAuthenticated, Tokens

pytestmark = pytest.mark.integration

Ending = Callable[[School, Tokens], object]


@pytest.fixture
def here(database: Engine) -> School:
    """Mei, who is a guide at the open day too."""
    made = school(database)
    logins.save_role(made.deps, tenant="main", name="guide", title="", allowed=["course.read:tenant"], actor="test")
    made.add("mei", Role.STUDENT, "guide", person=("student", "s1"))
    made.add("bao", Role.TEACHER, person=("teacher", "t1"))
    return made


@pytest.fixture
def elsewhere(database_url: str) -> Iterator[Callers]:
    """Another process."""
    engine = make_engine(database_url)
    yield Callers(deps_of(engine), linger_s=0)
    engine.dispose()


def begin(here: School, name: str = "mei") -> Tokens:
    """A sign-in without the work of a password."""
    (login,) = (one["id"] for one in logins.listing(here.deps, tenant="main") if one["name"] == name)
    return identity.begin(here.deps, tenant="main", login_id=login, how="wps")


def reuse(here: School, pair: Tokens) -> None:
    """Two have the refresh token, and one of them has stolen it."""
    identity.refresh(here.deps, pair.refresh)
    with pytest.raises(NotAuthenticated):
        identity.refresh(here.deps, pair.refresh)


def save_guide(here: School, _: Tokens) -> None:
    """Guides may see less from now on."""
    logins.save_role(here.deps, tenant="main", name="guide", title="", allowed=["term.read:tenant"], actor="test")


def set_password(here: School, _: Tokens) -> None:
    logins.set_password(here.deps, tenant="main", name="mei", actor="test")


ENDINGS: dict[str, tuple[Ending, str]] = {
    "signing out": (lambda here, pair: identity.sign_out(here.deps, pair.access), "revoked"),
    "being taken back": (lambda here, pair: identity.take_back(here.deps, pair.access), "revoked"),
    "a refresh token used twice": (reuse, "revoked"),
    "another set of roles": (
        lambda here, _: logins.set_roles(here.deps, tenant="main", name="mei", roles=[], actor="test"),
        "stale",
    ),
    "a role that is another now": (save_guide, "stale"),
    "a role that is no more": (
        lambda here, _: logins.remove_role(here.deps, tenant="main", name="guide", actor="test"),
        "stale",
    ),
    "being switched off": (
        lambda here, _: logins.set_state(here.deps, tenant="main", name="mei", active=False, actor="test"),
        "disabled",
    ),
    "a new password": (set_password, "revoked"),
}


@pytest.mark.parametrize("how", ENDINGS)
def test_whoever_is_remembered_is_refused_with_the_next_call(here: School, elsewhere: Callers, how: str) -> None:
    """What a process keeps in mind must not outlive by one call what the database says, least of all in another process."""
    at_home = Callers(here.deps, linger_s=0)
    pair, other = begin(here), begin(here, "bao")
    for callers in (at_home, elsewhere):
        for _ in range(2):
            assert permissions("course.read:tenant") <= callers.scope_of(pair.access, now_ms=now()).permissions
        assert callers.scope_of(other.access, now_ms=now()).user == "t1"
    end, reason = ENDINGS[how]
    end(here, pair)
    for callers in (at_home, elsewhere):
        for _ in range(2):
            with pytest.raises(NotAuthenticated) as told:
                callers.scope_of(pair.access, now_ms=now())
            assert told.value.reason == reason
        assert callers.scope_of(other.access, now_ms=now()).user == "t1"


def test_who_is_asked_about_with_one_who_was_sent_away_comes_in(here: School) -> None:
    """Questions are asked together: a thief's token must not lock out those who happen to ask with him, nor come in with them."""
    callers = Callers(here.deps, linger_s=0)
    pairs = [begin(here), begin(here), begin(here, "bao")]
    claims = [identity.claims_of(here.deps, pair.access, now_ms=now()) for pair in pairs]
    assert callers.scopes_of(claims) == callers.scopes_of(claims)
    identity.take_back(here.deps, pairs[0].access)
    for _ in range(2):
        refused, mei, bao = callers.scopes_of(claims)
        assert isinstance(refused, NotAuthenticated) and refused.reason == "revoked"
        assert [getattr(one, "user", one) for one in (mei, bao)] == ["s1", "t1"]


def test_what_is_remembered_is_asked_about_all_the_same_in_one_short_statement(here: School) -> None:
    """Without the question somebody who was sent away would stay; with a long one the question would be most of a request."""
    callers = Callers(here.deps, linger_s=0)
    pair = begin(here)
    first = callers.scope_of(pair.access, now_ms=now())
    asked: list[str] = []

    def note(*said: Any) -> None:
        asked.append(said[2])

    event.listen(Engine, "before_cursor_execute", note)
    try:
        assert callers.scope_of(pair.access, now_ms=now()) == first
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    (statement,) = (one for one in asked if "SELECT" in one)
    assert "token_families" in statement and "roles" not in statement


def test_a_token_that_was_seen_ends_by_the_clock_and_another_spelling_of_it_is_none(here: School) -> None:
    """A text that is remembered is as old as it says, and only that text is."""
    callers = Callers(here.deps, linger_s=0)
    pair = begin(here)
    assert callers.scope_of(pair.access, now_ms=now()).user == "s1"
    with pytest.raises(NotAuthenticated, match="expired"):
        callers.scope_of(pair.access, now_ms=now() + ACCESS_MS)
    with pytest.raises(NotAuthenticated):
        callers.scope_of(f"{pair.access}=", now_ms=now())


def test_what_is_remembered_of_an_epoch_ends_after_minutes(here: School) -> None:
    """A database that was put back to yesterday begins epochs anew, with other roles in them."""
    minute = [0.0]
    callers = Callers(here.deps, clock=lambda: minute[0], linger_s=0)
    pair = begin(here)
    callers.scope_of(pair.access, now_ms=now())
    with here.deps.engine.begin() as tx:
        tx.execute(login_roles.delete().where(login_roles.c.tenant_id == "main", login_roles.c.role == "guide"))
    minute[0] += 301
    assert callers.scope_of(pair.access, now_ms=now()).roles == {"student"}
