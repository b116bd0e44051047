"""Logins and roles: who may come in, and as what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from db import logins as rows
from db.tables import AnyRow
from domain.tenancy import Reach, Scope, Thing
from usecases import identity, logins
from usecases.logins import Among, Grant
from web import site
from web.envelope import Answer
from web.errors import ApiError
from web.paging import cursor_of, page_meta, read_cursor
from web.policy import needs, needs_some, whole_school
from web.routes import Feature
from web.schemas import logins as shapes
from web.schemas.base import instant

feature = Feature("users", "账号与角色 logins and roles")


def login_of(tx: Connection, scope: Scope, said: Mapping[str, Any]) -> Thing | None:
    """The login that the address names."""
    row = rows.get(tx, tenant=scope.tenant, login_id=said["path"].user_id)
    return None if row is None else _thing(tx, row)


def _thing(tx: Connection, row: AnyRow) -> Thing:
    """A login belongs to the college of its person; without a person, to the school."""
    person = rows.person(tx, tenant=row.tenant_id, kind=row.kind, code=row.code) if row.code is not None else None
    colleges = {person.college} - {""} if person is not None else set()
    return Thing(row.tenant_id, frozenset(colleges), people=frozenset({identity.user_of(row)}))


# --- looking ------------------------------------------------------------------------------------------------------------


@feature.get("/users", needs_some("user.read"), items=shapes.User)
def list_users(query: shapes.UsersQuery) -> Answer:
    """Logins, newest first."""
    here = site.deps()
    after = "" if query.cursor is None else str(read_cursor(query.cursor)[0])
    found = logins.listing(
        here,
        tenant=here.tenant,
        after=after,
        offset=query.offset,
        limit=query.size + 1,
        role=query.role,
        text=query.text,
        among=_among(),
    )
    shown = found[: query.size]
    last = cursor_of(shown[-1]["id"]) if shown else None
    page = page_meta(query, shown=shown, more=len(found) > query.size, cursor=last)
    return Answer({"items": [_shape(one).as_json() for one in shown]}, page=page)


def _among() -> Among | None:
    """Whom the caller may see; None: everybody of the school."""
    reach, scope = site.reach("user.read"), site.scope()
    if reach & {Reach.TENANT, Reach.PLATFORM}:
        return None
    return Among(scope.colleges if Reach.COLLEGE in reach else frozenset(), site.caller().login)


@feature.get("/users/<user_id>", needs("user.read", login_of), data=shapes.User)
def show_user(path: shapes.UserPath) -> Answer:
    """One login with its roles."""
    return Answer(_shape(_show(path)).as_json())


# --- changing -----------------------------------------------------------------------------------------------------------


@feature.post("/users", needs("user.manage", whole_school), data=shapes.Added, status=201)
def add_user(body: shapes.AddUser) -> Answer:
    """Make a login. Nobody gives a role that may do more than he."""
    here = site.deps()
    made = logins.add(
        here,
        tenant=here.tenant,
        name=body.name,
        title=body.title,
        roles=_grants(body.roles),
        person=None if body.person is None else (body.person.kind, body.person.code),
        password=body.password,
        generate=body.password is None,
        actor=site.actor(),
        by=site.scope(),
    )
    data = shapes.Added(id=made.login_id, name=made.name, password=made.password).as_json()
    return Answer(data, 201, headers={"Location": f"/api/v1/users/{made.login_id}"})


@feature.put("/users/<user_id>/roles", needs("role.manage", login_of), data=shapes.Roles)
def set_roles(path: shapes.UserPath, body: shapes.SetRoles) -> Answer:
    """Give a login exactly these roles. What it may do is so from the next call on."""
    here, name = site.deps(), _show(path)["name"]
    given = logins.set_roles(
        here, tenant=here.tenant, name=name, roles=_grants(body.roles), actor=site.actor(), by=site.scope()
    )
    return Answer(shapes.Roles(roles=[shapes.GrantOut(**one) for one in given]).as_json())


@feature.post("/users/<user_id>/disable", needs("user.manage", login_of), data=shapes.Switched)
def disable_user(path: shapes.UserPath) -> Answer:
    """Switch a login off; all its sign-ins end."""
    return _switch(path, active=False)


@feature.post("/users/<user_id>/enable", needs("user.manage", login_of), data=shapes.Switched)
def enable_user(path: shapes.UserPath) -> Answer:
    """Switch a login on again."""
    return _switch(path, active=True)


def _switch(path: shapes.UserPath, *, active: bool) -> Answer:
    here, login = site.deps(), _show(path)
    if not active and login["id"] == site.caller().login:
        raise ApiError("NOT_YOURS")
    changed = logins.set_state(
        here, tenant=here.tenant, name=login["name"], active=active, actor=site.actor(), by=site.scope()
    )
    state = "active" if active else "disabled"
    return Answer(shapes.Switched(id=login["id"], state=state, already=not changed).as_json())


@feature.post("/users/<user_id>/password", needs("user.manage", login_of), data=shapes.Password)
def reset_password(path: shapes.UserPath) -> Answer:
    """Make up a new password for a login. It is told once; all its sign-ins end, and at the next another one is chosen."""
    here, name = site.deps(), _show(path)["name"]
    made = logins.set_password(here, tenant=here.tenant, name=name, actor=site.actor(), by=site.scope())
    return Answer(shapes.Password(password=made or "").as_json())


@feature.post("/users/<user_id>/sign-out", needs("sign_in.revoke", login_of), data=shapes.Ended)
def end_sign_ins(path: shapes.UserPath) -> Answer:
    """Sign a login out everywhere: one's own, or as an administrator anybody's."""
    here, login = site.deps(), _show(path)
    by = None if login["id"] == site.caller().login else site.scope()
    ended = logins.end_sign_ins(here, tenant=here.tenant, name=login["name"], actor=site.actor(), by=by)
    return Answer(shapes.Ended(ended=ended).as_json())


# --- roles --------------------------------------------------------------------------------------------------------------


@feature.get("/roles", needs("role.read", whole_school), items=shapes.RoleOut)
def list_roles() -> Answer:
    """The built-in roles, then the school's own by name."""
    here = site.deps()
    shown = ("name", "title", "permissions", "built_in")
    found = [{name: one[name] for name in shown} for one in logins.roles_of(here, tenant=here.tenant)]
    return Answer({"items": [shapes.RoleOut(**one).as_json() for one in found]})


