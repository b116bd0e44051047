"""API keys of services: ``ob_TENANT_PREFIX_SECRET``. The secret is shown once; we keep its hash and the prefix.

A plain SHA-256 is enough for 256 random bits. Rotating makes a successor and leaves the old key good for an overlap, so
that a service changes over without a pause.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, unquote

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from db import api_keys as rows
from db import audit
from db.clock import now_ms as db_now_ms
from db.engine import in_unit, reading
from db.tables.base import AnyRow
from domain.tenancy import BadPermission, Permission, Reach, Scope, covers
from usecases.deps import Deps

MARK: Final = "ob_"
LONGEST_DAYS: Final = 730
_TOUCH_MS: Final = 60_000
_KEY_LONGEST: Final = 400
_DAY_MS: Final = 86_400_000


class BadKey(Exception):
    """The key is refused; `reason` is a word for logs."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnknownKey(LookupError):
    """There is no key with that prefix."""


class KeyNotYours(PermissionError):
    """A key may do more than whoever makes it; the message says what."""


class KeyRefused(ValueError):
    """A key cannot be made, rotated or revoked like that; the message says why."""


@dataclass(frozen=True, slots=True)
class Made:
    """A new key: `key` is the whole of it and is told once."""

    key: str = field(repr=False)
    prefix: str
    ends_ms: int


def scope_of(deps: Deps, key: str, *, now_ms: int) -> Scope:
    """The Scope of a key: its own permissions and colleges, no roles. Raises `BadKey`."""
    tenant, prefix, secret = _parts(key)
    with reading(deps.engine) as tx:
        row = rows.get(tx, tenant=tenant, prefix=prefix)
    # An unknown prefix is compared too, so that the time does not tell which there are.
    good = hmac.compare_digest(_hash(secret), row.hash if row is not None else _hash(""))
    if row is None or not good:
        raise BadKey("unknown_key")
    if row.revoked_ms is not None:
        raise BadKey("revoked")
    if now_ms >= row.ends_ms:
        raise BadKey("expired")
    _touch(deps, row, now_ms)
    found = frozenset(Permission.parse(one) for one in json.loads(row.permissions) if _is_known(one))
    return Scope(tenant, f"key:{prefix}", frozenset(), frozenset(json.loads(row.colleges)), found)


def _touch(deps: Deps, row: AnyRow, now_ms: int) -> None:
    if row.last_used_ms is not None and row.last_used_ms > now_ms - _TOUCH_MS:
        return
    try:
        in_unit(
            deps.engine,
            lambda tx: rows.touch(tx, tenant=row.tenant_id, prefix=row.prefix, now=now_ms, every_ms=_TOUCH_MS),
        )
    except DBAPIError:
        return  # when it was last used is worth no refusal


def make(
    deps: Deps,
    *,
    tenant: str,
    name: str,
    permissions: Iterable[str],
    days: float,
    actor: str,
    colleges: Sequence[str] = (),
    by: Scope | None = None,
) -> Made:
    """A new key that may do `permissions` and ends after `days`. Raises `KeyRefused`, `BadPermission`, and `KeyNotYours` where
    `by`, who makes it, may not do all that himself; None is the command line."""
    wanted = sorted({str(Permission.parse(one)) for one in permissions})
    _check_maker(by, wanted, colleges)
    if not wanted:
        raise KeyRefused("a key needs at least one permission")
    if not 0 < days <= LONGEST_DAYS:
        raise KeyRefused(f"a key lives up to {LONGEST_DAYS} days")
    if not 1 <= len(name.strip()) <= 60:
        raise KeyRefused("a key needs a name of up to 60 characters")

    def work(tx: Connection) -> Made:
        made = _insert(tx, tenant, name.strip(), wanted, sorted(colleges), days, actor)
        told = {"name": name, "permissions": wanted, "colleges": sorted(colleges), "ends_ms": made.ends_ms}
        _note(deps, tx, tenant, actor, "key.make", made.prefix, after=told)
        return made

    return in_unit(deps.engine, work)


