"""Calendars. All are owned by the app; a deleted one stays in the list with `is_deleted` and is gone for all else.

The primary calendar comes into being the first time it is asked for.
"""

from typing import Any

from simulator import errors, quotas
from simulator.call import Answer, Call, make_token, read_token, success
from simulator.errors import Refused
from simulator.shapes import text
from simulator.state import Calendar, State

_SUMMARY = text(shortest=1, longest=quotas.CALENDAR_SUMMARY_MAX)


def as_json(calendar: Calendar) -> dict[str, Any]:
    """calendar_detail as the app sees it."""
    return {
        "id": calendar.id,
        "summary": calendar.summary,
        "description": "",
        "type": calendar.type,
        "role": "owner",
        "open_status": "private",
        "is_deleted": calendar.is_deleted,
    }


def find(state: State, calendar_id: str) -> Calendar:
    """A live calendar by id; `primary` is an alias. Raises Refused."""
    if calendar_id == "primary":
        return _primary(state)
    calendar = state.calendars.get(calendar_id)
    if calendar is None or calendar.is_deleted:
        raise Refused(errors.CALENDAR_NOT_EXIST)
    return calendar


def _primary(state: State) -> Calendar:
    if state.primary is None:
        _add(state, "primary", "primary")
    assert state.primary is not None
    return state.primary


def _add(state: State, summary: str, kind: str) -> Calendar:
    new_id = state.new_id("calendar")
    state.commit({"op": "calendar", "id": new_id, "summary": summary, "type": kind, "ids": state.ids})
    return state.calendars[new_id]


def create(state: State, call: Call) -> Answer:
    """POST /v7/calendars/create"""
    body = call.fields({"summary": _SUMMARY}, required=("summary",))
    return success(as_json(_add(state, body["summary"], "normal")), applied=True, items=1)


def list_all(state: State, call: Call) -> Answer:
    """GET /v7/calendars, oldest first"""
    size = call.page_size(default=quotas.CALENDAR_PAGE_MAX, most=quotas.CALENDAR_PAGE_MAX)
    token = call.parameter("page_token")
    position = read_token(token, "calendars", 1)[0] if token else 0
    items: list[dict[str, Any]] = []
    for calendar in state.listed[position:] if position else state.listed:
        if not call.is_visible(calendar.born_s):
            continue
        if len(items) == size:
            return success({"items": items, "next_page_token": make_token("calendars", calendar.position)})
        items.append(as_json(calendar))
    return success({"items": items})


def get(state: State, call: Call) -> Answer:
    """GET /v7/calendars/{calendar_id}, GET /v7/calendars/primary"""
    return success(as_json(find(state, call.ids[0])))


def update(state: State, call: Call) -> Answer:
    """POST /v7/calendars/{calendar_id}/update; a null or absent summary changes nothing"""
    calendar = find(state, call.ids[0])
    summary = call.fields({"summary": _SUMMARY}, nullable=("summary",)).get("summary")
    if summary is not None and summary != calendar.summary:
        state.commit({"op": "calendar_rename", "id": calendar.id, "summary": summary})
    return success(applied=True, items=1)


def delete(state: State, call: Call) -> Answer:
    """POST /v7/calendars/{calendar_id}/delete"""
    call.no_fields()
    calendar = find(state, call.ids[0])
    if calendar.type == "primary":
        raise Refused(errors.PRIMARY_DELETE)
    state.commit({"op": "calendar_delete", "id": calendar.id})
    return success(applied=True, items=1)
