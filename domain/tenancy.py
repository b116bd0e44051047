"""Who may do what: one table of built-in roles, one rule.

A permission is an action on a resource and how far it reaches, written ``course.read:college``:

    own       things that are about the caller
    taught    things of courses that the caller teaches
    college   things that lie wholly in the caller's colleges
    tenant    everything of the school
    platform  also what belongs to no school, and every school that the caller enters by name

A school's own roles are data: sets of the same permissions. A thing of another tenant is never reached, by nobody: a platform
administrator *enters* a tenant (`entering`) and is then in that one alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from typing import Final


class Role(StrEnum):
    """The roles that every school has."""

    STUDENT = "student"
    TEACHER = "teacher"
    COLLEGE_SECRETARY = "college_secretary"
    ADMIN = "admin"
    PLATFORM_ADMIN = "platform_admin"


class Reach(StrEnum):
    """The condition of a permission: which things it is about."""

    OWN = "own"
    TAUGHT = "taught"
    COLLEGE = "college"
    TENANT = "tenant"
    PLATFORM = "platform"


class BadPermission(ValueError):
    """A text that is no permission; `text` is it, `why` what is wrong with it."""

    def __init__(self, text: str, why: str) -> None:
        super().__init__(f"{text!r}: {why}")
        self.text = text
        self.why = why


ACTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "audit": ("read",),
    "calendar_feed": ("read", "manage"),
    "change": ("read", "write"),
    "check_in": ("create", "read", "manage"),
    "cluster": ("read", "control"),
    "consistency": ("read", "repair"),
    "course": ("read",),
    "dead_letter": ("read", "edit", "requeue", "discard"),
    "explanation": ("read",),
    "export": ("read", "create"),
    "failure": ("read", "resolve"),
    "key": ("read", "manage"),
    "lane": ("read", "control"),
    "limiter": ("read", "write"),
    "opt_out": ("read", "manage"),
    "quarantine": ("read", "resolve"),
    "role": ("read", "manage"),
    "roll": ("read",),
    "run": ("read", "start", "control", "confirm", "undo"),
    "schedule": ("read", "manage"),
    "session": ("read",),
    "setting": ("read", "write"),
    "sign_in": ("read", "revoke"),
    "source": ("read",),
    "switch": ("read", "write"),
    "tenant": ("read", "manage"),
    "term": ("read", "manage"),
    "timetable": ("read",),
    "user": ("read", "manage"),
}
"""Every resource and what may be done with it. Nothing else can be granted or asked for."""


@dataclass(frozen=True, slots=True, order=True)
class Permission:
    """One action (``resource.verb``) as far as `reach`."""

    action: str
    reach: Reach

    @classmethod
    def parse(cls, text: str) -> Permission:
        """From ``resource.verb:reach``. Raises `BadPermission`, also where the action is not one of `ACTIONS`."""
        action, colon, reach = text.partition(":")
        if not colon or reach not in Reach.__members__.values():
            raise BadPermission(text, f"end with one of {', '.join(':' + one for one in Reach)}")
        check_action(action)
        return cls(action, Reach(reach))

    def __str__(self) -> str:
        return f"{self.action}:{self.reach}"


def check_action(action: str) -> None:
    """Raise `BadPermission` unless `ACTIONS` has ``resource.verb``."""
    resource, _, verb = action.partition(".")
    if verb not in ACTIONS.get(resource, ()):
        raise BadPermission(action, "no such action")


def permissions(*texts: str) -> frozenset[Permission]:
    """Permissions from short texts; verbs are joined by ``|``, as in ``run.read|start:tenant``. Raises `BadPermission`."""
    return frozenset(
        Permission.parse(f"{resource}.{verb}:{reach}")
        for text in texts
        for resource, _, rest in (text.partition("."),)
        for verbs, _, reach in (rest.partition(":"),)
        for verb in verbs.split("|")
    )


_EVERYBODY = permissions(
    "timetable.read:own", "calendar_feed.read|manage:own", "user.read:own", "sign_in.read|revoke:own",
    "setting.read|write:own", "export.read:own", "opt_out.read|manage:own",
)  # fmt: skip

BUILT_IN: Final[Mapping[str, frozenset[Permission]]] = {
    Role.STUDENT: _EVERYBODY | permissions("course.read:own", "session.read:own", "term.read:tenant", "check_in.create|read:own"),
    Role.TEACHER: _EVERYBODY
    | permissions(
        "course.read:taught", "session.read:taught", "roll.read:taught", "change.read:taught", "export.create:taught",
        "term.read:tenant", "check_in.read|manage:taught",
    ),
    Role.COLLEGE_SECRETARY: _EVERYBODY
    | permissions(
        "course.read:college", "session.read:college", "roll.read:college", "user.read:college", "timetable.read:college",
        "change.read|write:college", "run.read|start|control:college", "failure.read:college", "lane.read:college",
        "consistency.read:college", "quarantine.read:college", "dead_letter.read:college", "export.create|read:college",
        "term.read:tenant", "schedule.read:tenant", "check_in.read:college", "explanation.read:college",
    ),
    Role.ADMIN: _EVERYBODY
    | permissions(
        *(f"{resource}.{'|'.join(verbs)}:tenant" for resource, verbs in ACTIONS.items() if resource not in ("tenant", "cluster")),
        "tenant.read:tenant", "cluster.read:tenant",
    ),
    Role.PLATFORM_ADMIN: _EVERYBODY
    | permissions(*(f"{resource}.{'|'.join(verbs)}:platform" for resource, verbs in ACTIONS.items())),
}  # fmt: skip
"""What each built-in role may do: the one table."""


def permissions_of(
    roles: Iterable[str], custom: Mapping[str, frozenset[Permission]] | None = None
) -> frozenset[Permission]:
    """What the roles allow together. `custom` are the school's own roles; a built-in name cannot be given another meaning,
    and an unknown name allows nothing."""
    names = frozenset(roles)
    found = _of_built_in(names.intersection(BUILT_IN))
    for role in names.difference(BUILT_IN):
        found |= (custom or {}).get(role, frozenset())
    return found


@lru_cache(maxsize=32)
def _of_built_in(roles: frozenset[str]) -> frozenset[Permission]:
    return frozenset().union(*(BUILT_IN[role] for role in roles))


@dataclass(frozen=True, slots=True)
class Scope:
    """Who acts, and where: made once per request or job and passed down.

    `tenant` is the one that all reading and writing is confined to; `colleges` are those the caller works for. `login` is the
    id of the caller's login, blank for an API key; `must_change`: a new password comes before anything else.
    """

    tenant: str
    user: str
    roles: frozenset[str] = frozenset()
    colleges: frozenset[str] = frozenset()
    permissions: frozenset[Permission] = field(default=frozenset(), repr=False)
    login: str = field(default="", compare=False)
    must_change: bool = field(default=False, compare=False)

    @classmethod
    def of(
        cls,
        tenant: str,
        user: str,
        roles: Iterable[str],
        *,
        colleges: Iterable[str] = (),
        custom: Mapping[str, frozenset[Permission]] | None = None,
    ) -> Scope:
        """A scope with the permissions of its roles."""
        names = frozenset(str(role) for role in roles)
        return cls(tenant, user, names, frozenset(colleges), permissions_of(names, custom))

    @property
    def is_platform(self) -> bool:
        """Whether the caller may enter other tenants."""
        return Role.PLATFORM_ADMIN in self.roles

    def narrowed(self, only: Iterable[Permission]) -> Scope:
        """The same caller with no more than `only`: what an API key was made for."""
        wanted = frozenset(only)
        return replace(self, permissions=frozenset(one for one in wanted if covers(self.permissions, one)))


@dataclass(frozen=True, slots=True)
class Thing:
    """What is acted on. `colleges` are all colleges that it touches: empty where it is about the whole school.

    `people` are the codes of those it is about, `teachers` of those who teach it. `tenant` None: it belongs to the platform.
    """

    tenant: str | None
    colleges: frozenset[str] = frozenset()
    people: frozenset[str] = frozenset()
    teachers: frozenset[str] = frozenset()


class Why(StrEnum):
    """What became of a question, and why."""

    GRANTED = "granted"
    NOT_PERMITTED = "not_permitted"
    OUTSIDE_REACH = "outside_reach"
    OTHER_TENANT = "other_tenant"


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer of `may`; true where it is granted."""

    why: Why
    action: str

    def __bool__(self) -> bool:
        return self.why is Why.GRANTED

    @property
    def may_know(self) -> bool:
        """Whether the caller may learn that the thing exists: false where it lies outside tenant or reach."""
        return self.why in (Why.GRANTED, Why.NOT_PERMITTED)


