"""Sign-ins, tokens and roles against real databases: what is revoked is revoked for the next call, in every process."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import FrameType

import pytest
from argon2 import PasswordHasher
from sqlalchemy import Engine, event

from db.engine import make_engine, reading
from db.logins import Grant
from domain.tenancy import Role, Scope, Thing, may
from domain.tokens import ACCESS_MS, FAMILY_MS, REFRESH_MS, TokenKind
from tests.fixtures_stores import Valkey
from tests.integration.identity_rig import PASSWORD, School, deps_of, now, school
from usecases import identity, logins
from usecases.identity import NotAuthenticated, WaitToSignIn

pytestmark = pytest.mark.integration


@pytest.fixture
def here(database: Engine) -> School:
    """Mei, Bao and Ada with their logins."""
    made = school(database)
    made.add("mei", Role.STUDENT, person=("student", "s1"))
    made.add("bao", Role.TEACHER, person=("teacher", "t1"))
    made.add("ada", Role.ADMIN)
    return made


def refused(work: Callable[[], object]) -> str:
    """Why nobody came in."""
    with pytest.raises(NotAuthenticated) as told:
        work()
    return told.value.reason


def scope(here: School, access: str, at: int | None = None) -> Scope:
    """The Scope of an access token."""
    return identity.scope_of(here.deps, access, now() if at is None else at)


def test_a_password_becomes_a_scope_with_person_roles_and_permissions(here: School) -> None:
    """What Mei may see is decided by who she is in the timetable, not by what she is called at the door."""
    mei = scope(here, here.sign_in(" MEI ").access)
    assert (mei.tenant, mei.user, mei.roles) == ("main", "s1", {"student"})
    assert may(mei, "timetable.read", Thing("main", people=frozenset({"s1"})))
    assert not may(mei, "timetable.read", Thing("main", people=frozenset({"s2"})))
    assert scope(here, f"Bearer {here.sign_in('ada').access}").user == "@ada"
    there = {one["name"]: one for one in logins.listing(here.deps, tenant="main")}
    assert there["mei"]["last_login_ms"] and there["mei"]["title"] == "梅"


def test_a_login_of_one_school_opens_no_other(here: School) -> None:
    """Two schools may both have an `ada`, and neither is the other."""
    here.add("ada", Role.STUDENT, tenant="other")
    assert scope(here, here.sign_in("ada", tenant="other").access) == Scope.of("other", "@ada", [Role.STUDENT])
    assert refused(lambda: here.sign_in("mei", tenant="other")) == "credentials"
    assert refused(lambda: here.sign_in("mei", tenant="nowhere")) == "credentials"


def test_every_kind_of_token_is_good_in_its_own_place_only(here: School) -> None:
    """A refresh token lives a week: taken for an access token it would be a week of access."""
    pair = here.sign_in("mei")
    given = {
        TokenKind.ACCESS: pair.access,
        TokenKind.REFRESH: pair.refresh,
        TokenKind.WS_TICKET: identity.ticket(here.deps, pair.access),
    }
    for kind, token in given.items():
        for asked in TokenKind:
            if asked is kind is not TokenKind.REFRESH:
                assert identity.scope_of_token(here.deps, token, asked, now_ms=now()).user == "s1"
            elif asked is not kind:
                assert (
                    refused(lambda t=token, a=asked: identity.scope_of_token(here.deps, t, a, now_ms=now()))
                    == "wrong_type"
                )
    for token in (pair.access, given[TokenKind.WS_TICKET]):
        assert refused(lambda t=token: identity.refresh(here.deps, t)) == "wrong_type"


def test_tokens_end_by_the_clock(here: School) -> None:
    """Half an hour, a week, and a month after the sign-in whatever was exchanged."""
    start = now()
    pair = here.sign_in("mei", now_ms=start)
    assert scope(here, pair.access, start + ACCESS_MS - 2_000)
    assert refused(lambda: scope(here, pair.access, start + ACCESS_MS)) == "expired"
    assert refused(lambda: identity.refresh(here.deps, pair.refresh, now_ms=start + REFRESH_MS)) == "expired"
    at, latest = start, pair
    while at + REFRESH_MS < start + FAMILY_MS:
        at += REFRESH_MS - 60_000
        latest = identity.refresh(here.deps, latest.refresh, now_ms=at)
    assert latest.refresh_ms == start + FAMILY_MS - at < REFRESH_MS
    assert refused(lambda: identity.refresh(here.deps, latest.refresh, now_ms=start + FAMILY_MS)) == "expired"


def test_of_twenty_who_exchange_a_refresh_token_together_one_gets_a_pair_and_the_sign_in_ends(here: School) -> None:
    """One of them has stolen it, and nobody can tell which."""
    pair = here.sign_in("mei")
    start = threading.Barrier(20)

    def exchange(_number: int) -> identity.Tokens | str:
        start.wait()
        try:
            return identity.refresh(here.deps, pair.refresh)
        except NotAuthenticated as no:
            return no.reason

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(exchange, range(20)))
    (winner,) = [one for one in answers if not isinstance(one, str)]
    assert {one for one in answers if isinstance(one, str)} == {"reused"}
    assert refused(lambda: scope(here, winner.access)) == "revoked"
    assert refused(lambda: scope(here, pair.access)) == "revoked"
    assert refused(lambda: identity.refresh(here.deps, winner.refresh)) == "reused"


def test_what_is_revoked_is_revoked_in_every_process_and_after_any_flush(
    here: School, database_url: str, valkey: Valkey
) -> None:
    """A stolen telephone is signed out now, not when a cache forgets."""
    engine = make_engine(database_url)
    elsewhere = deps_of(engine)
    kept, ended, one = here.sign_in("mei"), here.sign_in("mei"), here.sign_in("mei")
    assert identity.scope_of(elsewhere, ended.access, now()).user == "s1"
    identity.sign_out(here.deps, ended.access)
    identity.take_back(here.deps, one.access)
    valkey.client().flushall()
    for at in (here.deps, elsewhere):
        for token in (ended.access, one.access):
            assert refused(lambda a=at, t=token: identity.scope_of(a, t, now())) == "revoked"
        assert identity.scope_of(at, kept.access, now()).user == "s1"
    assert refused(lambda: identity.refresh(elsewhere, ended.refresh)) == "reused"
    assert identity.refresh(elsewhere, one.refresh).access, "only the one token was taken back"
    engine.dispose()


def test_tokens_that_are_asked_about_together_get_the_answers_they_would_get_alone(here: School) -> None:
    """At the bell many are asked about in one statement: nobody comes in by the company he is in."""
    here.add("eve", "student", "teacher")
    good, ended, one, gone = (here.sign_in(name) for name in ("mei", "mei", "bao", "eve"))
    more, stale = here.sign_in("eve"), here.sign_in("ada")
    identity.sign_out(here.deps, ended.access)
    identity.take_back(here.deps, one.access)
    identity.sign_out(here.deps, gone.access)
    logins.set_roles(here.deps, tenant="main", name="ada", roles=[Grant("student")], actor="test")
    access = [pair.access for pair in (good, ended, one, gone, more, stale)]
    asked = [identity.claims_of(here.deps, token, now_ms=now()) for token in access]
    with reading(here.deps.engine) as tx:
        found = identity.scopes_in(tx, "main", [*asked, asked[0]], now())
    assert found[0] == found[-1] == scope(here, good.access) and found[4] == scope(here, more.access)
    assert [str(found[at]) for at in (1, 2, 3, 5)] == [
        refused(lambda t=access[at]: scope(here, t)) for at in (1, 2, 3, 5)
    ]  # type: ignore[misc]


def test_a_role_that_is_taken_away_is_gone_with_the_next_call(here: School) -> None:
    """Ada leaves the office at noon: the token in her browser must not work until half past."""
    pair = here.sign_in("ada")
    assert scope(here, pair.access).roles == {"admin"}
    logins.set_roles(here.deps, tenant="main", name="ada", roles=[Grant("teacher")], actor="test")
    assert refused(lambda: scope(here, pair.access)) == "stale"
    fresh = identity.refresh(here.deps, pair.refresh)
    assert scope(here, fresh.access).roles == {"teacher"}, "she stays signed in, as what she is now"
    logins.set_state(here.deps, tenant="main", name="ada", active=False, actor="test")
    assert refused(lambda: scope(here, fresh.access)) == "disabled"
    assert refused(lambda: identity.refresh(here.deps, fresh.refresh)) == "revoked"
    assert refused(lambda: here.sign_in("ada")) == "credentials"


def test_a_new_password_ends_every_sign_in(here: School) -> None:
    """Who changes it often does so because somebody else knows it."""
    pair = here.sign_in("mei")
    mei = pair.login_id
    wrong = lambda: logins.change_own_password(here.deps, tenant="main", login_id=mei, old="no", new="x" * 12)  # noqa: E731
    assert refused(wrong) == "credentials"
    logins.change_own_password(here.deps, tenant="main", login_id=mei, old=PASSWORD, new="another good one")
    assert refused(lambda: scope(here, pair.access)) == "revoked"
    assert refused(lambda: here.sign_in("mei")) == "credentials"
    assert here.sign_in("mei", "another good one").must_change_password is False
    made = logins.set_password(here.deps, tenant="main", name="mei", actor="test")
    assert made and here.sign_in("mei", made).must_change_password


def test_a_ticket_opens_one_socket(here: School) -> None:
    """It travels where addresses are logged: the second one who reads it comes too late."""
    ticket = identity.ticket(here.deps, here.sign_in("mei").access)

    def use(_number: int) -> str:
        try:
            return identity.use_ticket(here.deps, ticket, now()).user
        except NotAuthenticated as no:
            return no.reason

    with ThreadPoolExecutor(8) as pool:
        answers = sorted(pool.map(use, range(8)))
    assert answers.count("s1") == 1 and set(answers) <= {"s1", "used", "revoked"}
    late = identity.ticket(here.deps, here.sign_in("mei").access)
    assert refused(lambda: identity.use_ticket(here.deps, late, now() + 31_000)) == "expired"


# --- guessing ---------------------------------------------------------------------------------------------------------


def guess(here: School, name: str, *, address: str, at: int, password: str = "wrong") -> str:
    """What a wrong password at that time came to."""
    return refused(lambda: here.sign_in(name, password, address=address, now_ms=at))


def test_of_a_thousand_guesses_at_most_ten_are_looked_at(here: School) -> None:
    """Ten a second for a hundred seconds; and a hundred at once."""
    start = now()
    results = [guess(here, "mei", address="6.6.6.6", at=start + number * 100) for number in range(1000)]
    assert 5 <= results.count("credentials") <= 10
    assert set(results) == {"credentials", "wait"}
    with ThreadPoolExecutor(16) as pool:
        burst = list(pool.map(lambda _: guess(here, "bao", address="6.6.6.6", at=start), range(100)))
    assert burst.count("credentials") <= 10
    with pytest.raises(WaitToSignIn) as told:
        here.sign_in("mei", address="6.6.6.6", now_ms=start + 100_000)
    assert 0 < told.value.retry_after_ms <= 15 * 60_000, "and then it may be tried again, always"
    assert here.sign_in("mei", address="6.6.6.6", now_ms=start + 100_000 + told.value.retry_after_ms)


def test_neither_a_campus_behind_one_address_nor_the_owner_elsewhere_is_locked_out(here: School) -> None:
    """A thousand students share an address; one of them tries the neighbour's password."""
    start = now()
    while guess(here, "mei", address="10.1.1.1", at=start) != "wait":
        pass
    assert here.sign_in("bao", address="10.1.1.1", now_ms=start)
    assert here.sign_in("mei", address="10.2.2.2", now_ms=start)
    for number in range(150):
        guess(here, "mei", address=f"7.7.{number}.7", at=start)
    assert guess(here, "mei", address="9.9.9.9", at=start) == "wait", "everybody guesses at Mei"
    assert here.sign_in("mei", address="10.2.2.2", now_ms=start), "but not from where she comes in"
    assert here.sign_in("mei", address="9.9.9.9", now_ms=start + 31_000), "and elsewhere half a minute later"


