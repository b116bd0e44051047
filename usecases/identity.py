"""Who is asking: from a credential to a Scope, and how credentials come about and end.

    password ─┐
    OIDC      ├─▶ a sign-in (family) ─▶ access token, 30 min ─▶ scope_of ─▶ Scope
    WPS       ┘            └─▶ refresh token, 7 days, good once ─▶ both anew, at most 30 days after the sign-in
    API key ──────────────────────────────────────────────────▶ scope_of ─▶ Scope

The database is asked for every credential: it says whether the login is active, the sign-in stands and the epoch is the
token's, and what the roles are now (a process that is asked all the time remembers these of an epoch: `callers`). So
whatever is revoked is revoked for the next call of every process, and a Redis that was emptied revives nobody.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlalchemy import Connection

from db import logins, sign_ins
from db.clock import now_ms as db_now_ms
from db.engine import in_unit, reading
from db.tables.base import AnyRow
from domain.ids import key_of
from domain.lockout import FORGET_MS, Attempts, try_now
from domain.passwords import folded
from domain.tenancy import BadPermission, Permission, Role, Scope
from domain.tokens import FAMILY_MS, REFRESH_MS, BadToken, Claims, TokenKind, body_of
from observability.log import get_logger
from usecases import api_keys, configs, passwords, tokens
from usecases.deps import Deps

log = get_logger("identity")

_DEVICE_CHARS: Final = 200
_EVERYWHERE: Final = "*"
_BEARER: Final = re.compile(r"(?i)bearer +(\S+)")


class NotAuthenticated(Exception):
    """Nobody we know. `reason` is a word for logs and tests; who asks is told the same sentence for all of them."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PasswordsOff(NotAuthenticated):
    """The school does not take passwords (setting ``sign_in.password``)."""

    def __init__(self) -> None:
        super().__init__("passwords_off")


class WaitToSignIn(NotAuthenticated):
    """Too many wrong passwords for this account from this address: try again after `retry_after_ms`."""

    def __init__(self, retry_after_ms: int) -> None:
        super().__init__("wait")
        self.retry_after_ms = retry_after_ms


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a sign-in gives: both tokens, and how long each is good for."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    access_ms: int
    refresh_ms: int
    login_id: str
    must_change_password: bool = False


# --- asking -----------------------------------------------------------------------------------------------------------


def scope_of(deps: Deps, credential: str, now_ms: int) -> Scope:
    """The Scope of an access token or an API key, with or without ``Bearer``. Raises `NotAuthenticated`."""
    said = _BEARER.fullmatch(credential.strip())
    text = said[1] if said else credential.strip()
    if text.startswith(api_keys.MARK):
        try:
            return api_keys.scope_of(deps, text, now_ms=now_ms)
        except api_keys.BadKey as bad:
            raise NotAuthenticated(bad.reason) from None
    return scope_of_token(deps, text, TokenKind.ACCESS, now_ms=now_ms)


def scope_of_token(deps: Deps, token: str, kind: TokenKind, *, now_ms: int) -> Scope:
    """The Scope of a token of that kind. Raises `NotAuthenticated`."""
    return _scope_of_claims(deps, _read(deps, token, kind, now_ms), now_ms)


def _scope_of_claims(deps: Deps, claims: Claims, now_ms: int) -> Scope:
    with reading(deps.engine) as tx:
        standing = _standing(tx, claims, now_ms)
        return _scope(tx, claims.tenant, claims.subject, standing)


def claims_of(deps: Deps, token: str, *, now_ms: int) -> Claims:
    """What an access token says of itself, to be asked about with `scopes_in`. Raises `NotAuthenticated`."""
    return _read(deps, token, TokenKind.ACCESS, now_ms)


def scopes_in(tx: Connection, tenant: str, asked: Sequence[Claims], now_ms: int) -> list[Scope | Exception]:
    """The Scopes of a tenant's access tokens, asked about in one statement; `NotAuthenticated` in the place of one that is
    refused."""
    standing, given, taken = sign_ins.standings(tx, [(one.family, one.jti) for one in asked], tenant=tenant)
    grants = {login_id: logins.granted(roles) for login_id, roles in given.items()}
    custom = _custom_roles(tx, (one for some in grants.values() for one in some), tenant=tenant)
    found: list[Scope | Exception] = []
    for one in asked:
        try:
            login = _demand_standing(standing.get((one.subject, one.family)), one, one.jti in taken, now_ms)
            scope = _with_roles(tenant, user_of(login), grants.get(one.subject, ()), custom)
            found.append(_as_login(scope, login, one.subject))
        except NotAuthenticated as refused:
            found.append(refused)
    return found


