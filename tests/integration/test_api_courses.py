"""Courses, classes, somebody's day, search and exports over the API."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from typing import Any
from xml.etree import ElementTree

import pytest
from icalendar import Calendar
from sqlalchemy import insert

from db.engine import in_unit
from db.tables import offerings, rolls, rooms, sessions, users
from domain.configs import Level
from domain.ids import key_of
from tests.integration.api_rig import ABROAD, CANARY, HOME, MATHS, PHYSICS, TERM, Api
from usecases import configs
from usecases.configs import Place

pytestmark = pytest.mark.integration
DAY = "2024-09-02"
ALGEBRA, OPTICS = key_of(HOME, MATHS), key_of(HOME, PHYSICS)


@pytest.fixture
def taught(api: Api) -> Api:
    """Mei takes algebra, Bao teaches it; optics has other people. Three days each, in both schools."""

    def work(tx: Any) -> None:
        for tenant in (HOME, ABROAD):
            key: dict[str, Any] = {"tenant_id": tenant, "term": TERM, "import_no": 1}
            said = CANARY if tenant == ABROAD else "=SUM(1)"
            for course in (key_of(tenant, MATHS), key_of(tenant, PHYSICS)):
                tx.execute(insert(sessions), [_class(key, course, number, said) for number in range(3)])
            mine = {**key, "offering_id": key_of(tenant, MATHS)}
            people = [{**mine, "kind": "student", "code": "mei"}, {**mine, "kind": "teacher", "code": "bao"}]
            tx.execute(insert(rolls), people)
            teacher = {"tenant_id": tenant, "kind": "teacher", "code": "bao", "name": f"包 {said}", "college": MATHS}
            tx.execute(insert(users), [{**teacher, "listed": True, "import_no": 1}])
            tx.execute(
                insert(rooms), [{"tenant_id": tenant, "xq": "", "lq": said, "room": "101", "lat": "", "lon": ""}]
            )

    in_unit(api.engine, work)
    return api


def _class(key: dict[str, Any], course: str, number: int, said: str) -> dict[str, Any]:
    start_ms = 1_725_242_400_000 + number * 86_400_000
    return {
        **key, "id": key_of(course, str(number)), "offering_id": course, "jxz": 1, "zc": number + 1, "jc_s": "3/4",
        "date": f"2024-09-0{2 + number}", "start_ms": start_ms, "end_ms": start_ms + 5_700_000,
        "rooms": json.dumps([["", "一教", "101"]], ensure_ascii=False), "teachers": json.dumps([said]), "source_rows": 1,
    }  # fmt: skip


def items(api: Api, name: str, path: str) -> list[dict[str, Any]]:
    response = api.person(name).get(f"/api/v1/{path}")
    assert response.status_code == 200, response.get_json()
    found: list[dict[str, Any]] = response.get_json()["data"]["items"]
    return found


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("mei", {ALGEBRA}),
        ("bao", {ALGEBRA}),
        ("sun", {ALGEBRA}),
        ("ada", {ALGEBRA, OPTICS}),
        ("zoe", {ALGEBRA, OPTICS}),
    ],
)
def test_everybody_sees_the_courses_within_reach(taught: Api, name: str, seen: set[str]) -> None:
    """Taken, taught, of the college, of the school: the list and each course agree, and so do the classes."""
    assert {one["id"] for one in items(taught, name, "courses")} == seen
    assert {one["courseId"] for one in items(taught, name, "course-arrangements")} == seen
    for course in (ALGEBRA, OPTICS):
        status = taught.person(name).get(f"/api/v1/courses/{course}").status_code
        assert status == (200 if course in seen else 404)


def test_my_courses_and_my_day(taught: Api) -> None:
    """``self`` is the caller; a student teaches nothing."""
    assert [one["id"] for one in items(taught, "mei", "users/self/courses")] == [ALGEBRA]
    assert items(taught, "mei", "teachers/self/courses") == []
    assert [one["id"] for one in items(taught, "bao", f"teachers/self/courses?term={TERM}")] == [ALGEBRA]
    (today,) = items(taught, "mei", f"users/self/timetable?from={DAY}")
    assert (today["date"], today["startAt"], today["rooms"]) == (DAY, "2024-09-02T02:00:00.000Z", ["一教 101"])
    assert len(items(taught, "mei", "users/self/timetable?from=2024-09-02&to=2024-09-08")) == 3
    assert taught.person("mei").get("/api/v1/users/bao/timetable").status_code == 404
    assert taught.person("mei").get("/api/v1/users/self/timetable?from=2024-09-02&to=2024-08-01").status_code == 422
    for day in ("9999-12-31", "0001-01-01"):
        for path in ("users/self/timetable", "course-arrangements"):
            assert taught.person("ada").get(f"/api/v1/{path}?from={day}&to={day}").status_code == 422


def test_classes_are_read_to_their_end_by_cursor_and_filtered(taught: Api) -> None:
    """Each once."""
    ada, seen, cursor = taught.person("ada"), [], ""
    while cursor is not None:
        said = ada.get("/api/v1/course-arrangements?size=4" + (f"&cursor={cursor}" if cursor else "")).get_json()
        seen += [one["id"] for one in said["data"]["items"]]
        cursor = said["meta"]["page"]["next"]
    assert (len(seen), len(set(seen))) == (6, 6)
    assert len(items(taught, "ada", f"course-arrangements?courseId={ALGEBRA}&from={DAY}&to={DAY}")) == 1
    assert len(items(taught, "ada", "course-arrangements?room=101")) == 6
    assert items(taught, "ada", "course-arrangements?room=10") == []


def test_a_search_finds_parts_of_names_and_takes_signs_as_they_are(taught: Api) -> None:
    """A percent sign is no wildcard; a student finds no people."""

    def found(name: str, text: str) -> dict[str, int]:
        data = taught.person(name).get(f"/api/v1/search?q={text}").get_json()["data"]
        return {kind: len(some) for kind, some in data.items()}

    assert found("ada", "代") == {"courses": 2, "teachers": 0, "rooms": 0}
    assert found("ada", "包") == {"courses": 0, "teachers": 1, "rooms": 0}
    assert found("mei", "包") == {"courses": 0, "teachers": 0, "rooms": 0}
    assert found("mei", "10") == {"courses": 0, "teachers": 0, "rooms": 1}
    assert found("ada", "%25") == {"courses": 0, "teachers": 0, "rooms": 0}


def test_a_search_finds_names_by_how_they_are_typed(taught: Api) -> None:
    """First letters, sounds, some of the characters; within the reach of the caller and of nobody else's school."""

    def add(tx: Any) -> None:
        tx.execute(offerings.update().where(offerings.c.id == ALGEBRA).values(name="线性代数"))
        tx.execute(rooms.update().where(rooms.c.tenant_id == HOME).values(lq="逸夫楼"))

    in_unit(taught.engine, add)
    for text in ("xxds", "xingdai", "线代"):
        for name in ("ada", "mei"):
            data = taught.person(name).get(f"/api/v1/search?q={text}").get_json()["data"]
            assert [one["name"] for one in data["courses"]] == ["线性代数"]
    assert taught.person("ada").get("/api/v1/search?q=yifu").get_json()["data"]["rooms"][0]["building"] == "逸夫楼"
    assert taught.person("oskar").get("/api/v1/search?q=xxds").get_json()["data"]["courses"] == []
    assert taught.person("mei").get("/api/v1/search?q=bao").get_json()["data"]["teachers"] == []


