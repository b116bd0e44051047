"""Settings while the product runs, at four levels, with their history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from db import logins, timetable
from db.configs import Place
from domain.configs import Level, UnknownConfig
from domain.tenancy import Scope, Thing
from usecases import configs
from web import site, versions
from web.envelope import Answer
from web.errors import ApiError, Detail
from web.policy import needs
from web.routes import Feature
from web.schemas import configs as shapes
from web.schemas.base import instant

feature = Feature("configs", "设置 settings of user, course, school and installation")


def place_of(tx: Connection, scope: Scope, said: Mapping[str, Any]) -> Thing | None:
    """Whose settings the request is about."""
    level, subject = Level(said["path"].level), said["query"].subject
    match level:
        case Level.SYSTEM:
            return Thing(None)
        case Level.TENANT:
            return Thing(scope.tenant)
        case Level.COURSE:
            college = timetable.college_of(tx, tenant=scope.tenant, offering_id=subject or "")
            return None if college is None else Thing(scope.tenant, frozenset({college} - {""}))
        case Level.USER:
            return _person(tx, scope, subject or scope.user)


def _person(tx: Connection, scope: Scope, user: str) -> Thing | None:
    if user != scope.user and not logins.is_somebody(tx, tenant=scope.tenant, user=user):
        return None
    return Thing(scope.tenant, people=frozenset({user}))


def _place(level: str, subject: str | None) -> Place:
    chosen = Level(level)
    if chosen in (Level.SYSTEM, Level.TENANT):
        if subject is not None:
            raise ApiError("INVALID", Detail("subject", "this level is about nobody in particular", "leave it out"))
        return Place(chosen, site.scope().tenant)
    return Place(chosen, site.scope().tenant, subject or site.scope().user)


@feature.get("/configs/<level>", needs("setting.read", place_of), items=shapes.Config)
def list_configs(path: shapes.LevelPath, query: shapes.SubjectQuery) -> Answer:
    """Every setting of a level: what holds there, from where, and its version."""
    found = configs.values(site.deps(), _place(path.level, query.subject))
    return Answer({"items": [_shape(path.level, one).as_json() for one in found]})


@feature.get("/configs/<level>/history", needs("setting.read", place_of), items=shapes.Change)
def list_changes(path: shapes.LevelPath, query: shapes.HistoryQuery) -> Answer:
    """What was set and unset at a level, newest first."""
    place = _place(path.level, query.subject)
    found = configs.history(site.deps(), place, query.key, limit=query.limit)
    same = ("key", "before", "after", "was_set", "is_set", "actor")
    return Answer(
        {
            "items": [
                shapes.Change(**{name: one[name] for name in same}, at=instant(one["at_ms"]) or "").as_json()
                for one in found
            ]
        }
    )


@feature.get("/configs/<level>/<key>", needs("setting.read", place_of), data=shapes.Config)
def show_config(path: shapes.ConfigPath, query: shapes.SubjectQuery) -> Answer:
    """One setting at a level; its ETag is the version."""
    one = _one(path, query)
    return Answer(_shape(path.level, one).as_json(), etag=str(one["version"]))


@feature.put(
    "/configs/<level>/<key>", needs("setting.write", place_of), data=shapes.Changed, versioned=True, errors=(409, 428)
)
def set_config(path: shapes.ConfigPath, query: shapes.SubjectQuery, body: shapes.SetConfig) -> Answer:
    """Set a value. If-Match is the version you saw, "0" where it never was."""
    return _change(path, query, {path.key: body.value})


@feature.delete(
    "/configs/<level>/<key>", needs("setting.write", place_of), data=shapes.Changed, versioned=True, errors=(409, 428)
)
def unset_config(path: shapes.ConfigPath, query: shapes.SubjectQuery) -> Answer:
    """Unset a value: the next level holds again."""
    return _change(path, query, {})


def _change(path: shapes.ConfigPath, query: shapes.SubjectQuery, wanted: Mapping[str, Any]) -> Answer:
    seen = versions.must_be_seen()
    if not seen.isdecimal():
        raise ApiError("VERSION_CHANGED")
    place = _place(path.level, query.subject)
    unset = () if wanted else (path.key,)
    before = configs.change(site.deps(), place, wanted, unset=unset, version=int(seen), actor=site.actor())
    version = int(seen) + 1
    shape = shapes.Changed(key=path.key, level=path.level, before=before.get(path.key), version=version)
    return Answer(shape.as_json(), etag=str(version))


def _one(path: shapes.ConfigPath, query: shapes.SubjectQuery) -> dict[str, Any]:
    found = configs.values(site.deps(), _place(path.level, query.subject))
    for one in found:
        if one["key"] == path.key:
            return one
    raise UnknownConfig(path.key)


def _shape(level: str, one: Mapping[str, Any]) -> shapes.Config:
    same = ("key", "value", "is_set", "version", "default", "type", "zh", "en")
    source = one["from"]
    return shapes.Config(
        **{name: one[name] for name in same}, level=level, set_at=None if source is None else str(source)
    )
