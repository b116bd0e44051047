"""Planning: a page that looks quiet is not read whole, and nothing that differs is overlooked for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, delete, insert, select, update

from bench.planning_world import mark_as_sent
from bootstrap.wiring import new_id
from db import jobs as job_rows
from db import planning
from db.engine import in_unit, reading
from db.imports import latest_complete
from db.tables import jobs, mirror, offerings, rolls, sessions, users
from domain.settlement import Verb
from tests.integration.campus_rig import MONDAY, TERM, bring_in, free, with_tenant, write
from usecases.sync.planning import CoursePlan, Planner
from usecases.sync.read_ahead import one_ahead

pytestmark = pytest.mark.integration

SECRET = b"a secret of the tests"
COURSES, WEEKS = 8, 3
Wish = tuple[str, str, str]


def a_term(folder: Path) -> None:
    rows = [
        {
            **MONDAY, "kkh": f"A-{course}", "kcmc": f"代数 {course}", "room": f"{100 + course}", "jxz": str(1 + week),
            "rq": str(date(2024, 9, 2) + timedelta(days=7 * week)), "kkxy": f"学院{course % 3}",
        }
        for course in range(COURSES)
        for week in range(WEEKS)
    ]  # fmt: skip
    write(folder, "meetings", rows)
    people = [{"xh": f"s{n}", "xm": f"学生{n}"} for n in range(COURSES)]
    write(folder, "students", people)
    write(folder, "enrolments", [{"xh": f"s{n}", "kkh": f"A-{n}", "xnxq": TERM} for n in range(COURSES)])


@pytest.fixture
def term(database: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """A term of eight courses, everything in it sent; pages of two courses."""
    monkeypatch.setattr(planning, "PAGE_ROWS", 2 * WEEKS)
    a_term(tmp_path / "campus")
    engine = with_tenant(database)
    bring_in(engine, tmp_path / "campus")
    in_unit(engine, lambda tx: tx.execute(update(users).values(wps_id=users.c.code)))
    put_all(engine)
    mark_as_sent(engine, tenant="main")
    yield engine


def planner(engine: Engine) -> Planner:
    return Planner(engine, "main", SECRET)


def put_all(engine: Engine) -> set[Wish]:
    """Plan and put, page by page. Returns what was asked for."""
    asked: set[Wish] = set()
    one = planner(engine)
    with reading(engine) as tx:
        number = latest_complete(tx, "main") or 0
    for _, plans in one.pages():
        one.put(plans, import_no=number, run_id="run", new_id=new_id, fence=free)
        asked |= wishes(plans)
    return asked


def wishes(plans: list[CoursePlan]) -> set[Wish]:
    return {(one.kind, one.target, one.verb.value) for plan in plans for one in plan.operations}


def by_pages(engine: Engine) -> set[Wish]:
    return {wish for _, plans in planner(engine).pages() for wish in wishes(plans)}


def one_by_one(engine: Engine) -> set[Wish]:
    """Every course compared whole, whatever the hashes say."""
    found: set[Wish] = set()
    with reading(engine) as tx:
        for term_, id_ in tx.execute(select(offerings.c.term, offerings.c.id)).all():
            plan = planner(engine).of_offering(tx, term=term_, offering_id=id_)
            assert plan is not None
            found |= wishes([plan])
    return found


def a_course(tx: Connection) -> str:
    return str(tx.execute(select(offerings.c.id).order_by(offerings.c.id).offset(3).limit(1)).scalar_one())


def a_class(tx: Connection) -> str:
    where = sessions.c.offering_id == a_course(tx)
    return str(tx.execute(select(sessions.c.id).where(where).order_by(sessions.c.id).limit(1)).scalar_one())


def moved_to_another_room(tx: Connection) -> None:
    changed = {"rooms": '[["", "一教", "999"]]', "event_hash": "another"}
    tx.execute(update(sessions).where(sessions.c.id == a_class(tx)).values(**changed))


def hash_never_worked_out(tx: Connection) -> None:
    tx.execute(update(sessions).where(sessions.c.id == a_class(tx)).values(rooms="[]", event_hash=None))


def a_class_left_out(tx: Connection) -> None:
    tx.execute(delete(sessions).where(sessions.c.id == a_class(tx)))


def all_classes_left_out(tx: Connection) -> None:
    tx.execute(delete(sessions).where(sessions.c.offering_id == a_course(tx)))


def never_put(tx: Connection) -> None:
    tx.execute(delete(mirror).where(mirror.c.target == f"evt:{a_class(tx)}"))


def sent_otherwise(tx: Connection) -> None:
    tx.execute(update(mirror).where(mirror.c.target == f"evt:{a_class(tx)}").values(sent_hash="other"))


def gone_at_wps(tx: Connection) -> None:
    tx.execute(update(mirror).where(mirror.c.target == f"evt:{a_class(tx)}").values(state="gone", sent_hash=""))


def an_event_in_doubt(tx: Connection) -> None:
    tx.execute(update(mirror).where(mirror.c.target == f"evt:{a_class(tx)}").values(intent_verb="create", intent_ms=1))


def a_calendar_in_doubt(tx: Connection) -> None:
    tx.execute(update(mirror).where(mirror.c.target == f"cal:{a_course(tx)}").values(intent_verb="update", intent_ms=1))


def a_calendar_gone(tx: Connection) -> None:
    tx.execute(update(mirror).where(mirror.c.target == f"cal:{a_course(tx)}").values(state="gone", sent_hash=""))


def members_in_doubt(tx: Connection) -> None:
    tx.execute(update(mirror).where(mirror.c.target == f"mem:{a_course(tx)}").values(intent_verb="create", intent_ms=1))


def renamed(tx: Connection) -> None:
    id_ = a_course(tx)
    tx.execute(update(offerings).where(offerings.c.id == id_).values(name="几何"))
    tx.execute(update(sessions).where(sessions.c.offering_id == id_).values(event_hash="of the new name"))


def a_student_left(tx: Connection) -> None:
    tx.execute(delete(rolls).where(rolls.c.offering_id == a_course(tx)))


def a_student_got_an_account(tx: Connection) -> None:
    key = {"tenant_id": "main", "kind": "student", "import_no": 1}
    tx.execute(insert(users).values(code="new", name="", college="", listed=True, wps_id="new", **key))
    tx.execute(insert(rolls).values(term=TERM, offering_id=a_course(tx), code="new", **key))


def something_else_is_on_its_way(tx: Connection) -> None:
    put = job_rows.Put("event", f"evt:{a_class(tx)}", f"cal:{a_course(tx)}", TERM, "学院0", "{}", "other", 0, 2)
    job_rows.put(tx, [put], tenant="main", import_no=1, run_id=None, new_id=new_id)


CHANGES = [
    moved_to_another_room, hash_never_worked_out, a_class_left_out, all_classes_left_out, never_put, sent_otherwise,
    gone_at_wps, an_event_in_doubt, a_calendar_in_doubt, a_calendar_gone, members_in_doubt, renamed, a_student_left,
    a_student_got_an_account, something_else_is_on_its_way,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda one: one.__name__)
def test_a_plan_by_hashes_finds_what_comparing_everything_finds(
    change: Callable[[Connection], Any], term: Engine
) -> None:
    """An event that the quick look overlooks stays wrong in people's calendars until somebody complains."""
    in_unit(term, lambda tx: change(tx))
    found = by_pages(term)
    assert found == one_by_one(term)
    assert found, "the change has to matter, or this shows nothing"


