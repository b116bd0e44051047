"""What the pretended service has: calendars with their permissions and events, and the directory of people.

Every change is an *operation*, a small JSON object. Live calls build one and `commit` it; a restart reads the same
objects back from the journal and applies them again, so there is one place that changes anything. Deleted calendars and
events stay (the lists of the contract have `is_deleted` and `status` for them).

Ids are opaque: a hash of a counter and of a nonce drawn once per life of the data, so ids never repeat after a reset.
"""

import hashlib
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any

from simulator.clock import Clock
from simulator.details import Details
from simulator.journal import Journal
from simulator.people import People, Person

Operation = dict[str, Any]


class Event:
    """One event of a calendar. `version` is the number of the change that touched it last."""

    __slots__ = ("born_s", "cancelled", "details", "id", "position", "version")

    def __init__(self, event_id: str, details: Details, position: int, version: int, born_s: float) -> None:
        self.id = event_id
        self.details = details
        self.position = position
        self.version = version
        self.born_s = born_s
        self.cancelled = False


class Permission:
    """A person's role in a calendar."""

    __slots__ = ("born_s", "id", "position", "role", "user_id")

    def __init__(self, permission_id: str, user_id: str, role: str, position: int, born_s: float) -> None:
        self.id = permission_id
        self.user_id = user_id
        self.role = role
        self.position = position
        self.born_s = born_s


class Calendar:
    """A calendar of the app. `events` holds None where an event was moved to another calendar."""

    __slots__ = (
        "born_s",
        "by_event",
        "by_user",
        "events",
        "id",
        "is_deleted",
        "permissions",
        "position",
        "summary",
        "type",
    )

    def __init__(self, calendar_id: str, summary: str, kind: str, position: int, born_s: float) -> None:
        self.id = calendar_id
        self.summary = summary
        self.type = kind
        self.position = position
        self.born_s = born_s
        self.is_deleted = False
        self.events: list[Event | None] = []
        self.by_event: dict[str, Event] = {}
        self.permissions: dict[str, Permission] = {}
        self.by_user: dict[str, Permission] = {}


