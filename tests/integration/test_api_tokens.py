"""Tokens that are not worth what they claim, at every route there is; and what is left when Redis has forgotten everything."""

from __future__ import annotations

import base64
import hmac
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Final

import pytest
import redis

from db.logins import Grant
from domain.tenancy import Role
from domain.tokens import TokenKind, body_of
from tests.fixtures_stores import Valkey
from tests.integration.api_rig import ABROAD, HOME, Api
from tests.integration.identity_rig import PASSWORD, now
from usecases import identity, logins, tokens
from usecases.identity import Tokens
from web.app import create_app
from web.auth import Credentials

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""What is asked here is in front of any SQL; that both databases forget and keep the same is shown with identity."""

DAY_S: Final = 86_400


@dataclass
class Forged:
    """A token in the making: what it says, how it is signed and how it is sent. Defects change it, several of them in turn."""

    api: Api
    claims: dict[str, Any]
    header: dict[str, Any]
    key: bytes
    login: str
    after: Callable[[str], str] = field(default=lambda text: text)
    scheme: str = "Bearer "

    def text(self) -> str:
        """What stands in ``Authorization``."""
        parts = [json.dumps(one).encode() for one in (self.header, self.claims)]
        said = ".".join(_b64(one) for one in parts)
        return self.scheme + self.after(f"{said}.{_b64(hmac.digest(self.key, said.encode(), 'sha256'))}")


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _claim(**claims: Any) -> Callable[[Forged], None]:
    return lambda one: one.claims.update(claims)


def _without(name: str) -> Callable[[Forged], None]:
    return lambda one: one.claims.pop(name, None)


def _header(**header: Any) -> Callable[[Forged], None]:
    return lambda one: one.header.update(header)


def _set(**fields: Any) -> Callable[[Forged], None]:
    def change(one: Forged) -> None:
        for name, value in fields.items():
            setattr(one, name, value)

    return change


def _later(name: str, seconds: int) -> Callable[[Forged], None]:
    return lambda one: one.claims.update({name: now() // 1000 + seconds})


def _of(chosen: str) -> Callable[[Forged], None]:
    """The sign-in of somebody whose sign-in has ended in this way."""

    def change(one: Forged) -> None:
        ended = tokens.decode(one.api.deps, ENDED[chosen].access, TokenKind.ACCESS, now_ms=now())
        one.claims.update(sub=ended.subject, sid=ended.family, jti=ended.jti, epoch=ended.epoch)

    return change


ENDED: dict[str, Tokens] = {}
"""How a sign-in ended → its tokens; filled by `door`."""

DEFECTS: Final[Mapping[str, Callable[[Forged], None]]] = {
    **{f"a {kind} token": _claim(type=str(kind)) for kind in TokenKind if kind is not TokenKind.ACCESS},
    "no type": _without("type"),
    "expired": _later("exp", -1),
    "not yet good": _later("nbf", 120),
    "of the future": _later("iat", 120),
    "another issuer": _claim(iss="elsewhere"),
    "another audience": _claim(aud="elsewhere"),
    "no school": _without("tenantId"),
    "another school": _claim(tenantId=ABROAD),
    "an unknown school": _claim(tenantId="nowhere"),
    "somebody else's sign-in": _claim(sub="01nobody"),
    "no sign-in": _claim(sid=""),
    "an old epoch": _claim(epoch=-1),
    "an epoch to come": _claim(epoch=99),
    "no algorithm": _header(alg="none"),
    "another algorithm": _header(alg="HS512"),
    "an unknown key": _header(kid="k99"),
    "a key to be fetched": _header(jku="https://evil.example/keys"),
    "signed by somebody else": _set(key=b"x" * 32),
    "not signed": _set(after=lambda text: text.rpartition(".")[0] + "."),
    "cut off": _set(after=lambda text: text[:-2]),
    "sent as Basic": _set(scheme="Basic "),
    "sent without a scheme": _set(scheme=""),
    **{f"after {how}": _of(how) for how in ("signing out", "being taken back", "a new role", "being switched off", "reuse")},
}  # fmt: skip


EVERYWHERE: Final = frozenset({"a refresh token", "expired", "signed by somebody else", "after signing out"})
"""One of each sort is sent to every route; the others each to a quarter of them, in turn."""


@pytest.fixture
def door(api: Api) -> Iterator[Api]:
    """The API as it is deployed, and sign-ins that have ended in every way."""
    deps = api.deps
    without_limits = replace(api.settings, user_limit_per_min=10**6, ip_limit_per_min=10**6)
    api.app = create_app(deps, without_limits, Credentials(deps))
    for name in ("ada", "out", "back", "role", "off", "reused"):
        logins.add(deps, tenant=HOME, name=name, roles=[Grant(Role.ADMIN)], password=PASSWORD, actor="test")
    pairs = {name: sign_in(api, name) for name in ("out", "back", "role", "off", "reused")}
    identity.sign_out(deps, pairs["out"].access)
    identity.take_back(deps, pairs["back"].access)
    logins.set_roles(deps, tenant=HOME, name="role", roles=[Grant(Role.TEACHER)], actor="test")
    logins.set_state(deps, tenant=HOME, name="off", active=False, actor="test")
    identity.refresh(deps, pairs["reused"].refresh)
    with pytest.raises(identity.NotAuthenticated):
        identity.refresh(deps, pairs["reused"].refresh)
    ENDED.update(
        zip(
            ("signing out", "being taken back", "a new role", "being switched off", "reuse"),
            pairs.values(),
            strict=True,
        )
    )
    yield api
    ENDED.clear()


def sign_in(api: Api, name: str) -> Tokens:
    return identity.sign_in(api.deps, tenant=HOME, name=name, password=PASSWORD, address="10.0.0.1")


def forged(api: Api, pair: Tokens, *defects: str) -> str:
    """Ada's token with these defects; without any it is as good as hers."""
    mine = tokens.decode(api.deps, pair.access, TokenKind.ACCESS, now_ms=now())
    claims = body_of(
        TokenKind.ACCESS,
        tenant=HOME,
        subject=mine.subject,
        jti=mine.jti,
        family=mine.family,
        epoch=mine.epoch,
        now_ms=now(),
    )
    kid, key = next(iter(tokens.signing_keys(api.deps.encryption_keys, api.deps.secret).items()))
    made = Forged(api, claims, {"alg": "HS256", "kid": kid, "typ": "JWT"}, key, mine.subject)
    for defect in defects:
        DEFECTS[defect](made)
    return made.text()


