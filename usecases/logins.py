"""Logins and what people do to them: make, change, switch off, give roles. Everything is audited.

`by` is the Scope of who does it, and nobody gives or takes what he could not do himself, changes his own roles, or touches
somebody who may do more than he. The command line passes None: whoever has the machine has everything.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from db import audit, logins, sign_ins
from db.clock import now_ms as db_now_ms
from db.engine import in_unit, reading
from db.logins import Among, Grant, LoginTaken
from db.tables.base import AnyRow
from domain import passwords as rules
from domain.tenancy import BUILT_IN, Permission, Role, Scope, may_grant, permissions
from usecases import identity, passwords
from usecases.deps import Deps

__all__ = ["Among", "Grant", "LoginTaken"]


class UnknownLogin(LookupError):
    """There is no login of that name."""


class UnknownRole(LookupError):
    """There is no role of that name."""


class UnknownPerson(LookupError):
    """No import has brought a person with that number, or more than one."""


class NotYours(PermissionError):
    """The caller may not give, take or touch that; the message says what."""


class RoleRefused(ValueError):
    """A role cannot be made like that; the message says why."""


@dataclass(frozen=True, slots=True)
class Added:
    """A new login. `password` is set where one was made up: it is told once."""

    login_id: str
    name: str
    password: str | None = field(default=None, repr=False)


def made_up_password() -> str:
    """Sixteen characters that nobody has to remember for long."""
    return secrets.token_urlsafe(12)


def add(
    deps: Deps,
    *,
    tenant: str,
    name: str,
    actor: str,
    roles: Sequence[Grant] = (),
    password: str | None = None,
    generate: bool = False,
    title: str = "",
    person: tuple[str, str] | None = None,
    by: Scope | None = None,
) -> Added:
    """A new login; with `generate` it gets a password that has to be changed at the first sign-in.

    `person` is (kind, number). Raises `LoginTaken`, `UnknownRole`, `UnknownPerson`, `NotYours`, `BadLoginName`, `BadPassword`.
    """
    plain = rules.check_name(name)
    given = made_up_password() if generate else password
    if given is not None:
        rules.check(given, name=plain)
    stored = passwords.hashed(given) if given is not None else None

    def work(tx: Connection) -> str:
        _check_grants(tx, tenant, roles, by)
        linked = _linked(tx, tenant, person)
        login_id = deps.new_id()
        at = db_now_ms(tx) if stored is not None else None
        more = {
            "title": title or linked.get("title", ""),
            "password": stored,
            "password_ms": at,
            "must_change": generate,
        }
        logins.add(tx, tenant=tenant, login_id=login_id, name=plain, **{**linked, **more})
        logins.set_grants(tx, tenant=tenant, login_id=login_id, wanted=roles, by=actor)
        _note(deps, tx, tenant, actor, "user.add", plain, after={"roles": _shown(roles), "person": person})
        return login_id

    return Added(in_unit(deps.engine, work), plain, given if generate else None)


def _linked(tx: Connection, tenant: str, person: tuple[str, str] | None) -> dict[str, Any]:
    if person is None:
        return {}
    kind, code = person
    found = logins.person(tx, tenant=tenant, kind=kind, code=code)
    if found is None:
        raise UnknownPerson(f"{kind} {code}")
    return {"kind": kind, "code": code, "wps_id": found.wps_id, "title": found.name}


def of_person(deps: Deps, tx: Connection, *, tenant: str, person: AnyRow, actor: str) -> str:
    """The id of a person's login, made now where there is none: a student's or a teacher's."""
    there = logins.of_person(tx, tenant=tenant, kind=person.kind, code=person.code)
    if there is not None:
        return str(there.id)
    login_id, name = deps.new_id(), rules.folded(person.code)
    if logins.find(tx, tenant=tenant, name=name) is not None:
        name = f"{person.kind}-{name}"
    linked = {"kind": person.kind, "code": person.code, "title": person.name, "wps_id": person.wps_id}
    logins.add(tx, tenant=tenant, login_id=login_id, name=name[: rules.NAME_LONGEST], **linked)
    role = Grant(Role.TEACHER if person.kind == "teacher" else Role.STUDENT)
    logins.set_grants(tx, tenant=tenant, login_id=login_id, wanted=[role], by=actor)
    _note(deps, tx, tenant, actor, "user.add", name, after={"roles": _shown([role])})
    return login_id


