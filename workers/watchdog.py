"""Ends the children of a supervisor that was killed without a chance to do so itself.

A program of its own, run by path with the standard library alone. It reads ``+PID`` and ``-PID`` lines from the
supervisor; the pipe closes when the supervisor is gone, however it went, and then every process group still listed is
killed. Each child leads its own session, so its group is its whole family: no forked worker is orphaned.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterable


def listed(lines: Iterable[str]) -> set[int]:
    """The groups that were added and not taken back when the lines end."""
    groups: set[int] = set()
    for line in lines:
        sign, number = line[:1], line[1:].strip()
        if not (number.isascii() and number.isdigit()) or int(number) < 2:
            continue
        if sign == "+":
            groups.add(int(number))
        elif sign == "-":
            groups.discard(int(number))
    return groups


def main() -> None:
    """Waits for the end of the supervisor, then kills what it left."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    for group in listed(sys.stdin):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
