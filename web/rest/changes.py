"""What people decide about classes: one at a time, and whole days at the exchange-day desk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection

from db import courses, teaching_changes, timetable
from db.engine import reading
from domain.alterations import CANCELLED, EXCHANGE_DAY, MAKE_UP, MOVED, RESTORED, SUBSTITUTE
from domain.tenancy import Scope, Thing
from usecases import exchange_days
from usecases import teaching_changes as cases
from usecases.change_checks import Said
from web import idempotency, site
from web.envelope import Answer
from web.errors import ApiError
from web.paging import cursor_of, page_meta, when_and_id
from web.policy import needs, needs_some, whole_school
from web.rest.courses import thing_of_course, within
from web.routes import Feature
from web.schemas import changes as shapes
from web.schemas.base import instant

feature = Feature("changes", "调课与调休 what people decide about classes")
_MOST_DAYS: Final = 500


# --- what a request is about --------------------------------------------------------------------------------------------


def class_in_body(tx: Connection, scope: Scope, said: Mapping[str, Any]) -> Thing | None:
    """The class, or the course of a make-up, that the body names."""
    body = said["body"]
    course_id = body.course_id
    if body.session_id is not None:
        row = courses.session(tx, body.session_id, tenant=scope.tenant)
        course_id = None if row is None else row.offering_id
    return None if course_id is None else thing_of_course(tx, scope, course_id)


def change_named(tx: Connection, scope: Scope, said: Mapping[str, Any]) -> Thing | None:
    """The change, or the batch of them, with all colleges that it touches; an exchange day is the whole school's."""
    rows = teaching_changes.by_reference(tx, said["path"].change_id, tenant=scope.tenant)
    if not rows:
        return None
    if any(row.type == EXCHANGE_DAY for row in rows):
        return Thing(scope.tenant)
    ids = {row.offering_id for row in rows}
    found = {timetable.college_of(tx, tenant=scope.tenant, offering_id=one) or "" for one in ids}
    return Thing(scope.tenant, frozenset() if "" in found else frozenset(found))


def batch_named(tx: Connection, scope: Scope, said: Mapping[str, Any]) -> Thing | None:
    """The exchange days that the address names: the whole school's."""
    rows = teaching_changes.by_reference(tx, said["path"].batch, tenant=scope.tenant)
    return Thing(scope.tenant) if any(row.type == EXCHANGE_DAY for row in rows) else None


# --- single classes -----------------------------------------------------------------------------------------------------


@feature.get("/teaching-changes", needs_some("change.read"), items=shapes.TeachingChange)
def list_teaching_changes(query: shapes.ChangesQuery) -> Answer:
    """What was decided about classes, newest first, within what the caller reaches."""
    found = cases.listing(
        site.deps(),
        term=query.term,
        kinds=query.type or (),
        states=query.state or (),
        within=within("change.read"),
        limit=query.size + 1,
        offset=query.offset,
        after=when_and_id(query.cursor),
    )["items"]
    shown = found[: query.size]
    cursor = cursor_of(shown[-1]["at_ms"], shown[-1]["id"]) if shown else None
    page = page_meta(query, shown=shown, more=len(found) > query.size, cursor=cursor)
    return Answer({"items": [shapes.TeachingChange.of(one).as_json() for one in shown]}, page=page)


@feature.post("/teaching-changes", needs("change.write", class_in_body), data=shapes.Decided, status=202, errors=(409,))
def decide_change(body: shapes.DecideChange) -> Answer:
    """Decide something about a class: it is checked and written at once, and a run carries it to WPS.

    What is in the way is answered (409 IN_THE_WAY) and nothing is done, unless ``confirm`` says that it was seen.
    """
    return _decided(_decide(body, _said(reason=body.reason, confirm=body.confirm)))


@feature.post(
    "/teaching-changes/preview", needs("change.write", class_in_body), data=shapes.ChangePreview, errors=(409,)
)
def preview_change(body: shapes.DecideChange) -> Answer:
    """What a decision about a class would mean: before and after, people, what is in the way. Changes nothing."""
    found = _decide(body, Said(site.actor(), reason=body.reason, preview=True))
    shape = shapes.ChangePreview(
        changes=[shapes.PreviewedChange.of(one) for one in found["items"]],
        people=shapes.People(**found["people"]),
        conflicts=[one["sentence"] for one in found["conflicts"]],
    )
    return Answer(shape.as_json())


