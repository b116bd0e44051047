"""Logins, their roles, and the roles of a school."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, or_, select, update

from db.clock import now_ms
from db.tables import users
from db.tables.base import AnyRow
from db.tables.identity import login_roles, logins, roles
from db.upsert import upsert

ACTIVE, DISABLED = "active", "disabled"


class LoginTaken(Exception):
    """The name, the person or the account has a login already; `name` is that one's."""

    def __init__(self, name: str) -> None:
        super().__init__(f"login {name} has it already")
        self.name = name


@dataclass(frozen=True, slots=True)
class Grant:
    """A role somebody has, and for which colleges."""

    role: str
    colleges: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Among:
    """Whom a list is narrowed to: the people of some colleges, and one login."""

    colleges: frozenset[str]
    login_id: str


def find(connection: Connection, *, tenant: str, name: str, lock: bool = False) -> AnyRow | None:
    """The login of that (folded) name."""
    return _one(connection, tenant, logins.c.name == name, lock=lock)


def get(connection: Connection, *, tenant: str, login_id: str, lock: bool = False) -> AnyRow | None:
    """The login with that id."""
    return _one(connection, tenant, logins.c.id == login_id, lock=lock)


def of_person(connection: Connection, *, tenant: str, kind: str, code: str) -> AnyRow | None:
    """The login of a student or teacher."""
    return _one(connection, tenant, (logins.c.kind == kind) & (logins.c.code == code))


def of_wps(connection: Connection, *, tenant: str, wps_id: str) -> AnyRow | None:
    """The login linked to a WPS account."""
    return _one(connection, tenant, logins.c.wps_id == wps_id)


def of_subject(connection: Connection, *, tenant: str, provider: str, subject: str) -> AnyRow | None:
    """The login that an identity provider knows as `subject`."""
    return _one(connection, tenant, (logins.c.provider == provider) & (logins.c.subject == subject))


def _one(connection: Connection, tenant: str, where: ColumnElement[bool], *, lock: bool = False) -> AnyRow | None:
    statement = select(logins).where(logins.c.tenant_id == tenant, where)
    found: AnyRow | None = connection.execute(statement.with_for_update() if lock else statement).one_or_none()
    return found


def person_with(
    connection: Connection, *, tenant: str, wps_id: str | None = None, code: str | None = None
) -> list[AnyRow]:
    """The listed people with that WPS account, or that number; at most two, which is as bad as none."""
    where = users.c.wps_id == wps_id if code is None else users.c.code == code
    statement = select(users.c.kind, users.c.code, users.c.name, users.c.college, users.c.wps_id)
    return list(
        connection.execute(statement.where(users.c.tenant_id == tenant, users.c.listed.is_(True), where).limit(2))
    )


def person(connection: Connection, *, tenant: str, kind: str, code: str) -> AnyRow | None:
    """A student or teacher of the imports."""
    statement = select(users).where(users.c.tenant_id == tenant, users.c.kind == kind, users.c.code == code)
    found: AnyRow | None = connection.execute(statement).one_or_none()
    return found


def add(connection: Connection, *, tenant: str, login_id: str, name: str, **values: Any) -> None:
    """Make a login. Raises `LoginTaken` where its name, person or account has one."""
    taken = [logins.c.name == name]
    if values.get("code") is not None:
        taken.append((logins.c.kind == values["kind"]) & (logins.c.code == values["code"]))
    if values.get("wps_id") is not None:
        taken.append(logins.c.wps_id == values["wps_id"])
    there = connection.execute(select(logins.c.name).where(logins.c.tenant_id == tenant, or_(*taken)).limit(1)).scalar()
    if there is not None:
        raise LoginTaken(there)
    blank = {
        "title": "",
        "kind": None,
        "code": None,
        "wps_id": None,
        "provider": None,
        "subject": None,
        "password": None,
    }
    row = {
        **blank,
        "password_ms": None,
        "must_change": False,
        "last_login_ms": None,
        **values,
        "tenant_id": tenant,
        "id": login_id,
        "name": name,
        "state": ACTIVE,
        "token_epoch": 1,
        "created_ms": now_ms(connection),
    }
    connection.execute(logins.insert(), [row])


def change(connection: Connection, *, tenant: str, login_id: str, new_epoch: bool, **values: Any) -> None:
    """Overwrite columns of a login; with `new_epoch` its access tokens end at once."""
    if new_epoch:
        values["token_epoch"] = logins.c.token_epoch + 1
    connection.execute(update(logins).where(logins.c.tenant_id == tenant, logins.c.id == login_id).values(**values))


def listing(
    connection: Connection,
    *,
    tenant: str,
    after: str = "",
    limit: int = 50,
    offset: int = 0,
    role: str | None = None,
    text: str = "",
    among: Among | None = None,
) -> list[AnyRow]:
    """Logins, newest first; `after` is the id that the page before ended with; `among` None: all of the school."""
    where = [logins.c.tenant_id == tenant]
    if among is not None:
        where.append(_is_among(tenant, among))
    if after:
        where.append(logins.c.id < after)
    if role is not None:
        with_role = select(login_roles.c.login_id).where(login_roles.c.tenant_id == tenant, login_roles.c.role == role)
        where.append(logins.c.id.in_(with_role))
    if text:
        where.append(or_(logins.c.name.contains(text, autoescape=True), logins.c.title.contains(text, autoescape=True)))
    return list(
        connection.execute(select(logins).where(*where).order_by(logins.c.id.desc()).limit(limit).offset(offset))
    )