def test_somebody_who_does_not_exist_is_refused_in_the_same_words(here: School) -> None:
    """A list of who has a login is worth something to whoever guesses."""
    said = []
    for name in ("mei", "nobody"):
        with pytest.raises(NotAuthenticated) as told:
            here.sign_in(name, "wrong", address="8.8.8.8")
        said.append((type(told.value), str(told.value)))
    assert said[0] == said[1]


def test_somebody_who_does_not_exist_costs_the_same_work(here: School) -> None:
    """How long an answer takes tells as much as its words; here the work is counted, which no busy machine changes."""
    logins.add(here.deps, tenant="main", name="oidc", roles=[Grant(Role.STUDENT)], actor="test")  # without a password
    here.add("gone", Role.STUDENT)
    logins.set_state(here.deps, tenant="main", name="gone", active=False, actor="test")
    here.sign_in("ada")
    done = {name: work_of(here, name) for name in ("mei", "nobody", "oidc", "gone", "also nobody")}
    assert {hashes for hashes, _ in done.values()} == {1}, done
    assert len(set(done.values())) == 1, done


def work_of(here: School, name: str) -> tuple[int, int]:
    """How many hashes were computed and how many statements sent for a wrong password."""
    counted: Counter[str] = Counter()

    def look(frame: FrameType, what: str, _: object) -> None:
        if what == "call" and frame.f_code is PasswordHasher.verify.__code__:
            counted["hashes"] += 1

    def sent(*_: object) -> None:
        counted["statements"] += 1

    event.listen(here.deps.engine, "before_cursor_execute", sent)
    sys.setprofile(look)
    try:
        assert refused(lambda: here.sign_in(name, "wrong", address="8.8.8.8")) == "credentials"
    finally:
        sys.setprofile(None)
        event.remove(here.deps.engine, "before_cursor_execute", sent)
    return counted["hashes"], counted["statements"]


