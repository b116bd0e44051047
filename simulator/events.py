"""Events of a calendar. What the contract leaves open is decided so:

- a list without `start_time` and `end_time` shows the 31 days from `anchor_time` (or from now); one of them alone is an
  invalid value; an event belongs to a window when it overlaps it;
- a page token is good only for the list and the window it came from;
- with `sync_token` the list holds what changed after it, cancelled events included, whatever their time;
- a null field of an update leaves the field as it is; an update that changes nothing is refused with EventNoChange;
- recurrences are kept as sent; only their first instance is looked at.
"""

from typing import Any, NamedTuple

from simulator import calendars, details, errors, quotas
from simulator.call import Answer, Call, encode_json, make_token, read_token, success
from simulator.details import BASE_FIELDS, EXTRA_SHAPES, Details
from simulator.errors import Refused
from simulator.shapes import Shape, flag, one_of, record, text, whole
from simulator.state import Calendar, Event, State
from simulator.times import instant

_CREATE_ONLY: dict[str, Shape] = {"user_id": text()}
_MODE: dict[str, Shape] = {
    "is_notification": flag,
    "mod_type": one_of({"one", "all"}),
    "which_day_time": whole(least=0),
}
_UPDATE_ONLY: dict[str, Shape] = {**_MODE, "calendar_id": text(), "is_reinvition": flag}
_NOT_NULL = ("which_day_time",)


def _as_json(calendar: Calendar, event: Event) -> dict[str, Any]:
    answer = event.details.as_json(event.id, cancelled=event.cancelled)
    answer["calendar_id"] = calendar.id
    answer["organizer"] = {"type": "user", "user_id": None}
    answer["original_start_time"] = None
    extra = event.details.extra or {}
    answer["free_busy_status"] = extra.get("free_busy_status", "busy")
    answer["visibility"] = extra.get("visibility", "default")
    for name in ("recurrence", "online_meeting"):
        if name in extra:
            answer[name] = extra[name]
    return answer


def _find(calendar: Calendar, event_id: str) -> Event:
    event = calendar.by_event.get(event_id)
    if event is None or event.cancelled:
        raise Refused(errors.EVENT_NOT_EXIST)
    return event


def _extra(body: dict[str, Any], more: dict[str, Shape]) -> dict[str, Any] | None:
    """Checks every field that is not a base field and returns those worth keeping."""
    shapes = EXTRA_SHAPES | more
    rest = {name: value for name, value in body.items() if name not in BASE_FIELDS}
    record(shapes, nullable=[name for name in shapes if name not in _NOT_NULL])(rest, "body")
    kept = {name: value for name, value in rest.items() if name in EXTRA_SHAPES and value is not None}
    return kept or None


def _add(state: State, calendar: Calendar, drafts: list[Details]) -> list[tuple[str, Details]]:
    new_id = state.new_id
    items = [(new_id("event"), draft) for draft in drafts]
    state.commit({"op": "events", "calendar": calendar.id, "items": items, "ids": state.ids})
    return items


def create(state: State, call: Call) -> Answer:
    """POST …/events/create"""
    calendar = calendars.find(state, call.ids[0])
    call.external_ids()
    body = call.json()
    draft = details.read_new(body, "body", _extra(body, _CREATE_ONLY))
    ((event_id, _),) = _add(state, calendar, [draft])
    return success(_as_json(calendar, calendar.by_event[event_id]), applied=True, items=1)


def batch_create(state: State, call: Call) -> Answer:
    """POST …/events/batch_create: all or nothing; the order of the answer is not that of the request"""
    calendar = calendars.find(state, call.ids[0])
    body = call.json()
    if body.keys() != {"events"}:
        if "events" not in body:
            raise Refused(errors.PARAM_FORMAT, "body.events is required")
        raise Refused(errors.PARAM_UNSUPPORTED, "body has unknown fields")
    raw = body["events"]
    if type(raw) is not list:
        raise Refused(errors.PARAM_FORMAT, "body.events must be an array")
    if not 1 <= len(raw) <= quotas.EVENT_BATCH_MAX:
        raise Refused(errors.VALUE_INVALID, f"body.events must have 1 to {quotas.EVENT_BATCH_MAX} items")
    read_base = details.read_base
    drafts = [read_base(item, f"events[{number}]") for number, item in enumerate(raw)]
    if call.choose_some is not None:
        drafts = [drafts[index] for index in call.choose_some(len(drafts))]
    if not drafts:
        return success({"items": []})
    items = [draft.as_json(event_id) for event_id, draft in _add(state, calendar, drafts)]
    call.shuffle(items)
    return success({"items": items}, applied=True, items=len(items))


def get(state: State, call: Call) -> Answer:
    """GET …/events/{event_id}; a deleted event does not exist"""
    calendar = calendars.find(state, call.ids[0])
    call.external_ids()
    return success(_as_json(calendar, _find(calendar, call.ids[1])))


def update(state: State, call: Call) -> Answer:
    """POST …/events/{event_id}/update"""
    calendar = calendars.find(state, call.ids[0])
    event = _find(calendar, call.ids[1])
    body = call.json()
    extra = _extra(body, _UPDATE_ONLY)
    _check_mode(body, event)
    target = calendar if body.get("calendar_id") is None else calendars.find(state, body["calendar_id"])
    changed = details.read_change(body, event.details, extra)
    if changed == event.details and target is calendar:
        raise Refused(errors.EVENT_NO_CHANGE)
    state.commit(
        {"op": "event_update", "calendar": calendar.id, "id": event.id, "to": target.id, "fields": changed},
    )
    return success(_as_json(target, event), applied=True, items=1)


