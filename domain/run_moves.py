"""Which move carries a run forward, from nothing but what is stored: so that anybody can go on with it."""

from collections.abc import Sequence
from enum import Enum, auto

WAITING, RUNNING = "waiting", "running"


class Move(Enum):
    """The next thing to do for a run."""

    CLOSE = auto()  # it has ended: only its task is left
    FINISH = auto()  # every stage is done: report, and end
    START = auto()  # a stage begins
    STEP = auto()  # a page of the stage that is running


def stage_at(states: Sequence[str]) -> int | None:
    """The position of the stage that a run is at; None when all are done."""
    for at, state in enumerate(states):
        if state in (WAITING, RUNNING):
            return at
    return None


def move(*, ended: bool, stage_state: str | None) -> Move:
    """The next move; `stage_state` is that of the stage the run is at."""
    if ended:
        return Move.CLOSE
    if stage_state is None:
        return Move.FINISH
    return Move.START if stage_state == WAITING else Move.STEP
