"""The log of one child process: its lines, each with the time and its name in front, in a file of bounded size."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

MAX_BYTES: Final = 16 * 1024 * 1024
_LINE_MAX: Final = 64 * 1024  # longer lines are cut into several: a process cannot make us hold its output


class ProcessLog:
    """Appends to `path`; past `max_bytes` the file becomes ``path.1`` and a new one begins."""

    def __init__(self, name: str, path: Path, *, max_bytes: int = MAX_BYTES) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._name = name
        self._path = path
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._out: IO[bytes] | None = path.open("ab")
        self._copier: threading.Thread | None = None

    def copy(self, source: IO[bytes]) -> None:
        """Copies the lines of `source` until it ends, on a thread of its own."""
        self._copier = threading.Thread(target=self._copy, args=(source,), name=f"log-{self._name}", daemon=True)
        self._copier.start()

    def note(self, sentence: str) -> None:
        """A line of the supervisor's own."""
        self._write(f"-- {sentence}".encode())

    def close(self, *, wait_s: float = 1.0) -> None:
        """Writes what has arrived and closes the file."""
        if self._copier is not None:
            self._copier.join(wait_s)
        with self._lock:
            if self._out is not None:
                self._out.close()
            self._out = None

    def _copy(self, source: IO[bytes]) -> None:
        with source:
            while line := source.readline(_LINE_MAX):
                self._write(line.rstrip(b"\r\n"))

    def _write(self, line: bytes) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        with self._lock:
            if self._out is None:
                return
            self._out.write(f"{now} {self._name} | ".encode() + line + b"\n")
            self._out.flush()
            if self._out.tell() > self._max_bytes:
                self._turn_over(self._out)

    def _turn_over(self, full: IO[bytes]) -> None:
        full.close()
        self._path.replace(self._path.with_name(self._path.name + ".1"))
        self._out = self._path.open("ab")
