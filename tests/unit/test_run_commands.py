"""Which command a run takes in which state: every pair is written down."""

from __future__ import annotations

import pytest

from domain.runs import STATES, Accept, Already, Command, Refuse, decide

A, S, R = Accept, Already, Refuse
ENDED = {state: [R, R, R, R, R] for state in ("succeeded", "partially_succeeded", "failed")}
#                                   pause resume cancel confirm drop
TABLE: dict[tuple[str, str | None], list[type[Accept | Already | Refuse]]] = {
    ("queued", None): [A, R, A, R, R],
    ("queued", "pause"): [S, A, A, R, R],
    ("running", None): [A, R, A, R, R],
    ("running", "pause"): [S, A, A, R, R],
    ("running", "cancel"): [R, R, S, R, S],
    ("paused", None): [S, A, A, R, R],
    ("paused", "resume"): [A, S, A, R, R],
    ("paused", "cancel"): [R, R, S, R, S],
    ("needs_confirmation", None): [R, R, A, A, A],
    ("needs_confirmation", "cancel"): [R, R, S, R, S],
    ("cancelled", None): [R, R, S, R, S],
    **{(state, None): said for state, said in ENDED.items()},
}


@pytest.mark.parametrize(("state", "asked"), TABLE, ids=str)
def test_each_command_in_each_state_is_taken_known_or_refused(state: str, asked: str | None) -> None:
    """A command that slips through in the wrong state loses jobs or revives a run that has ended."""
    assert [type(decide(command, state=state, asked=asked)) for command in Command] == TABLE[state, asked]


def test_no_state_is_left_out() -> None:
    """A new state without a row here would be decided by accident."""
    assert {state for state, _ in TABLE} == set(STATES)


@pytest.mark.parametrize("state", STATES)
def test_a_refusal_says_why_and_what_to_do(state: str) -> None:
    """Somebody types it at three in the morning."""
    for command in Command:
        verdict = decide(command, state=state, asked=None)
        if isinstance(verdict, Refuse):
            assert verdict.why and verdict.remedy.endswith(".")
