"""The directory, read only. Ids nobody has are left out of an answer, not refused.

Unlike every other list, GET /v7/users always carries `next_page_token`; it is empty at the end.
"""

from typing import Any

from simulator import errors, quotas
from simulator.call import Answer, Call, make_token, read_token, success
from simulator.errors import Refused
from simulator.people import STATUSES, Person
from simulator.shapes import array_of, flag, one_of, text
from simulator.state import State

_STATUS = array_of(one_of(STATUSES), least=1, most=quotas.STATUSES_MAX)
_JOINED_S = 1_700_000_000
COMPANY_ID = "simulated-university"


def _as_json(person: Person) -> dict[str, Any]:
    return {
        "id": person.id,
        "ex_user_id": person.ex_user_id,
        "user_name": person.user_name,
        "login_name": person.ex_user_id,
        "role": "normal",
        "status": person.status,
        "ctime": _JOINED_S,
    }


def _with_type(person: Person) -> dict[str, Any]:
    return {**_as_json(person), "type": "company_user", "type_v2": "company_member"}


def by_ex_user_ids(state: State, call: Call) -> Answer:
    """POST /v7/users/by_ex_user_ids"""
    ids = text(shortest=1, longest=quotas.EX_ID_TEXT_MAX)
    shapes = {"ex_user_ids": array_of(ids, least=1, most=quotas.EX_IDS_MAX), "status": _STATUS}
    body = call.fields(shapes, required=("ex_user_ids", "status"))
    found = {person.id: person for name in body["ex_user_ids"] if (person := state.people.by_ex.get(name))}
    items = [_as_json(person) for person in found.values() if person.status in body["status"]]
    call.shuffle(items)
    return success({"items": items})


def batch_read(state: State, call: Call) -> Answer:
    """POST /v7/users/batch_read"""
    known = state.people.by_ex if call.external_ids() else state.people.by_id
    ids = text(shortest=1, longest=quotas.EX_ID_TEXT_MAX)
    shapes = {"user_ids": array_of(ids, least=1, most=quotas.USER_IDS_MAX), "status": _STATUS, "with_dept": flag}
    body = call.fields(shapes, required=("user_ids", "status"))
    found = {person.id: person for name in body["user_ids"] if (person := known.get(name))}
    return success({"items": [_with_type(person) for person in found.values() if person.status in body["status"]]})


def list_all(state: State, call: Call) -> Answer:
    """GET /v7/users; `status` is required and may be repeated"""
    call.external_ids()
    size = call.page_size(default=quotas.USER_PAGE_DEFAULT, most=quotas.USER_PAGE_MAX)
    statuses = call.parameters("status")
    if not statuses:
        raise Refused(errors.PARAM_FORMAT, "status is required")
    _STATUS(statuses, "status")
    call.boolean("with_dept")
    scope = f"users {sorted(statuses)}"
    token = call.parameter("page_token")
    position = read_token(token, scope, 1)[0] if token else 0
    data: dict[str, Any] = {"items": [], "next_page_token": ""}
    if call.boolean("with_total"):
        data["total"] = sum(1 for person in state.people.listed if person.status in statuses)
    for number in range(position, len(state.people)):
        person = state.people.listed[number]
        if person.status not in statuses:
            continue
        if len(data["items"]) == size:
            data["next_page_token"] = make_token(scope, number)
            break
        data["items"].append(_with_type(person))
    return success(data)


def current(state: State, call: Call) -> Answer:
    """GET /v7/users/current, with a person's token"""
    person = state.people.by_id[call.person_id()]
    kind = {"type": "company_user", "type_v2": "company_member"}
    known = {"id": person.id, "ex_user_id": person.ex_user_id, "user_name": person.user_name}
    return success({**known, "avatar": "", "company_id": COMPANY_ID, **kind})


def current_id(_: State, call: Call) -> Answer:
    """GET /v7/users/current_id, with a person's token"""
    return success({"user_id": call.person_id(), "company_id": COMPANY_ID})


def get(state: State, call: Call) -> Answer:
    """GET /v7/users/{user_id}"""
    known = state.people.by_ex if call.external_ids() else state.people.by_id
    person = known.get(call.ids[0])
    if person is None:
        raise Refused(errors.USER_NOT_EXISTS)
    return success(_with_type(person))
