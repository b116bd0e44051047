"""Reading a Procfile: one process a line, ``name: command``, with ``$NAME`` replaced from a given environment."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_LINE: Final = re.compile(r"^(?P<name>[A-Za-z][A-Za-z0-9_-]*):\s*(?P<command>\S.*)$")
_VARIABLE: Final = re.compile(r"\$(?:\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)\}|(?P<plain>[A-Za-z_][A-Za-z0-9_]*))")


class BadProcfile(Exception):
    """A line that is not ``name: command``, or a name that appears twice."""

    def __init__(self, line_no: int, line: str, why: str) -> None:
        super().__init__(f"Procfile line {line_no} ({line!r}): {why}.")
        self.line_no = line_no


@dataclass(frozen=True)
class ProcessLine:
    """One kind of process and what to execute for it."""

    name: str
    argv: tuple[str, ...]


def parse(text: str, environ: Mapping[str, str]) -> tuple[ProcessLine, ...]:
    """The processes of a Procfile, in its order. An unset variable is empty, as in a shell. Raises BadProcfile."""
    found: dict[str, ProcessLine] = {}
    for line_no, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.match(line)
        if match is None:
            raise BadProcfile(line_no, line, "write name: command")
        if match["name"] in found:
            raise BadProcfile(line_no, line, "this name is already taken")
        found[match["name"]] = ProcessLine(match["name"], _argv(line_no, line, match["command"], environ))
    return tuple(found.values())


def read(path: Path, environ: Mapping[str, str]) -> tuple[ProcessLine, ...]:
    """`parse` of a file. Raises BadProcfile, OSError."""
    return parse(path.read_text(encoding="utf-8"), environ)


def _argv(line_no: int, line: str, command: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    expanded = _VARIABLE.sub(lambda match: environ.get(match["braced"] or match["plain"], ""), command)
    try:
        argv = tuple(shlex.split(expanded))
    except ValueError as error:
        raise BadProcfile(line_no, line, str(error)) from None
    if not argv:
        raise BadProcfile(line_no, line, "nothing is left to execute")
    return argv