def use_ticket(deps: Deps, ticket: str, now_ms: int) -> Scope:
    """The Scope of a WebSocket ticket, which is good once. Raises `NotAuthenticated`."""
    claims = _read(deps, ticket, TokenKind.WS_TICKET, now_ms)

    def work(tx: Connection) -> Scope | None:
        scope = _scope(tx, claims.tenant, claims.subject, _standing(tx, claims, now_ms))
        mine = sign_ins.take_back(tx, tenant=claims.tenant, jti=claims.jti, reason="used", ends_ms=claims.ends_ms)
        return scope if mine else None

    scope = in_unit(deps.engine, work)
    if scope is None:
        raise NotAuthenticated("used")
    return scope


def _read(deps: Deps, token: str, kind: TokenKind, now_ms: int) -> Claims:
    try:
        return tokens.decode(deps, token, kind, now_ms=now_ms)
    except BadToken as bad:
        raise NotAuthenticated(bad.reason) from None


def _standing(tx: Connection, claims: Claims, now_ms: int) -> AnyRow:
    found = sign_ins.standing(tx, tenant=claims.tenant, login_id=claims.subject, family=claims.family, jti=claims.jti)
    return _demand_standing(found, claims, found is not None and found.taken_back is not None, now_ms)


def _demand_standing(found: AnyRow | None, claims: Claims, taken_back: bool, now_ms: int) -> AnyRow:
    if found is None:
        raise NotAuthenticated("unknown")
    if found.state != logins.ACTIVE:
        raise NotAuthenticated("disabled")
    if found.revoked_ms is not None or taken_back or now_ms >= found.ends_ms:
        raise NotAuthenticated("revoked")
    if found.token_epoch != claims.epoch:
        raise NotAuthenticated("stale")
    return found


def _scope(tx: Connection, tenant: str, login_id: str, login: AnyRow) -> Scope:
    grants = logins.grants(tx, tenant=tenant, login_ids=[login_id])[login_id]
    return _as_login(scope_of_grants(tx, tenant=tenant, user=user_of(login), grants=grants), login, login_id)


def _as_login(scope: Scope, login: AnyRow, login_id: str) -> Scope:
    if login.must_change:
        # Whoever else knows the password that was made up has nothing of it until the owner has chosen his own.
        return replace(scope, permissions=frozenset(), login=login_id, must_change=True)
    return replace(scope, login=login_id)


def scope_of_grants(tx: Connection, *, tenant: str, user: str, grants: Iterable[logins.Grant]) -> Scope:
    """A scope as the roles are now."""
    given = list(grants)
    return _with_roles(tenant, user, given, _custom_roles(tx, given, tenant=tenant))


def _custom_roles(tx: Connection, grants: Iterable[logins.Grant], *, tenant: str) -> dict[str, frozenset[Permission]]:
    own = {one.role for one in grants if one.role not in Role.__members__.values()}
    if not own:
        return {}
    return {one["name"]: parsed(one["permissions"]) for one in logins.custom_roles(tx, tenant=tenant, names=own)}


def _with_roles(
    tenant: str, user: str, grants: Sequence[logins.Grant], custom: Mapping[str, frozenset[Permission]]
) -> Scope:
    colleges = {college for one in grants for college in one.colleges}
    return Scope.of(tenant, user, [one.role for one in grants], colleges=colleges, custom=custom)


def user_of(login: Any) -> str:
    """How a login is called in a Scope: the number of its person, or a name that no person's number can be."""
    return str(login.code) if login.code is not None else f"@{login.name}"


def parsed(texts: Iterable[str]) -> frozenset[Permission]:
    """The permissions among the texts; one that this version does not know allows nothing."""
    found = set()
    for text in texts:
        try:
            found.add(Permission.parse(text))
        except BadPermission:
            continue
    return frozenset(found)


# --- coming in --------------------------------------------------------------------------------------------------------