@pytest.mark.parametrize(
    ("name", "path", "rows"),
    [
        ("mei", "users/self", 3),
        ("bao", f"courses/{ALGEBRA}", 3),
        ("ada", "rooms?room=101", 6),
        ("ada", f"terms/{TERM}", 6),
    ],
)
def test_an_export_opens_as_text_and_has_nothing_of_another_school(
    taught: Api, name: str, path: str, rows: int
) -> None:
    """A teacher's name that begins like a formula stays a name."""
    response = taught.person(name).get(f"/api/v1/exports/{path}")
    assert (response.status_code, response.mimetype) == (200, "text/csv")
    text = response.get_data().decode("utf-8-sig")
    head, *found = list(csv.reader(io.StringIO(text)))
    assert (len(found), head[-1]) == (rows, "教师")
    assert {one[-1] for one in found} == {"'=SUM(1)"}
    assert found[0][7:9] == ["10:00", "11:35"]
    assert CANARY not in text


def test_a_workbook_has_the_same_rows_and_no_formula(taught: Api) -> None:
    """What begins like a formula is a text in it, and stays as it is."""
    response = taught.person("ada").get(f"/api/v1/exports/terms/{TERM}?format=xlsx")
    assert (response.status_code, response.mimetype.rpartition(".")[2]) == (200, "sheet")
    with zipfile.ZipFile(io.BytesIO(response.get_data())) as book:
        sheet = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))
    name = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    rows = [["".join(cell.itertext()) for cell in row] for row in sheet.iter(f"{name}row")]
    assert (len(rows), rows[0][-1], rows[1][-1]) == (7, "教师", "=SUM(1)")
    assert {cell.get("t") for cell in sheet.iter(f"{name}c")} == {"inlineStr"}
    assert not list(sheet.iter(f"{name}f"))


def test_a_workbook_that_would_be_too_long_is_refused(taught: Api) -> None:
    """With what to take instead."""
    configs.change(taught.deps, Place(Level.TENANT, HOME), {"export.direct_rows": 5}, actor="user:ada")
    refused = taught.person("ada").get(f"/api/v1/exports/terms/{TERM}?format=xlsx")
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (409, "EXPORT_TOO_LONG")
    assert taught.person("ada").get("/api/v1/exports/rooms?room=102&format=xlsx").mimetype != "text/csv"


def test_a_timetable_is_taken_away_as_a_calendar(taught: Api) -> None:
    """One's own, and that of a course."""
    for name, path in (("mei", "users/self"), ("ada", f"courses/{OPTICS}")):
        response = taught.person(name).get(f"/api/v1/exports/{path}?format=ics")
        assert (response.status_code, response.mimetype) == (200, "text/calendar")
        events = Calendar.from_ical(response.get_data()).walk("VEVENT")
        assert next(one["dtstart"].dt.isoformat() for one in events) == "2024-09-02T10:00:00+08:00"
        assert len(events) == 3


def test_who_may_not_export_is_told_nothing(taught: Api) -> None:
    """Of a course that he does not teach."""
    assert taught.person("bao").get(f"/api/v1/exports/courses/{OPTICS}").status_code == 404
    assert taught.person("mei").get(f"/api/v1/exports/courses/{ALGEBRA}").status_code == 403