def set_roles(
    deps: Deps, *, tenant: str, name: str, roles: Sequence[Grant], actor: str, by: Scope | None = None
) -> list[dict[str, Any]]:
    """Give a login exactly these roles; what it may do is so from the next call on. Returns them.

    Raises `UnknownLogin`, `UnknownRole`, `NotYours`.
    """

    def work(tx: Connection) -> None:
        login = _login(tx, tenant, name)
        before = _check_target(tx, tenant, login, by)
        if by is not None and identity.user_of(login) == by.user:
            raise NotYours("nobody changes his own roles")
        _check_grants(tx, tenant, roles, by)
        logins.set_grants(tx, tenant=tenant, login_id=login.id, wanted=roles, by=actor)
        told = {"before": _shown(before), "after": _shown(roles)}
        _note(deps, tx, tenant, actor, "user.role", login.name, **told)

    in_unit(deps.engine, work)
    return _shown(roles)


def set_password(
    deps: Deps, *, tenant: str, name: str, actor: str, password: str | None = None, by: Scope | None = None
) -> str | None:
    """A new password; None makes one up and returns it. All sign-ins of the login end. Raises `UnknownLogin`, `NotYours`,
    `BadPassword`."""
    given = made_up_password() if password is None else password
    rules.check(given, name=name)
    stored = passwords.hashed(given)

    def work(tx: Connection) -> None:
        login = _login(tx, tenant, name)
        _check_target(tx, tenant, login, by)
        _store_password(tx, login, stored, must_change=password is None)
        _note(deps, tx, tenant, actor, "user.password", login.name)

    in_unit(deps.engine, work)
    return given if password is None else None


def change_own_password(deps: Deps, *, tenant: str, login_id: str, old: str, new: str) -> None:
    """Somebody's own new password; all his sign-ins end. Raises `NotAuthenticated` for a wrong old one, `BadPassword`."""
    with reading(deps.engine) as tx:
        login = logins.get(tx, tenant=tenant, login_id=login_id)
    if not passwords.matches(login.password if login is not None else None, old) or login is None:
        raise identity.NotAuthenticated("credentials")
    rules.check(new, name=login.name)
    stored = passwords.hashed(new)

    def work(tx: Connection) -> None:
        again = logins.get(tx, tenant=tenant, login_id=login_id, lock=True)
        if again is None or again.password != login.password:
            raise identity.NotAuthenticated("credentials")
        _store_password(tx, again, stored, must_change=False)
        _note(deps, tx, tenant, identity.user_of(again), "user.password", again.name)

    in_unit(deps.engine, work)


def _store_password(tx: Connection, login: AnyRow, stored: str, *, must_change: bool) -> None:
    now = db_now_ms(tx)
    values = {"password": stored, "password_ms": now, "must_change": must_change}
    logins.change(tx, tenant=login.tenant_id, login_id=login.id, new_epoch=True, **values)
    sign_ins.revoke_all(tx, tenant=login.tenant_id, login_id=login.id, reason="password", now=now)