# --- who may do what to whom --------------------------------------------------------------------------------------------


def test_nobody_gives_or_touches_what_is_above_him(here: School) -> None:
    """Each of these would be a way up."""
    here.add("root", Role.PLATFORM_ADMIN)
    here.add("sec", Grant(Role.COLLEGE_SECRETARY, ("数学学院",)))
    ada = scope(here, here.sign_in("ada").access)
    sec = scope(here, here.sign_in("sec").access)
    assert sec.colleges == {"数学学院"}
    common = {"tenant": "main", "actor": "test", "by": ada}
    attempts: list[Callable[[], object]] = [
        lambda: logins.set_roles(here.deps, name="ada", roles=[Grant(Role.STUDENT)], **common),
        lambda: logins.set_roles(here.deps, name="mei", roles=[Grant(Role.PLATFORM_ADMIN)], **common),
        lambda: logins.set_roles(here.deps, name="root", roles=[], **common),
        lambda: logins.set_password(here.deps, name="root", **common),
        lambda: logins.set_state(here.deps, name="root", active=False, **common),
        lambda: logins.set_password(here.deps, name="ada", tenant="main", actor="test", by=sec),
        lambda: logins.add(here.deps, name="new", roles=[Grant(Role.ADMIN)], tenant="main", actor="test", by=sec),
        lambda: logins.save_role(
            here.deps, name="x", title="", allowed=["run.start:tenant"], tenant="main", actor="test", by=sec
        ),
    ]
    for attempt in attempts:
        with pytest.raises(logins.NotYours):
            attempt()
    logins.set_roles(here.deps, name="mei", roles=[Grant(Role.TEACHER)], **common)