def _check_mode(body: dict[str, Any], event: Event) -> None:
    if body.get("mod_type") == "one":
        if "which_day_time" not in body:
            raise Refused(errors.WHICH_DAY_TIME, "which_day_time is required with mod_type one")
        if "recurrence" not in (event.details.extra or {}):
            raise Refused(errors.NOT_RECURRENT)


def delete(state: State, call: Call) -> Answer:
    """POST …/events/{event_id}/delete"""
    calendar = calendars.find(state, call.ids[0])
    event = _find(calendar, call.ids[1])
    body = call.optional_fields(_MODE, nullable=("is_notification", "mod_type"))
    _check_mode(body, event)
    state.commit({"op": "event_delete", "calendar": calendar.id, "id": event.id})
    return success(applied=True, items=1)


class _Filter(NamedTuple):
    """What a list shows: changes after a version, or a window of time."""

    since_version: int | None
    start_s: float
    end_s: float
    cancelled: bool

    def takes(self, event: Event) -> bool:
        if self.since_version is not None:
            return event.version > self.since_version
        if event.cancelled and not self.cancelled:
            return False
        start, end = event.details.start, event.details.end
        end_s = end.at_s + 86_400 if end.all_day else end.at_s
        return start.at_s < self.end_s and end_s > self.start_s


def _filter(call: Call, calendar: Calendar, now_s: float) -> _Filter:
    sync_token = call.parameter("sync_token")
    cancelled = call.boolean("with_cancelled")
    if sync_token:
        return _Filter(read_token(sync_token, f"sync {calendar.id}", 1)[0], 0.0, 0.0, True)
    start, end, anchor = (call.parameter(name) for name in ("start_time", "end_time", "anchor_time"))
    if (start is None) != (end is None):
        raise Refused(errors.VALUE_INVALID, "start_time and end_time go together")
    if start is None or end is None:
        start_s = instant(anchor).at_s if anchor else now_s
        return _Filter(None, start_s, start_s + quotas.EVENT_WINDOW_MAX_S, cancelled)
    start_s, end_s = instant(start).at_s, instant(end).at_s
    if end_s <= start_s:
        raise Refused(errors.TIME_RANGE, "end_time must be after start_time")
    if end_s - start_s > quotas.EVENT_WINDOW_MAX_S:
        raise Refused(errors.VALUE_INVALID, "the window may be 31 days long")
    return _Filter(None, start_s, end_s, cancelled)


def list_window(state: State, call: Call) -> Answer:
    """GET …/events"""
    calendar = calendars.find(state, call.ids[0])
    call.external_ids()
    size = call.page_size(default=quotas.EVENT_PAGE_DEFAULT, most=quotas.EVENT_PAGE_MAX)
    chosen = _filter(call, calendar, state.now_s())
    named = [call.parameter(name) for name in ("start_time", "end_time", "with_cancelled", "sync_token", "anchor_time")]
    scope = f"events {calendar.id} {named}"
    token = call.parameter("page_token")
    position, version = read_token(token, scope, 2) if token else (0, _settled_version(state, calendar, call))
    page: list[dict[str, Any]] = []
    for event in calendar.events[position:]:
        if event is None or not call.is_visible(event.born_s) or not chosen.takes(event):
            continue
        if len(page) == size:
            return success({"items": page, "next_page_token": make_token(scope, event.position, version)})
        page.append(_as_json(calendar, event))
    return success({"items": page, "next_sync_token": make_token(f"sync {calendar.id}", version)})


def _settled_version(state: State, calendar: Calendar, call: Call) -> int:
    """The change up to which this list is complete: before the first event that the lag still hides."""
    hidden = [event.version for event in calendar.events if event and not call.is_visible(event.born_s)]
    return min(hidden, default=state.version + 1) - 1


def search(state: State, call: Call) -> Answer:
    """POST …/events/search: events whose summary or description has the keyword, whatever their time"""
    calendar = calendars.find(state, call.ids[0])
    call.external_ids()
    shapes = {
        "keyword": text(shortest=1, longest=quotas.SEARCH_KEYWORD_MAX),
        "page_size": whole(least=1, most=quotas.SEARCH_PAGE_MAX),
        "page_token": text(),
    }
    body = call.fields(shapes, required=("keyword",))
    size = body.get("page_size", quotas.EVENT_PAGE_DEFAULT)
    keyword = body["keyword"].casefold()
    scope = f"search {calendar.id} {encode_json(keyword)}"
    position = read_token(body["page_token"], scope, 1)[0] if body.get("page_token") else 0
    page: list[dict[str, Any]] = []
    for event in calendar.events[position:]:
        if event is None or event.cancelled or not call.is_visible(event.born_s):
            continue
        if keyword not in f"{event.details.summary}\n{event.details.description}".casefold():
            continue
        if len(page) == size:
            return success({"items": page, "next_page_token": make_token(scope, event.position)})
        page.append(_as_json(calendar, event))
    return success({"items": page})