def reaches(scope: Scope, action: str) -> frozenset[Reach]:
    """How far the caller may go with `action`; empty: not at all. Raises `BadPermission` for an action that is none."""
    return _reached(scope.permissions, action)


@lru_cache(maxsize=4_096)
def _reached(permissions: frozenset[Permission], action: str) -> frozenset[Reach]:
    check_action(action)
    return frozenset(one.reach for one in permissions if one.action == action)


def colleges_within(scope: Scope, action: str) -> tuple[str, ...] | None:
    """The colleges whose things a list may show: None for all of the school, empty for none. What is reached because it is
    the caller's own, or taught, is not counted here."""
    granted = reaches(scope, action)
    if granted & {Reach.TENANT, Reach.PLATFORM}:
        return None
    return tuple(sorted(scope.colleges)) if Reach.COLLEGE in granted else ()


def may(scope: Scope, action: str, thing: Thing) -> Decision:
    """The one rule. Raises `BadPermission` for an action that is none."""
    granted = reaches(scope, action)
    if not granted:
        return Decision(Why.NOT_PERMITTED, action)
    if thing.tenant is None:
        return Decision(Why.GRANTED if Reach.PLATFORM in granted else Why.OUTSIDE_REACH, action)
    if thing.tenant != scope.tenant:
        return Decision(Why.OTHER_TENANT, action)
    reached = any(_reaches(scope, reach, thing) for reach in granted)
    return Decision(Why.GRANTED if reached else Why.OUTSIDE_REACH, action)


