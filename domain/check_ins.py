"""One accepted check-in, as it waits in the stream and as it is stored."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from domain.attendance import ABNORMAL, EARLY, LATE, NORMAL
from domain.text import IDENTIFIER_CHARS

WAYS: Final = ("location", "code", "receipt", "teacher", "import")
STATUSES: Final = (NORMAL, LATE, EARLY, ABNORMAL)

_LONGEST: Final = {
    "tenant": IDENTIFIER_CHARS, "term": 20, "session_id": 40, "code": IDENTIFIER_CHARS, "client_id": 64, "receipt": 4_000,
    "reasons": 200, "device": 64, "point": 24, "place": 200, "origin": 120,
}  # fmt: skip
_NEEDED: Final = ("tenant", "term", "session_id", "code")


class BadCheckIn(ValueError):
    """What stands in the stream is no check-in of ours."""


@dataclass(frozen=True, slots=True)
class CheckIn:
    """`reasons` are joined by commas; `place` is sealed; `lat_e2` and `lon_e2` are
    hundredths of a degree, where there is no key to seal with; `code_step` says which code of
    the screen it was; `origin` is the request that it came by, as `observability.tracing` writes it, and is not stored with
    it; metres and ms UTC elsewhere."""

    tenant: str
    term: str
    session_id: str
    code: str
    client_id: str
    receipt: str
    at_ms: int
    status: str
    timing: str
    way: str
    rule_version: int
    reasons: str = ""
    client_ms: int | None = None
    outside_m: int | None = None
    accuracy_m: int | None = None
    device: str | None = None
    point: str | None = None
    lat_e2: int | None = None
    lon_e2: int | None = None
    code_step: int | None = None
    place: str | None = None
    origin: str | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """Term, session, student: where it is stored, for its tenant."""
        return self.term, self.session_id, self.code


_NAMES: Final = frozenset(field.name for field in fields(CheckIn))
_NUMBERS: Final = frozenset(
    {"at_ms", "rule_version", "client_ms", "outside_m", "accuracy_m", "lat_e2", "lon_e2", "code_step"}
)
_TYPES: Final[Mapping[str, type]] = {name: int if name in _NUMBERS else str for name in _NAMES}
_MOST_CHARS: Final[Mapping[str, int]] = {name: _LONGEST.get(name, 12) for name in _NAMES - _NUMBERS}
_MAY_MISS: Final = frozenset(
    {"client_ms", "outside_m", "accuracy_m", "device", "point", "lat_e2", "lon_e2", "code_step", "place", "origin"}
)


_IN_STREAM: Final = tuple(field.name for field in fields(CheckIn) if field.name != "receipt")


_text: Final = json.JSONEncoder(separators=(",", ":")).encode


def encode(one: CheckIn) -> str:
    """As it stands in the stream; what is missing is left out, and so is the receipt, which has a field of its own."""
    said = {name: value for name in _IN_STREAM if (value := getattr(one, name)) is not None}
    return _text(said)


def decode(text: bytes | str, receipt: bytes | str) -> CheckIn:
    """What `encode` made. Raises BadCheckIn."""
    try:
        said: Any = json.loads(text)
        signed = receipt.decode() if isinstance(receipt, bytes) else receipt
    except (ValueError, RecursionError) as error:
        raise BadCheckIn(f"it cannot be read: {error}"[:200]) from None
    if not isinstance(said, dict) or not said.keys() <= _NAMES:
        raise BadCheckIn("it is no object with the fields of a check-in")
    said["receipt"] = signed
    for name, value in said.items():
        # By far the most are sound, and this is done for each field of each check-in.
        if type(value) is not _TYPES[name] or (type(value) is str and len(value) > _MOST_CHARS[name]):
            _check(name, value)
    try:
        one = CheckIn(**said)
    except TypeError:
        raise BadCheckIn(f"it lacks {', '.join(sorted(_NAMES - _MAY_MISS - {'reasons'} - said.keys()))}") from None
    if one.status not in STATUSES or one.way not in WAYS or not all(getattr(one, name) for name in _NEEDED):
        raise BadCheckIn("its status, its way, or whom it is about makes no sense")
    return one


def _check(name: str, value: Any) -> None:
    if name in _NUMBERS:
        if type(value) is not int and not (value is None and name in _MAY_MISS):
            raise BadCheckIn(f"{name} is no whole number")
    elif not isinstance(value, str) and not (value is None and name in _MAY_MISS):
        raise BadCheckIn(f"{name} is no text")
    elif value is not None and len(value) > _MOST_CHARS[name]:
        raise BadCheckIn(f"{name} is longer than {_MOST_CHARS[name]} characters")
