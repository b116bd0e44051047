"""What a course asks of check-ins, as its teacher says: times, place, code, check-out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from domain.configs import CONFIGS, Level
from domain.tenancy import Scope, Thing
from usecases import configs
from usecases.check_in_rules import PREFIX
from usecases.configs import Place
from web import site
from web.envelope import Answer
from web.policy import needs
from web.rest.courses import thing_of_course
from web.routes import Feature
from web.schemas import course_rules as shapes

feature = Feature("course_rules", "签到规则 what a course asks of check-ins")


def course_named(tx: Connection, scope: Scope, said: Mapping[str, Any]) -> Thing | None:
    """The course that the address names."""
    return thing_of_course(tx, scope, said["path"].course_id)


@feature.get("/courses/<course_id>/check-in-rules", needs("check_in.manage", course_named), data=shapes.RulesTold)
def show_course_rules(path: shapes.RulesPath) -> Answer:
    """The rules of a course's check-ins, and which of them it sets itself."""
    return _told(path.course_id)


@feature.put("/courses/<course_id>/check-in-rules", needs("check_in.manage", course_named), data=shapes.RulesTold)
def set_course_rules(path: shapes.RulesPath, body: shapes.RulesIn) -> Answer:
    """Set some rules for a course, or (null) let the school's hold again; all or nothing. They hold within two seconds."""
    deps = site.deps()
    wanted = {PREFIX + name: value for name, value in body.rules.items() if value is not None}
    unset = [PREFIX + name for name, value in body.rules.items() if value is None]
    configs.change(deps, _place(path.course_id), wanted, unset=unset, actor=site.actor())
    return _told(path.course_id)


def _place(course_id: str) -> Place:
    return Place(Level.COURSE, site.scope().tenant, course_id)


def _told(course_id: str) -> Answer:
    found = configs.values(site.deps(), _place(course_id))
    rules = [
        shapes.RuleTold(
            name=one["key"].removeprefix(PREFIX), value=one["value"], own=one["is_set"], zh=one["zh"], en=one["en"]
        )
        for one in found
        if one["key"] in CONFIGS and one["key"].startswith(PREFIX)
    ]
    return Answer(shapes.RulesTold(course_id=course_id, rules=rules).as_json())
