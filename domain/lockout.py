"""How long somebody who guesses passwords waits. Nobody is ever locked out for good.

Guesses are counted for an account *from an address*: a campus behind one address shares nothing, and an owner who comes in
from another address is not hindered. Guesses from everywhere at one account are counted too, with more patience and a
short wait; an address from which the account has come in before does not wait for those.
"""

from dataclasses import dataclass
from typing import Final

FREE: Final = 5
"""So many wrong passwords from an address cost nothing: people mistype."""
FREE_EVERYWHERE: Final = 100
FORGET_MS: Final = 24 * 3_600_000
"""After so long without a guess the count starts again."""
_FIRST_MS: Final = 2_000
_LONGEST_MS: Final = 15 * 60_000
_LONGEST_EVERYWHERE_MS: Final = 30_000


@dataclass(frozen=True, slots=True)
class Attempts:
    """What is known of the guesses under one key."""

    failures: int = 0
    next_ms: int = 0
    last_ms: int = 0


def wait_ms(failures: int, *, everywhere: bool = False) -> int:
    """How long after so many failures the next try has to wait: doubling from two seconds to a quarter of an hour."""
    beyond = failures - (FREE_EVERYWHERE if everywhere else FREE)
    if beyond < 0:
        return 0
    longest = _LONGEST_EVERYWHERE_MS if everywhere else _LONGEST_MS
    return min(longest, _FIRST_MS << min(beyond, 20))


def try_now(before: Attempts, *, now_ms: int, everywhere: bool = False) -> Attempts | None:
    """What is to be remembered when a try begins, as if it had failed already; None: not before `before.next_ms`.

    Counting first means that guesses sent at once are counted one by one, whatever they find.
    """
    if now_ms < before.next_ms:
        return None
    failures = 1 if now_ms - before.last_ms > FORGET_MS else before.failures + 1
    return Attempts(failures, now_ms + wait_ms(failures, everywhere=everywhere), now_ms)