def test_a_role_of_the_school_is_data_and_changes_at_once(here: School) -> None:
    """A school calls somebody a dean, and next week gives deans a little more."""
    allow = lambda *texts: logins.save_role(  # noqa: E731
        here.deps, tenant="main", name="dean", title="院长", allowed=texts, actor="test"
    )
    allow("course.read:college")
    here.add("lin", Grant("dean", ("物理学院",)))
    pair = here.sign_in("lin")
    lin = scope(here, pair.access)
    assert may(lin, "course.read", Thing("main", colleges=frozenset({"物理学院"})))
    assert not may(lin, "run.start", Thing("main", colleges=frozenset({"物理学院"})))
    allow("course.read:college", "run.start:college")
    assert refused(lambda: scope(here, pair.access)) == "stale"
    pair = identity.refresh(here.deps, pair.refresh)
    assert may(scope(here, pair.access), "run.start", Thing("main", colleges=frozenset({"物理学院"})))
    assert logins.remove_role(here.deps, tenant="main", name="dean", actor="test") == 1
    assert scope(here, identity.refresh(here.deps, pair.refresh).access).permissions == frozenset()
    with pytest.raises(logins.RoleRefused):
        logins.save_role(here.deps, tenant="main", name="admin", title="", allowed=["run.start:own"], actor="test")


def test_a_rotated_signing_key_signs_and_the_old_one_still_verifies(here: School) -> None:
    """Keys are changed without signing everybody out, and taken out when nothing of them is left."""
    from tests.integration.identity_rig import KEY, OTHER_KEY

    pair = here.sign_in("mei")
    both = replace(here.deps, encryption_keys=f"k2:{OTHER_KEY},k1:{KEY}")
    assert identity.scope_of(both, pair.access, now()).user == "s1"
    fresh = identity.refresh(both, pair.refresh)
    only = replace(here.deps, encryption_keys=f"k2:{OTHER_KEY}")
    assert identity.scope_of(only, fresh.access, now()).user == "s1"
    assert refused(lambda: identity.scope_of(only, pair.access, now())) == "unknown_key"
    assert refused(lambda: identity.scope_of(here.deps, fresh.access, now())) == "unknown_key"
