"""What use cases are given: the outside world, once per process, and nothing global."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Protocol
from zoneinfo import ZoneInfo

from sqlalchemy import Engine

from domain.lanes import Times
from ratelimit.limiter import Limiter
from remote.oidc import OidcClient
from remote.wps.client import WpsClient
from remote.wps.transport import Transport


class Hints(Protocol):
    """Which lanes are worth a look, in Redis. Wrong or lost hints cost time, never correctness."""

    def mark(self, lanes: Iterable[tuple[str, str]]) -> None:
        """Lanes with something to do now."""

    def hurry(self, lanes: Iterable[tuple[str, str]]) -> None:
        """Lanes with something urgent to do now."""

    def claim(self, *, cap: int, hold_ms: int) -> tuple[str, str] | None:
        """The lane that has waited longest, or None when none waits or `cap` lanes are being drained."""

    def release(self, lane: tuple[str, str], *, again: bool) -> None:
        """The drain of the lane ended; `again` when it has more to do."""

    def hold(self, lanes: Iterable[tuple[str, str]], *, hold_ms: int) -> None:
        """The lanes are still being drained."""

    def others_wait(self) -> bool:
        """Whether any lane waits for a thread."""


@dataclass(frozen=True)
class Remote:
    """WPS as the drain sees it."""

    client: WpsClient
    transport: Transport
    limiter: Limiter
    limiter_key: str


@dataclass(frozen=True)
class Deps:
    """Engine, remote, hints, times, secrets, ids; `stopping` is set when the process should come to rest,
    `paused` tells the queues that nothing may be begun of."""

    engine: Engine
    remote: Remote
    hints: Hints
    times: Times
    secret: bytes
    zone: ZoneInfo
    tenant: str
    new_id: Callable[[], str]
    ring: Callable[[str], None]  # wakes a worker for a task id, or for "lanes"
    data_dir: Path
    encryption_keys: str = field(default="", repr=False)
    oidc: OidcClient = field(default_factory=OidcClient)
    stopping: Event = field(default_factory=Event)
    paused: Callable[[], Collection[str]] = frozenset
