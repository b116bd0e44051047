"""Whom switches keep out, as a table."""

from __future__ import annotations

import pytest

from domain.switches import MAINTENANCE, READ_ONLY, SIMPLE_CHECK_IN, STATISTICS_OFF, TAKES_CHECK_INS, WORDS, Ask, Switch
from domain.switches import in_the_way as judged

READS, WRITES = Ask(writes=False), Ask(writes=True)
CHECK_IN, TURNS = Ask(writes=True, check_in=True), Ask(writes=True, turns=True)
SIGNS_IN = Ask(writes=True, open_always=True)
ADMIN_READS, ADMIN_WRITES = Ask(writes=False, manages=True), Ask(writes=True, manages=True)
ADMIN_TURNS = Ask(writes=True, turns=True, manages=True)
HALTS, ADMIN_HALTS = Ask(writes=True, halts=True), Ask(writes=True, halts=True, manages=True)
EVERYBODY = {HALTS, ADMIN_HALTS, READS, WRITES, CHECK_IN, TURNS, SIGNS_IN, ADMIN_READS, ADMIN_WRITES, ADMIN_TURNS}


@pytest.mark.parametrize(
    ("on", "let_in"),
    [
        ((), EVERYBODY),
        ((Switch(STATISTICS_OFF, True), Switch(SIMPLE_CHECK_IN, True)), EVERYBODY),
        ((Switch(READ_ONLY, True),), {READS, CHECK_IN, SIGNS_IN, ADMIN_READS, ADMIN_TURNS, ADMIN_HALTS}),
        ((Switch(READ_ONLY, True, check_ins=False),), {READS, SIGNS_IN, ADMIN_READS, ADMIN_TURNS, ADMIN_HALTS}),
        (
            (Switch(MAINTENANCE, True, check_ins=False),),
            {SIGNS_IN, ADMIN_READS, ADMIN_WRITES, ADMIN_TURNS, ADMIN_HALTS},
        ),
        ((Switch(MAINTENANCE, True),), {SIGNS_IN, CHECK_IN, ADMIN_READS, ADMIN_WRITES, ADMIN_TURNS, ADMIN_HALTS}),
        (
            (Switch(MAINTENANCE, True), Switch(READ_ONLY, True, check_ins=False)),
            {SIGNS_IN, ADMIN_READS, ADMIN_TURNS, ADMIN_HALTS},
        ),
    ],
)
def test_a_switch_keeps_out_whom_it_is_for(on: tuple[Switch, ...], let_in: set[Ask]) -> None:
    """Whoever may turn it is never locked out of turning it back."""
    by_name = {one.name: one for one in on}
    assert {ask for ask in EVERYBODY if judged(by_name, ask) is None} == let_in


@pytest.mark.parametrize(("until_s", "retry_s"), [(None, 60), (-5, 60), (0, 60), (1, 5), (90.5, 91), (7_200, 3_600)])
def test_people_are_told_to_come_again_at_the_expected_end(until_s: float | None, retry_s: int) -> None:
    """An end that is past says nothing any more; nobody is sent away for a day."""
    until_ms = None if until_s is None else 1_000_000 + round(until_s * 1000)
    assert Switch(MAINTENANCE, True, until_ms=until_ms).retry_after_s(1_000_000) == retry_s


def test_every_switch_has_words_and_says_what_becomes_of_check_ins() -> None:
    """Somebody reads them in the night."""
    assert set(WORDS) == set(TAKES_CHECK_INS) == {STATISTICS_OFF, SIMPLE_CHECK_IN, READ_ONLY, MAINTENANCE}
