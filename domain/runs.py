"""What a person may ask of a run, and in which state.

    queued ─▶ running ─▶ succeeded | partially_succeeded | failed | cancelled
                │  ▲
    pause ──────┤  ├────── resume, confirm
                ▼  │
         paused, needs_confirmation ──cancel, drop──▶ cancelled

A command that takes a while (jobs move in units) is first written down as *asked*; whoever has the run's task carries it out.
"""

from dataclasses import dataclass
from enum import StrEnum

QUEUED, RUNNING, PAUSED, ASKS = "queued", "running", "paused", "needs_confirmation"
ENDED = ("succeeded", "partially_succeeded", "failed", "cancelled")
STATES = (QUEUED, RUNNING, PAUSED, ASKS, *ENDED)
RESTS = (PAUSED, ASKS)
"""States in which a run has no task: nothing of it moves until a person says so."""


class Command(StrEnum):
    """What people say to runs."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    CONFIRM = "confirm"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Accept:
    """Do it."""


@dataclass(frozen=True, slots=True)
class Already:
    """It is so already: twice is once."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """It cannot be done; why, and what can."""

    why: str
    remedy: str


Verdict = Accept | Already | Refuse


def decide(command: Command, *, state: str, asked: str | None) -> Verdict:
    """Whether a run in `state`, of which `asked` is wanted and not done yet, takes the command."""
    if state in ENDED:
        already = state == "cancelled" and command in (Command.CANCEL, Command.DROP)
        return Already() if already else Refuse(f"it has ended: {state}", "`obsync sync` starts a new one.")
    if asked == Command.CANCEL:
        already = command in (Command.CANCEL, Command.DROP)
        return Already() if already else Refuse("it is being cancelled", "Wait for its end, then `obsync sync`.")
    return _COMMANDS[command](state, asked)


def _pause(state: str, asked: str | None) -> Verdict:
    if state == ASKS:
        return Refuse("it waits for an answer and does nothing meanwhile", _ANSWER)
    rests = (state == PAUSED and asked is None) or asked == Command.PAUSE
    return Already() if rests else Accept()


def _resume(state: str, asked: str | None) -> Verdict:
    if state == ASKS:
        return Refuse("it waits for an answer", _ANSWER)
    if asked == Command.PAUSE or (state == PAUSED and asked is None):
        return Accept()
    return Already() if asked == Command.RESUME else Refuse("it is not paused", "It goes on by itself.")


def _cancel(_state: str, _asked: str | None) -> Verdict:
    return Accept()


def _answer(state: str, _asked: str | None) -> Verdict:
    return Accept() if state == ASKS else Refuse("it asks nothing", "`obsync runs` says what each run waits for.")


_ANSWER = "Confirm it or drop it."
_COMMANDS = {
    Command.PAUSE: _pause,
    Command.RESUME: _resume,
    Command.CANCEL: _cancel,
    Command.CONFIRM: _answer,
    Command.DROP: _answer,
}