def rotate(
    deps: Deps,
    *,
    tenant: str,
    prefix: str,
    actor: str,
    overlap_h: float = 24,
    days: float | None = None,
    by: Scope | None = None,
) -> Made:
    """A successor with the same permissions; the old key stays good for `overlap_h` hours. Raises `UnknownKey`, `KeyRefused`,
    `KeyNotYours`."""
    if not 0 <= overlap_h <= 24 * 30:
        raise KeyRefused("the overlap is 0 to 720 hours")

    def work(tx: Connection) -> Made:
        old = _standing(tx, tenant, prefix)
        _check_maker(by, json.loads(old.permissions), json.loads(old.colleges))
        if old.successor is not None:
            raise KeyRefused(f"{prefix} was rotated already; its successor is {old.successor}")
        life = days if days is not None else (old.ends_ms - old.created_ms) / _DAY_MS
        made = _insert(tx, tenant, old.name, json.loads(old.permissions), json.loads(old.colleges), life, actor)
        ends = min(old.ends_ms, db_now_ms(tx) + round(overlap_h * 3_600_000))
        rows.change(tx, tenant=tenant, prefix=prefix, successor=made.prefix, ends_ms=ends)
        told = {"successor": made.prefix, "ends_ms": ends}
        _note(deps, tx, tenant, actor, "key.rotate", prefix, before={"ends_ms": old.ends_ms}, after=told)
        return made

    return in_unit(deps.engine, work)


def revoke(deps: Deps, *, tenant: str, prefix: str, actor: str) -> bool:
    """End a key now; False where it had been revoked. Raises `UnknownKey`."""

    def work(tx: Connection) -> bool:
        row = rows.get(tx, tenant=tenant, prefix=prefix, lock=True)
        if row is None:
            raise UnknownKey(prefix)
        if row.revoked_ms is not None:
            return False
        rows.change(tx, tenant=tenant, prefix=prefix, revoked_ms=db_now_ms(tx))
        _note(deps, tx, tenant, actor, "key.revoke", prefix)
        return True

    return in_unit(deps.engine, work)


def listing(deps: Deps, *, tenant: str, limit: int = 100) -> list[dict[str, Any]]:
    """Keys, newest first, without their hashes."""
    with reading(deps.engine) as tx:
        now = db_now_ms(tx)
        found = rows.listing(tx, tenant=tenant, limit=limit)
    same = ("prefix", "name", "made_by", "successor", "created_ms", "ends_ms", "revoked_ms", "last_used_ms")
    return [
        {name: getattr(row, name) for name in same}
        | {"permissions": json.loads(row.permissions), "colleges": json.loads(row.colleges)}
        | {"state": "revoked" if row.revoked_ms is not None else "expired" if now >= row.ends_ms else "active"}
        for row in found
    ]


def _check_maker(by: Scope | None, wanted: Iterable[str], colleges: Iterable[str]) -> None:
    """Raise `KeyNotYours` where the key could do what `by` may not."""
    if by is None:
        return
    for one in map(Permission.parse, filter(_is_known, wanted)):
        everywhere = covers(by.permissions, Permission(one.action, Reach.TENANT))
        near = one.reach is not Reach.COLLEGE or everywhere or frozenset(colleges) <= by.colleges
        if not covers(by.permissions, one) or not near:
            raise KeyNotYours(f"{one} is not yours to give")


def _insert(
    tx: Connection, tenant: str, name: str, permissions: list[str], colleges: list[str], days: float, actor: str
) -> Made:
    now = db_now_ms(tx)
    prefix, secret = secrets.token_hex(6), secrets.token_hex(32)
    ends = now + round(days * _DAY_MS)
    rows.add(
        tx,
        tenant_id=tenant,
        prefix=prefix,
        name=name,
        hash=_hash(secret),
        permissions=json.dumps(permissions),
        colleges=json.dumps(colleges, ensure_ascii=False),
        made_by=actor,
        created_ms=now,
        ends_ms=ends,
    )
    return Made(f"{MARK}{quote(tenant, safe='')}_{prefix}_{secret}", prefix, ends)


def _standing(tx: Connection, tenant: str, prefix: str) -> AnyRow:
    row = rows.get(tx, tenant=tenant, prefix=prefix, lock=True)
    if row is None:
        raise UnknownKey(prefix)
    if row.revoked_ms is not None or db_now_ms(tx) >= row.ends_ms:
        raise KeyRefused(f"{prefix} has ended; make a new key")
    return row


def _note(deps: Deps, tx: Connection, tenant: str, actor: str, action: str, prefix: str, **told: Any) -> None:
    audit.write(tx, tenant=tenant, new_id=deps.new_id, actor=actor, action=action, thing=prefix, **told)


def _parts(key: str) -> tuple[str, str, str]:
    parts = key.removeprefix(MARK).rsplit("_", 2)
    if len(key) > _KEY_LONGEST or not key.isascii() or len(parts) != 3 or not all(parts):
        raise BadKey("not_a_key")
    return unquote(parts[0]), parts[1], parts[2]


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _is_known(text: str) -> bool:
    try:
        Permission.parse(text)
    except BadPermission:
        return False
    return True