def sign_in(
    deps: Deps, *, tenant: str, name: str, password: str, address: str, device: str = "", now_ms: int | None = None
) -> Tokens:
    """Sign in by password. Raises `PasswordsOff`, `WaitToSignIn`, and `NotAuthenticated` with the same reason whatever was wrong.

    `address` is the caller's, as far as it can be trusted. The try is counted before the password is looked at.
    """
    with reading(deps.engine) as tx:
        if not configs.value_of(tx, "sign_in.password", tenant=tenant):
            raise PasswordsOff
    plain = folded(name)[:200]
    keys = _attempt_keys(deps, tenant, plain, address)
    in_unit(deps.engine, lambda tx: _count(tx, tenant, keys, now_ms))
    with reading(deps.engine) as tx:
        login = logins.find(tx, tenant=tenant, name=plain)
    usable = login is not None and login.state == logins.ACTIVE
    # The whole work is done for nobody too, so that the time tells no names.
    if (
        not passwords.matches(login.password if usable and login is not None else None, password[:1024])
        or login is None
    ):
        log.info("identity.refused", tenant=tenant, how="password")
        raise NotAuthenticated("credentials")

    def work(tx: Connection) -> Tokens:
        again = logins.get(tx, tenant=tenant, login_id=login.id, lock=True)
        if again is None or again.state != logins.ACTIVE or again.password != login.password:
            raise NotAuthenticated("credentials")
        _forgive(tx, tenant, keys)
        if passwords.is_outdated(again.password):
            better = passwords.hashed(password)
            logins.change(tx, tenant=tenant, login_id=again.id, new_epoch=False, password=better)
        return _begin(deps, tx, again, how="password", device=device, now_ms=now_ms)

    return in_unit(deps.engine, work)


def begin(deps: Deps, *, tenant: str, login_id: str, how: str, device: str = "", now_ms: int | None = None) -> Tokens:
    """A sign-in for somebody whom others have vouched for (`how`: oidc, wps). Raises `NotAuthenticated`."""

    def work(tx: Connection) -> Tokens:
        login = logins.get(tx, tenant=tenant, login_id=login_id, lock=True)
        if login is None or login.state != logins.ACTIVE:
            raise NotAuthenticated("disabled")
        return _begin(deps, tx, login, how=how, device=device, now_ms=now_ms)

    return in_unit(deps.engine, work)


def _begin(deps: Deps, tx: Connection, login: AnyRow, *, how: str, device: str, now_ms: int | None) -> Tokens:
    now = db_now_ms(tx) if now_ms is None else now_ms
    family, jti = deps.new_id(), deps.new_id()
    sign_ins.begin(
        tx,
        tenant_id=login.tenant_id,
        id=family,
        login_id=login.id,
        current=jti,
        how=how,
        device=device[:_DEVICE_CHARS],
        created_ms=now,
        used_ms=now,
        ends_ms=now + FAMILY_MS,
    )
    logins.change(tx, tenant=login.tenant_id, login_id=login.id, new_epoch=False, last_login_ms=now)
    return _pair(deps, tx, login, family=family, refresh_jti=jti, family_ends=now + FAMILY_MS, now=now)


def _pair(
    deps: Deps, tx: Connection, login: AnyRow, *, family: str, refresh_jti: str, family_ends: int, now: int
) -> Tokens:
    scope = _scope(tx, login.tenant_id, login.id, login)
    same: dict[str, Any] = {
        "tenant": login.tenant_id,
        "subject": login.id,
        "family": family,
        "epoch": login.token_epoch,
        "now_ms": now,
        "ends_ms": family_ends,
    }
    access = body_of(
        TokenKind.ACCESS,
        jti=deps.new_id(),
        roles=tuple(sorted(scope.roles)),
        permissions=tuple(sorted(map(str, scope.permissions))),
        **same,
    )
    refresh = body_of(TokenKind.REFRESH, jti=refresh_jti, **same)
    return Tokens(
        access=tokens.encode(deps, access),
        refresh=tokens.encode(deps, refresh),
        access_ms=access["exp"] * 1000 - now,
        refresh_ms=min(REFRESH_MS, family_ends - now),
        login_id=login.id,
        must_change_password=bool(login.must_change),
    )


def _attempt_keys(deps: Deps, tenant: str, name: str, address: str) -> tuple[str, str]:
    """Hashes: a list of who came from where is nobody's business."""
    pepper = deps.secret.hex()
    return key_of(pepper, tenant, name, address), key_of(pepper, tenant, name, _EVERYWHERE)


def _count(tx: Connection, tenant: str, keys: tuple[str, str], now_ms: int | None) -> None:
    now = db_now_ms(tx) if now_ms is None else now_ms
    here, everywhere = keys
    seen, known = sign_ins.attempts(tx, tenant=tenant, key=here)
    mine = try_now(seen, now_ms=now)
    if mine is None:
        raise WaitToSignIn(seen.next_ms - now)
    if not known:
        of_all, _ = sign_ins.attempts(tx, tenant=tenant, key=everywhere)
        counted = try_now(of_all, now_ms=now, everywhere=True)
        if counted is None:
            raise WaitToSignIn(of_all.next_ms - now)
        sign_ins.save_attempts(tx, tenant=tenant, key=everywhere, seen=counted, known=False)
    sign_ins.save_attempts(tx, tenant=tenant, key=here, seen=mine, known=known)


