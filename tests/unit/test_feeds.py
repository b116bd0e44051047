"""What a calendar feed tells of classes that change, go and come back."""

from __future__ import annotations

from dataclasses import replace

from domain.feeds import GONE_MS, Shown, Told, follow, is_shown, stale_at

DAY_MS = 86_400_000
NOW = 1_725_000_000_000
ALGEBRA = Shown("a", "线性代数", "教师：包", "一教101", NOW + 5 * DAY_MS, NOW + 5 * DAY_MS + 5_700_000)


def told(*shown: Shown, before: dict[str, Told] | None = None, now_ms: int = NOW) -> dict[str, Told]:
    return follow(before or {}, shown, now_ms=now_ms)


def test_what_stays_as_it_is_is_told_as_before() -> None:
    """A sequence that grew by itself would make every calendar take every class for changed."""
    first = told(ALGEBRA)
    assert first["a"].sequence == 0
    assert told(ALGEBRA, before=first, now_ms=NOW + DAY_MS) == first


def test_each_change_has_the_next_sequence() -> None:
    """A room, an hour, a word: whatever people read."""
    found = told(ALGEBRA)
    for number, changed in enumerate(
        (replace(ALGEBRA, location="二教"), replace(ALGEBRA, start_ms=NOW + DAY_MS), replace(ALGEBRA, cancelled=True)),
        1,
    ):
        found = told(changed, before=found, now_ms=NOW + number)
        assert (found["a"].sequence, found["a"].changed_ms) == (number, NOW + number)


def test_a_class_that_is_gone_is_told_for_a_while_and_goes_on_counting() -> None:
    """A calendar that only adds learns that it is off; when the class comes back, that is newer than both."""
    gone = told(before=told(ALGEBRA), now_ms=NOW + 1)["a"]
    assert (gone.sequence, gone.gone_ms, is_shown(gone, now_ms=NOW + GONE_MS)) == (1, NOW + 1, True)
    assert not is_shown(gone, now_ms=NOW + 1 + GONE_MS)
    assert stale_at([gone], now_ms=NOW + 2) == NOW + 1 + GONE_MS
    back = told(ALGEBRA, before={"a": gone}, now_ms=NOW + 3)["a"]
    assert (back.sequence, back.gone_ms) == (2, 0)


def test_a_class_that_is_over_is_forgotten_without_a_word() -> None:
    """What has moved out of the months that a feed tells was not cancelled."""
    assert told(before=told(ALGEBRA), now_ms=ALGEBRA.end_ms) == {}
