"""The `obsync` command: one file per group of commands."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import Final

import click

from workers.cli.console import Discreet

_FILES: Final = {
    "attendance": ("checkins", "rosters"), "audit": ("audit",), "campus": ("campus",), "changes": ("changes",),
    "classes": ("classes",), "cluster": ("cluster",), "days": ("days",), "dead": ("dead",), "failures": ("failures",),
    "feeds": ("feeds",), "freshness": ("freshness",), "keys": ("keys", "secrets"), "lanes": ("lanes",), "limit": ("limit",),
    "migrate": ("migrate",), "off_peak": ("offpeak",), "peak": ("peak",), "people": ("people",), "plan": ("plan",),
    "quarantine": ("quarantine",),
    "runs": ("import", "runs", "sync"), "schedules": ("schedules",), "sources": ("sources",), "statistics": ("attendance",),
    "switches": ("switches",),
    "terms": ("terms",), "up": ("up",), "users": ("roles", "users"), "verify": ("repair", "verify"), "worker": ("worker",),
}  # fmt: skip
"""The commands of each file."""


class Commands(MutableMapping[str, click.Command]):
    """Commands by name. A file is read when one of its commands is asked for: all of them take longer to read than most
    commands and processes take to begin."""

    def __init__(self) -> None:
        self._files = {name: file for file, names in _FILES.items() for name in names}
        self._read: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._read:
            there = vars(import_module(f"{__name__}.{self._files[name]}")).values()
            self._read[name] = next(one for one in there if isinstance(one, click.Command) and one.name == name)
        return self._read[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._read[name] = command

    def __delitem__(self, name: str) -> None:
        del self._files[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


@click.group(cls=Discreet, commands=Commands(), context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Keeps a university's timetable true in WPS 365 calendars."""
