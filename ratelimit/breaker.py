"""The circuit breaker of one WPS app: while the remote side is down, nobody calls it but one probe at a time.

    closed ──many failures──▶ open ──its pause is over──▶ half-open: one call of all goes out as the probe
       ▲                       ▲                              │
       │                       └────it fails: twice the pause─┤
       └───────────────────────────────────────it is answered─┘

It stands in front of the limiter and in the same script (`breaker.lua`), so that the question whether a call may go
out is still one round trip, and so that a probe is given to exactly one caller of all processes. A probe is known by its
slot: one that is released unused, or whose holder died, makes room for the next.

A *failure* is a call that the remote side did not answer, or answered by saying that it is broken. Throttles and refused
data are answers. Failures of calls that began before the breaker opened say nothing about the time after it: each
opening has a number (`trip`), and a report of another number is not heard.
"""

from dataclasses import dataclass
from typing import Literal

TRIP_STREAK = 10
"""So many failures in a row, of all lanes together, open the breaker …"""
TRIP_LEAST = 20
"""… or so many within a window …"""
TRIP_SHARE = 0.5
"""… if they are at least this share of its calls."""
WINDOW_US = 10_000_000
"""A window begins with a failure: while all is well, nothing is counted."""
FIRST_PAUSE_US = 1_000_000
"""The pause before the first probe; it doubles with each probe that fails …"""
LONGEST_PAUSE_US = 30_000_000
"""… up to this: what the end of an outage may go unnoticed."""
STEADY_US = 30_000_000
"""Opening again sooner than this after closing is the same outage: the pause goes on growing."""
PROBING_POLL_MS = 250
"""While a probe is under way the others look again this soon."""
HELD_POLL_MS = 5_000
"""How often others look while an admin keeps the breaker open."""
WHY_CHARS = 200

Change = Literal["opened", "still open", "closed"]


@dataclass(frozen=True, slots=True)
class BreakerState:
    """What the breaker knows now.

    `held`: an admin opened it, and no probe goes out. `for_ms`: how long it has been as it is (0: since always).
    `failures`: in a row while closed, before it opened while open. `next_probe_ms`: 0 when one may go out now.
    """

    state: Literal["closed", "open", "half_open"]
    held: bool
    for_ms: int
    failures: int
    next_probe_ms: int
    probing: bool
    trip: int
    why: str


def told_state(*, open_: bool, held: bool, next_ms: int) -> Literal["closed", "open", "half_open"]:
    """Half-open is what an open breaker becomes when its pause is over."""
    if not open_:
        return "closed"
    return "open" if held or next_ms > 0 else "half_open"
