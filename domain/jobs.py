"""What a row of work allows: who may overwrite, send, close, claim or keep it.

The database asks these questions in the WHERE of its statements, many rows at a time; a test compares the two.

    queued ─▶ done | dead | cancelled | superseded            blocked: its calendar is dead; back to queued when that is put
                                                              held: it waits for off-peak hours; queued when they begin
"""

from enum import Enum, auto

QUEUED, HELD, BLOCKED, DEAD = "queued", "held", "blocked", "dead"


class OnPut(Enum):
    """What a put does to the open row of its target."""

    FRESH = auto()  # there is none: a new row
    MOVE = auto()  # it asks for the same already: it only belongs to the new run from now on
    CHANGE = auto()  # it asks for something else: overwritten, rev + 1, attempts from 0, due now
    OLDER = auto()  # a newer import was put for the target before: nothing


def on_put(
    *, newest_import: int, import_no: int, open_state: str | None, open_hash: str | None, desired_hash: str
) -> OnPut:
    """What a put of `desired_hash` does. `newest_import` is the highest put so far; an open row is queued, held or blocked."""
    if newest_import > import_no:
        return OnPut.OLDER
    if open_state is None:
        return OnPut.FRESH
    return OnPut.MOVE if open_hash == desired_hash and open_state in (QUEUED, HELD) else OnPut.CHANGE


def state_after_put(*, open_state: str | None, moved: bool, may_wait: bool) -> str:
    """The state of a row once it is put. `may_wait`: it is far, and these are not its hours; `moved`: it asks for the same.

    What is queued already and asks for the same stays queued: a call of it may be in flight.
    """
    if not may_wait or (moved and open_state == QUEUED):
        return QUEUED
    return HELD


def is_superseded(state: str) -> bool:
    """Whether a closed row of a target gives way when the target is put again: a dead letter must not come back later."""
    return state == DEAD


def is_blocked_by_calendar(*, kind: str, state: str) -> bool:
    """Whether a row of a calendar has to wait for a person when its calendar becomes a dead letter."""
    return state in (QUEUED, HELD) and kind != "calendar"


def is_blocked_when_put(*, kind: str, calendar_dead: bool, calendar_state: str) -> bool:
    """Whether a row just put has to wait with its calendar, which is a dead letter already and was never made."""
    return calendar_dead and calendar_state != "live" and kind in ("members", "event")


def is_unblocked_by_calendar(*, state: str) -> bool:
    """Whether a row of a calendar goes on when the calendar is put again."""
    return state == BLOCKED


def is_wanted(*, state: str, rev: int, seen_rev: int) -> bool:
    """Whether what was read at `seen_rev` may still be sent, or be closed as sent: nobody put the target again since."""
    return state == QUEUED and rev == seen_rev


def is_due(*, state: str, run_at: int, kind: str, calendar_state: str, parked_until: int, now: int) -> bool:
    """Whether a lane's job of a calendar may go now: only the calendar itself goes before it is there."""
    return (
        state == QUEUED and run_at <= now and parked_until <= now and (calendar_state == "live" or kind == "calendar")
    )


def is_to_settle(*, settle_at: int | None, parked_until: int, now: int) -> bool:
    """Whether the outcome of an open intent can be read off WPS now."""
    return settle_at is not None and settle_at <= now and parked_until <= now


# --- tasks of queues ---------------------------------------------------------------------------------------------------


def may_claim(*, state: str, run_at: int, now: int) -> bool:
    """Whether a worker may take the task; a claimed one has its `run_at` in the future until the claim runs out."""
    return state == QUEUED and run_at <= now


def gives_up(*, attempts: int, max_attempts: int) -> bool:
    """Whether a task just claimed has been tried often enough; the claim itself counts as an attempt."""
    return attempts > max_attempts


def may_keep(*, state: str, claim: str | None, mine: str) -> bool:
    """Whether the task is still ours: asked by the first statement of each of its transactions."""
    return state == QUEUED and claim == mine


class OnFinish(Enum):
    """What finishing does to a task."""

    CLOSE = auto()
    AGAIN = auto()  # it was asked for again meanwhile: queued, due now
    NOTHING = auto()  # it is somebody else's


def on_finish(*, state: str, claim: str | None, mine: str, rev: int, claimed_rev: int) -> OnFinish:
    """What becomes of a task that its worker has done."""
    if not may_keep(state=state, claim=claim, mine=mine):
        return OnFinish.NOTHING
    return OnFinish.CLOSE if rev == claimed_rev else OnFinish.AGAIN