def _is_among(tenant: str, among: Among) -> ColumnElement[bool]:
    listed = select(users.c.code).where(
        users.c.tenant_id == tenant, users.c.kind == logins.c.kind, users.c.code == logins.c.code
    )
    return or_(logins.c.id == among.login_id, listed.where(users.c.college.in_(among.colleges)).exists())


# --- roles ------------------------------------------------------------------------------------------------------------


def grants(connection: Connection, *, tenant: str, login_ids: Sequence[str]) -> dict[str, list[Grant]]:
    """The roles of each login, by name of the role."""
    found: dict[str, list[Grant]] = {one: [] for one in login_ids}
    statement = select(login_roles).where(login_roles.c.tenant_id == tenant, login_roles.c.login_id.in_(login_ids))
    for row in connection.execute(statement.order_by(login_roles.c.role)):
        found[row.login_id].append(Grant(row.role, tuple(json.loads(row.colleges))))
    return found


def granted(roles: Mapping[str, str]) -> list[Grant]:
    """Roles with their colleges as they are stored, by name of the role."""
    return [Grant(role, tuple(json.loads(colleges))) for role, colleges in sorted(roles.items())]


def set_grants(connection: Connection, *, tenant: str, login_id: str, wanted: Iterable[Grant], by: str) -> None:
    """Give a login exactly these roles; its access tokens end."""
    connection.execute(delete(login_roles).where(login_roles.c.tenant_id == tenant, login_roles.c.login_id == login_id))
    at = now_ms(connection)
    rows = [
        {
            "tenant_id": tenant,
            "login_id": login_id,
            "role": one.role,
            "colleges": json.dumps(one.colleges, ensure_ascii=False),
            "granted_ms": at,
            "granted_by": by,
        }
        for one in wanted
    ]
    if rows:
        connection.execute(login_roles.insert(), rows)
    change(connection, tenant=tenant, login_id=login_id, new_epoch=True)


def custom_roles(connection: Connection, *, tenant: str, names: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """The school's own roles, by name; `names` None: all."""
    where = [roles.c.tenant_id == tenant]
    if names is not None:
        where.append(roles.c.name.in_(sorted(names)))
    return [
        {"name": row.name, "title": row.title, "permissions": json.loads(row.permissions), "changed_ms": row.changed_ms}
        for row in connection.execute(select(roles).where(*where).order_by(roles.c.name))
    ]


def save_role(connection: Connection, *, tenant: str, name: str, title: str, permissions: Sequence[str]) -> None:
    """Write a role of the school; the access tokens of those who have it end."""
    row = {
        "tenant_id": tenant,
        "name": name,
        "title": title,
        "permissions": json.dumps(sorted(permissions)),
        "changed_ms": now_ms(connection),
    }
    upsert(connection, roles, [row], update=("title", "permissions", "changed_ms"))
    _end_tokens_of_role(connection, tenant=tenant, name=name)


def remove_role(connection: Connection, *, tenant: str, name: str) -> int:
    """Remove a role of the school and take it from everybody. Returns from how many."""
    _end_tokens_of_role(connection, tenant=tenant, name=name)
    had = connection.execute(
        delete(login_roles).where(login_roles.c.tenant_id == tenant, login_roles.c.role == name)
    ).rowcount
    connection.execute(delete(roles).where(roles.c.tenant_id == tenant, roles.c.name == name))
    return int(had)


def _end_tokens_of_role(connection: Connection, *, tenant: str, name: str) -> None:
    holders = select(login_roles.c.login_id).where(login_roles.c.tenant_id == tenant, login_roles.c.role == name)
    connection.execute(
        update(logins)
        .where(logins.c.tenant_id == tenant, logins.c.id.in_(holders))
        .values(token_epoch=logins.c.token_epoch + 1)
    )


def holders(connection: Connection, *, tenant: str, role: str) -> int:
    """How many active logins have the role."""
    statement = (
        select(func.count())
        .select_from(login_roles.join(logins, logins.c.id == login_roles.c.login_id))
        .where(login_roles.c.tenant_id == tenant, logins.c.tenant_id == tenant)
        .where(login_roles.c.role == role, logins.c.state == ACTIVE)
    )
    return int(connection.execute(statement).scalar_one())


def is_somebody(connection: Connection, *, tenant: str, user: str) -> bool:
    """Whether there is a person with that number, or (after @) a login of that name."""
    if user.startswith("@"):
        return find(connection, tenant=tenant, name=user[1:]) is not None
    statement = select(users.c.code).where(users.c.tenant_id == tenant, users.c.code == user).limit(1)
    return connection.execute(statement).first() is not None


def is_disabled(connection: Connection, *, tenant: str, user: str) -> bool:
    """Whether somebody has logins, and none of them may be used. `user` is as `is_somebody` has it."""
    named = logins.c.name == user[1:] if user.startswith("@") else logins.c.code == user
    found = connection.execute(select(logins.c.state).where(logins.c.tenant_id == tenant, named)).scalars().all()
    return bool(found) and ACTIVE not in found
