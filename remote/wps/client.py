"""The WPS calls the product makes, by name. Each method is one call: paid for, signed, sent at most once.

Every method takes the admission it spends and raises the exceptions of `errors`: WpsRefused for a definite no and
WpsUnknown for a write that may have been applied (for a read: no answer). The list writes `create_events` and
`add_members` are refused by throttles only and by what happens before the first byte.

Done counts as done: deleting what is gone and updating what is already so return normally.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from remote.wps.errors import Kind, WpsRejected, WpsUnknown
from remote.wps.paging import (
    CALENDARS_PER_PAGE,
    EVENTS_PER_PAGE,
    MEMBERS_PER_PAGE,
    page_target,
    path,
    read_page,
)
from remote.wps.payloads import (
    BadPayload,
    calendar_in,
    current_user_in,
    dump,
    event_in,
    event_out,
    items_in,
    member_in,
    rfc3339,
    user_in,
)
from remote.wps.transport import Admitted, Call, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from zoneinfo import ZoneInfo

    from domain.calendars import DirectoryUser, EventBody, Page, RemoteCalendar, RemoteEvent, RemoteMember

T = TypeVar("T")

LIST_MAX: Final = 100
"""Most events, permissions or ids in one call."""
WINDOW_MAX_MS: Final = 31 * 86_400_000
"""Longest window of a list of events."""

_CREATE_EVENTS: Final = "events.batch_create"
_GONE: Final = frozenset({Kind.GONE})
_MEMBER_GONE: Final = frozenset({Kind.GONE, Kind.MEMBER_GONE})
_NO_CHANGE: Final = frozenset({Kind.NO_CHANGE})
# People who left the institution (the fourth status) get no calendars; the service takes at most three.
_PRESENT: Final = ["active", "notactive", "disabled"]


class WpsClient:
    """Calendar and directory calls over one transport. Thread-safe. `zone` gives the offsets of times sent."""

    def __init__(self, transport: Transport, *, zone: ZoneInfo) -> None:
        self._transport = transport
        self._zone = zone

    # --- calendars

    def create_calendar(self, on: Admitted, *, name: str) -> RemoteCalendar:
        """A new calendar owned by the app."""
        call = _post("calendars.create", path("calendars", "create"), {"summary": name})
        return self._ask(on, call, calendar_in)

    def update_calendar(self, on: Admitted, calendar_id: str, *, name: str) -> None:
        """Rename a calendar."""
        target = path("calendars", calendar_id, "update")
        self._transport.call(on, _post("calendars.update", target, {"summary": name}, done_when=_NO_CHANGE))

    def delete_calendar(self, on: Admitted, calendar_id: str) -> None:
        """Delete a calendar with its events; one that is gone is done."""
        target = path("calendars", calendar_id, "delete")
        self._transport.call(on, Call("calendars.delete", "POST", target, done_when=_GONE))

    def get_calendar(self, on: Admitted, calendar_id: str) -> RemoteCalendar:
        """One calendar; raises WpsGone."""
        return self._ask(on, Call("calendars.get", "GET", path("calendars", calendar_id)), calendar_in)

    def calendars_page(self, on: Admitted, token: str | None) -> Page[RemoteCalendar]:
        """One page of all calendars of the app."""
        target = page_target(path("calendars"), page_size=CALENDARS_PER_PAGE, token=token)
        call = Call("calendars.list", "GET", target)
        return self._ask(on, call, lambda data: read_page(data, calendar_in, asked=token))

    # --- members

    def members_page(self, on: Admitted, calendar_id: str, token: str | None) -> Page[RemoteMember]:
        """One page of a calendar's permissions."""
        base = path("calendars", calendar_id, "permissions")
        call = Call("permissions.list", "GET", page_target(base, page_size=MEMBERS_PER_PAGE, token=token))
        return self._ask(on, call, lambda data: read_page(data, member_in, asked=token))

    def add_members(self, on: Admitted, calendar_id: str, members: Sequence[tuple[str, str]]) -> list[RemoteMember]:
        """Add 1 to 100 (user id, role) pairs in one list write."""
        _check_length(members)
        target = path("calendars", calendar_id, "permissions", "batch_create")
        body = {"permissions": [{"user_id": user_id, "role": role} for user_id, role in members]}
        return self._ask_list(on, _post("permissions.batch_create", target, body, list_write=True), member_in)

    def remove_member(self, on: Admitted, calendar_id: str, permission_id: str) -> None:
        """Take away one permission; one that is gone, with or without its calendar, is done."""
        target = path("calendars", calendar_id, "permissions", permission_id, "delete")
        self._transport.call(on, Call("permissions.delete", "POST", target, done_when=_MEMBER_GONE))

    # --- events

    def pack_events(self, bodies: Sequence[EventBody]) -> bytes:
        """What `create_events` sends for 1 to 100 events, to be made while there is time. Raises WpsRejected."""
        _check_length(bodies)
        return _packed(_CREATE_EVENTS, {"events": [event_out(each, self._zone) for each in bodies]})

    def create_events(
        self, on: Admitted, calendar_id: str, bodies: Sequence[EventBody], *, packed: bytes | None = None
    ) -> list[RemoteEvent]:
        """Create 1 to 100 events in one list write; `packed` is what `pack_events` made of the same.

        The answer promises no order and no completeness: match it by marker.
        """
        target = path("calendars", calendar_id, "events", "batch_create")
        zone = self._zone
        call = Call(_CREATE_EVENTS, "POST", target, packed or self.pack_events(bodies), list_write=True)
        return self._ask_list(on, call, lambda raw: event_in(raw, zone))

    def update_event(self, on: Admitted, calendar_id: str, event_id: str, body: EventBody) -> None:
        """Make an event say `body`; one that says so already is done."""
        target = path("calendars", calendar_id, "events", event_id, "update")
        out = event_out(body, self._zone, clear=True)
        self._transport.call(on, _post("events.update", target, out, done_when=_NO_CHANGE))

    def delete_event(self, on: Admitted, calendar_id: str, event_id: str) -> None:
        """Delete an event; one that is gone, with or without its calendar, is done."""
        target = path("calendars", calendar_id, "events", event_id, "delete")
        self._transport.call(on, Call("events.delete", "POST", target, done_when=_GONE))

    def get_event(self, on: Admitted, calendar_id: str, event_id: str) -> RemoteEvent:
        """One event; raises WpsGone."""
        call = Call("events.get", "GET", path("calendars", calendar_id, "events", event_id))
        return self._ask(on, call, lambda raw: event_in(raw, self._zone))

    def events_page(
        self, on: Admitted, calendar_id: str, *, from_ms: int, until_ms: int, token: str | None
    ) -> Page[RemoteEvent]:
        """One page of the events between two instants (ms UTC), at most 31 days apart."""
        if not 0 < until_ms - from_ms <= WINDOW_MAX_MS:
            raise ValueError("a window of events is longer than nothing and at most 31 days")
        zone = self._zone
        target = page_target(
            path("calendars", calendar_id, "events"),
            page_size=EVENTS_PER_PAGE,
            token=token,
            start_time=rfc3339(from_ms, zone),
            end_time=rfc3339(until_ms, zone),
        )
        call = Call("events.list", "GET", target)
        return self._ask(on, call, lambda data: read_page(data, lambda raw: event_in(raw, zone), asked=token))

    # --- directory

    def users_by_ex_ids(self, on: Admitted, ex_ids: Sequence[str]) -> list[DirectoryUser]:
        """The people with 1 to 100 numbers of the school; numbers nobody has are simply absent."""
        _check_length(ex_ids)
        body = {"ex_user_ids": list(ex_ids), "status": _PRESENT}
        return self._ask_list(on, _post("users.by_ex_user_ids", path("users", "by_ex_user_ids"), body), user_in)

    def current_user(self, on: Admitted, *, bearer: str) -> DirectoryUser:
        """Whose token `bearer` is. His status is not told: it is blank."""
        return self._ask(on, Call("users.current", "GET", path("users", "current"), bearer=bearer), current_user_in)

    def _ask(self, on: Admitted, call: Call, read: Callable[[object], T]) -> T:
        data = self._transport.call(on, call)
        try:
            return read(data)
        except BadPayload as error:
            # The service has answered, so the call is over: only list lag has to be waited for.
            raise WpsUnknown(call.name, http_status=200, code=0, message=str(error), envelope=True) from None

    def _ask_list(self, on: Admitted, call: Call, read_item: Callable[[object], T]) -> list[T]:
        return self._ask(on, call, lambda data: [read_item(item) for item in items_in(data)])


def _post(
    name: str,
    target: str,
    body: Mapping[str, object],
    *,
    list_write: bool = False,
    done_when: frozenset[Kind] = frozenset(),
) -> Call:
    return Call(name, "POST", target, _packed(name, body), list_write=list_write, done_when=done_when)


def _packed(name: str, body: Mapping[str, object]) -> bytes:
    try:
        return dump(body)
    except UnicodeEncodeError:
        raise WpsRejected(name, message="the text is not valid Unicode") from None


def _check_length(items: Sequence[object]) -> None:
    if not 1 <= len(items) <= LIST_MAX:
        raise ValueError(f"a list call takes 1 to {LIST_MAX} items, not {len(items)}")
