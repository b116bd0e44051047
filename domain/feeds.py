"""What a calendar feed says of classes: their sequence numbers, and those that are gone.

A feed remembers what it told last. What reads otherwise now has a sequence one higher; a class to come that is not there any
more is told as cancelled for `GONE_MS`, so that a calendar which only adds and changes lets it go too. It is remembered until
it would be over, so that a class which comes back goes on counting.

    (new) ─▶ told, 0 ─differs─▶ told, n + 1 ─▶ …
               └─────is not there─▶ gone, n + 1 ─comes back─▶ told, n + 2
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

GONE_MS: Final = 30 * 86_400_000
"""How long a class that is gone is told as cancelled."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A class as a feed shows it. Instants are milliseconds UTC."""

    id: str
    summary: str
    description: str
    location: str
    start_ms: int
    end_ms: int
    cancelled: bool = False

    @property
    def digest(self) -> str:
        """Differs where anything does that people read."""
        said = (self.summary, self.description, self.location, self.start_ms, self.end_ms, self.cancelled)
        return hashlib.sha256(repr(said).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Told:
    """What a feed has told of a class. `gone_ms`: since when it is gone, 0 where it is there."""

    digest: str
    sequence: int
    changed_ms: int
    start_ms: int
    end_ms: int
    summary: str
    gone_ms: int = 0


def follow(told: Mapping[str, Told], shown: Iterable[Shown], *, now_ms: int) -> dict[str, Told]:
    """What a feed is to tell now, by the id of the class, given what it told last."""
    found = {one.id: _follow_one(told.get(one.id), one, now_ms) for one in shown}
    for id_, before in told.items():
        if id_ in found or before.end_ms <= now_ms:
            continue
        if before.gone_ms:
            found[id_] = before
        else:
            found[id_] = replace(before, sequence=before.sequence + 1, changed_ms=now_ms, gone_ms=now_ms)
    return found


def _follow_one(before: Told | None, one: Shown, now_ms: int) -> Told:
    if before is not None and before.digest == one.digest and not before.gone_ms:
        return before
    sequence = 0 if before is None else before.sequence + 1
    return Told(one.digest, sequence, now_ms, one.start_ms, one.end_ms, one.summary)


def is_shown(one: Told, *, now_ms: int) -> bool:
    """Whether a class that was told is still told: what is gone is, for a while."""
    return not one.gone_ms or now_ms < one.gone_ms + GONE_MS


def stale_at(told: Iterable[Told], *, now_ms: int) -> int | None:
    """When the first of those that are gone is not told any more; None: nothing changes by itself."""
    ends = (one.gone_ms + GONE_MS for one in told if one.gone_ms)
    return min((end for end in ends if end > now_ms), default=None)
