"""The simulator's own record of every call it got, for checks from outside.

One entry a call, in the order of their ends: `n` counts from 1; `start` is when the first byte of the request was read
and `end` when the last byte of the answer was handed to the socket (or the connection was dropped), both in epoch
seconds of one clock that never steps back. Control calls are not logged.
"""

from collections.abc import Iterator
from typing import Any

CAP = 1_000_000


class Entry:
    """One call. `applied` may turn true later, when a fault applies a call after its connection is gone."""

    __slots__ = (
        "applied",
        "applied_at",
        "bytes",
        "code",
        "delivered",
        "end",
        "fault",
        "items",
        "lane",
        "method",
        "n",
        "path",
        "request",
        "start",
        "status",
    )

    def __init__(
        self, method: str, path: str, lane: str | None, start: float, size: int, *, request: str | None = None
    ) -> None:
        self.n = 0
        self.start = start
        self.end = start
        self.method = method
        self.path = path
        self.lane = lane
        self.request = request
        self.bytes = size
        self.status = 0
        self.code: int | None = None
        self.applied = False
        self.applied_at: float | None = None
        self.items = 0
        self.fault: str | None = None
        self.delivered = False

    def as_json(self) -> dict[str, Any]:
        """All fields by name. Status 0 is a call that got no answer; `bytes` is the size of the request's body."""
        return {
            "n": self.n,
            "start": round(self.start, 6),
            "end": round(self.end, 6),
            "method": self.method,
            "path": self.path,
            "status": self.status,
            "code": self.code,
            "lane": self.lane,
            "request": self.request,
            "applied": self.applied,
            "applied_at": self.applied_at and round(self.applied_at, 6),
            "items": self.items,
            "fault": self.fault,
            "bytes": self.bytes,
            "delivered": self.delivered,
        }


class CallLog:
    """The last `cap` calls."""

    def __init__(self, cap: int = CAP) -> None:
        self._cap = cap
        self._entries: list[Entry] = []
        self._next = 1

    def add(self, entry: Entry) -> None:
        """Numbers and keeps an ended call."""
        entry.n = self._next
        self._next += 1
        self._entries.append(entry)
        # Cutting a tenth at a time keeps the cost of the cap off the single call.
        if len(self._entries) > self._cap + self._cap // 10:
            del self._entries[: len(self._entries) - self._cap]

    def since(self, number: int) -> Iterator[Entry]:
        """The calls after this number, oldest first."""
        first = self._next - len(self._entries)
        begin = max(0, number + 1 - first)
        for index in range(begin, len(self._entries)):
            yield self._entries[index]

    def clear(self) -> None:
        """Forgets all calls and counts from 1 again."""
        self._entries.clear()
        self._next = 1
