"""Who may see a calendar. The contract leaves three things open; this simulator decides them the strict way:

- one unknown user (or one whose account was closed) fails the whole batch with CalendarUserNotExist;
- a user who has a permission already: with the same role the answer shows the one that is there and nothing changes;
  with another role the whole call is refused with CommonResourceAlreadyExist;
- the same user twice in one batch is an invalid value.

A refused call applies nothing.

The app owns its calendars without an entry in the list: no `owner` row is ever shown.
"""

from typing import Any

from simulator import calendars, errors, quotas
from simulator.call import Answer, Call, make_token, read_token, success
from simulator.errors import Refused
from simulator.people import Person
from simulator.shapes import array_of, one_of, record, text
from simulator.state import Calendar, Permission, State

_ITEM = {"role": one_of({"free_busy_reader", "reader", "writer"}), "user_id": text()}
_BATCH = {
    "permissions": array_of(record(_ITEM, required=("role", "user_id")), least=1, most=quotas.PERMISSION_BATCH_MAX)
}


def _as_json(state: State, calendar: Calendar, permission: Permission, *, external: bool) -> dict[str, str]:
    user_id = state.people.by_id[permission.user_id].ex_user_id if external else permission.user_id
    return {"id": permission.id, "calendar_id": calendar.id, "user_id": user_id, "role": permission.role}


def _wanted(
    state: State, calendar: Calendar, items: list[dict[str, str]], *, external: bool
) -> list[tuple[Person, str]]:
    """The people of a request with the roles they shall have. Raises Refused when any of them cannot be had."""
    wanted: dict[str, tuple[Person, str]] = {}
    for item in items:
        person = state.person_of(item["user_id"], external=external)
        if person is None:
            raise Refused(errors.CALENDAR_USER_NOT_EXIST, f"user {item['user_id']}")
        if person.id in wanted:
            raise Refused(errors.VALUE_INVALID, f"user {item['user_id']} is named twice")
        there = calendar.by_user.get(person.id)
        if there is not None and there.role != item["role"]:
            raise Refused(errors.ALREADY_EXISTS, f"user {item['user_id']} is {there.role}")
        wanted[person.id] = (person, item["role"])
    return list(wanted.values())


def _grant(state: State, calendar: Calendar, wanted: list[tuple[Person, str]]) -> list[Permission]:
    new = [
        (state.new_id("permission"), person.id, role) for person, role in wanted if person.id not in calendar.by_user
    ]
    if new:
        state.commit({"op": "permissions", "calendar": calendar.id, "items": new, "ids": state.ids})
    return [calendar.by_user[person.id] for person, _ in wanted]


def create(state: State, call: Call) -> Answer:
    """POST …/permissions/create"""
    calendar = calendars.find(state, call.ids[0])
    external = call.external_ids()
    item = call.fields(_ITEM, required=("role", "user_id"))
    (permission,) = _grant(state, calendar, _wanted(state, calendar, [item], external=external))
    return success(_as_json(state, calendar, permission, external=external), applied=True, items=1)


def batch_create(state: State, call: Call) -> Answer:
    """POST …/permissions/batch_create; the order of the answer is not that of the request"""
    calendar = calendars.find(state, call.ids[0])
    external = call.external_ids()
    body = call.fields(_BATCH, required=("permissions",))
    wanted = _wanted(state, calendar, body["permissions"], external=external)
    if call.choose_some is not None:
        wanted = [wanted[index] for index in call.choose_some(len(wanted))]
    granted = _grant(state, calendar, wanted)
    call.shuffle(granted)
    items = [_as_json(state, calendar, permission, external=external) for permission in granted]
    return success({"items": items}, applied=True, items=len(items))


def list_all(state: State, call: Call) -> Answer:
    """GET …/permissions"""
    calendar = calendars.find(state, call.ids[0])
    external = call.external_ids()
    size = call.page_size(default=quotas.PERMISSION_PAGE_MAX, most=quotas.PERMISSION_PAGE_MAX)
    scope = f"permissions {calendar.id}"
    token = call.parameter("page_token")
    after = read_token(token, scope, 1)[0] if token else -1
    rest = [
        permission
        for permission in calendar.permissions.values()
        if permission.position > after and call.is_visible(permission.born_s)
    ]
    page = rest[:size]
    data: dict[str, Any] = {"items": [_as_json(state, calendar, item, external=external) for item in page]}
    if len(rest) > size:
        data["next_page_token"] = make_token(scope, page[-1].position)
    return success(data)


def delete(state: State, call: Call) -> Answer:
    """POST …/permissions/{calendar_permission_id}/delete"""
    call.no_fields()
    calendar = calendars.find(state, call.ids[0])
    if call.ids[1] not in calendar.permissions:
        raise Refused(errors.MEMBER_NOT_EXIST)
    state.commit({"op": "permission_delete", "calendar": calendar.id, "id": call.ids[1]})
    return success(applied=True, items=1)