def _decide(body: shapes.DecideChange, said: Said) -> dict[str, Any]:
    deps, session_id = site.deps(), body.session_id or ""
    match body.type:
        case kind if kind == MOVED:
            return cases.move(deps, session_id, body.time(), said, room=body.room)
        case kind if kind == CANCELLED:
            return cases.cancel(deps, session_id, said)
        case kind if kind == RESTORED:
            return cases.restore(deps, session_id, said)
        case kind if kind == SUBSTITUTE:
            return cases.substitute(deps, session_id, body.teachers or (), said)
        case kind if kind == MAKE_UP:
            return _make_up(body, said)
    return cases.room(deps, session_id, body.room or "", said)


def _make_up(body: shapes.DecideChange, said: Said) -> dict[str, Any]:
    deps = site.deps()
    with reading(deps.engine) as tx:
        course = courses.get(tx, body.course_id or "", tenant=deps.tenant)
    if course is None:
        raise ApiError("NOT_FOUND")
    return cases.make_up(
        deps, course.term, (course.kkh, course.kcbh), body.time(), said, room=body.room, teachers=body.teachers or ()
    )


@feature.post(
    "/teaching-changes/<change_id>/withdraw",
    needs("change.write", change_named),
    data=shapes.Decided,
    status=202,
    errors=(409,),
)
def withdraw_change(path: shapes.ChangePath, body: shapes.WithdrawIn) -> Answer:
    """Take a change back, or all of a batch: what was before it comes back."""
    return _decided(cases.withdraw(site.deps(), path.change_id, _said(reason=body.reason)))


def _said(*, reason: str, confirm: bool = False) -> Said:
    def also(tx: Connection, found: dict[str, Any]) -> None:
        idempotency.stored_with(tx, _decided(found))

    return Said(site.actor(), reason=reason, confirm=confirm, also=also)


def _decided(found: Mapping[str, Any]) -> Answer:
    shape = shapes.Decided(
        batch=found["batch"],
        run_id=found["run"],
        changes=[shapes.TeachingChange.of(one) for one in found["items"]],
        conflicts=[one["sentence"] for one in found["conflicts"]],
    )
    return Answer(shape.as_json(), 202, headers={"Location": f"/api/v1/sync/runs/{found['run']}"})


# --- the exchange-day desk ----------------------------------------------------------------------------------------------


@feature.get("/exchange-days", needs("term.read", whole_school), items=shapes.ExchangeDay)
def list_exchange_days(query: shapes.ExchangeQuery) -> Answer:
    """Exchange days, newest first: the desk's, and those that the source says itself."""
    found = exchange_days.listing(site.deps(), term=query.term, limit=_MOST_DAYS)["items"]
    same = ("id", "batch", "term", "by", "state", "teaching_day", "teaching_day_is", "held_on", "held_on_is")
    items = [
        shapes.ExchangeDay(
            **{name: one[name] for name in same},
            reason=one.get("reason"),
            actor=one.get("actor"),
            at=instant(one.get("at_ms")),
            run_id=one.get("run_id"),
        ).as_json()
        for one in found
    ]
    return Answer({"items": items})


@feature.post("/exchange-days/preview", needs("change.write", whole_school), data=shapes.ExchangePreview, errors=(409,))
def preview_exchange_days(body: shapes.ExchangeIn) -> Answer:
    """What exchanging days would mean: classes, people, what is in the way. Changes nothing."""
    pairs, off = body.as_texts()
    found = exchange_days.preview(site.deps(), body.term, pairs, off)
    shape = shapes.ExchangePreview(
        term=found["term"],
        days=[shapes.PreviewedDay(**{**one, "people": shapes.People(**one["people"])}) for one in found["items"]],
        sessions=found["sessions"],
        people=shapes.People(**found["people"]),
        conflicts=[one["sentence"] for one in found["conflicts"]],
        conflicts_total=found["conflicts_total"],
    )
    return Answer(shape.as_json())


@feature.post("/exchange-days", needs("change.write", whole_school), data=shapes.Decided, status=202, errors=(409,))
def apply_exchange_days(body: shapes.ApplyExchange) -> Answer:
    """Exchange days, all at once; a run carries it to WPS."""
    pairs, off = body.as_texts()
    said = _said(reason=body.reason, confirm=body.confirm)
    return _decided(exchange_days.apply(site.deps(), body.term, pairs, off, said))


@feature.post(
    "/exchange-days/<batch>/undo", needs("change.write", batch_named), data=shapes.Decided, status=202, errors=(409,)
)
def undo_exchange_days(path: shapes.BatchPath, body: shapes.WithdrawIn) -> Answer:
    """Take a batch of exchange days back, all at once."""
    return _decided(exchange_days.undo(site.deps(), path.batch, _said(reason=body.reason)))
