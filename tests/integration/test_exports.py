"""Files that a worker makes: asked for, followed, fetched by whoever asked, and forgotten."""

from __future__ import annotations

import csv
import io
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from db import exports as rows
from db import tasks
from db.engine import reading, unit
from db.tables import export_parts, jobs, sessions
from db.tables import exports as exports_table
from domain.configs import Level
from domain.ids import key_of
from domain.tenancy import Role, Scope
from tests.integration.api_bell_rig import Bell, bell
from tests.integration.api_rig import HOME, MATHS, PEOPLE, PHYSICS, TERM, Api
from tests.property.test_xlsx_cells import read_cells
from usecases import configs, export_tables, exports
from usecases.configs import Place
from usecases.tasks import ClaimLost, Task
from usecases.tasks import claim as take

pytestmark = pytest.mark.integration

COURSE = key_of(HOME, MATHS)


@pytest.fixture
def here(api: Api) -> Bell:
    return bell(api)


def claimed(here: Bell, export_id: str, claim: str = "c") -> Task:
    with unit(here.api.engine) as tx:
        tx.execute(update(jobs).where(jobs.c.target == export_id).values(run_at=0))
        job_id = tx.execute(select(jobs.c.id).where(jobs.c.target == export_id)).scalar_one()
        task = tasks.claim_task(tx, tenant=HOME, job_id=job_id, claim=claim, visibility_ms=15_000, max_attempts=5)
    assert task is not None
    return task


def begun(here: Bell, who: str, **body: Any) -> str:
    answer = here.api.person(who).post("/api/v1/export-tasks", body)
    assert answer.status_code == 202, answer.get_json()
    return str(answer.get_json()["data"]["id"])


def shown(here: Bell, who: str, export_id: str) -> dict[str, Any]:
    data: dict[str, Any] = here.api.person(who).get(f"/api/v1/export-tasks/{export_id}").get_json()["data"]
    return data


def fetched(here: Bell, who: str, export_id: str) -> Any:
    return here.api.person(who).get(f"/api/v1/export-tasks/{export_id}/file")


def many_classes(here: Bell, count: int) -> None:
    row = {
        "tenant_id": HOME, "term": TERM, "offering_id": COURSE, "jxz": 1, "zc": 1, "jc_s": "1/2", "date": "2024-09-02",
        "start_ms": 1, "end_ms": 2, "rooms": '[["", "一教", "101"]]', "teachers": '["=1+1"]', "source_rows": 2, "import_no": 1,
    }  # fmt: skip
    with unit(here.api.engine) as tx:
        tx.execute(insert(sessions), [{**row, "id": f"x{number:06d}"} for number in range(count)])


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_a_file_is_made_by_a_worker_and_fetched_by_who_asked(here: Bell, form: str) -> None:
    """With every row, as text; nobody else learns that there is one."""
    many_classes(here, 1_200)
    export_id = begun(here, "bao", kind="timetable", courseId=COURSE, format=form)
    early = fetched(here, "bao", export_id)
    assert (early.status_code, early.get_json()["error"]["code"]) == (409, "EXPORT_NOT_READY")
    exports.make(here.api.deps, claimed(here, export_id))
    told = shown(here, "bao", export_id)
    assert (told["state"], told["rows"], told["file"]) == ("done", 1_202, f"/api/v1/export-tasks/{export_id}/file")
    answer = fetched(here, "bao", export_id)
    body = answer.get_data()
    assert answer.status_code == 200 and len(body) == told["bytes"] == int(answer.headers["Content-Length"])
    if form == "csv":
        read = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline="")))
        assert {row[-1] for row in read[1:]} == {"bao", "'=1+1"}
    else:
        read = read_cells(body)
        assert {row[-1] for row in read[1:]} == {"bao", "=1+1"}
    assert len(read) == 1_203 and read[0][0] == "学期"
    assert fetched(here, "ada", export_id).status_code == 404
    assert [one["id"] for one in here.api.person("bao").get("/api/v1/export-tasks").get_json()["data"]["items"]] == [
        export_id
    ]


