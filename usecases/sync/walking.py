"""Reading one calendar as a whole: its name, every event of the term in windows of 31 days, every permission.

A walk may be interrupted between any two calls (the limiter parks the lane, another lane waits) and goes on where it was: what
it has seen travels as JSON. It is good only if nothing of the calendar was sent meanwhile; `fingerprint` tells.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, TypeVar

from domain.calendars import Page, RemoteEvent
from domain.settlement import Mirrored
from domain.verification import SeenCalendar, SeenEvent, SeenMember, doubtful, fingerprint
from remote.wps.client import WINDOW_MAX_MS, WpsClient
from remote.wps.errors import WpsGone
from remote.wps.transport import Admitted

T = TypeVar("T")
Read = Callable[[Callable[[Admitted], T]], T]

_SHOWN = 200  # characters kept of a text that somebody else wrote


@dataclass(slots=True)
class Walk:
    """How far a walk has come, and what it has seen. `token` is that of the next page, blank for the first."""

    fingerprint: str
    from_ms: int
    until_ms: int
    phase: str = "calendar"  # calendar, events, members, doubts, done
    token: str = ""
    gone: bool = False
    name: str = ""
    events: dict[str, list[Any]] = field(default_factory=dict)
    members: dict[str, list[str]] = field(default_factory=dict)
    doubts: list[str] | None = None

    def dump(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def load(cls, text: str) -> "Walk":
        return cls(**json.loads(text))

    def seen(self) -> SeenCalendar:
        """What a finished walk saw."""
        return SeenCalendar(
            self.gone,
            self.name,
            tuple(_seen_event(event_id, rest) for event_id, rest in self.events.items()),
            tuple(SeenMember(user, role, permission) for user, (role, permission) in self.members.items()),
        )


def begin(rows: Sequence[Mirrored], members: Mapping[str, tuple[str, str]], *, from_ms: int, until_ms: int) -> Walk:
    """A walk over the given span of time and whatever else our own events reach."""
    times = [ms for row in rows if row.kind == "event" for ms in (row.from_ms, row.until_ms) if ms is not None]
    spans = [ms for ms in (from_ms, until_ms) if ms]
    return Walk(fingerprint(rows, members), min(times + spans, default=0), max(times + spans, default=0))


def look(client: WpsClient, read: Read, walk: Walk, remote_id: str, rows: Sequence[Mirrored]) -> None:  # type: ignore[type-arg]
    """Carry the walk to its end. Whatever `read` raises leaves it where it can go on."""
    steps = {"calendar": _calendar, "events": _events, "members": _members}
    try:
        while walk.phase in steps:
            steps[walk.phase](client, read, walk, remote_id)
        if walk.phase == "doubts":
            _doubts(client, read, walk, remote_id, rows)
    except WpsGone:
        walk.gone = True
    walk.phase = "done"


def _calendar(client: WpsClient, read: Read, walk: Walk, remote_id: str) -> None:  # type: ignore[type-arg]
    found = read(lambda on: client.get_calendar(on, remote_id))
    walk.gone, walk.name = found.deleted, shown(found.name)
    walk.phase = "done" if found.deleted else "events"


def _events(client: WpsClient, read: Read, walk: Walk, remote_id: str) -> None:  # type: ignore[type-arg]
    while walk.from_ms < walk.until_ms:
        from_ms, until_ms = walk.from_ms, min(walk.until_ms, walk.from_ms + WINDOW_MAX_MS)

        def fetch(on: Admitted, from_ms: int = from_ms, until_ms: int = until_ms) -> Page[RemoteEvent]:
            return client.events_page(on, remote_id, from_ms=from_ms, until_ms=until_ms, token=walk.token or None)

        page: Page[RemoteEvent] = read(fetch)
        for event in page.items:
            _keep(walk, event)
        walk.token = page.next_token or ""
        if not walk.token:
            walk.from_ms = until_ms
    walk.phase = "members"


def _members(client: WpsClient, read: Read, walk: Walk, remote_id: str) -> None:  # type: ignore[type-arg]
    while True:
        page = read(lambda on: client.members_page(on, remote_id, walk.token or None))
        for one in page.items:
            if one.role != "owner":
                walk.members[one.user_id] = [one.role, one.permission_id]
        walk.token = page.next_token or ""
        if not walk.token:
            walk.phase = "doubts"
            return


def _doubts(client: WpsClient, read: Read, walk: Walk, remote_id: str, rows: Sequence[Mirrored]) -> None:  # type: ignore[type-arg]
    """Look at each of our events that the lists do not show as sent: moved out of every window, deleted, or a list that lags."""
    if walk.doubts is None:
        walk.doubts = doubtful(rows, {one.id: one for one in walk.seen().events})
    while walk.doubts:
        event_id = walk.doubts[0]
        try:
            _keep(walk, read(partial(client.get_event, calendar_id=remote_id, event_id=event_id)))
        except WpsGone:
            walk.events.pop(event_id, None)
        walk.doubts = walk.doubts[1:]


def _keep(walk: Walk, event: RemoteEvent) -> None:
    if event.cancelled:
        walk.events.pop(event.id, None)
        return
    body = event.body
    location = shown(body.location) if body.location else None
    walk.events[event.id] = [
        event.marker,
        body.content_hash(),
        body.start_ms,
        body.end_ms,
        shown(body.summary),
        location,
    ]


def shown(text: str) -> str:
    """A text of somebody else as it is stored: its beginning, and without halves of characters, which no database takes."""
    return text[:_SHOWN].encode("utf-8", "replace").decode("utf-8")


def _seen_event(event_id: str, rest: Sequence[Any]) -> SeenEvent:
    marker, hash_, start_ms, end_ms, summary, location = rest
    return SeenEvent(event_id, marker, hash_, start_ms, end_ms, summary, location)