def set_state(deps: Deps, *, tenant: str, name: str, active: bool, actor: str, by: Scope | None = None) -> bool:
    """Switch a login on or off; off ends all its sign-ins. False where it was so. Raises `UnknownLogin`, `NotYours`."""
    state = logins.ACTIVE if active else logins.DISABLED

    def work(tx: Connection) -> bool:
        login = _login(tx, tenant, name)
        _check_target(tx, tenant, login, by)
        if login.state == state:
            return False
        logins.change(tx, tenant=tenant, login_id=login.id, new_epoch=True, state=state)
        if not active:
            sign_ins.revoke_all(tx, tenant=tenant, login_id=login.id, reason="disabled", now=db_now_ms(tx))
        _note(deps, tx, tenant, actor, "user.enable" if active else "user.disable", login.name)
        return True

    return in_unit(deps.engine, work)


def end_sign_ins(deps: Deps, *, tenant: str, name: str, actor: str, by: Scope | None = None) -> int:
    """Sign a login out everywhere. Returns how many sign-ins ended. Raises `UnknownLogin`, `NotYours`."""

    def work(tx: Connection) -> int:
        login = _login(tx, tenant, name)
        _check_target(tx, tenant, login, by)
        ended = sign_ins.revoke_all(tx, tenant=tenant, login_id=login.id, reason="revoked", now=db_now_ms(tx))
        _note(deps, tx, tenant, actor, "user.sign_out", login.name, after={"ended": ended})
        return ended

    return in_unit(deps.engine, work)


def listing(
    deps: Deps,
    *,
    tenant: str,
    after: str = "",
    limit: int = 50,
    offset: int = 0,
    role: str | None = None,
    text: str = "",
    among: Among | None = None,
) -> list[dict[str, Any]]:
    """Logins with their roles, newest first; `among` None: all of the school."""
    narrowed: dict[str, Any] = {"role": role, "text": text, "among": among}
    with reading(deps.engine) as tx:
        found = logins.listing(tx, tenant=tenant, after=after, limit=limit, offset=offset, **narrowed)
        given = logins.grants(tx, tenant=tenant, login_ids=[one.id for one in found])
    return [_as_dict(one, given[one.id]) for one in found]


def show(deps: Deps, *, tenant: str, name: str) -> dict[str, Any]:
    """One login with its roles. Raises `UnknownLogin`."""
    with reading(deps.engine) as tx:
        return _shown_login(tx, tenant, logins.find(tx, tenant=tenant, name=rules.folded(name)), name)


def show_id(deps: Deps, *, tenant: str, login_id: str) -> dict[str, Any]:
    """The same by its id. Raises `UnknownLogin`."""
    with reading(deps.engine) as tx:
        return _shown_login(tx, tenant, logins.get(tx, tenant=tenant, login_id=login_id), login_id)


def _shown_login(tx: Connection, tenant: str, found: AnyRow | None, said: str) -> dict[str, Any]:
    if found is None:
        raise UnknownLogin(said)
    return _as_dict(found, logins.grants(tx, tenant=tenant, login_ids=[found.id])[found.id])


def _as_dict(row: AnyRow, grants: Sequence[Grant]) -> dict[str, Any]:
    same = ("id", "name", "title", "kind", "code", "wps_id", "state", "must_change", "created_ms", "last_login_ms")
    return {name: getattr(row, name) for name in same} | {
        "has_password": row.password is not None,
        "provider": row.provider,
        "roles": _shown(grants),
    }


# --- roles of the school ----------------------------------------------------------------------------------------------


def roles_of(deps: Deps, *, tenant: str) -> list[dict[str, Any]]:
    """Every role there is: the built-in ones, then the school's own by name."""
    with reading(deps.engine) as tx:
        own = logins.custom_roles(tx, tenant=tenant)
    built_in = [
        {"name": str(name), "title": "", "permissions": sorted(map(str, allowed)), "built_in": True}
        for name, allowed in BUILT_IN.items()
    ]
    return built_in + [{**one, "built_in": False} for one in own]


