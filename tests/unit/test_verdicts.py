"""What a check-in comes to: window, place, code, and what a phone says of its own clock."""

from __future__ import annotations

from dataclasses import replace

import pytest

from domain import class_codes, verdicts
from domain.check_in_words import CAUSES, REASONS
from domain.geofence import Circle, Position
from domain.verdicts import ACCEPTED, MINUTE_MS, REFUSED, REVIEW, Attempt, Rules, judge, window
from tests.unit.test_geofence import GATE, east

START = 1_725_242_400_000
RULES = Rules(late_minutes=5, close_minutes=15, version=7)
FENCE = Circle(GATE, 100)


def attempt(minutes: float = 0, **changed: object) -> Attempt:
    made = Attempt(now_ms=START + round(minutes * MINUTE_MS), at=GATE, accuracy_m=20)
    return replace(made, **changed)  # type: ignore[arg-type]


def verdict(one: Attempt, rules: Rules = RULES, **opened: int) -> verdicts.Verdict:
    return judge(one, rules, window(rules, start_ms=START, **opened), FENCE, start_ms=START)


@pytest.mark.parametrize(
    ("minutes", "decision", "said"),
    [
        (-15.01, REFUSED, "too_early"), (-15, ACCEPTED, "NORMAL"), (0, ACCEPTED, "NORMAL"), (5, ACCEPTED, "NORMAL"),
        (5.01, ACCEPTED, "LATE"), (15, ACCEPTED, "LATE"), (15.01, REFUSED, "closed"),
    ],
)  # fmt: skip
def test_the_window_decides_by_the_servers_clock(minutes: float, decision: str, said: str) -> None:
    """The edges belong to the student."""
    found = verdict(attempt(minutes))
    assert (found.decision, found.cause or found.status) == (decision, said)


def test_a_setting_of_zero_is_zero() -> None:
    """A college that wants nobody before the bell means it."""
    rules = RULES.overlaid({"early_minutes": 0, "late_minutes": 0, "close_minutes": 0, "valid_distance": None})
    assert (rules.early_minutes, rules.late_minutes, rules.close_minutes, rules.valid_distance) == (0, 0, 0, 200)
    assert [verdict(attempt(minutes), rules).decision for minutes in (-0.01, 0, 0.01)] == [REFUSED, ACCEPTED, REFUSED]


def test_a_teacher_opens_extends_and_ends() -> None:
    """Who comes in the extension is late; an end is an end."""
    assert verdict(attempt(-30), opened_ms=START - 40 * MINUTE_MS).decision == ACCEPTED
    assert verdict(attempt(19), extended_ms=START + 20 * MINUTE_MS).status == "LATE"
    assert verdict(attempt(3), ended_ms=START + 2 * MINUTE_MS).cause == verdicts.CLOSED


def test_how_late_is_told_in_minutes() -> None:
    """Amber, with the minutes."""
    assert verdict(attempt(7.5)).late_min == 7
    assert verdict(attempt(2)).late_min == 0


@pytest.mark.parametrize(
    ("metres", "accuracy", "decision", "why"),
    [
        (0, 20, ACCEPTED, ""), (119, 20, ACCEPTED, ""), (125, 20, REVIEW, "outside"), (315, 20, REVIEW, "outside"),
        (325, 20, REFUSED, "far_away"), (5_000, 90, REFUSED, "far_away"), (440, 80, REVIEW, "outside"),
        (0, 101, REVIEW, "inaccurate"), (50_000, 101, REVIEW, "inaccurate"), (50_000, None, REVIEW, "inaccurate"),
        (0, -1, REVIEW, "inaccurate"),
    ],
)  # fmt: skip
def test_the_place_counts_as_far_as_the_fix_can_tell(
    metres: float, accuracy: float | None, decision: str, why: str
) -> None:
    """A fix less accurate than the fence only lowers to a review, and never refuses."""
    found = verdict(attempt(at=east(metres), accuracy_m=accuracy))
    assert (found.decision, found.cause or "".join(found.reasons)) == (decision, why)
    assert found.timing == ("" if decision == REFUSED else "NORMAL")


def test_the_classroom_code_is_worth_a_position_and_leaves_no_mark() -> None:
    """Who gives no location has the same status and nothing against them."""
    without = verdict(attempt(at=None, accuracy_m=None, code=True))
    assert (without.decision, without.status, without.reasons) == (ACCEPTED, "NORMAL", ())
    assert verdict(attempt(at=None, accuracy_m=None)).cause == verdicts.NO_LOCATION
    assert verdict(attempt(accuracy_m=500, code=True)).decision == ACCEPTED
    assert verdict(attempt(at=east(40_000), code=True)).reasons == (verdicts.CONTRADICTS,)


