"""A receipt: what a student holds after a check-in, and anybody can have verified.

The number is an HMAC of tenant, session and student, so that a repeat has the same. The body is the text that was signed,
letter by letter; what is stored and given out again is that text with its signature.
"""

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from domain.ids import secret_key

VERSION: Final = 1
_MOST_CHARS: Final = 4_000


_text: Final = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode


class BadReceipt(Exception):
    """Not a receipt of ours, or one that was changed."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a receipt says."""

    number: str
    tenant: str
    term: str
    session_id: str
    code: str
    at_ms: int
    decision: str  # accepted, review
    timing: str
    reasons: tuple[str, ...]
    outside_m: int | None
    rule_version: int
    client_id: str


def number_of(secret: bytes, *, tenant: str, session_id: str, code: str) -> str:
    """What people read to each other: twelve characters in three groups."""
    made = secret_key(secret, "receipt", tenant, session_id, code).upper()
    return "-".join((made[:4], made[4:8], made[8:12]))


def sign(secret: bytes, receipt: Receipt) -> str:
    """The receipt as text: a JSON object and its signature, joined by a dot."""
    said = {
        "v": VERSION,
        "no": receipt.number,
        "t": receipt.tenant,
        "x": receipt.term,
        "s": receipt.session_id,
        "u": receipt.code,
        "at": receipt.at_ms,
        "is": receipt.decision,
        "was": receipt.timing,
        "why": list(receipt.reasons),
        "m": receipt.outside_m,
        "r": receipt.rule_version,
        "k": receipt.client_id,
    }
    body = _text(said)
    return f"{body}.{_signature(secret, body)}"


def verify(secret: bytes, text: str) -> Receipt:
    """What the receipt says. Raises BadReceipt."""
    body, dot, signature = text.rpartition(".")
    if not dot or len(text) > _MOST_CHARS or not signature.isascii():
        raise BadReceipt("this is no receipt")
    try:
        expected = _signature(secret, body)
    except UnicodeEncodeError:
        raise BadReceipt("this is no receipt") from None
    if not hmac.compare_digest(expected, signature):
        raise BadReceipt("the receipt was changed, or is not one of ours")
    said: Mapping[str, Any] = json.loads(body)
    return Receipt(
        number=said["no"],
        tenant=said["t"],
        term=said["x"],
        session_id=said["s"],
        code=said["u"],
        at_ms=said["at"],
        decision=said["is"],
        timing=said["was"],
        reasons=tuple(said["why"]),
        outside_m=said["m"],
        rule_version=said["r"],
        client_id=said["k"],
    )


def _signature(secret: bytes, body: str) -> str:
    # The key is not the process's secret itself, so that no other HMAC of ours can be passed off as a signature.
    return hmac.digest(_signing_key(secret), body.encode(), "sha256").hex()


@lru_cache(maxsize=8)
def _signing_key(secret: bytes) -> bytes:
    return secret_key(secret, "receipt-key").encode()
