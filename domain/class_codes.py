"""The code on the teacher's screen: a new one every ten seconds, good for one session only.

Nothing is stored: a code is an HMAC of the session and the number of the step. It may be typed or scanned in its step or in
the next one; what was captured then may arrive up to a minute later.
"""

import hmac
from typing import Final

from domain.ids import secret_key

STEP_MS: Final = 10_000
LATE_MS: Final = 60_000
_CHARS: Final = 6
# Base32 has 1 and 8 and 0 left out already; what is read aloud must not be misheard.
_TYPED: Final = str.maketrans({"0": "o", "1": "i", "8": "b", " ": None, "-": None})


def code_at(secret: bytes, *, tenant: str, session_id: str, at_ms: int) -> str:
    """Six characters, the same for the whole step."""
    return secret_key(secret, "class-code", tenant, session_id, str(at_ms // STEP_MS))[:_CHARS]


def left_ms(at_ms: int) -> int:
    """How long the code of now is shown."""
    return STEP_MS - at_ms % STEP_MS


def step_of(
    secret: bytes, code: str, *, tenant: str, session_id: str, now_ms: int, captured_ms: int | None
) -> int | None:
    """The step whose code it is, if that was on this session's screen when it was captured, or just before; None: it was not.

    `captured_ms` is what the phone says and believed for a minute; None, the future, or longer ago counts as now.
    """
    at_ms = now_ms if captured_ms is None or not now_ms - LATE_MS <= captured_ms <= now_ms else captured_ms
    said = code.lower().translate(_TYPED).encode()
    times = (at_ms, at_ms - STEP_MS)
    shown = [code_at(secret, tenant=tenant, session_id=session_id, at_ms=one).encode() for one in times]
    # All are compared, so that the time tells nothing.
    good = [hmac.compare_digest(one, said) for one in shown]
    return next((one // STEP_MS for one, is_it in zip(times, good, strict=True) if is_it), None)
