"""Phones that press a button at times that were fixed beforehand, whatever became of those before them.

Latency counts from the time at which a request was due: a server that falls behind is not spared by a generator that waits
for it.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.open_loop import Hit, Shot, fire, header

_CONNECTIONS = 512
_UNHEARD_S = 1.0  # before a phone tries again that got no answer


@dataclass(frozen=True, slots=True)
class Phone:
    """A student in the room of a session."""

    code: str
    session_id: str
    token: str
    lat: float
    lon: float

    def request(self, number: int, *, far: bool = False) -> bytes:
        """The whole request, byte for byte."""
        place = {"latitude": self.lat + number * 1e-8 + (0.1 if far else 0), "longitude": self.lon, "accuracy": 15.0}
        body = json.dumps({
            "scheduleId": self.session_id, "clientId": f"k-{self.code}", "location": place,
            "device": {"type": "mobile", "info": "phone", "id": f"d-{self.code}"},
        }).encode()  # fmt: skip
        return (
            b"POST /api/v1/checkin HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nAuthorization: Bearer "
            + self.token.encode()
            + b"\r\nContent-Length: %d\r\n\r\n" % len(body)
            + body
        )


@dataclass(slots=True)
class Press:
    """One request: when it is due (seconds from the start), and what became of it. `status` 0: no answer. `again`: how often it
    was sent again, because it was told to come again, or nothing."""

    phone: Phone
    due_s: float
    kind: str  # first, repeat, far
    sent: bytes = field(repr=False)
    status: int = 0
    took_s: float = 0.0
    again: int = 0
    body: bytes = field(default=b"", repr=False)

    @property
    def receipt(self) -> str | None:
        """The receipt it was answered with."""
        return receipt_in(self.body) if self.status in (200, 201) else None


def receipt_in(body: bytes) -> str:
    """The receipt in the answer to a press that was accepted, or repeated."""
    found: str = json.loads(body)["data"]["receipt"]
    return found


def timetable(phones: Sequence[Phone], *, rate_per_s: float, seed: int) -> list[Press]:
    """Each phone once, at random times of that rate together, and beside them 5 % repeats of one before and 2 % from far away."""
    dice = random.Random(seed)
    wanted: list[Press] = []
    at_s = 0.0
    for number, phone in enumerate(phones):
        at_s += dice.expovariate(rate_per_s)
        wanted.append(Press(phone, at_s, "first", phone.request(number)))
        chance = dice.random()
        if chance < 0.05 / 0.93:
            again = wanted[max(0, len(wanted) - 1 - dice.randrange(1, 3_000))]
            if again.kind == "first":
                wanted.append(Press(again.phone, at_s, "repeat", again.sent))
        elif chance < 0.07 / 0.93:
            wanted.append(Press(phone, at_s, "far", phone.request(number, far=True)))
    return wanted


def press_all(wanted: Sequence[Press], address: tuple[str, int], *, patient: bool = False) -> None:
    """Send all at their times and wait for the answers, for 30 s after the last at most. `patient` phones do what they are told:
    they send the same again after Retry-After, and a moment of their own more."""
    shots = [Shot(one.due_s, one.sent) for one in wanted]
    dice = random.Random(len(wanted))

    def patience(hit: Hit) -> float | None:
        if not patient or hit.status not in (0, 429, 503):
            return None
        return float(header(hit.head, b"retry-after") or _UNHEARD_S) + dice.random()

    hits = fire(*address, shots, connections=_CONNECTIONS, patience=patience)
    for press, hit in zip(wanted, hits, strict=True):
        press.status, press.took_s, press.body, press.again = hit.status, hit.took_s, hit.body, hit.again
