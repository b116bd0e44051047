"""Due lanes in Redis: a queue of hints. The script beside this file says what each step does."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import redis
from redis.exceptions import RedisError

_SCRIPT = (Path(__file__).parent / "lane_hints.lua").read_text(encoding="utf-8")
_BETWEEN = "\x1f"

BOOST_MS = 20_000
"""Bounded, so that urgent lanes make the others wait and never starve them."""


class LaneHints:
    """Hints on the broker's Redis. Redis away: nothing is claimed, nothing is lost, the keeper marks again later."""

    def __init__(self, client: redis.Redis, *, namespace: str = "obsync") -> None:
        self._run = client.register_script(_SCRIPT)
        tag = f"{{{namespace}:lanes}}"
        self._keys = [f"{tag}:ready", f"{tag}:held", f"{tag}:again"]

    def mark(self, lanes: Iterable[tuple[str, str]]) -> None:
        """Lanes with something to do now."""
        names = [_name(lane) for lane in lanes]
        if names:
            self._call("mark", *names)

    def hurry(self, lanes: Iterable[tuple[str, str]]) -> None:
        """Lanes with something urgent to do: they count as waiting `BOOST_MS` longer than they do."""
        names = [_name(lane) for lane in lanes]
        if names:
            self._call("hurry", BOOST_MS, *names)

    def claim(self, *, cap: int, hold_ms: int) -> tuple[str, str] | None:
        """The lane that has waited longest, or None when none waits or `cap` lanes are being drained."""
        found = self._call("claim", cap, hold_ms)
        if not found:
            return None
        tenant, _, lane = found.decode().partition(_BETWEEN)
        return tenant, lane

    def release(self, lane: tuple[str, str], *, again: bool) -> None:
        """The drain of the lane ended; `again` when it has more to do."""
        self._call("release", _name(lane), int(again))

    def hold(self, lanes: Iterable[tuple[str, str]], *, hold_ms: int) -> None:
        """The lanes are still being drained."""
        names = [_name(lane) for lane in lanes]
        if names:
            self._call("hold", hold_ms, *names)

    def others_wait(self) -> bool:
        """Whether any lane waits for a thread."""
        return bool(self._call("waiting"))

    def _call(self, *args: str | int) -> Any:
        try:
            return self._run(keys=self._keys, args=list(args))
        except RedisError:
            return None


def _name(lane: tuple[str, str]) -> str:
    return f"{lane[0]}{_BETWEEN}{lane[1]}"
