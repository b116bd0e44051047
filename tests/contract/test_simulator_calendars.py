"""Calendars, permissions and the directory, as far as the contract goes."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.simulator_process import Simulator, running

ACTIVE = {"status": ["active"]}


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    folder = tmp_path_factory.mktemp("campus")
    rows = "".join(f"20240{number:03d},学生{number}\r\n" for number in range(150))
    (folder / "students.csv").write_text(f"\ufeffxh,xm\r\n{rows}", encoding="utf-8")
    teachers = "gh,xm,ssdwdm\nT1,鲍老师,01\nT2,艾老师,02\n ,无号,03\n"
    (folder / "teachers.csv.gz").write_bytes(gzip.compress(teachers.encode()))
    with running("--directory", str(folder)) as simulator:
        yield simulator


@pytest.fixture
def wps(process: Simulator) -> Simulator:
    process.fresh()
    process.log_in()
    return process


def students(count: int, role: str = "reader") -> dict[str, Any]:
    return {"permissions": [{"user_id": f"20240{number:03d}", "role": role} for number in range(count)]}


EXTERNAL = {"X-Kso-Id-Type": "external"}


@pytest.mark.parametrize(("body", "code"), [({"summary": ""}, 400000003), ({"summary": "课" * 41}, 400000003)])
def test_calendar_name_has_one_to_forty_characters(wps: Simulator, body: dict[str, Any], code: int) -> None:
    """Course names are longer than that; the client has to cut them."""
    assert wps.refusal("POST", "/v7/calendars/create", body) == code
    assert wps.ok("POST", "/v7/calendars/create", {"summary": "课" * 40})["summary"] == "课" * 40


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b'{"summary": 5}', 400000002),
        (b'{"summary": null}', 400000002),
        (b"{}", 400000002),
        (b"[]", 400000002),
        (b"{", 400000002),
        (b"", 400000002),
        (b'{"summary": NaN}', 400000002),
        (b'{"summary": "\\ud800"}', 400000002),
        (b'{"summary": "\xff"}', 400000002),
        (b'{"summary": "a", "color": "red"}', 400000004),
    ],
)
def test_body_is_read_strictly(wps: Simulator, raw: bytes, code: int) -> None:
    """A field that the contract does not name, or of another type, is a mistake of the client and is said so."""
    assert wps.refusal("POST", "/v7/calendars/create", raw=raw) == code
    assert wps.desk("state?counts=1")["calendars"] == 0


def test_status_line_may_differ_from_the_code(wps: Simulator) -> None:
    """An invalid value was seen in the wild as code 400000003 under status 403: only the code can be trusted."""
    answer = wps.send("POST", "/v7/calendars/create", {"summary": ""})
    assert (answer.status_code, answer.json()["code"]) == (403, 400000003)


def test_body_must_be_called_json(wps: Simulator) -> None:
    """A form or plain text is refused even when it is signed well."""
    answer = wps.send("POST", "/v7/calendars/create", {"summary": "a"}, headers={"Content-Type": "text/plain"})
    assert (answer.status_code, answer.json()["code"]) == (415, 415000001)
    assert wps.desk("state?counts=1")["calendars"] == 0


def test_walk_of_the_calendar_list_shows_each_once(wps: Simulator) -> None:
    """Settlement of a lost create rests on a complete walk; the last page has no token."""
    made = [wps.calendar(f"课 {number}") for number in range(45)]
    assert [item["id"] for item in wps.pages("/v7/calendars")] == made
    assert [item["id"] for item in wps.pages("/v7/calendars?page_size=7")] == made
    assert "next_page_token" not in wps.ok("GET", "/v7/calendars?page_size=20&page_token=" + third_page(wps))


def third_page(wps: Simulator) -> str:
    first = wps.ok("GET", "/v7/calendars?page_size=20")["next_page_token"]
    token: str = wps.ok("GET", f"/v7/calendars?page_size=20&page_token={first}")["next_page_token"]
    return token


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("page_size=0", 400000003),
        ("page_size=21", 400000003),
        ("page_size=x", 400000002),
        ("page_token=abc", 400000003),
    ],
)
def test_calendar_pages_have_one_to_twenty_items(wps: Simulator, query: str, code: int) -> None:
    """Asking for more than the contract gives is refused, not silently cut."""
    assert wps.refusal("GET", f"/v7/calendars?{query}") == code


def test_token_of_another_list_is_refused(wps: Simulator) -> None:
    """Mixing tokens up would skip objects without anybody noticing."""
    calendars = [wps.calendar(f"课 {number}") for number in range(2)]
    token = wps.ok("GET", "/v7/calendars?page_size=1")["next_page_token"]
    assert wps.refusal("GET", f"/v7/calendars/{calendars[0]}/permissions?page_token={token}") == 400000003


def test_rename_get_and_delete_of_a_calendar(wps: Simulator) -> None:
    """A deleted calendar is gone for every call but keeps its line in the list, marked."""
    calendar = wps.calendar("旧名")
    path = f"/v7/calendars/{calendar}"
    assert wps.ok("POST", f"{path}/update", {"summary": "新名"}) is None
    assert wps.ok("GET", path)["summary"] == "新名"
    assert wps.ok("POST", f"{path}/delete") is None
    answer = wps.send("GET", path)
    assert (answer.status_code, answer.json()["code"]) == (404, 404411503)
    assert wps.refusal("POST", f"{path}/delete") == 404411503
    assert wps.refusal("POST", f"{path}/permissions/create", {}) == 404411503
    assert [item["is_deleted"] for item in wps.pages("/v7/calendars")] == [True]


def test_primary_is_an_alias_that_cannot_be_deleted(wps: Simulator) -> None:
    """The app has one calendar that it did not make."""
    primary = wps.ok("GET", "/v7/calendars/primary")
    assert primary["type"] == "primary"
    assert wps.ok("GET", "/v7/calendars/primary")["id"] == primary["id"]
    assert wps.refusal("POST", "/v7/calendars/primary/delete") == 400411504


def test_batch_of_permissions_by_school_number(wps: Simulator) -> None:
    """A roll is shared in calls of up to a hundred, and the answer may come in any order."""
    path = f"/v7/calendars/{wps.calendar()}/permissions"
    items = wps.ok("POST", f"{path}/batch_create", students(100), headers=EXTERNAL)["items"]
    assert {item["user_id"] for item in items} == {item["user_id"] for item in students(100)["permissions"]}
    assert [item["user_id"] for item in items] != [item["user_id"] for item in students(100)["permissions"]]
    assert wps.refusal("POST", f"{path}/batch_create", students(101), headers=EXTERNAL) == 400000003
    assert wps.refusal("POST", f"{path}/batch_create", {"permissions": []}, headers=EXTERNAL) == 400000003


def test_one_unknown_user_fails_the_whole_batch(wps: Simulator) -> None:
    """So nothing may be sent that the directory did not confirm."""
    calendar = wps.calendar()
    body = students(3)
    body["permissions"].append({"user_id": "nobody", "role": "reader"})
    path = f"/v7/calendars/{calendar}/permissions/batch_create"
    assert wps.refusal("POST", path, body, headers=EXTERNAL) == 400411121
    assert wps.dump(calendar)["permissions"] == []


def test_school_numbers_are_unknown_without_the_header(wps: Simulator) -> None:
    """Internal ids are the default; a school number is then just an id nobody has."""
    path = f"/v7/calendars/{wps.calendar()}/permissions/create"
    body = {"user_id": "T1", "role": "writer"}
    assert wps.refusal("POST", path, body) == 400411121
    made = wps.ok("POST", path, body, headers=EXTERNAL)
    assert made["user_id"] == "T1"
    assert wps.refusal("POST", path, body, headers={"X-Kso-Id-Type": "school"}) == 400000003


@pytest.mark.parametrize("role", ["owner", "admin", ""])
def test_only_three_roles_can_be_given(wps: Simulator, role: str) -> None:
    """`owner` is read-only in the contract."""
    path = f"/v7/calendars/{wps.calendar()}/permissions/create"
    assert wps.refusal("POST", path, {"user_id": "T1", "role": role}, headers=EXTERNAL) == 400000003


def test_same_permission_again_changes_nothing(wps: Simulator) -> None:
    """A repeat after a lost answer finds the entry that is there."""
    calendar = wps.calendar()
    path = f"/v7/calendars/{calendar}/permissions/batch_create"
    first = wps.ok("POST", path, students(2), headers=EXTERNAL)["items"]
    again = wps.ok("POST", path, students(3), headers=EXTERNAL)["items"]
    assert {item["id"] for item in first} < {item["id"] for item in again}
    assert len(wps.dump(calendar)["permissions"]) == 3


def test_other_role_for_a_member_is_refused_as_a_whole(wps: Simulator) -> None:
    """There is no update of a permission: one delete, one create."""
    calendar = wps.calendar()
    path = f"/v7/calendars/{calendar}/permissions"
    made = wps.ok("POST", f"{path}/create", {"user_id": "20240000", "role": "reader"}, headers=EXTERNAL)
    assert wps.refusal("POST", f"{path}/batch_create", students(3, "writer"), headers=EXTERNAL) == 400000104
    assert len(wps.dump(calendar)["permissions"]) == 1
    wps.ok("POST", f"{path}/{made['id']}/delete")
    wps.ok("POST", f"{path}/batch_create", students(3, "writer"), headers=EXTERNAL)
    assert {item["role"] for item in wps.dump(calendar)["permissions"]} == {"writer"}


def test_user_named_twice_in_a_batch_is_refused(wps: Simulator) -> None:
    """Two entries for one person cannot both be meant."""
    body = {"permissions": students(1)["permissions"] * 2}
    path = f"/v7/calendars/{wps.calendar()}/permissions/batch_create"
    assert wps.refusal("POST", path, body, headers=EXTERNAL) == 400000003


def test_permission_pages_survive_a_delete_in_between(wps: Simulator) -> None:
    """Members leave while the list is walked; nobody else may be skipped for it."""
    path = f"/v7/calendars/{wps.calendar()}/permissions"
    wps.ok("POST", f"{path}/batch_create", students(50), headers=EXTERNAL)
    first = wps.ok("GET", f"{path}?page_size=20", headers=EXTERNAL)
    wps.ok("POST", f"{path}/{first['items'][3]['id']}/delete")
    rest = wps.ok("GET", f"{path}?page_size=20&page_token={first['next_page_token']}", headers=EXTERNAL)
    last = wps.ok("GET", f"{path}?page_size=20&page_token={rest['next_page_token']}", headers=EXTERNAL)
    seen = [item["user_id"] for page in (first, rest, last) for item in page["items"]]
    assert sorted(seen) == sorted(item["user_id"] for item in students(50)["permissions"])
    assert wps.refusal("GET", f"{path}?page_size=21") == 400000003
    assert wps.refusal("POST", f"{path}/nothing/delete") == 400411517


def test_directory_answers_only_for_those_it_knows(wps: Simulator) -> None:
    """Unknown numbers are absent, not an error: that is how people without an account are found."""
    body = {"ex_user_ids": ["T1", "20240007", "nobody"], **ACTIVE}
    items = wps.ok("POST", "/v7/users/by_ex_user_ids", body)["items"]
    assert {(item["ex_user_id"], item["user_name"]) for item in items} == {("T1", "鲍老师"), ("20240007", "学生7")}
    assert all(item["id"] != item["ex_user_id"] for item in items)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"ex_user_ids": ["T1"]}, 400000002),
        ({"ex_user_ids": ["T1"], "status": []}, 400000003),
        ({"ex_user_ids": ["T1"], "status": ["gone"]}, 400000003),
        ({"ex_user_ids": [], **ACTIVE}, 400000003),
        ({"ex_user_ids": ["T1"] * 101, **ACTIVE}, 400000003),
        ({"ex_user_ids": [1], **ACTIVE}, 400000002),
        ({"ex_user_ids": ["T1"], "with_dept": True, **ACTIVE}, 400000004),
    ],
)
def test_look_up_takes_a_hundred_numbers_and_a_status(wps: Simulator, body: dict[str, Any], code: int) -> None:
    """`status` is required, which is easy to forget."""
    assert wps.refusal("POST", "/v7/users/by_ex_user_ids", body) == code


def test_closed_account_can_no_longer_be_shared_with(wps: Simulator) -> None:
    """People leave the university during a term."""
    wps.desk("people", {"people": [{"ex_user_id": "T9", "user_name": "奥老师"}]})
    path = f"/v7/calendars/{wps.calendar()}/permissions/create"
    wps.ok("POST", path, {"user_id": "T9", "role": "writer"}, headers=EXTERNAL)
    wps.desk("people", {"people": [{"ex_user_id": "T9", "user_name": "奥老师", "status": "dimission"}]})
    assert wps.ok("POST", "/v7/users/by_ex_user_ids", {"ex_user_ids": ["T9"], **ACTIVE})["items"] == []
    path = f"/v7/calendars/{wps.calendar()}/permissions/create"
    assert wps.refusal("POST", path, {"user_id": "T9", "role": "writer"}, headers=EXTERNAL) == 400411121


def test_list_read_and_get_of_users_agree(wps: Simulator) -> None:
    """Three ways to the same person; the list alone always has a token field, empty at the end."""
    users = wps.pages("/v7/users?status=active&status=notactive&page_size=50")
    assert len(users) == 152
    assert wps.ok("GET", "/v7/users?status=disabled&with_total=true") == {
        "items": [],
        "next_page_token": "",
        "total": 0,
    }
    assert wps.refusal("GET", "/v7/users") == 400000002
    assert wps.ok("GET", f"/v7/users/{users[0]['id']}") == users[0]
    assert wps.ok("GET", "/v7/users/20240000", headers=EXTERNAL) == users[0]
    assert wps.refusal("GET", "/v7/users/nobody") == 400001006
    read = wps.ok("POST", "/v7/users/batch_read", {"user_ids": [users[0]["id"], "nobody"], **ACTIVE})
    assert read["items"] == [users[0]]


def test_ids_of_people_are_the_same_after_a_restart(wps: Simulator, tmp_path: Path) -> None:
    """The client keeps a map of ids; a restart of the simulator must not make it false."""
    (tmp_path / "students.csv").write_text("xh,xm\n20240000,学生0\n", encoding="utf-8")
    body = {"ex_user_ids": ["20240000"], **ACTIVE}
    here = wps.ok("POST", "/v7/users/by_ex_user_ids", body)["items"][0]["id"]
    with running("--directory", str(tmp_path)) as other:
        assert other.ok("POST", "/v7/users/by_ex_user_ids", body)["items"][0]["id"] == here