def _forgive(tx: Connection, tenant: str, keys: tuple[str, str]) -> None:
    """The right password: nothing is counted against this address any more, and the account is known from it."""
    here, _ = keys
    seen, _known = sign_ins.attempts(tx, tenant=tenant, key=here)
    sign_ins.save_attempts(tx, tenant=tenant, key=here, seen=Attempts(0, 0, seen.last_ms), known=True)


# --- going on ---------------------------------------------------------------------------------------------------------


def refresh(deps: Deps, token: str, *, now_ms: int | None = None) -> Tokens:
    """Exchange a refresh token for two new ones. It is good once: whoever brings it again ends the sign-in for both, because
    one of them has stolen it. Raises `NotAuthenticated`."""
    now = _now(deps, now_ms)
    claims = _read(deps, token, TokenKind.REFRESH, now)
    jti = deps.new_id()

    def work(tx: Connection) -> Tokens | None:
        login = logins.get(tx, tenant=claims.tenant, login_id=claims.subject, lock=True)
        found = sign_ins.family(tx, tenant=claims.tenant, family_id=claims.family)
        if login is None or found is None or found.login_id != login.id or login.state != logins.ACTIVE:
            raise NotAuthenticated("revoked")
        if not sign_ins.exchange(tx, tenant=claims.tenant, family=found.id, used=claims.jti, fresh=jti, now=now):
            sign_ins.revoke_family(tx, tenant=claims.tenant, family_id=found.id, reason="reused", now=now)
            return None
        return _pair(deps, tx, login, family=found.id, refresh_jti=jti, family_ends=found.ends_ms, now=now)

    pair = in_unit(deps.engine, work)
    if pair is None:
        log.warning("identity.refresh_reused", tenant=claims.tenant, login_id=claims.subject)
        raise NotAuthenticated("reused")
    return pair


def ticket(deps: Deps, access: str, *, now_ms: int | None = None) -> str:
    """A WebSocket ticket for whoever has an access token: half a minute, once. Raises `NotAuthenticated`."""
    now = _now(deps, now_ms)
    claims = _read(deps, access, TokenKind.ACCESS, now)
    with reading(deps.engine) as tx:
        _standing(tx, claims, now)
    body = body_of(
        TokenKind.WS_TICKET,
        tenant=claims.tenant,
        subject=claims.subject,
        jti=deps.new_id(),
        family=claims.family,
        epoch=claims.epoch,
        now_ms=now,
    )
    return tokens.encode(deps, body)


# --- ending -----------------------------------------------------------------------------------------------------------


def sign_out(deps: Deps, access: str, *, now_ms: int | None = None) -> None:
    """End the sign-in that the access token belongs to. Raises `NotAuthenticated`."""
    now = _now(deps, now_ms)
    claims = _read(deps, access, TokenKind.ACCESS, now)
    _end(deps, lambda tx: sign_ins.revoke_family(
        tx, tenant=claims.tenant, family_id=claims.family, reason="signed_out", now=now
    ))  # fmt: skip


def take_back(deps: Deps, access: str, *, now_ms: int | None = None) -> None:
    """Refuse this one access token from now on; the sign-in goes on. Raises `NotAuthenticated`."""
    now = _now(deps, now_ms)
    claims = _read(deps, access, TokenKind.ACCESS, now)
    _end(deps, lambda tx: sign_ins.take_back(
        tx, tenant=claims.tenant, jti=claims.jti, reason="revoked", ends_ms=claims.ends_ms
    ))  # fmt: skip


def _end(deps: Deps, work: Callable[[Connection], object]) -> None:
    in_unit(deps.engine, work)


def prune(deps: Deps, *, keep_days: int) -> int:
    """Remove what no decision needs any more, for the tenant of `deps`. Returns how many rows."""

    def work(tx: Connection) -> int:
        now = db_now_ms(tx)
        keep_ms = keep_days * 86_400_000
        return sign_ins.prune(tx, tenant=deps.tenant, now=now, keep_ms=keep_ms, forget_ms=FORGET_MS)

    return in_unit(deps.engine, work)


def tidy(deps: Deps) -> int:
    """`prune` as long ago as the school's setting ``privacy.sign_in_days`` says. Returns how many rows."""
    with reading(deps.engine) as tx:
        keep_days = configs.value_of(tx, "privacy.sign_in_days", tenant=deps.tenant)
    return prune(deps, keep_days=keep_days)


def _now(deps: Deps, now_ms: int | None) -> int:
    if now_ms is not None:
        return now_ms
    with reading(deps.engine) as tx:
        return db_now_ms(tx)
