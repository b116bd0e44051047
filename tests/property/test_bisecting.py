"""Bad records anywhere in a batch: all others are written, and one alone is found in few attempts."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.bisecting import write_parts


class Refused(Exception):
    """For what is in it."""


def tried(size: int, bad: set[int]) -> tuple[list[int], list[int], int]:
    """What was written, what was buried, and the attempts."""
    written: list[int] = []
    buried: list[int] = []

    def write(part: Sequence[int]) -> None:
        if bad & {*part}:
            raise Refused
        written.extend(part)

    attempts = write_parts(
        range(size), write, lambda one, _: buried.append(one), is_refusal=lambda error: isinstance(error, Refused)
    )
    return written, buried, attempts


def test_one_bad_record_at_any_place_of_any_batch_costs_few_attempts() -> None:
    """Two for each halving and one for the whole: 19 of five hundred, where 24 are allowed."""
    for size in (1, 2, 3, 499, 500):
        for at in range(size):
            written, buried, attempts = tried(size, {at})
            assert buried == [at] and written == [one for one in range(size) if one != at]
            assert attempts <= (19 if size > 3 else 5)


@given(st.sets(st.integers(0, 499), max_size=60))
def test_however_many_are_bad_only_they_are_left_out(bad: set[int]) -> None:
    """In their order, each once, and never more attempts than one by one would take besides."""
    written, buried, attempts = tried(500, bad)
    assert written == [one for one in range(500) if one not in bad] and buried == sorted(bad)
    assert attempts <= 64 + 500


def test_an_outage_is_nobodys_fault() -> None:
    """It is raised at once, and nothing is buried."""
    buried: list[int] = []

    def away(_: Sequence[int]) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        write_parts(range(9), away, lambda one, _: buried.append(one), is_refusal=lambda _: False)
    assert not buried