def test_a_bad_code_is_refused_and_a_missing_one_where_it_is_needed() -> None:
    """A second factor that can be left out is none."""
    assert verdict(attempt(code=False)).cause == verdicts.BAD_CODE
    assert verdict(attempt(), RULES.overlaid({"code_required": True})).cause == verdicts.NO_CODE


def test_a_course_may_do_without_a_location() -> None:
    """And a room without a fence has none."""
    rules = RULES.overlaid({"location_required": False})
    assert verdict(attempt(at=None), rules).decision == ACCEPTED
    assert verdict(attempt(at=east(90_000)), rules).decision == ACCEPTED
    open_ = window(RULES, start_ms=START)
    assert judge(attempt(at=None), RULES, open_, None, start_ms=START).notes == (verdicts.NO_FENCE,)


@pytest.mark.parametrize(
    ("ago_min", "notes", "status"),
    [(9, ("offline",), "NORMAL"), (10, ("offline",), "NORMAL"), (10.1, (), "LATE"), (-1, (), "LATE")],
)
def test_a_phones_clock_is_believed_within_the_grace_and_marked(
    ago_min: float, notes: tuple[str, ...], status: str
) -> None:
    """What was saved without a network is judged by when it was saved; anything older by the server's clock."""
    now = attempt(12, offline=True)
    found = verdict(replace(now, client_ms=now.now_ms - round(ago_min * MINUTE_MS)))
    assert (found.notes, found.status) == (notes, status)


def test_a_clock_that_nobody_asked_about_is_not_believed() -> None:
    """A phone that was online has no reason to bring a time of its own."""
    assert verdict(attempt(12, client_ms=START)).status == "LATE"


def test_a_mocked_location_waits_for_a_person_and_keeps_its_timing() -> None:
    """It is a hint and not a proof: a review that is confirmed becomes what it would have been."""
    found = verdict(attempt(7, mocked=True))
    assert (found.decision, found.status, found.timing, found.late_min) == (REVIEW, "ABNORMAL", "LATE", 7)
    assert found.doubted("mock_location") == found
    assert found.doubted("shared_device").reasons == ("mock_location", "shared_device")


def test_every_cause_and_reason_has_words() -> None:
    """A code is no answer to a student."""
    causes = {v for name, v in vars(verdicts).items() if name in {
        "TOO_EARLY", "CLOSED", "CANCELLED", "FAR_AWAY", "NO_LOCATION", "BAD_CODE", "NO_CODE", "NOT_ENROLLED",
        "ON_ANOTHER_ROSTER",
    }}  # fmt: skip
    assert causes <= set(CAUSES) and {*verdicts.REVIEW_REASONS, verdicts.SIMPLIFIED} == set(REASONS)


SECRET = b"s" * 32
OF = {"tenant": "t", "session_id": "s1"}


def test_a_code_is_good_in_its_step_and_the_next_and_for_its_own_session() -> None:
    """A photograph of it is worth nothing soon after."""
    code = class_codes.code_at(SECRET, at_ms=START, **OF)
    good = [
        class_codes.step_of(SECRET, code, now_ms=START + ms, captured_ms=None, **OF) is not None
        for ms in (0, 9_999, 10_000, 19_999, 20_000, -1)
    ]
    assert good == [True, True, True, True, False, False]
    assert class_codes.step_of(SECRET, code, now_ms=START, captured_ms=None, tenant="t", session_id="s2") is None
    assert len({class_codes.code_at(SECRET, at_ms=START + step * 10_000, **OF) for step in range(200)}) == 200


def test_a_code_that_was_captured_in_time_may_arrive_a_minute_later() -> None:
    """The hall is full and the network slow."""
    code = class_codes.code_at(SECRET, at_ms=START, **OF)
    typed = f" {code[:3].upper()}-{code[3:]} "
    assert class_codes.step_of(SECRET, typed, now_ms=START + 60_000, captured_ms=START, **OF) is not None
    assert class_codes.step_of(SECRET, typed, now_ms=START + 60_001, captured_ms=START, **OF) is None
    assert class_codes.step_of(SECRET, "", now_ms=START, captured_ms=START, **OF) is None


def test_a_far_place_is_still_a_place() -> None:
    """Nothing overflows on the other side of the earth."""
    assert verdict(attempt(at=Position(-39.9, -63.6))).cause == verdicts.FAR_AWAY