def save_role(
    deps: Deps, *, tenant: str, name: str, title: str, allowed: Iterable[str], actor: str, by: Scope | None = None
) -> list[str]:
    """Make or change a role of the school; who has it may do so from the next call on. Returns its permissions.

    Raises `RoleRefused` for a built-in name, `BadPermission`, `NotYours`.
    """
    plain = rules.check_name(name)
    if plain in Role.__members__.values():
        raise RoleRefused(f"{plain} is built in and cannot be changed")
    wanted = permissions(*allowed)
    if any(one.reach == "platform" for one in wanted):
        raise RoleRefused("a role of a school cannot reach beyond it")

    def work(tx: Connection) -> None:
        before = logins.custom_roles(tx, tenant=tenant, names=[plain])
        was = identity.parsed(before[0]["permissions"]) if before else frozenset[Permission]()
        if by is not None and not may_grant(by, wanted | was):
            raise NotYours(f"role {plain} has permissions that you do not have")
        texts = sorted(map(str, wanted))
        logins.save_role(tx, tenant=tenant, name=plain, title=title, permissions=texts)
        told = {"before": before[0]["permissions"] if before else None, "after": texts}
        _note(deps, tx, tenant, actor, "role.save", plain, **told)

    in_unit(deps.engine, work)
    return sorted(map(str, wanted))


def remove_role(deps: Deps, *, tenant: str, name: str, actor: str, by: Scope | None = None) -> int:
    """Remove a role of the school, and take it from everybody. Returns from how many. Raises `UnknownRole`, `NotYours`."""
    plain = rules.folded(name)

    def work(tx: Connection) -> int:
        before = logins.custom_roles(tx, tenant=tenant, names=[plain])
        if not before:
            raise UnknownRole(name)
        if by is not None and not may_grant(by, identity.parsed(before[0]["permissions"])):
            raise NotYours(f"role {plain} has permissions that you do not have")
        had = logins.remove_role(tx, tenant=tenant, name=plain)
        _note(deps, tx, tenant, actor, "role.remove", plain, before=before[0]["permissions"], after={"had": had})
        return had

    return in_unit(deps.engine, work)


# --- who may do that to whom ------------------------------------------------------------------------------------------


def _check_grants(tx: Connection, tenant: str, wanted: Sequence[Grant], by: Scope | None) -> None:
    """Raise `UnknownRole`, or `NotYours` where `by` has not all that the roles allow."""
    for one in wanted:
        allowed = _allowed(tx, tenant, one.role)
        if allowed is None:
            raise UnknownRole(one.role)
        if by is not None and not may_grant(by, allowed, colleges=one.colleges):
            raise NotYours(f"role {one.role} is not yours to give")


def _check_target(tx: Connection, tenant: str, login: AnyRow, by: Scope | None) -> list[Grant]:
    """The roles of the login. Raises `NotYours` where it may do more than `by`."""
    has = logins.grants(tx, tenant=tenant, login_ids=[login.id])[login.id]
    for one in has if by is not None else ():
        assert by is not None
        if not may_grant(by, _allowed(tx, tenant, one.role) or (), colleges=one.colleges):
            raise NotYours(f"login {login.name} has role {one.role}, which is not yours to touch")
    return has


def _allowed(tx: Connection, tenant: str, role: str) -> frozenset[Permission] | None:
    if role in BUILT_IN:
        return BUILT_IN[role]
    found = logins.custom_roles(tx, tenant=tenant, names=[role])
    return identity.parsed(found[0]["permissions"]) if found else None


def _login(tx: Connection, tenant: str, name: str) -> AnyRow:
    found = logins.find(tx, tenant=tenant, name=rules.folded(name), lock=True)
    if found is None:
        raise UnknownLogin(name)
    return found


def _shown(grants: Sequence[Grant]) -> list[dict[str, Any]]:
    return [{"role": str(one.role), "colleges": list(one.colleges)} for one in grants]


def _note(deps: Deps, tx: Connection, tenant: str, actor: str, action: str, thing: str, **told: Any) -> None:
    audit.write(tx, tenant=tenant, new_id=deps.new_id, actor=actor, action=action, thing=thing, **told)
