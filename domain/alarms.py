"""When something has lasted too long. Times are arguments; what to say of it is decided at the edge."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

HOUR_MS: Final = 3_600_000
SILENT: Final = "source_silent"
UNCHANGED: Final = "source_unchanged"


@dataclass(frozen=True, slots=True)
class Watched:
    """A source that should answer, and change, at least every so many hours (None: never asked of it)."""

    name: str
    created_ms: int
    answered_ms: int | None
    changed_ms: int | None
    silent_h: int | None
    unchanged_h: int | None


@dataclass(frozen=True, slots=True)
class Alarm:
    """What is wrong, with what, and since when."""

    cause: str
    subject: str
    since_ms: int

    @property
    def key(self) -> str:
        """At most one of these is open at a time."""
        return f"{self.cause}:{self.subject}"


def of_sources(watched: Iterable[Watched], *, now_ms: int) -> list[Alarm]:
    """The alarms of sources as they are now. One that does not answer is not blamed for not changing, too."""
    found = []
    for one in watched:
        answered = one.created_ms if one.answered_ms is None else one.answered_ms
        changed = one.created_ms if one.changed_ms is None else one.changed_ms
        if one.silent_h is not None and now_ms - answered > one.silent_h * HOUR_MS:
            found.append(Alarm(SILENT, one.name, answered))
        elif one.unchanged_h is not None and now_ms - changed > one.unchanged_h * HOUR_MS:
            found.append(Alarm(UNCHANGED, one.name, changed))
    return found
