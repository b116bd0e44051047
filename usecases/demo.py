"""Logins to look around with, one for each role: only beside the simulator, never where people are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection

from db import logins, people
from db.engine import in_unit, reading
from db.logins import Grant
from domain.tenancy import Role
from usecases import logins as users
from usecases.deps import Deps

_ACTOR: Final = "up"
_STAFF: Final = {"demo-admin": Role.ADMIN, "demo-platform": Role.PLATFORM_ADMIN}
_SECRETARY: Final = "demo-secretary"


@dataclass(frozen=True, slots=True)
class Demo:
    """A login to try. `who` says whose it is."""

    role: str
    name: str
    who: str
    password: str = field(repr=False)


def logins_per_role(deps: Deps, *, password: str) -> list[Demo]:
    """One login for each role, made where it is missing, all with this password: a student and a teacher of the campus who
    have classes (of nobody where it names none), a secretary of a college, and administrators. Twice is once."""
    found = []
    for kind, role in (("student", Role.STUDENT), ("teacher", Role.TEACHER)):
        with reading(deps.engine) as tx:
            person = people.somebody_with_classes(tx, tenant=deps.tenant, kind=kind)
        linked = None if person is None else (kind, str(person.code))
        name = _have(deps, f"demo-{kind}", [Grant(role)], password, person=linked)
        found.append(Demo(role, name, "" if person is None else f"{person.name} {person.code}".strip(), password))
    with reading(deps.engine) as tx:
        college = people.some_college(tx, tenant=deps.tenant)
    if college is not None:
        _have(deps, _SECRETARY, [Grant(Role.COLLEGE_SECRETARY, (college,))], password)
        found.append(Demo(Role.COLLEGE_SECRETARY, _SECRETARY, college, password))
    for name, role in _STAFF.items():
        _have(deps, name, [Grant(role)], password)
        found.append(Demo(role, name, "", password))
    return found


def remove(deps: Deps) -> int:
    """Switch every demo login off; what `obsync up` does where WPS is real. Returns how many were on."""
    names = [*_STAFF, _SECRETARY, "demo-student", "demo-teacher"]

    def there(tx: Connection) -> list[str]:
        rows = [logins.find(tx, tenant=deps.tenant, name=name) for name in names]
        return [row.name for row in rows if row is not None and row.state == logins.ACTIVE]

    on = in_unit(deps.engine, there)
    return sum(users.set_state(deps, tenant=deps.tenant, name=name, active=False, actor=_ACTOR) for name in on)


def _have(deps: Deps, name: str, roles: list[Grant], password: str, *, person: tuple[str, str] | None = None) -> str:
    try:
        users.add(deps, tenant=deps.tenant, name=name, roles=roles, password=password, person=person, actor=_ACTOR)
        return name
    except users.LoginTaken as taken:
        # The demo is there from the last time, or the person has come in by WPS: then that login is it.
        users.set_state(deps, tenant=deps.tenant, name=taken.name, active=True, actor=_ACTOR)
        users.set_password(deps, tenant=deps.tenant, name=taken.name, password=password, actor=_ACTOR)
        return taken.name
