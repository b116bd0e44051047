"""An append-only file of operations, one JSON object a line.

Each operation is handed to the operating system before its answer leaves, without fsync: killing the process loses
nothing that was answered, a power cut may. A last line that was cut off is dropped on reading.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simulator.details import Details


class BrokenJournal(Exception):
    """The file is in use, or a line before the last one is not an operation; the message says which."""


def _plain(value: Any) -> Any:
    if isinstance(value, Details):
        return value.for_journal()
    raise TypeError(f"{type(value).__name__} does not belong in the journal")


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_plain).encode


class Journal:
    """One file, one writer. Raises BrokenJournal when somebody else has it open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BrokenJournal(f"{path} is in use by another simulator") from None

    def read(self) -> Iterator[dict[str, Any]]:
        """Every whole operation in order; cuts a torn tail off the file. Raises BrokenJournal."""
        good_bytes = 0
        with self._path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    break
                try:
                    yield json.loads(line)
                except ValueError as problem:
                    raise BrokenJournal(f"{self._path}, line {number}: {problem}") from problem
                good_bytes += len(line)
        os.ftruncate(self._fd, good_bytes)

    def append(self, operation: dict[str, Any], *, truncate: bool = False) -> None:
        """Writes one operation; `truncate` forgets all before it."""
        if truncate:
            os.ftruncate(self._fd, 0)
        line = _encode(operation).encode() + b"\n"
        written = os.write(self._fd, line)
        while written < len(line):
            written += os.write(self._fd, line[written:])