def test_who_lost_the_permission_fetches_nothing_any_more(here: Bell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked at the beginning, and again at each fetch."""
    export_id = begun(here, "sun", kind="statistics.students", college=MATHS)
    exports.make(here.api.deps, claimed(here, export_id))
    assert fetched(here, "sun", export_id).status_code == 200
    moved = Scope.of(HOME, "sun", [Role.COLLEGE_SECRETARY], colleges=[PHYSICS])
    monkeypatch.setitem(PEOPLE, "sun", moved)  # type: ignore[arg-type]
    assert fetched(here, "sun", export_id).status_code == 404
    for who, status, body in (
        ("sun", 404, {"kind": "attendance", "college": MATHS}), ("mei", 403, {"kind": "attendance", "courseId": COURSE}),
        ("sun", 404, {"kind": "timetable"}), ("mei", 404, {"kind": "attendance", "user": "s2"}),
        ("bao", 422, {"kind": "timetable", "per": "day"}), ("mei", 202, {"kind": "attendance", "user": "self"}),
    ):  # fmt: skip
        assert here.api.person(who).post("/api/v1/export-tasks", body).status_code == status, body


def test_a_file_is_kept_for_a_while_and_then_forgotten(here: Bell) -> None:
    """As long as the setting says; then it is gone from the database too."""
    configs.change(here.api.deps, Place(Level.TENANT, HOME), {"export.keep_hours": 2}, actor="user:ada")
    export_id = begun(here, "ada", kind="statistics.colleges")
    exports.make(here.api.deps, claimed(here, export_id))
    with reading(here.api.engine) as tx:
        row = rows.get(tx, export_id, tenant=HOME)
    assert row is not None and row.expires_ms - row.finished_ms == 2 * 3_600_000
    assert exports.forget(here.api.engine, tenant=HOME) == 0
    with unit(here.api.engine) as tx:
        tx.execute(update(exports_table).values(expires_ms=1))
    gone = fetched(here, "ada", export_id)
    assert (gone.status_code, gone.get_json()["error"]["code"]) == (410, "EXPORT_GONE")
    assert exports.forget(here.api.engine, tenant=HOME) == 1
    assert fetched(here, "ada", export_id).status_code == 404
    with reading(here.api.engine) as tx:
        assert not tx.execute(select(export_parts)).all()


def test_one_whose_worker_died_is_made_anew_and_whole(here: Bell) -> None:
    """The worker that was thought dead writes nothing more; pieces of a longer try do not stay behind the file."""
    many_classes(here, 600)
    export_id = begun(here, "bao", kind="timetable", courseId=COURSE)
    first = claimed(here, export_id, "first")
    with unit(here.api.engine) as tx:
        for number in range(3):
            rows.put_part(tx, export_id, number, b"of the first try", tenant=HOME)
    second = claimed(here, export_id, "second")
    with pytest.raises(ClaimLost):
        exports.make(here.api.deps, first)
    exports.make(here.api.deps, second)
    body = fetched(here, "bao", export_id).get_data()
    assert body.count(b"\r\n") == 603 and b"first try" not in body
    with reading(here.api.engine) as tx:
        assert len(tx.execute(select(export_parts.c.number)).all()) == 1


def test_a_file_that_nobody_wants_any_more_is_not_made(here: Bell) -> None:
    """Cancelled before or during; and one person has only so many at once."""
    many = [begun(here, "ada", kind="statistics.colleges") for _ in range(exports.MOST_AT_ONCE)]
    refused = here.api.person("ada").post("/api/v1/export-tasks", {"kind": "statistics.colleges"})
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (409, "EXPORTS_MANY")
    cancelled = here.api.person("ada").post(f"/api/v1/export-tasks/{many[0]}/cancel")
    assert cancelled.get_json()["data"]["state"] == "cancelled"
    exports.make(here.api.deps, claimed(here, many[0]))
    assert shown(here, "ada", many[0])["file"] is None
    assert here.api.person("ada").post(f"/api/v1/export-tasks/{many[0]}/cancel").status_code == 409
    with unit(here.api.engine) as tx:  # its task has given up
        tx.execute(update(jobs).where(jobs.c.target == many[1]).values(state="dead", open_key=None))
    assert shown(here, "ada", many[1])["state"] == "failed"
    begun(here, "ada", kind="statistics.colleges")


def test_a_process_that_comes_to_rest_leaves_the_file_to_another(here: Bell) -> None:
    """A deployment does not wait for a file of an hour."""
    export_id = begun(here, "ada", kind="timetable")
    deps = replace(here.api.deps, stopping=here.api.deps.stopping.__class__())
    deps.stopping.set()
    exports.make(deps, claimed(here, export_id))
    assert shown(here, "ada", export_id)["state"] == "working"
    exports.make(here.api.deps, claimed(here, export_id, "next"))
    assert shown(here, "ada", export_id)["state"] == "done"


def test_who_asked_for_a_file_is_told_once_that_it_is_ready_or_will_not_come(here: Bell) -> None:
    """And nobody else is; whoever reads it is not told again."""
    ada, path = here.api.person("ada"), "/api/v1/notices"
    ready, broken = (begun(here, "ada", kind="statistics.colleges") for _ in range(2))
    exports.make(here.api.deps, claimed(here, ready))
    with unit(here.api.engine) as tx:  # five workers died of it
        tx.execute(update(jobs).where(jobs.c.target == broken).values(attempts=5))
        job_id = tx.execute(select(jobs.c.id).where(jobs.c.target == broken)).scalar_one()
    for _ in range(2):
        assert take(here.api.deps, job_id, claim="c", kinds=[exports.KIND]) is None
    told = {one["kind"]: one for one in ada.leafed(path, size=1, unread="true")}
    assert (told["export.done"]["about"], told["export.failed"]["about"]) == (ready, broken)
    assert ada.get(told["export.done"]["link"]).get_json()["data"]["state"] == "done"
    assert "做好" in told["export.done"]["message"]
    assert "ready" in ada.get(path, Accept_Language="en").get_json()["data"]["items"][-1]["message"]
    assert here.api.person("bao").get(path).get_json()["data"]["items"] == []
    assert ada.get(f"{path}/counts").get_json()["data"] == {"unread": 2}
    assert ada.post(f"{path}/read", {"ids": [told["export.done"]["id"]]}).get_json()["data"] == {"read": 1, "unread": 1}
    assert here.api.person("bao").post(f"{path}/read", {"all": True}).get_json()["data"]["read"] == 0
    assert ada.post(f"{path}/read", {"all": True}).get_json()["data"] == {"read": 1, "unread": 0}
    assert ada.post(f"{path}/read", {}).status_code == 422
    configs.change(here.api.deps, Place(Level.USER, HOME, "ada"), {"user.notify_channels": []}, actor="user:ada")
    exports.make(here.api.deps, claimed(here, begun(here, "ada", kind="statistics.colleges")))
    assert ada.get(f"{path}/counts").get_json()["data"] == {"unread": 0}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_memory_does_not_grow_with_the_file(here: Bell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five times the rows take the same; counted in bytes of Python, on one database because the pages are the same."""
    monkeypatch.setattr(export_tables, "_PAGE", 50)
    many_classes(here, 2_000)

    def peak(**wanted: str) -> int:
        export_id = begun(here, "ada", kind="timetable", format="xlsx", **wanted)
        task = claimed(here, export_id)
        tracemalloc.start()
        exports.make(here.api.deps, task)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    export_id = begun(here, "ada", kind="timetable", format="xlsx", term="none")
    exports.make(here.api.deps, claimed(here, export_id))  # what is loaded once
    with unit(here.api.engine) as tx:
        tx.execute(update(sessions).where(sessions.c.id >= "x000400").values(term="2099"))
    small = peak(term=TERM)
    with unit(here.api.engine) as tx:
        tx.execute(update(sessions).where(sessions.c.term == "2099").values(term=TERM))
    assert peak(term=TERM) < 2 * small  # on a busy machine the longer one also tells more often how far it is
