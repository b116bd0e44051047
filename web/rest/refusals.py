"""Whom the desk turned away on a day, and why: as a list, and as counts by college and cause."""

from __future__ import annotations

from collections.abc import Mapping

from db import attendance, check_in_refusals
from db.engine import reading
from db.tables import AnyRow
from domain.check_in_words import CAUSES
from domain.tenancy import Reach
from web import site
from web.envelope import Answer, said
from web.paging import cursor_of, page_meta, read_cursor
from web.policy import needs_some
from web.rest.exceptions import began_on, within_college
from web.routes import Feature
from web.schemas import refusals as shapes
from web.schemas.base import instant
from web.schemas.statistics import DayQuery

feature = Feature("refusals", "签到被拒 whom the desk turned away")


@feature.get("/attendance/refusals", needs_some("check_in.read"), items=shapes.CheckInRefusal)
def list_refusals(query: shapes.RefusalsQuery) -> Answer:
    """Students whom the desk turned away, in the classes of a day, the latest class first: one's own, of the courses that one
    teaches or looks after.

    Known some seconds after it happened. A refusal is no check-in and counts for nothing.
    """
    tenant, after = site.scope().tenant, None
    if query.cursor is not None:
        start, session, code, cause = read_cursor(query.cursor)
        after = (int(start), str(session), str(code), str(cause))
    with reading(site.deps().engine) as tx:
        found = check_in_refusals.page(
            tx, began_on(query.date), tenant=tenant, within=within_college(query.college), own=_own(query.college),
            cause=query.cause, limit=query.size + 1, offset=query.offset, after=after,
        )  # fmt: skip
        shown = found[: query.size]
        names = attendance.names_of(tx, [row.code for row in shown], tenant=tenant)
    of_last = ("start_ms", "session_id", "code", "cause")
    cursor = cursor_of(*(getattr(shown[-1], name) for name in of_last)) if shown else None
    page = page_meta(query, shown=shown, more=len(found) > query.size, cursor=cursor)
    return Answer({"items": [_shape(row, names).as_json() for row in shown]}, page=page)


def _own(college: str | None) -> str | None:
    """The caller, where what is about himself is asked for too."""
    return site.scope().user if college is None and Reach.OWN in site.reach("check_in.read") else None


def _shape(row: AnyRow, names: Mapping[str, str]) -> shapes.CheckInRefusal:
    return shapes.CheckInRefusal(
        student=row.code,
        name=names.get(row.code),
        schedule_id=row.session_id,
        course_id=row.course_id,
        course_name=row.name or row.kcbh or row.kkh or "",
        college=row.college or None,
        date=row.course_date,
        start_at=instant(row.start_ms) or "",
        cause=row.cause,
        error=f"CHECKIN_{row.cause.upper()}",
        message=in_words(row.cause),
        attempts=row.attempts,
        first_at=instant(row.first_ms) or "",
        last_at=instant(row.last_ms) or "",
        outside_metres=row.outside_m,
        status=row.status or None,
    )


def in_words(cause: str) -> str:
    """What the student was told."""
    return said(*CAUSES.get(cause, (cause, cause)))


@feature.get("/attendance/refusals/counts", needs_some("check_in.read"), items=shapes.RefusalCounts)
def count_refusals(query: DayQuery) -> Answer:
    """How many students of each college were turned away for which cause, and how many of them did not come in after all."""
    with reading(site.deps().engine) as tx:
        found = check_in_refusals.by_college(
            tx, began_on(query.date), tenant=site.scope().tenant, within=within_college(None)
        )
    items = [
        shapes.RefusalCounts(
            college=college or None, cause=cause, message=in_words(cause), students=students, attempts=attempts, out=out
        ).as_json()
        for college, cause, students, attempts, out in found
    ]
    return Answer({"items": items})
