"""Reading the JSON that wraps every answer: `{"code": int, "msg": str, "data": …}`."""

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Envelope:
    """A well-formed answer of the service itself. `code` 0 means that it did what was asked."""

    code: int
    message: str
    data: object


def read_object(body: bytes) -> dict[str, object]:
    """The JSON object in `body`, or an empty one when it is anything else."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def read_envelope(body: bytes) -> Envelope | None:
    """The envelope in `body`; None when it is not JSON, not an object, or has no whole number `code`."""
    found = read_object(body)
    code = found.get("code")
    if not isinstance(code, int) or isinstance(code, bool):
        return None
    message = found.get("msg")
    return Envelope(code, message if isinstance(message, str) else "", found.get("data"))
