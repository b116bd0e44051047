"""Why a class, or a student in it, is as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from db import courses
from domain.tenancy import Scope, Thing
from usecases import explain
from web import site
from web.envelope import Answer
from web.policy import needs
from web.rest.courses import thing_of_course
from web.routes import Feature
from web.schemas import explain as shapes

feature = Feature("explanations", "为什么 why a class or a student is as they are")


def session_of(tx: Connection, scope: Scope, said: Mapping[str, Any]) -> Thing | None:
    """The class that the address names, with the college of its course."""
    row = courses.session(tx, said["path"].session_id, tenant=scope.tenant)
    return None if row is None else thing_of_course(tx, scope, row.offering_id)


@feature.get("/explanations/sessions/<session_id>", needs("explanation.read", session_of), data=shapes.Explanation)
def explain_session(path: shapes.SessionPath) -> Answer:
    """A class from its source rows over session, changes and operations to WPS and its roster: who did what when."""
    return Answer(shapes.Explanation.of(explain.of_session(site.deps(), path.session_id)).as_json())


@feature.get(
    "/explanations/sessions/<session_id>/users/<code>",
    needs("explanation.read", session_of),
    data=shapes.Explanation,
)
def explain_student(path: shapes.StudentPath) -> Answer:
    """One student in a class: roll, calendar at WPS, row of the roster, evidence of the check-in. No place is told."""
    found = explain.of_student(site.deps(), path.session_id, path.code)
    return Answer(shapes.Explanation.of(found).as_json())
