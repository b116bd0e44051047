"""The desks of one process: one for each school, all over the same stream."""

from __future__ import annotations

import threading
import time

from sqlalchemy import Engine

from db.check_in_stream import CheckInStream
from usecases.check_in import Desk
from usecases.check_in_book import Reader
from usecases.check_in_refusals import Writer
from usecases.switches import Switchboard


class Desks:
    """`of` may be asked by any thread. The first desk starts the threads that keep the books of all, and write down
    whom they turn away."""

    def __init__(
        self,
        engine: Engine,
        stream: CheckInStream,
        *,
        secret: bytes,
        stopping: threading.Event,
        switches: Switchboard | None = None,
        encryption_keys: str = "",
    ) -> None:
        self._engine, self._secret, self._stopping, self._switches = engine, secret, stopping, switches
        self.stream, self._keys = stream, encryption_keys
        self._made: dict[str, Desk] = {}
        self._lock = threading.Lock()

    def of(self, tenant: str) -> Desk:
        """The desk of a school."""
        found = self._made.get(tenant)
        return found if found is not None else self._make(tenant)

    @property
    def shut(self) -> bool:
        """Whether no desk of this process could accept anybody now, nor has to try."""
        made = [*self._made.values()]
        return bool(made) and all(one.breaker.shut for one in made)

    def _make(self, tenant: str) -> Desk:
        with self._lock:
            if not self._made:
                books = self._made
                Reader(lambda: [one.book for one in [*books.values()]], clock=_now_ms, stopping=self._stopping).start()
                Writer(lambda: [one.refusals for one in [*books.values()]], stopping=self._stopping).start()
            if tenant not in self._made:
                self._made[tenant] = Desk(
                    self._engine,
                    self.stream,
                    tenant=tenant,
                    secret=self._secret,
                    switches=self._switches,
                    encryption_keys=self._keys,
                )
            return self._made[tenant]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
