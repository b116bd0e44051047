"""Phones that press a button at times that were fixed beforehand, whatever became of those before them.

Latency counts from the time at which a request was due: a server that falls behind is not spared by a generator that waits
for it.
"""

import asyncio
import contextlib
import json
import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

_CONNECTIONS = 192
_TICK_S = 0.002
_GIVE_UP_S = 30.0


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
    """One request: when it is due (seconds from the start), and what became of it. `status` 0: no answer."""

    phone: Phone
    due_s: float
    kind: str  # first, repeat, far
    sent: bytes = field(repr=False)
    status: int = 0
    took_s: float = 0.0
    body: bytes = field(default=b"", repr=False)

    @property
    def receipt(self) -> str | None:
        """The receipt it was answered with."""
        if self.status not in (200, 201):
            return None
        found: str = json.loads(self.body)["data"]["receipt"]
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


class _Line(asyncio.Protocol):
    """One connection: a request at a time."""

    def __init__(self, idle: deque["_Line"], done: "_Counter") -> None:
        self._idle, self._done = idle, done
        self._buffer = b""
        self.press: Press | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._idle.append(self)

    def send(self, press: Press) -> None:
        """Send it now."""
        assert self._transport is not None
        self.press = press
        self._transport.write(press.sent)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer = self._buffer + data
        head = buffer.find(b"\r\n\r\n")
        if head < 0 or self.press is None:
            return
        at = buffer.lower().find(b"content-length:", 0, head)
        length = int(buffer[at + 15 : buffer.find(b"\r", at)])
        if len(buffer) < head + 4 + length:
            return
        press, self.press, self._buffer = self.press, None, b""
        press.status, press.body = int(buffer[9:12]), buffer[head + 4 :]
        self._done.answered(press)
        self._idle.append(self)

    def connection_lost(self, _error: Exception | None) -> None:
        if self in self._idle:
            self._idle.remove(self)
        if self.press is not None:
            self._done.answered(self.press)
            self.press = None
        self._done.lost_lines += 1


class _Counter:
    """When the last answer has come."""

    def __init__(self, wanted: int, began: float) -> None:
        self.left, self.began = wanted, began
        self.lost_lines = 0
        self.all_done = asyncio.Event()

    def answered(self, press: Press) -> None:
        press.took_s = time.perf_counter() - self.began - press.due_s
        self.left -= 1
        if self.left == 0:
            self.all_done.set()


def press_all(wanted: Sequence[Press], address: tuple[str, int]) -> float:
    """Send all at their times and wait for the answers, for 30 s after the last at most. Returns seconds from first to last."""
    return asyncio.run(_press_all(wanted, address))


async def _press_all(wanted: Sequence[Press], address: tuple[str, int]) -> float:
    loop = asyncio.get_running_loop()
    idle: deque[_Line] = deque()
    done = _Counter(len(wanted), 0.0)

    async def dial() -> None:
        await loop.create_connection(lambda: _Line(idle, done), *address)

    for _ in range(_CONNECTIONS):
        await dial()
    done.began = began = time.perf_counter()
    waiting: deque[Press] = deque()
    coming = deque(wanted)
    while coming or waiting:
        now_s = time.perf_counter() - began
        while coming and coming[0].due_s <= now_s:
            waiting.append(coming.popleft())
        while waiting and idle:
            idle.popleft().send(waiting.popleft())
        while done.lost_lines:
            done.lost_lines -= 1
            await dial()
        await asyncio.sleep(_TICK_S)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(done.all_done.wait(), _GIVE_UP_S)
    return time.perf_counter() - began
