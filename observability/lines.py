"""The line of the log that each answer of the API has: composed at once, and written together with those of a tenth of a second.

Through all that a line of the log goes through it would be a tenth of what a request costs, and each would be a write of its own,
for which the interpreter is given away and waited for again.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import structlog

from observability.redaction import scrubbed

_EACH_S: Final = 0.1
_MOST: Final = 10_000
"""Lines that wait: where nobody reads the log, requests wait with it, as they would for each line."""
_SHORT: Final = 24
_of_short = lru_cache(maxsize=4_096)(scrubbed)  # the names of schools and people come again and again


class Lines:
    """Lines of one handler, as JSON, of the logger `name`. Safe for threads."""

    def __init__(self, handler: logging.StreamHandler[Any], service: str | None) -> None:
        self._handler = handler
        self._service = {} if service is None else {"service": service}
        self._waiting: deque[str] = deque()
        self._behind: threading.Thread | None = None

    def write(self, logger: str, event: str, **fields: str | int | float) -> None:
        """A line of level INFO, with what is bound to this thread. The texts among `fields` are the code's own."""
        bound = {name: _shown(value) for name, value in structlog.contextvars.get_contextvars().items()}
        ts = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        said = {"ts": ts, "level": "info", "logger": logger, "event": event, **fields, **bound, **self._service}
        self._waiting.append(json.dumps(said, ensure_ascii=False, default=str))
        if self._behind is None or len(self._waiting) > _MOST:
            self.flush()

    def write_behind(self) -> None:
        """From now on a thread writes, a few times a second. What it has not written yet dies with a process that is killed."""
        if self._behind is None:
            self._behind = threading.Thread(target=self._go_on, name="log-lines", daemon=True)
            self._behind.start()

    def flush(self) -> None:
        """Write all that is waiting."""
        self._handler.acquire()
        try:
            lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
            if lines:
                self._handler.stream.write("\n".join(lines) + "\n")
                self._handler.flush()
        except Exception:
            self._handler.handleError(logging.makeLogRecord({"msg": "lines of the log could not be written"}))
        finally:
            self._handler.release()

    def _go_on(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(_EACH_S)
            self.flush()


def _shown(value: object) -> object:
    if not isinstance(value, str):
        return value
    return _of_short(value) if len(value) <= _SHORT else scrubbed(value)