def guarded(api: Api) -> list[tuple[str, str]]:
    """(method, address) of every route that somebody has to be signed in for."""
    return [
        (one.method, re.sub(r"<\w+>", "x", one.rule))
        for one in api.app.extensions["routes"].values()
        if one.policy.needs_caller
    ]


def statuses(api: Api, said: str, asked: list[tuple[str, str]]) -> set[int]:
    """What the routes answer to whoever sends this."""
    person = api.person(None)
    return {person.ask(method, path, Authorization=said).status_code for method, path in asked}


def forget_counts(valkey: Valkey) -> None:
    """Let everybody ask as often as routes allow."""
    with redis.Redis(unix_socket_path=str(valkey.socket), db=1) as client:
        client.flushdb()


def test_no_route_takes_a_token_with_a_defect(door: Api, valkey: Valkey) -> None:
    """Forged, stale, reused or of another kind: nothing of it opens anything, at any route, and the answer is always the same."""
    pair, asked = sign_in(door, "ada"), guarded(door)
    assert len(asked) > 60
    good = [one for one in asked if not one[1].endswith("/logout")]
    assert 401 not in statuses(door, forged(door, pair), good), "the token that they are made from is good"
    wrong = {}
    for number, defect in enumerate(DEFECTS):
        forget_counts(valkey)
        some = asked if defect in EVERYWHERE else asked[number % 4 :: 4]
        found = statuses(door, forged(door, pair, defect), some)
        if found != {401}:
            wrong[defect] = found
    assert wrong == {}


def test_two_defects_do_not_make_one_good_token(door: Api, valkey: Valkey) -> None:
    """A check that stops at the first thing it likes is found by the second."""
    pair, asked = sign_in(door, "ada"), guarded(door)
    wrong = {}
    for number, (one, other) in enumerate(combinations(DEFECTS, 2)):
        for both in ((one, other), (other, one)):
            forget_counts(valkey)
            found = statuses(door, forged(door, pair, *both), [asked[number % len(asked)]])
            if found != {401}:
                wrong[both] = found
    assert wrong == {}


def test_a_flush_of_any_redis_revives_nobody_and_signs_nobody_out(door: Api, valkey: Valkey) -> None:
    """Redis holds counts, hints and bells. A restart of it must neither let anybody in nor ask everybody to sign in again."""
    pair = sign_in(door, "ada")
    ada = {"Authorization": f"Bearer {pair.access}"}
    person = door.person(None)
    made = person.post("/api/v1/sync/runs", {"kind": "full"}, Idempotency_Key="k-1", **ada)
    assert made.status_code == 202, made.get_json()
    for number in (0, 1):
        with redis.Redis(unix_socket_path=str(valkey.socket), db=number) as client:
            client.flushall()
            client.script_flush()
        for how, ended in ENDED.items():
            assert person.get("/api/v1/auth/me", Authorization=f"Bearer {ended.access}").status_code == 401, how
            refused = person.post("/api/v1/auth/refresh", {"refreshToken": ended.refresh}, X_Tenant_ID=HOME)
            assert refused.status_code == 401 or how in ("being taken back", "a new role"), how
        assert person.get("/api/v1/auth/me", **ada).status_code == 200
        again = person.post("/api/v1/sync/runs", {"kind": "full"}, Idempotency_Key="k-1", **ada)
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.get_json()["data"] == made.get_json()["data"]
    fresh = person.post("/api/v1/auth/refresh", {"refreshToken": pair.refresh}, X_Tenant_ID=HOME)
    assert fresh.status_code == 200
