"""Scopes as people write them, and which of them share something."""

import pytest

from domain.scopes import EVERYTHING, BadScope, Scope, of_dict, read_scope

MATHS, PHYSICS = Scope(colleges=("数学",)), Scope(colleges=("物理",))


def test_values_follow_their_name_and_add_up() -> None:
    """An administrator names two people and a course in one go."""
    read = read_scope(["term=2024-2025-1,college=数学,物理", "course=A-1,A", "course=B-1,user=u2,u1"])
    assert read == Scope(("2024-2025-1",), ("数学", "物理"), (("A-1", "A"), ("B-1", "")), ("u1", "u2"))
    assert of_dict(read.as_dict()) == read
    assert str(read) == "term=2024-2025-1 college=数学 college=物理 course=A-1,A course=B-1 user=u1 user=u2"


def test_nothing_said_is_everything() -> None:
    """A run without a scope leaves nobody out."""
    assert read_scope([]) == EVERYTHING and EVERYTHING.is_everything and str(EVERYTHING) == "everything"
    assert EVERYTHING.as_dict() == {}
    assert of_dict({}) == of_dict("all") == EVERYTHING


@pytest.mark.parametrize("text", ["数学", "colleg=数学", "college=", "course=A,B,C", "user=,u1", "=x"])
def test_what_cannot_be_meant_is_refused_with_a_remedy(text: str) -> None:
    """A mistyped scope that meant everything would send the whole term."""
    with pytest.raises(BadScope) as refused:
        read_scope([text])
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        (EVERYTHING, MATHS, True),
        (MATHS, PHYSICS, False),
        (MATHS, Scope(("t",), ("数学", "物理")), True),
        (Scope(("a",)), Scope(("b",)), False),
        (MATHS, Scope(courses=(("A", ""),)), True),
        (Scope(courses=(("A", ""),)), Scope(courses=(("A", "1"),)), True),
        (Scope(courses=(("A", "2"),)), Scope(courses=(("A", "1"),)), False),
        (Scope(users=("u1",)), Scope(users=("u2",)), True),
    ],
)
def test_two_scopes_overlap_unless_something_divides_them(one: Scope, other: Scope, shared: bool) -> None:
    """Two runs that write to one calendar at once would undo each other's work."""
    assert one.overlaps(other) is other.overlaps(one) is shared
