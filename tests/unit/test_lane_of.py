"""Which college an offering belongs to."""

from itertools import permutations

from domain.lane_of import Belonging, college_of, lane_of


def row(college: str = "", unit: str = "", campus: str = "") -> Belonging:
    return Belonging(college, unit, campus)


def test_the_college_of_most_rows_wins() -> None:
    """Sections with two colleges exist; each must have exactly one lane."""
    assert lane_of([row("文"), row("理"), row("理")]) == "理"


def test_ties_go_by_name_in_whatever_order_the_rows_come() -> None:
    """Two imports of the same rows must not move a calendar to another lane."""
    rows = [row("理"), row("文"), row("", "工"), row("文"), row("理")]
    assert {lane_of(order) for order in permutations(rows)} == {min("理", "文")}


def test_one_named_college_goes_before_any_number_of_blank_rows() -> None:
    """Colleges are blank in up to a fifth of real rows."""
    assert lane_of([row("", "工", "东"), row("", "工", "东"), row("文", "工", "东")]) == "文"


def test_without_a_college_the_teachers_unit_decides_then_the_campus() -> None:
    """Whole universities export no college; their lanes still run in parallel."""
    assert lane_of([row("", "工", "东"), row("", "", "东"), row("", "", "东")]) == "工"
    assert lane_of([row("", "", "东"), row("", "", "西"), row("", "", "西")]) == "西"


def test_an_offering_that_nothing_is_known_of_has_the_shared_lane() -> None:
    """It needs a lane too."""
    assert lane_of([row(), row()]) == "_"
    assert college_of([row()]) == ""
    assert lane_of([]) == "_"
