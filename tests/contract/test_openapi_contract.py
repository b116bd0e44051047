"""Whether the OpenAPI document is kept: that the judge bites, and that it has judged every call the client can make."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from remote.wps.client import WINDOW_MAX_MS, WpsClient
from remote.wps.credentials import Credentials
from tests.contract.openapi_contract import DOCUMENT, Contract, Seen
from tests.contract.openapi_schema import Schemas, Unchecked
from tests.contract.simulator_process import APP_ID, APP_KEY, ROOT, Simulator
from tests.contract.simulator_tap import Report, must_keep_the_contract, simulator_command
from tests.contract.wps_rig import BODY, ZONE, admitted, make_transport, memory_limiter

CREATE, CALENDAR = "/v7/calendars/create", "/v7/calendars/c1"
SIGNED = {"authorization": "Bearer t", "content-type": "application/json", "x-kso-date": "d"}


def text(**more: object) -> dict[str, object]:
    return {"type": "string", **more}


def answer_of(data: Mapping[str, object]) -> dict[str, Any]:
    """A success with these data, put together as the service's document does it."""
    whole = {
        "allOf": [{"$ref": "#/components/schemas/error"}],
        "type": "object",
        "properties": {"data": data},
        "required": ["data"],
    }
    return {
        "200": {"content": {"application/json": {"schema": whole}}},
        "default": {"$ref": "#/components/responses/error"},
    }


DETAIL = {
    "type": "object",
    "required": ["id", "role"],
    "properties": {
        "id": text(),
        "role": {"allOf": [{"$ref": "#/components/schemas/role"}], "type": "object", "nullable": True},
        "at": text(format="datetime"),
        "tags": {"type": "array", "maxItems": 1, "items": text()},
    },
}
SMALL: dict[str, Any] = {
    "paths": {
        CREATE: {
            "post": {
                "security": [{"app": []}],
                "requestBody": {
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "required": ["summary"],
                                "properties": {"summary": text(minLength=1, maxLength=4), "note": text(nullable=True)},
                            }
                        }
                    }
                },
                "responses": answer_of(DETAIL),
            }
        },
        "/v7/calendars/{calendar_id}": {
            "get": {
                "security": [{"app": []}],
                "parameters": [
                    {"in": "path", "name": "calendar_id", "required": True, "schema": text(maxLength=9)},
                    {"in": "query", "name": "size", "required": True, "schema": {"type": "integer", "maximum": 20}},
                    {"in": "query", "name": "from", "schema": text(format="datetime")},
                    {"in": "query", "name": "status", "schema": {"type": "array", "items": text(enum=["a", "b"])}},
                    {"in": "header", "name": "X-Kso-Id-Type", "schema": text(enum=["internal", "external"])},
                ],
                "responses": answer_of(DETAIL),
            }
        },
    },
    "components": {
        "schemas": {
            "role": text(enum=["owner", "reader"]),
            "error_code": {"type": "integer", "enum": [0, 400000002, 400000004, 404000001]},
            "error": {
                "properties": {"code": {"$ref": "#/components/schemas/error_code"}, "msg": text()},
                "required": ["code", "msg"],
            },
        },
        "responses": {
            "error": {
                "content": {
                    "application/json": {
                        "schema": {
                            "type": "object",
                            "required": ["code", "msg"],
                            "properties": {"code": {"type": "integer"}, "msg": text(), "more": {"type": "object"}},
                        }
                    }
                }
            }
        },
        "securitySchemes": {"app": {"flows": {"clientCredentials": {"tokenUrl": "https://wps.test/oauth2/token"}}}},
    },
}


def asked(method: str, target: str, body: object = None, **headers: str) -> list[str]:
    """What the small document finds wrong with a request."""
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Contract(SMALL).request(Seen(method, target, SIGNED | named, raw))


