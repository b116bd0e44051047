"""Shapes of logins and roles."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from web.paging import PartQuery
from web.schemas.base import ID, Identifier, In, Out, Text
from web.schemas.identity import Secret


class UserPath(In):
    """Which login, by its id."""

    user_id: Annotated[str, Field(pattern=ID, alias="user_id")]


class UsersQuery(PartQuery):
    """Which logins: with a role, or with a text in name or title."""

    role: Identifier | None = None
    text: Annotated[Text, Field(max_length=60)] = ""


class GrantIn(In):
    """A role, and for which colleges."""

    role: Annotated[Identifier, Field(examples=["college_secretary"])]
    colleges: Annotated[list[Identifier], Field(max_length=100, default_factory=list, examples=[["数学学院"]])]


Grants = Annotated[list[GrantIn], Field(max_length=50)]


class PersonIn(In):
    """A person of the imports."""

    kind: Literal["student", "teacher"]
    code: Identifier


class AddUser(In):
    """A new login. Without ``password`` one is made up, told once, and has to be changed."""

    name: Annotated[Text, Field(min_length=1, max_length=60, examples=["li.wei"])]
    title: Annotated[Text, Field(max_length=100)] = ""
    roles: Annotated[list[GrantIn], Field(max_length=50, default_factory=list)]
    person: PersonIn | None = None
    password: Annotated[Secret | None, Field(repr=False)] = None


class SetRoles(In):
    """Exactly these roles."""

    roles: Grants


class RolePath(In):
    """Which role."""

    name: Annotated[Text, Field(min_length=1, max_length=60)]


class SaveRole(In):
    """What a role of the school may do, as ``resource.action:reach``."""

    title: Annotated[Text, Field(max_length=100)] = ""
    permissions: Annotated[list[Identifier], Field(max_length=200, examples=[["run.read:tenant"]])]


class GrantOut(Out):
    """A role, and for which colleges."""

    role: str
    colleges: list[str]


class User(Out):
    """A login. ``code`` is the number of its person, ``provider`` who vouches for it."""

    id: str
    name: str
    title: str
    kind: str | None
    code: str | None
    state: str
    has_password: bool
    must_change_password: bool
    provider: str | None
    roles: list[GrantOut]
    created_at: str
    last_sign_in_at: str | None


class Added(Out):
    """A new login; ``password`` where one was made up: it is told once."""

    id: str
    name: str
    password: str | None


class Password(Out):
    """A password that was made up: told once, good for one sign-in, at which another one is chosen."""

    password: str


class Ended(Out):
    """How many sign-ins ended."""

    ended: int


class Switched(Out):
    """The state of a login; ``already`` where it was so before."""

    id: str
    state: str
    already: bool


class Roles(Out):
    """The roles that a login has now."""

    roles: list[GrantOut]


class RoleOut(Out):
    """A role and what it may do."""

    name: str
    title: str
    permissions: list[str]
    built_in: bool


class Removed(Out):
    """From how many logins a role was taken."""

    had: int