class State:
    """Everything the service knows. Not safe for threads: one event loop owns it."""

    def __init__(self, seed: int, clock: Clock, journal: Journal | None = None) -> None:
        self._clock = clock
        self._journal = journal
        self._begin(seed, secrets.token_hex(8))
        self._replay()

    def _begin(self, seed: int, nonce: str) -> None:
        self.people = People(seed)
        self.calendars: dict[str, Calendar] = {}
        self.listed: list[Calendar] = []
        self.primary: Calendar | None = None
        self.version = 0
        self._clock.offset_s = 0.0
        self._nonce = nonce
        self._ids = 0
        self._positions = 0

    def _replay(self) -> None:
        """Applies what the journal holds; what happened before the start is too old for any list to miss."""
        fresh = True
        if self._journal is not None:
            for operation in self._journal.read():
                self.apply(operation, born_s=float("-inf"))
                fresh = False
        if fresh:
            self._write({"op": "begin", "seed": self.people.seed, "nonce": self._nonce})

    def reset(self) -> None:
        """Forgets everything but the seed."""
        self.commit({"op": "begin", "seed": self.people.seed, "nonce": secrets.token_hex(8)})

    def new_id(self, kind: str) -> str:
        """An id that was never used."""
        self._ids += 1
        return hashlib.blake2b(f"{self._nonce}{kind}{self._ids}".encode(), digest_size=9).hexdigest()

    def commit(self, operation: Operation) -> None:
        """Applies an operation and writes it to the journal."""
        self.apply(operation, born_s=time.monotonic())
        self._write(operation)

    def _write(self, operation: Operation) -> None:
        if self._journal is not None:
            self._journal.append(operation, truncate=operation["op"] == "begin")

    def apply(self, operation: Operation, *, born_s: float) -> None:
        """Changes the state. `born_s` is the monotonic second from which new objects count their age."""
        self.version += 1
        self._born_s = born_s
        _APPLY[operation["op"]](self, operation)

    def begin(self, op: Operation) -> None:
        self._begin(op["seed"], op["nonce"])

    def create_calendar(self, op: Operation) -> None:
        calendar = Calendar(op["id"], op["summary"], op["type"], len(self.listed), self._born_s)
        self._ids = max(self._ids, op["ids"])
        self.calendars[calendar.id] = calendar
        self.listed.append(calendar)
        if calendar.type == "primary":
            self.primary = calendar

    def rename_calendar(self, op: Operation) -> None:
        self.calendars[op["id"]].summary = op["summary"]

    def delete_calendar(self, op: Operation) -> None:
        self.calendars[op["id"]].is_deleted = True

    def create_permissions(self, op: Operation) -> None:
        calendar = self.calendars[op["calendar"]]
        self._ids = max(self._ids, op["ids"])
        for permission_id, user_id, role in op["items"]:
            # Never used twice, also not after a delete: a page continues after the last position it showed.
            self._positions += 1
            permission = Permission(permission_id, user_id, role, self._positions, self._born_s)
            calendar.permissions[permission_id] = permission
            calendar.by_user[user_id] = permission

    def delete_permission(self, op: Operation) -> None:
        calendar = self.calendars[op["calendar"]]
        permission = calendar.permissions.pop(op["id"])
        del calendar.by_user[permission.user_id]

    def create_events(self, op: Operation) -> None:
        calendar = self.calendars[op["calendar"]]
        self._ids = max(self._ids, op["ids"])
        events, by_event, version, born_s = calendar.events, calendar.by_event, self.version, self._born_s
        for event_id, fields in op["items"]:
            details = fields if type(fields) is Details else Details.from_journal(fields)
            event = Event(event_id, details, len(events), version, born_s)
            events.append(event)
            by_event[event_id] = event

    def update_event(self, op: Operation) -> None:
        event = self.calendars[op["calendar"]].by_event[op["id"]]
        fields = op["fields"]
        event.details = fields if type(fields) is Details else Details.from_journal(fields)
        event.version = self.version
        if op["to"] != op["calendar"]:
            self._move(event, op["calendar"], op["to"])

    def _move(self, event: Event, source_id: str, target_id: str) -> None:
        source, target = self.calendars[source_id], self.calendars[target_id]
        source.events[event.position] = None
        del source.by_event[event.id]
        event.position = len(target.events)
        target.events.append(event)
        target.by_event[event.id] = event

    def delete_event(self, op: Operation) -> None:
        event = self.calendars[op["calendar"]].by_event[op["id"]]
        event.cancelled = True
        event.version = self.version

    def put_person(self, op: Operation) -> None:
        self.people.put(op["ex_user_id"], op["user_name"], op["status"])

    def advance_clock(self, op: Operation) -> None:
        self._clock.offset_s += op["by_s"]

    def now_s(self) -> float:
        """The service's own time, epoch seconds."""
        return self._clock.now_s()

    @property
    def ids(self) -> int:
        """How many ids were handed out; creating operations carry it so that a restart goes on counting."""
        return self._ids

    def person_of(self, user_id: str, *, external: bool) -> Person | None:
        """The account behind a user id as the caller writes it; accounts that were closed are unknown."""
        person = (self.people.by_ex if external else self.people.by_id).get(user_id)
        return None if person is None or person.status == "dimission" else person

    def counts(self) -> dict[str, int]:
        """Sizes only."""
        live = [calendar for calendar in self.listed if not calendar.is_deleted]
        events = sum(_live_events(calendar.events) for calendar in live)
        return {
            "calendars": len(live),
            "deleted_calendars": len(self.listed) - len(live),
            "permissions": sum(len(calendar.permissions) for calendar in live),
            "events": events,
            "cancelled_events": sum(len(calendar.by_event) for calendar in live) - events,
            "users": len(self.people),
        }


def _live_events(events: Iterable[Event | None]) -> int:
    return sum(1 for event in events if event is not None and not event.cancelled)


_APPLY: dict[str, Callable[[State, Operation], None]] = {
    "begin": State.begin,
    "calendar": State.create_calendar,
    "calendar_rename": State.rename_calendar,
    "calendar_delete": State.delete_calendar,
    "permissions": State.create_permissions,
    "permission_delete": State.delete_permission,
    "events": State.create_events,
    "event_update": State.update_event,
    "event_delete": State.delete_event,
    "person": State.put_person,
    "clock": State.advance_clock,
}
