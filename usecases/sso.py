"""Signing in by somebody else's page: the school's identity provider (OIDC), or WPS (`usecases/wps_login.py`).

    begin ─▶ the provider's page ─▶ comes back with code and state ─▶ finish ─▶ a sign-in

A state is good once, ten minutes, and in the browser that began it: that one holds the *binding*, a signed cookie. So
nobody can be made to come in as somebody else by a link. Whoever the provider vouches for is a login that is linked to it,
or the person with that number; no other.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection

from db import audit, login_states, logins
from db.clock import now_ms as db_now_ms
from db.engine import in_unit, reading
from db.tables.base import AnyRow
from domain.ids import key_of
from domain.passwords import check_name
from domain.tokens import CALLBACK_MS, BadToken, TokenKind, body_of
from observability.log import get_logger
from remote.oidc import AddressRefused, Provider, ProviderAway, ProviderRefused
from usecases import configs, identity, tokens
from usecases import logins as people
from usecases.deps import Deps
from usecases.identity import NotAuthenticated, Tokens
from usecases.sealing import place_of, seal, unseal

log = get_logger("identity")

WPS: Final = "wps"
_SUBJECT: Final = "login"


class UnknownProvider(LookupError):
    """The tenant has no identity provider of that name, or it is switched off."""


class ProviderUnusable(Exception):
    """The provider does not answer, or is not to be called; the message says which."""


class BadReturn(ValueError):
    """The page to come back to is not one of ours."""


@dataclass(frozen=True, slots=True)
class Begun:
    """Where to send the browser, and what it keeps (as a cookie that scripts cannot read) until it comes back."""

    url: str
    state: str = field(repr=False)
    binding: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Started:
    """A state as it was stored, with what only the caller learns."""

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    binding: str = field(repr=False)


# --- providers --------------------------------------------------------------------------------------------------------


def save_provider(
    deps: Deps,
    *,
    tenant: str,
    name: str,
    issuer: str,
    client_id: str,
    client_secret: str,
    actor: str,
    scopes: str = "openid profile",
    person_claim: str = "preferred_username",
    enabled: bool = True,
) -> None:
    """Configure an identity provider. Raises `AddressRefused` for an issuer that may not be called, `BadLoginName`, and
    `NoWayIn` where it was the only way and is switched off."""
    plain = check_name(name)
    deps.oidc.guard.check_url(issuer)
    sealed = _seal(deps, client_secret, tenant, "identity_providers", "client_secret", plain) if client_secret else ""
    shown = {
        "issuer": issuer,
        "client_id": client_id,
        "scopes": scopes,
        "person_claim": person_claim,
        "enabled": enabled,
    }

    def work(tx: Connection) -> None:
        login_states.save_provider(tx, tenant_id=tenant, name=plain, client_secret=sealed, **shown)
        if not enabled:
            configs.refuse_no_way_in(tx, tenant)
        audit.write(
            tx, tenant=tenant, new_id=deps.new_id, actor=actor, action="provider.save", thing=plain, after=shown
        )

    in_unit(deps.engine, work)


def remove_provider(deps: Deps, *, tenant: str, name: str, actor: str) -> bool:
    """Remove an identity provider; False where there is none. Who came in by it stays signed in. Raises
    `NoWayIn` where it is the only way."""

    def work(tx: Connection) -> bool:
        there = login_states.remove_provider(tx, tenant=tenant, name=name)
        if there:
            configs.refuse_no_way_in(tx, tenant)
            audit.write(tx, tenant=tenant, new_id=deps.new_id, actor=actor, action="provider.remove", thing=name)
        return there

    return in_unit(deps.engine, work)


def providers(deps: Deps, *, tenant: str) -> list[dict[str, Any]]:
    """The identity providers of a tenant by name, without their secrets."""
    shown = ("name", "issuer", "client_id", "scopes", "person_claim", "enabled", "changed_ms")
    with reading(deps.engine) as tx:
        return [{name: getattr(row, name) for name in shown} for row in login_states.providers(tx, tenant=tenant)]


# --- there and back -----------------------------------------------------------------------------------------------------


def begin(
    deps: Deps, *, tenant: str, provider: str, redirect_uri: str, back_to: str = "/", silent: bool = False
) -> Begun:
    """Send somebody to the provider's page; `silent` only where no page has to be shown. Raises `UnknownProvider`,
    `ProviderUnusable`, `BadReturn`."""
    with reading(deps.engine) as tx:
        row = login_states.provider(tx, tenant=tenant, name=provider)
    if row is None or not row.enabled:
        raise UnknownProvider(provider)
    started = start(deps, tenant=tenant, provider=provider, redirect_uri=redirect_uri, back_to=back_to)
    try:
        url = deps.oidc.authorize_url(
            _provider(deps, row),
            redirect_uri=redirect_uri,
            state=started.state,
            nonce=started.nonce,
            verifier=started.verifier,
        )
    except (ProviderAway, AddressRefused) as error:
        raise ProviderUnusable(str(error)) from None
    return Begun(url + ("&prompt=none" if silent else ""), started.state, started.binding)


def start(deps: Deps, *, tenant: str, provider: str, redirect_uri: str, back_to: str) -> Started:
    """Store a new state. Raises `BadReturn`."""
    check_return(back_to)
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    state_id = id_of(tenant, state)

    def work(tx: Connection) -> int:
        now = db_now_ms(tx)
        login_states.begin(
            tx,
            tenant_id=tenant,
            id=state_id,
            provider=provider,
            verifier=_seal(deps, f"{verifier} {nonce}", tenant, "login_states", "verifier", state_id),
            redirect_uri=redirect_uri,
            back_to=back_to,
            ends_ms=now + CALLBACK_MS,
        )
        return now

    now = in_unit(deps.engine, work)
    bound = body_of(
        TokenKind.CALLBACK, tenant=tenant, subject=_SUBJECT, jti=deps.new_id(), family=state_id, epoch=0, now_ms=now
    )
    return Started(state, nonce, verifier, tokens.encode(deps, bound))


def finish(
    deps: Deps, *, state: str, binding: str, code: str, device: str = "", error: str = "", now_ms: int | None = None
) -> tuple[Tokens, str]:
    """What came back from the provider's page: a sign-in, and the page to go back to.

    Raises `NotAuthenticated`, and `ProviderUnusable` where nothing can be said; a state is used up by either.
    """
    row = come_back(deps, state=state, binding=binding, to=login_states.OVER, error=error, now_ms=now_ms)
    with reading(deps.engine) as tx:
        configured = login_states.provider(tx, tenant=row.tenant_id, name=row.provider)
        now = db_now_ms(tx) if now_ms is None else now_ms
    if configured is None or not configured.enabled:
        raise NotAuthenticated("unknown_provider")
    verifier, nonce = secrets_of(deps, row)
    try:
        claims = deps.oidc.redeem(
            _provider(deps, configured),
            redirect_uri=row.redirect_uri,
            code=code,
            verifier=verifier,
            nonce=nonce,
            now_s=now // 1000,
        )
    except ProviderRefused as refused:
        log.warning("identity.provider_refused", tenant=row.tenant_id, provider=row.provider, reason=refused.reason)
        raise NotAuthenticated(refused.reason) from None
    except (ProviderAway, AddressRefused) as away:
        raise ProviderUnusable(str(away)) from None
    said = claims.get(configured.person_claim)
    code_of = str(said).strip() if isinstance(said, str | int) else ""
    login_id = in_unit(
        deps.engine,
        lambda tx: _login_of(deps, tx, row.tenant_id, provider=row.provider, subject=claims["sub"], code=code_of),
    )
    pair = identity.begin(deps, tenant=row.tenant_id, login_id=login_id, how="oidc", device=device, now_ms=now_ms)
    return pair, row.back_to


def come_back(
    deps: Deps,
    *,
    state: str,
    binding: str,
    to: str,
    error: str = "",
    now_ms: int | None = None,
    also: Callable[[Connection, AnyRow], None] = lambda _tx, _row: None,
) -> AnyRow:
    """Use a state up, in the browser that began it; `also` is done in the same transaction. Raises `NotAuthenticated`."""
    with reading(deps.engine) as tx:
        now = db_now_ms(tx) if now_ms is None else now_ms
    tenant, state_id = opened(deps, binding, now_ms=now)
    if id_of(tenant, state) != state_id:
        raise NotAuthenticated("state")
    step = login_states.FAILED if error else to

    def work(tx: Connection) -> AnyRow | None:
        row = login_states.get(tx, tenant=tenant, state_id=state_id)
        if row is None or not login_states.move(tx, tenant=tenant, state_id=state_id, step=login_states.BEGUN, to=step):
            return None
        if not error and now < row.ends_ms:
            also(tx, row)
        return row

    row = in_unit(deps.engine, work)
    if row is None or now >= row.ends_ms:
        raise NotAuthenticated("state")
    if error:
        raise NotAuthenticated(f"provider:{error[:40]}")
    return row


def opened(deps: Deps, binding: str, *, now_ms: int) -> tuple[str, str]:
    """(tenant, id of the state) that a browser was bound to. Raises `NotAuthenticated`."""
    try:
        bound = tokens.decode(deps, binding, TokenKind.CALLBACK, now_ms=now_ms)
    except BadToken as bad:
        raise NotAuthenticated(f"binding:{bad.reason}") from None
    if bound.subject != _SUBJECT:
        raise NotAuthenticated("binding")
    return bound.tenant, bound.family


def _login_of(deps: Deps, tx: Connection, tenant: str, *, provider: str, subject: str, code: str) -> str:
    """The login of whom the provider vouches for. A person who is linked to one subject is not given to another."""
    linked = logins.of_subject(tx, tenant=tenant, provider=provider, subject=subject)
    if linked is not None:
        return str(linked.id)
    found = logins.person_with(tx, tenant=tenant, code=code) if code else []
    if len(found) != 1:
        raise NotAuthenticated("nobody_with_that_number")
    there = logins.of_person(tx, tenant=tenant, kind=found[0].kind, code=found[0].code)
    if there is None and not configs.value_of(tx, "sign_in.people", tenant=tenant):
        raise NotAuthenticated("no_login")
    login_id = people.of_person(deps, tx, tenant=tenant, person=found[0], actor=f"sso:{provider}")
    if there is not None and there.provider is not None:
        raise NotAuthenticated("linked_to_another")
    logins.change(tx, tenant=tenant, login_id=login_id, new_epoch=False, provider=provider, subject=subject)
    return login_id


def check_return(back_to: str) -> None:
    """Raise `BadReturn` unless it is a path of this site."""
    plain = back_to.isprintable() and "\\" not in back_to and len(back_to) <= 500
    if not plain or not back_to.startswith("/") or back_to.startswith("//"):
        raise BadReturn("the page to come back to is a path of this site, as in /today")


def id_of(tenant: str, state: str) -> str:
    """Under which id a state is stored."""
    return key_of("login state", tenant, state)


def secrets_of(deps: Deps, row: AnyRow) -> tuple[str, str]:
    """(verifier, nonce) of a state."""
    at = place_of(row.tenant_id, "login_states", "verifier", row.id)
    verifier, _, nonce = unseal(row.verifier, encryption_keys=deps.encryption_keys, place=at).partition(" ")
    return verifier, nonce


def _provider(deps: Deps, row: AnyRow) -> Provider:
    at = place_of(row.tenant_id, "identity_providers", "client_secret", row.name)
    secret = unseal(row.client_secret, encryption_keys=deps.encryption_keys, place=at) if row.client_secret else ""
    return Provider(row.issuer, row.client_id, secret, row.scopes)


def _seal(deps: Deps, text: str, tenant: str, table: str, column: str, row: str) -> str:
    return seal(text, encryption_keys=deps.encryption_keys, place=place_of(tenant, table, column, row))
