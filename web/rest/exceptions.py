"""The check-ins of a day that somebody had to look at, by college: as a list, as counts, as a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask import Response
from sqlalchemy import Connection

from db import attendance
from db.attendance import Which
from db.courses import Within
from db.engine import reading
from domain.attendance import exception_of
from domain.tenancy import Reach, Scope, Thing
from usecases import export_tables
from web import site
from web.envelope import Answer
from web.paging import page_meta
from web.policy import needs, needs_some
from web.rest.classes import after_of, cursor_for, entry_of
from web.rest.exports import TABLES, file_of
from web.routes import Feature
from web.schemas import statistics as shapes

feature = Feature("exceptions", "签到异常 check-ins that somebody had to look at")


@feature.get("/attendance/exceptions", needs_some("check_in.read"), items=shapes.CheckInException)
def list_exceptions(query: shapes.ExceptionsQuery) -> Answer:
    """The check-ins of a day that wait for a person, that a person refused, or that are suspicious; the latest class first.

    Of the courses that one teaches or looks after. What the desk refuses at once was never a check-in: see /attendance/refusals.
    """
    tenant = site.scope().tenant
    with reading(site.deps().engine) as tx:
        found = attendance.page(
            tx, Which(began=began_on(query.date), exceptional=True), tenant=tenant, within=within_college(query.college),
            own=None, limit=query.size + 1, offset=query.offset, after=after_of(query.cursor),
        )  # fmt: skip
        shown = found[: query.size]
        names = attendance.names_of(tx, [row.code for row in shown], tenant=tenant)
    items = [
        shapes.CheckInException(
            **entry_of(row, names).model_dump(), kind=_kind(row.status, row.produced_by), college=row.college or None
        ).as_json()
        for row in shown
    ]
    return Answer(
        {"items": items}, page=page_meta(query, shown=shown, more=len(found) > query.size, cursor=cursor_for(shown))
    )


@feature.get("/attendance/exceptions/counts", needs_some("check_in.read"), items=shapes.ExceptionCounts)
def count_exceptions(query: shapes.DayQuery) -> Answer:
    """How many there are of each college and kind."""
    began = began_on(query.date)
    with reading(site.deps().engine) as tx:
        found = attendance.exceptions_by_college(tx, began, tenant=site.scope().tenant, within=within_college(None))
    counts: dict[str, Counter[str]] = {}
    for college, status, by, many in found:
        counts.setdefault(college, Counter())[exception_of(status, by)] += many
    items = [
        shapes.ExceptionCounts(
            college=college or None, review=of["review"], refused=of["refused"], suspicious=of["suspicious"]
        ).as_json()
        for college, of in sorted(counts.items())
    ]
    return Answer({"items": items})


def _kind(status: str, by: str) -> Any:
    return exception_of(status, by)


def began_on(day: str | None) -> tuple[int, int]:
    """From when until when the classes of a day begin; without one of today."""
    zone = site.deps().zone
    today = datetime.fromtimestamp(site.now_ms() / 1000, zone).date().isoformat()
    return export_tables.day_of(day or today, zone)


def within_college(college: str | None) -> Within:
    """The courses that the caller may see of a college, or of all."""
    mine = site.colleges("check_in.read")
    if college is not None:
        return Within((college,) if mine is None or college in mine else ())
    taught = Reach.TAUGHT in site.reach("check_in.read")
    return Within(mine, taught_by=site.scope().user if taught else None)


def college_asked(_connection: Connection, scope: Scope, said: Mapping[str, Any]) -> Thing:
    """The college that the query names, or the whole school."""
    college = said["query"].college
    return Thing(scope.tenant, frozenset({college} if college is not None else ()))


@feature.get("/exports/exceptions", needs("export.create", college_asked), raw=TABLES, errors=(409,))
def export_exceptions(query: shapes.ExceptionsFile) -> Response:
    """The same as a file, of a college or of the school."""
    colleges = None if query.college is None else (query.college,)
    return file_of(export_tables.exceptions(site.deps(), query.date, colleges=colleges), query.format)