def answered(status: int, body: object, content_type: str = "application/json; charset=utf-8") -> list[str]:
    """What the small document finds wrong with an answer to a creation."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Contract(SMALL).answer(Seen("POST", CREATE, SIGNED, b""), status, content_type, raw)


def test_what_the_document_allows_is_not_found() -> None:
    """A judge that objects to good calls is soon ignored."""
    assert asked("POST", CREATE, {"summary": "课程安排", "note": None}) == []
    assert asked("GET", f"{CALENDAR}?size=20&from=2024-09-01T08:00:00%2B08:00&status=a&status=b") == []
    assert answered(200, {"code": 0, "msg": "", "data": {"id": "1", "role": None, "tags": ["x"]}}) == []
    assert answered(404, {"code": 404000001, "msg": "gone", "more": {"any": 1}}) == []


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"summry": "a", "summary": "a"}, "body.summry is not a field of the document"),
        ({"summary": 5}, "body.summary is not of type string"),
        ({"summary": None}, "body.summary is not of type string"),
        ({}, "body.summary is missing"),
        (None, "the body is missing"),
        ({"summary": ""}, "body.summary breaks minLength 1"),
        ({"summary": "五个字符啊"}, "body.summary breaks maxLength 4"),
        ([], "body is not of type object"),
        (b"{", "the body is not JSON"),
    ],
)
def test_a_wrong_body_is_found(body: object, found: str) -> None:
    """A misspelt field would be ignored by the service in silence, or refused for a whole term."""
    assert asked("POST", CREATE, body) == [f"POST {CREATE}: {found}"]


@pytest.mark.parametrize(
    ("method", "target", "found"),
    [
        ("GET", "/v7/calendar/c1?size=1", "is not a call of the document"),
        ("GET", "/v7/calendars/", "is not a call of the document"),
        ("DELETE", CALENDAR, "is not a call of the document"),
        ("GET", CALENDAR, "query parameter size is missing"),
        ("GET", f"{CALENDAR}?size=21", "query parameter size breaks maximum 20"),
        ("GET", f"{CALENDAR}?size=x", "query parameter size is not of type integer"),
        ("GET", f"{CALENDAR}?size=1&size=1", "query parameter size is given 2 times"),
        ("GET", f"{CALENDAR}?size=1&page=1", "query parameter page is not in the document"),
        ("GET", f"{CALENDAR}?size=1&from=2024-09-01T08:00:00+08:00", "is not a datetime"),
        ("GET", f"{CALENDAR}?size=1&from=2024-09-31T08:00:00Z", "is not a datetime"),
        ("GET", f"{CALENDAR}?size=1&status=c", "none of the values"),
        ("GET", "/v7/calendars/c123456789?size=1", "path parameter calendar_id breaks maxLength 9"),
    ],
)
def test_a_wrong_address_is_found(method: str, target: str, found: str) -> None:
    """Parameters are text on the wire: what they stand for has to be read before it can be judged."""
    (one,) = asked(method, target)
    assert found in one


def test_a_wrong_header_is_found() -> None:
    """The header that says whose ids are meant turns a request into another one."""
    assert "none of the values" in asked("GET", f"{CALENDAR}?size=1", x_kso_id_type="mine")[0]
    assert (
        "x-kso-id-type is not in the document" in asked("POST", CREATE, {"summary": "a"}, x_kso_id_type="external")[0]
    )
    assert "no bearer token" in asked("POST", CREATE, {"summary": "a"}, authorization="t")[0]
    assert "content type" in asked("POST", CREATE, {"summary": "a"}, content_type="text/plain")[0]
    assert "a body where the document has none" in asked("GET", f"{CALENDAR}?size=1", {})[0]


@pytest.mark.parametrize(
    ("status", "body", "found"),
    [
        (200, {"code": 0, "msg": ""}, "body.data is missing"),
        (200, {"code": 0, "data": {"id": "1", "role": "owner"}}, "body.msg is missing"),
        (200, {"code": 0, "msg": "", "data": {"id": 1, "role": "owner"}}, "body.data.id is not of type string"),
        (200, {"code": 0, "msg": "", "data": {"id": "1", "role": "king"}}, "none of the values"),
        (200, {"code": 0, "msg": "", "data": {"id": "1", "role": None, "Id": ""}}, "Id is not a field"),
        (200, {"code": 0, "msg": "", "data": {"id": "1", "role": None, "at": "2024-09-01"}}, "not a datetime"),
        (200, {"code": 0, "msg": "", "data": {"id": "1", "role": None, "tags": ["a", "b"]}}, "breaks maxItems 1"),
        (200, {"code": 0, "msg": "", "data": {"id": "1", "role": None, "tags": [1]}}, "tags[0] is not of type string"),
        (400, {"code": 400000009, "msg": ""}, "400000009 is not an error code of the document"),
        (500, {"code": 0, "msg": ""}, "0 is not an error code of the document"),
        (404, {"code": 404000001}, "body.msg is missing"),
        (404, b"<html>", "not JSON"),
    ],
)
def test_a_wrong_answer_is_found(status: int, body: object, found: str) -> None:
    """A simulator that answers otherwise than the service proves nothing about the client."""
    (one,) = answered(status, body)
    assert found in one


def test_an_answer_in_another_format_and_an_unknown_call_are_found() -> None:
    """The two ways in which there is no schema to judge by."""
    assert "content type" in answered(200, b"{}", "text/html")[0]
    found = Contract(SMALL).answer(Seen("GET", "/v7/x", SIGNED, b""), 200, "application/json", b'{"code":0,"msg":""}')
    assert found == ["/v7/x answered 200: a success of a call that the document does not have"]


@pytest.mark.parametrize(
    ("form", "found"),
    [
        (b"grant_type=client_credentials&client_id=a&client_secret=b", False),
        (b"grant_type=client_credentials&client_id=a", True),
        (b"grant_type=password&client_id=a&client_secret=b", True),
        (b"grant_type=client_credentials&client_id=a&client_secret=b&scope=", True),
    ],
)
def test_the_token_request_is_a_form_of_three_fields(form: bytes, found: bool) -> None:
    """Without a token nothing else is ever asked."""
    head = {"content-type": "application/x-www-form-urlencoded"}
    assert bool(Contract(SMALL).request(Seen("POST", "/oauth2/token", head, form))) is found


def test_a_document_that_says_more_than_is_checked_is_refused() -> None:
    """A newer document must not be half checked without anybody noticing."""
    for schema in ({"type": "string", "pattern": "a+"}, {"type": "string", "format": "uuid"}):
        with pytest.raises(Unchecked):
            list(Schemas({}).check(schema, "a", "body"))


# --- on the wire


@contextmanager
def judged(document: Path) -> Iterator[tuple[Simulator, Report]]:
    """A simulator whose report the test reads itself."""
    with simulator_command(document) as (command, report):
        process = subprocess.Popen(
            [*command, "--port", "0", "--latency-ms", "0"], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            yield Simulator(process, json.loads(process.stdout.readline())["port"]), report
        finally:
            process.kill()
            process.wait(timeout=60)
            if process.stdout is not None:
                process.stdout.close()


def test_the_wire_is_heard_in_both_directions(tmp_path: Path) -> None:
    """A tap that hears nothing finds nothing: here both sides break a document made so that they must."""
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(SMALL), encoding="utf-8")
    with judged(document) as (wps, report):
        wps.send("POST", CREATE, {"summary": "too long"}, headers={"User-Agent": "obsync"})
        found = report.findings()
        wps.desk("faults", [{"match": {"path": "create"}, "do": "error_500_applied", "times": 1}])
        wps.send("POST", CREATE, {"summary": "ab"}, headers={"User-Agent": "obsync"})
        wps.send("POST", CREATE, {"name": "ab"})
        wps.http.close()
        after = report.findings()
        with pytest.raises(AssertionError, match=r"body\.summary breaks maxLength 4"):
            must_keep_the_contract(report)
    assert f"request: POST {CREATE}: body.summary breaks maxLength 4" in found
    assert f"success: POST {CREATE} answered 200: body.data.open_status is not a field of the document" in found
    assert after == found  # a fault is not an answer, and what others do wrong and is refused is theirs


BACK = "https://obsync.example/auth/wps"
CALLS = {
    "create_calendar": "POST /v7/calendars/create",
    "get_calendar": "GET /v7/calendars/{calendar_id}",
    "calendars_page": "GET /v7/calendars",
    "update_calendar": "POST /v7/calendars/{calendar_id}/update",
    "delete_calendar": "POST /v7/calendars/{calendar_id}/delete",
    "current_user": "GET /v7/users/current",
    "users_by_ex_ids": "POST /v7/users/by_ex_user_ids",
    "add_members": "POST /v7/calendars/{calendar_id}/permissions/batch_create",
    "members_page": "GET /v7/calendars/{calendar_id}/permissions",
    "remove_member": "POST /v7/calendars/{calendar_id}/permissions/{calendar_permission_id}/delete",
    "create_events": "POST /v7/calendars/{calendar_id}/events/batch_create",
    "get_event": "GET /v7/calendars/{calendar_id}/events/{event_id}",
    "events_page": "GET /v7/calendars/{calendar_id}/events",
    "update_event": "POST /v7/calendars/{calendar_id}/events/{event_id}/update",
    "delete_event": "POST /v7/calendars/{calendar_id}/events/{event_id}/delete",
}
"""Every method of the client and the call it makes."""


def test_every_method_of_the_client_is_on_the_list_of_calls() -> None:
    """A new call without a line here would be one that nobody has judged."""
    assert {name for name in vars(WpsClient) if not name.startswith("_")} == CALLS.keys() | {"pack_events"}


def test_every_call_of_the_client_keeps_the_document() -> None:
    """Each method once, with everything that is optional: all requests and all answers judged, none objected to."""
    if not DOCUMENT.is_file():
        pytest.skip("the service's OpenAPI document is not beside this checkout")
    with judged(DOCUMENT) as (wps, report):
        wps.desk("people", {"people": [{"ex_user_id": "s1", "user_name": "学生", "status": "active"}]})
        _make_every_call(wps.port)
        wps.http.close()
        must_keep_the_contract(report)
        assert report.judged("request") == {*CALLS.values(), "POST /oauth2/token"}
        assert report.judged("success") == {*CALLS.values(), "POST /oauth2/token"}


def _make_every_call(port: int) -> None:
    transport = make_transport(
        f"http://127.0.0.1:{port}", memory_limiter(), credentials=Credentials(APP_ID, APP_KEY), label_lanes=True
    )
    wps = WpsClient(transport, zone=ZONE)

    def on() -> Any:
        return admitted(transport)

    there = transport.authorize_url(redirect_uri=BACK, scope="kso.user_base.read", state="x")
    back = httpx.get(f"{there}&login=s1", trust_env=False).headers["location"]
    bearer = transport.user_token(code=parse_qs(urlsplit(back).query)["code"][0], redirect_uri=BACK)
    assert wps.current_user(on(), bearer=bearer).ex_id == "s1"
    made = wps.create_calendar(on(), name="线性代数 ·abcdefg")
    at = made.id
    wps.update_calendar(on(), at, name="高等数学 ·abcdefg")
    for number in range(21):
        wps.create_calendar(on(), name=f"课程 {number}")
    assert wps.get_calendar(on(), at).name == "高等数学 ·abcdefg"
    token = wps.calendars_page(on(), None).next_token
    assert token is not None and wps.calendars_page(on(), token).items
    (user,) = wps.users_by_ex_ids(on(), ["s1", "nobody"])
    (member,) = wps.add_members(on(), at, [(user.id, "reader")])
    assert wps.members_page(on(), at, None).items == [member]
    wps.remove_member(on(), at, member.permission_id)
    events = wps.create_events(on(), at, [BODY, BODY])
    assert wps.get_event(on(), at, events[0].id) == events[0]
    window = {"from_ms": BODY.start_ms - 1, "until_ms": BODY.start_ms - 1 + WINDOW_MAX_MS}
    assert len(wps.events_page(on(), at, token=None, **window).items) == 2
    wps.update_event(on(), at, events[0].id, replace(BODY, location=None))
    wps.delete_event(on(), at, events[0].id)
    wps.delete_calendar(on(), at)
    transport.close()
