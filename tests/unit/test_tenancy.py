"""Who may do what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.tenancy import (
    ACTIONS,
    BUILT_IN,
    BadPermission,
    Permission,
    Reach,
    Role,
    Scope,
    Thing,
    Why,
    covers,
    entering,
    may,
    may_grant,
    permissions,
)

HOME, ABROAD = "north", "south"
MATHS, PHYSICS = "数学学院", "物理学院"
ALGEBRA = Thing(HOME, frozenset({MATHS}), frozenset({"mei", "bao"}), frozenset({"bao"}))
OPTICS = Thing(HOME, frozenset({PHYSICS}), frozenset({"lin"}), frozenset({"qin"}))
EVERY_ACTION = [f"{resource}.{verb}" for resource, verbs in ACTIONS.items() for verb in verbs]


def someone(role: Role, user: str = "mei") -> Scope:
    return Scope.of(HOME, user, [role], colleges=[MATHS] if role is Role.COLLEGE_SECRETARY else [])


@pytest.mark.parametrize(
    ("role", "user", "reached"),
    [
        (Role.STUDENT, "mei", {"algebra"}),
        (Role.TEACHER, "bao", {"algebra"}),
        (Role.COLLEGE_SECRETARY, "sun", {"algebra"}),
        (Role.ADMIN, "ada", {"algebra", "optics"}),
        (Role.PLATFORM_ADMIN, "zoe", {"algebra", "optics"}),
    ],
)
def test_each_role_reads_the_courses_in_its_reach(role: Role, user: str, reached: set[str]) -> None:
    """A student sees his own courses, a teacher those he teaches, a secretary her college's."""
    courses = {"algebra": ALGEBRA, "optics": OPTICS}
    assert {name for name, thing in courses.items() if may(someone(role, user), "course.read", thing)} == reached


def test_a_missing_permission_and_a_thing_out_of_reach_are_told_apart() -> None:
    """The one may be said aloud; that the other exists must not be."""
    mei = someone(Role.STUDENT)
    assert may(mei, "run.start", ALGEBRA).why is Why.NOT_PERMITTED
    assert may(mei, "run.start", ALGEBRA).may_know
    assert may(mei, "course.read", OPTICS).why is Why.OUTSIDE_REACH
    assert not may(mei, "course.read", OPTICS).may_know


def test_a_thing_of_two_colleges_is_not_one_secretarys() -> None:
    """A run over two colleges is not started by the secretary of one."""
    sun = someone(Role.COLLEGE_SECRETARY, "sun")
    assert not may(sun, "run.start", Thing(HOME, frozenset({MATHS, PHYSICS})))
    assert not may(sun, "run.start", Thing(HOME))
    assert may(sun, "run.start", Thing(HOME, frozenset({MATHS})))


@given(st.sampled_from(list(Role)), st.sampled_from(EVERY_ACTION))
def test_nobody_reaches_another_tenant(role: Role, action: str) -> None:
    """The worst accident of a shared database: one school reads another."""
    theirs = Thing(ABROAD, frozenset({MATHS}), frozenset({"mei"}), frozenset({"mei"}))
    assert not may(someone(role), action, theirs)
    assert may(someone(role), action, theirs).why in (Why.NOT_PERMITTED, Why.OTHER_TENANT)


def test_only_a_platform_administrator_enters_another_tenant() -> None:
    """And is then in that one alone, without the colleges of home."""
    zoe = entering(someone(Role.PLATFORM_ADMIN, "zoe"), ABROAD)
    assert zoe is not None
    assert may(zoe, "course.read", Thing(ABROAD))
    assert may(zoe, "course.read", ALGEBRA).why is Why.OTHER_TENANT
    assert [role for role in Role if entering(someone(role), ABROAD)] == [Role.PLATFORM_ADMIN]


def test_what_belongs_to_no_school_is_the_platforms() -> None:
    """An administrator of a school does not open or close schools."""
    assert not may(someone(Role.ADMIN), "tenant.manage", Thing(None))
    assert may(someone(Role.PLATFORM_ADMIN), "tenant.manage", Thing(None))


def test_a_custom_role_adds_what_it_says_and_an_unknown_one_nothing() -> None:
    """Roles of a school are data: a deleted one must not leave its holder with anything."""
    custom = {"timetabler": permissions("run.start:tenant")}
    assert may(Scope.of(HOME, "u", ["timetabler"], custom=custom), "run.start", Thing(HOME))
    assert not Scope.of(HOME, "u", ["timetabler"]).permissions
    assert (
        Scope.of(HOME, "u", ["student"], custom={"student": permissions("run.start:tenant")}).permissions
        == (BUILT_IN[Role.STUDENT])
    )


@given(st.sampled_from(list(Role)), st.sets(st.sampled_from(sorted(set().union(*BUILT_IN.values()))), min_size=1))
def test_nobody_grants_more_than_he_has(role: Role, wanted: set[Permission]) -> None:
    """No sequence of grants raises anybody's rank, one's own included."""
    giver = someone(role)
    if may_grant(giver, wanted):
        assert all(covers(giver.permissions, one) for one in wanted)
        raised = Scope(HOME, "mei", permissions=giver.permissions | wanted)
        assert all(covers(giver.permissions, one) for one in raised.permissions)


def test_a_key_is_never_wider_than_its_owner() -> None:
    """A key made for much by somebody who may little."""
    narrow = someone(Role.COLLEGE_SECRETARY).narrowed(permissions("run.read:college", "run.read:tenant"))
    assert narrow.permissions == permissions("run.read:college")


@pytest.mark.parametrize("text", ["run.start", "run.fly:own", "start:own", "run.start:world", "", ":own"])
def test_a_text_that_is_no_permission_is_refused(text: str) -> None:
    """A slip in a role must not become a permission that nothing ever asks for."""
    with pytest.raises(BadPermission):
        Permission.parse(text)


def test_asking_for_an_action_that_is_none_is_a_mistake_in_the_code() -> None:
    with pytest.raises(BadPermission):
        may(someone(Role.ADMIN), "run.fly", ALGEBRA)


def test_every_built_in_role_is_within_the_next_higher_one() -> None:
    """A platform administrator may do what an administrator may."""
    assert all(covers(BUILT_IN[Role.PLATFORM_ADMIN], one) for one in BUILT_IN[Role.ADMIN])
    assert not [one for one in BUILT_IN[Role.ADMIN] if one.reach is Reach.PLATFORM]
