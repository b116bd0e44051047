"""Which fact wins: a table of cases, and counters as sums."""

from __future__ import annotations

from collections import Counter

import pytest

from domain.attendance import (
    ABNORMAL,
    ABSENT,
    ATTENDED,
    CHECK_IN,
    CHECK_OUT,
    CORRECTION,
    COUNTERS,
    DROPPED,
    EARLY,
    LATE,
    LEAVE,
    NORMAL,
    ON_LEAVE,
    PENDING,
    REVIEW,
    STATUSES,
    SWEEP,
    Fact,
    Policy,
    Standing,
    change,
    count,
    of_check_in,
    standing,
)  # fmt: skip


def came(says: str, at_ms: int = 10, id_: str = "c") -> Fact:
    return Fact(id_, CHECK_IN, at_ms, says)


def leave(at_ms: int = 5, *, says: str = LEAVE, about: str = "l1") -> Fact:
    return Fact(f"{about}:{at_ms}", ON_LEAVE, at_ms, says, about)


def said(says: str, at_ms: int = 20) -> Fact:
    return Fact(f"t:{at_ms}", CORRECTION, at_ms, says)


SWEPT = Fact("end", SWEEP, 100, ABSENT)
OUT_EARLY, OUT = Fact("o", CHECK_OUT, 50, EARLY), Fact("o", CHECK_OUT, 99, NORMAL)

CASES: list[tuple[str, list[Fact], Standing]] = [
    ("nothing happened", [], Standing(PENDING)),
    ("the class is over", [SWEPT], Standing(ABSENT, by=SWEEP)),
    ("came", [came(NORMAL)], Standing(ATTENDED, by=CHECK_IN)),
    ("came late", [came(LATE)], Standing(LATE, by=CHECK_IN)),
    ("came, to be looked at", [came(ABNORMAL)], Standing(REVIEW, by=CHECK_IN)),
    ("came, and the class is over", [came(NORMAL), SWEPT], Standing(ATTENDED, by=CHECK_IN)),
    ("to be looked at, and over", [came(ABNORMAL), SWEPT], Standing(REVIEW, by=CHECK_IN)),
    ("normal beats late", [came(LATE, 1, "a"), came(NORMAL, 2, "b")], Standing(ATTENDED, by=CHECK_IN)),
    ("late beats abnormal", [came(ABNORMAL, 1, "a"), came(LATE, 2, "b")], Standing(LATE, by=CHECK_IN)),
    ("left early", [came(NORMAL), OUT_EARLY], Standing(EARLY, by=CHECK_IN)),
    ("left at the end", [came(NORMAL), OUT, SWEPT], Standing(ATTENDED, by=CHECK_IN)),
    ("late and left early", [came(LATE), OUT_EARLY], Standing(LATE, by=CHECK_IN)),
    ("left without having come", [OUT_EARLY, SWEPT], Standing(ABSENT, by=SWEEP)),
    ("on leave", [leave()], Standing(LEAVE, by=ON_LEAVE)),
    ("on leave, and over", [leave(), SWEPT], Standing(LEAVE, by=ON_LEAVE)),
    ("leave given after the end", [SWEPT, leave(200)], Standing(LEAVE, by=ON_LEAVE)),
    ("leave taken back", [leave(5), leave(6, says=""), SWEPT], Standing(ABSENT, by=SWEEP)),
    ("one leave taken back, another stands", [leave(5), leave(6, says=""), leave(7, about="l2")], Standing(LEAVE, by=ON_LEAVE)),
    ("leave given again", [leave(5), leave(6, says=""), leave(7)], Standing(LEAVE, by=ON_LEAVE)),
    ("leave, then came", [leave(5), came(NORMAL, 10)], Standing(LEAVE, by=ON_LEAVE)),
    ("came, then leave", [came(NORMAL, 10), leave(15)], Standing(LEAVE, by=ON_LEAVE)),
    ("late, then leave", [came(LATE, 10), leave(15)], Standing(LATE, leave_noted=True, by=CHECK_IN)),
    ("to be looked at, then leave", [came(ABNORMAL, 10), leave(15)], Standing(LEAVE, by=ON_LEAVE)),
    ("a person said so", [came(ABNORMAL), said(ATTENDED)], Standing(ATTENDED, by=CORRECTION)),
    ("a person said so last", [said(ABSENT, 20), said(LATE, 21)], Standing(LATE, by=CORRECTION)),
    ("a person beats a leave", [leave(), said(ATTENDED)], Standing(ATTENDED, leave_noted=True, by=CORRECTION)),
    ("a correction taken back", [came(LATE), said(ABSENT, 20), said("", 21)], Standing(LATE, by=CHECK_IN)),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_each_case_has_its_one_status(facts: list[Fact], expected: Standing) -> None:
    """The table is what a college reads when a student disagrees."""
    assert standing(facts, Policy()) == expected
    assert standing(list(reversed(facts)) * 2, Policy()) == expected


def test_a_setting_decides_who_comes_in_spite_of_a_leave() -> None:
    """Some colleges count such a student as present."""
    facts = [leave(5), came(LATE, 10)]
    assert standing(facts, Policy(check_in_over_leave=True)) == Standing(LATE, leave_noted=True, by=CHECK_IN)
    assert standing(facts, Policy()) == Standing(LEAVE, by=ON_LEAVE)


def test_where_leaving_is_checked_who_never_did_left_early() -> None:
    """Otherwise the check at the end could be avoided by leaving it out; before the end nobody has."""
    policy = Policy(checkout_required=True)
    assert standing([came(NORMAL)], policy).status == ATTENDED
    assert standing([came(NORMAL), SWEPT], policy).status == EARLY
    assert standing([came(NORMAL), OUT, SWEPT], policy).status == ATTENDED


def test_who_left_the_course_is_not_counted_unless_they_were_there() -> None:
    """A later drop changes nothing about a class that was attended."""
    assert standing([SWEPT], Policy(), dropped=True).status == DROPPED
    assert standing([came(NORMAL), SWEPT], Policy(), dropped=True).status == ATTENDED


def test_counters_add_up_whatever_the_statuses() -> None:
    """total = attended + absent + leave + pending + review; late and early are among attended."""
    counted = count([*STATUSES, ATTENDED, LATE])
    assert counted == {
        "total_students": 9, "attended_count": 5, "absent_count": 1, "leave_count": 1, "pending_count": 1,
        "review_count": 1, "late_count": 2, "early_count": 1,
    }  # fmt: skip


@pytest.mark.parametrize("before", ["", *STATUSES])
@pytest.mark.parametrize("after", STATUSES)
def test_a_change_is_the_difference_of_two_counts(before: str, after: str) -> None:
    """What is added step by step must be what a recount finds."""
    found: Counter[str] = Counter()
    change(found, before, after)
    was, became = count([before]), count([after])
    assert {name: found[name] for name in COUNTERS} == {name: became[name] - was[name] for name in COUNTERS}


@pytest.mark.parametrize("says", [NORMAL, LATE, EARLY, ABNORMAL])
def test_a_check_in_alone_means_the_same_under_any_policy(says: str) -> None:
    """So that the many at the bell need neither be compared with anything nor have their course's settings read."""
    policies = [Policy(over_leave, checkout) for over_leave in (False, True) for checkout in (False, True)]
    assert {standing([came(says)], policy) for policy in policies} == {of_check_in(says)}