def _reaches(scope: Scope, reach: Reach, thing: Thing) -> bool:
    match reach:
        case Reach.OWN:
            return scope.user in thing.people
        case Reach.TAUGHT:
            return scope.user in thing.teachers
        case Reach.COLLEGE:
            return bool(thing.colleges) and thing.colleges <= scope.colleges
        case Reach.TENANT | Reach.PLATFORM:
            return True


def covers(granted: Iterable[Permission], wanted: Permission) -> bool:
    """Whether a holder of `granted` may do all that `wanted` allows."""
    wide = {Reach.PLATFORM} if wanted.reach is Reach.PLATFORM else {Reach.PLATFORM, Reach.TENANT, wanted.reach}
    return any(one.action == wanted.action and one.reach in wide for one in granted)


def may_grant(scope: Scope, wanted: Iterable[Permission], *, colleges: Iterable[str] = ()) -> bool:
    """Whether the caller may give somebody `wanted` in `colleges`: nobody gives what he has not, nor further than he reaches."""
    far = any(one.reach in (Reach.TENANT, Reach.PLATFORM) for one in scope.permissions if one.action == "role.manage")
    near = frozenset(colleges) <= scope.colleges
    return (
        bool(reaches(scope, "role.manage")) and (far or near) and all(covers(scope.permissions, one) for one in wanted)
    )


def entering(scope: Scope, tenant: str) -> Scope | None:
    """The scope inside `tenant`: the same one at home, another's for a platform administrator, else None.

    Abroad the caller is nobody's student, teacher or secretary.
    """
    if tenant == scope.tenant:
        return scope
    if not scope.is_platform:
        return None
    return replace(scope, tenant=tenant, colleges=frozenset())