@feature.put("/roles/<name>", needs("role.manage", whole_school), data=shapes.RoleOut)
def save_role(path: shapes.RolePath, body: shapes.SaveRole) -> Answer:
    """Make or change a role of the school. Who has it may do so from the next call on."""
    here = site.deps()
    allowed = logins.save_role(
        here,
        tenant=here.tenant,
        name=path.name,
        title=body.title,
        allowed=body.permissions,
        actor=site.actor(),
        by=site.scope(),
    )
    shape = shapes.RoleOut(name=path.name, title=body.title, permissions=allowed, built_in=False)
    return Answer(shape.as_json())


@feature.delete("/roles/<name>", needs("role.manage", whole_school), data=shapes.Removed)
def remove_role(path: shapes.RolePath) -> Answer:
    """Remove a role of the school, and take it from everybody."""
    here = site.deps()
    try:
        had = logins.remove_role(here, tenant=here.tenant, name=path.name, actor=site.actor(), by=site.scope())
    except logins.UnknownRole as error:
        raise ApiError("NOT_FOUND") from error
    return Answer(shapes.Removed(had=had).as_json())


# --- what they share ------------------------------------------------------------------------------------------------------


def _show(path: shapes.UserPath) -> dict[str, Any]:
    here = site.deps()
    return logins.show_id(here, tenant=here.tenant, login_id=path.user_id)


def _grants(wanted: list[shapes.GrantIn]) -> list[Grant]:
    """The last word counts where a role is named twice."""
    return list({one.role: Grant(one.role, tuple(dict.fromkeys(one.colleges))) for one in wanted}.values())


def _shape(one: Mapping[str, Any]) -> shapes.User:
    return shapes.User(
        **{name: one[name] for name in ("id", "name", "title", "kind", "code", "state", "has_password", "provider")},
        must_change_password=one["must_change"],
        roles=[shapes.GrantOut(**given) for given in one["roles"]],
        created_at=instant(one["created_ms"]) or "",
        last_sign_in_at=instant(one["last_login_ms"]),
    )
