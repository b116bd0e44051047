"""Calendar feeds over HTTP: who gets one, what it says, and how little is sent when nothing has changed."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from icalendar import Calendar
from sqlalchemy import delete, insert, update

from db import logins
from db.engine import in_unit
from db.tables import calendar_feeds, rolls, sessions
from domain.ids import key_of
from tests.integration.api_rig import HOME, MATHS, PHYSICS, TERM, Api

pytestmark = pytest.mark.integration
ALGEBRA, OPTICS = key_of(HOME, MATHS), key_of(HOME, PHYSICS)
SOON_MS = (time.time_ns() // 1_000_000 // 86_400_000 + 2) * 86_400_000


@pytest.fixture
def taught(api: Api) -> Api:
    """Mei takes algebra, Bao teaches it: three classes from the day after tomorrow on."""

    def work(tx: Any) -> None:
        key: dict[str, Any] = {"tenant_id": HOME, "term": TERM, "import_no": 1}
        tx.execute(insert(sessions), [_class(key, number) for number in range(3)])
        mine = {**key, "offering_id": ALGEBRA}
        tx.execute(
            insert(rolls), [{**mine, "kind": "student", "code": "mei"}, {**mine, "kind": "teacher", "code": "bao"}]
        )

    in_unit(api.engine, work)
    return api


def _class(key: dict[str, Any], number: int) -> dict[str, Any]:
    start_ms = SOON_MS + number * 86_400_000
    return {
        **key, "id": f"class-{number}", "offering_id": ALGEBRA, "jxz": 1, "zc": number + 1, "jc_s": "3/4",
        "date": time.strftime("%Y-%m-%d", time.gmtime(start_ms / 1000)), "start_ms": start_ms,
        "end_ms": start_ms + 5_700_000, "rooms": json.dumps([["", "一教", "101"]], ensure_ascii=False),
        "teachers": json.dumps(["包"], ensure_ascii=False), "source_rows": 1,
    }  # fmt: skip


def given(api: Api, name: str, **body: str) -> str:
    """The path of a new feed."""
    response = api.person(name).post("/api/v1/feeds", body)
    assert response.status_code == 201, response.get_json()
    said = response.get_json()["data"]
    assert said["webcalUrl"] == "webcal" + said["url"].removeprefix("http")
    return "/" + said["url"].split("/", 3)[3]


def events(api: Api, path: str) -> dict[str, Any]:
    """What an app reads that signs in nowhere, by uid."""
    response = api.person(None).get(path)
    assert (response.status_code, response.mimetype) == (200, "text/calendar")
    calendar = Calendar.from_ical(response.get_data())
    return {str(one["uid"]): one for one in calendar.walk("VEVENT")}


def test_a_student_reads_the_term_with_zone_and_stable_ids(taught: Api) -> None:
    """Twice the same text, with the hours of the school and the rules of its zone."""
    path = given(taught, "mei", user="self")
    found = events(taught, path)
    assert sorted(found) == [f"class-{number}@{HOME}.obsync" for number in range(3)]
    first = found[f"class-0@{HOME}.obsync"]
    assert (str(first["summary"]), str(first["location"]), first["sequence"]) == ("代数", "一教101", 0)
    assert first["dtstart"].params["TZID"] == "Asia/Shanghai"
    assert int(first["dtstart"].dt.timestamp() * 1000) == SOON_MS
    text = taught.person(None).get(path).get_data(as_text=True)
    assert text.count("BEGIN:VTIMEZONE") == 1
    assert text == taught.person(None).get(path).get_data(as_text=True)
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))


def test_nothing_is_sent_again_until_something_changes(taught: Api) -> None:
    """An app that asks each hour costs a line; a moved class is new, with the next sequence."""
    path, anyone = given(taught, "mei", user="self"), taught.person(None)
    first = anyone.get(path)
    etag, modified = first.headers["ETag"], first.headers["Last-Modified"]
    assert first.headers["Cache-Control"] == "private, no-cache"
    for headers in ({"If_None_Match": etag}, {"If_Modified_Since": modified}):
        again = anyone.get(path, **headers)
        assert (again.status_code, again.get_data()) == (304, b"")
    moved = update(sessions).where(sessions.c.tenant_id == HOME, sessions.c.id == "class-1")
    in_unit(
        taught.engine, lambda tx: tx.execute(moved.values(start_ms=SOON_MS + 3_600_000, end_ms=SOON_MS + 7_200_000))
    )
    assert anyone.get(path, If_Modified_Since=modified).status_code == 200
    changed = anyone.get(path, If_None_Match=etag)
    assert changed.status_code == 200
    found = events(taught, path)
    assert [found[f"class-{number}@{HOME}.obsync"]["sequence"] for number in range(3)] == [0, 1, 0]


def test_a_class_that_is_off_or_gone_says_so(taught: Api) -> None:
    """Cancelled by a person or by the source: a calendar that only adds has to be told."""
    path = given(taught, "bao", user="self")
    events(taught, path)
    off = json.dumps({"types": ["cancelled"], "reasons": ["校运会"], "substitutes": [], "original": None})

    def work(tx: Any) -> None:
        mine = sessions.c.tenant_id == HOME
        tx.execute(update(sessions).where(mine, sessions.c.id == "class-0").values(altered=off, cancelled=True))
        tx.execute(delete(sessions).where(mine, sessions.c.id == "class-2"))

    in_unit(taught.engine, work)
    found = events(taught, path)
    assert {uid[:7]: str(one["status"]) for uid, one in found.items()} == {
        "class-0": "CANCELLED", "class-1": "CONFIRMED", "class-2": "CANCELLED",
    }  # fmt: skip
    assert str(found[f"class-0@{HOME}.obsync"]["summary"]) == "【停课】代数"
    assert found[f"class-2@{HOME}.obsync"]["sequence"] == 1


def test_an_address_is_worth_nothing_once_it_is_taken_back(taught: Api) -> None:
    """Or when it was never one; only its hash is kept, and no list tells it."""
    path, mei = given(taught, "mei", user="self"), taught.person("mei")
    token = path.rpartition("/")[2].removesuffix(".ics")
    (listed,) = mei.get("/api/v1/feeds").get_json()["data"]["items"]
    given(taught, "mei", user="self")
    assert [one["id"] for one in mei.leafed("/api/v1/feeds", size=1)][1:] == [listed["id"]]
    assert mei.get("/api/v1/feeds?cursor=abc").status_code == 422
    assert (listed["state"], listed["subject"]) == ("active", "mei")
    with taught.engine.connect() as tx:
        stored = str(tx.execute(calendar_feeds.select().where(calendar_feeds.c.tenant_id == HOME)).all())
    assert token not in stored + "".join(mei.seen)
    assert taught.person("bao").ask("DELETE", f"/api/v1/feeds/{listed['id']}").status_code == 404
    for already in (False, True):
        ended = mei.ask("DELETE", f"/api/v1/feeds/{listed['id']}").get_json()["data"]
        assert ended["already"] is already
    for wrong in (
        path,
        path.replace(token, "x" * len(token)),
        path.replace(HOME, "south"),
        f"/feeds/nowhere/{token}.ics",
    ):
        assert taught.person(None).get(wrong).status_code == 404


def test_a_course_is_read_by_those_on_its_roll_while_they_are_on_it(taught: Api) -> None:
    """Who leaves a course has no more business with its classes; a secretary has, whatever the roll says."""
    assert taught.person("mei").post("/api/v1/feeds", {"courseId": OPTICS}).status_code == 404
    hers, suns = given(taught, "mei", courseId=ALGEBRA), given(taught, "sun", courseId=ALGEBRA)
    assert len(events(taught, hers)) == len(events(taught, suns)) == 3
    in_unit(taught.engine, lambda tx: tx.execute(delete(rolls).where(rolls.c.tenant_id == HOME, rolls.c.code == "mei")))
    assert taught.person(None).get(hers).status_code == 404
    assert taught.person(None).get(suns).status_code == 200


def test_a_feed_ends_with_the_login_of_its_owner(taught: Api) -> None:
    """Whoever may not come in any more reads nothing by an old address either."""
    path = given(taught, "mei", user="self")
    row = {"tenant": HOME, "login_id": "1", "name": "mei", "kind": "student", "code": "mei"}
    in_unit(taught.engine, lambda tx: logins.add(tx, **row))
    assert taught.person(None).get(path).status_code == 200
    in_unit(taught.engine, lambda tx: logins.change(tx, tenant=HOME, login_id="1", new_epoch=True, state="disabled"))
    assert taught.person(None).get(path).status_code == 404


def test_each_address_is_limited_by_itself(taught: Api) -> None:
    """A campus fetches through one address of the net: a greedy app stops itself and nobody else."""
    greedy, other = given(taught, "mei", user="self"), given(taught, "bao", user="self")
    assert any(taught.person(None).get(greedy).status_code == 429 for _ in range(2_000))
    assert taught.person(None).get(other).status_code == 200