def test_after_everything_was_sent_there_is_nothing_to_do_and_no_course_is_read(
    term: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hourly run compares half a million classes to find the ten that changed."""
    read: list[str] = []
    whole = planning.classes
    monkeypatch.setattr(
        planning, "classes", lambda tx, **asked: read.extend(asked["offering_ids"]) or whole(tx, **asked)
    )
    assert by_pages(term) == set()
    assert read == []
    in_unit(term, moved_to_another_room)
    assert len(by_pages(term)) == 1
    assert len(read) == 1


def test_pages_go_on_after_any_of_them(term: Engine) -> None:
    """A run that died goes on at its cursor: no course twice, none left out."""
    in_unit(term, lambda tx: tx.execute(update(mirror).values(sent_hash="other")))
    pages = list(planner(term).pages())
    assert len(pages) > 4
    whole = [wishes(plans) for _, plans in pages]
    for at, (cursor, _) in enumerate(pages):
        rest = [wishes(plans) for _, plans in planner(term).pages(after=cursor)]
        assert rest == whole[at + 1 :]


def test_a_calendar_whose_course_is_gone_is_deleted_once(term: Engine) -> None:
    """Its events go with it; nobody deletes forty of them one by one."""

    def forget(tx: Connection) -> str:
        gone = a_course(tx)
        tx.execute(delete(sessions).where(sessions.c.offering_id == gone))
        tx.execute(delete(rolls).where(rolls.c.offering_id == gone))
        tx.execute(delete(offerings).where(offerings.c.id == gone))
        return gone

    gone = in_unit(term, forget)
    assert put_all(term) == {("calendar", f"cal:{gone}", Verb.DELETE.value)}
    assert put_all(term) == {("calendar", f"cal:{gone}", Verb.DELETE.value)}
    with reading(term) as tx:
        assert tx.execute(select(jobs.c.target).where(jobs.c.state == "queued")).scalars().all() == [f"cal:{gone}"]


def test_courses_of_a_first_plan_get_their_lane_and_keep_it(term: Engine) -> None:
    """A course that changes college keeps its lane: two lanes must never write to one calendar."""
    with reading(term) as tx:
        lanes = dict(tx.execute(select(offerings.c.id, offerings.c.lane)).all())
    assert sorted(set(lanes.values())) == ["学院0", "学院1", "学院2"]
    in_unit(term, lambda tx: tx.execute(update(offerings).values(college="别的学院", name="改名")))
    put_all(term)
    with reading(term) as tx:
        assert dict(tx.execute(select(offerings.c.id, offerings.c.lane)).all()) == lanes
        assert set(tx.execute(select(jobs.c.lane).where(jobs.c.state == "queued")).scalars()) == set(lanes.values())


def test_one_page_is_read_ahead_and_an_error_comes_in_its_place() -> None:
    """Reading must not run away from writing, nor hide that it failed."""
    made: list[int] = []

    def pages() -> Iterator[int]:
        for number in range(1, 5):
            made.append(number)
            if number == 4:
                raise ValueError("the fourth")
            yield number

    taken = []
    with pytest.raises(ValueError, match="the fourth"):
        for page in one_ahead(pages()):
            taken.append(page)
            assert len(made) <= page + 1
    assert taken == [1, 2, 3]
