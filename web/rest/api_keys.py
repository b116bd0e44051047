"""API keys of services."""

from __future__ import annotations

from typing import Any

from usecases import api_keys
from web import site
from web.envelope import Answer
from web.policy import needs, whole_school
from web.routes import Feature
from web.schemas import api_keys as shapes
from web.schemas.base import instant

feature = Feature("keys", "API 密钥 keys of services")
_SHOWN = 500


@feature.get("/keys", needs("key.read", whole_school), items=shapes.Key)
def list_keys() -> Answer:
    """The keys of the school, newest first, without their secrets."""
    here = site.deps()
    found = api_keys.listing(here, tenant=here.tenant, limit=_SHOWN)
    return Answer({"items": [_shape(one).as_json() for one in found]})


@feature.post("/keys", needs("key.manage", whole_school), data=shapes.Made, status=201)
def make_key(body: shapes.MakeKey) -> Answer:
    """Make a key; it is told once. It may do no more than who makes it."""
    here = site.deps()
    made = api_keys.make(
        here,
        tenant=here.tenant,
        name=body.name,
        permissions=body.permissions,
        colleges=body.colleges,
        days=body.days,
        actor=site.actor(),
        by=site.scope(),
    )
    return _made(made)


@feature.post("/keys/<prefix>/rotate", needs("key.manage", whole_school), data=shapes.Made, status=201)
def rotate_key(path: shapes.KeyPath, body: shapes.RotateKey) -> Answer:
    """Make a successor that may do the same; the old key stays good for a while."""
    here = site.deps()
    made = api_keys.rotate(
        here,
        tenant=here.tenant,
        prefix=path.prefix,
        overlap_h=body.overlap_hours,
        actor=site.actor(),
        by=site.scope(),
    )
    return _made(made)


@feature.post("/keys/<prefix>/revoke", needs("key.manage", whole_school), data=shapes.Revoked)
def revoke_key(path: shapes.KeyPath) -> Answer:
    """End a key now."""
    here = site.deps()
    ended = api_keys.revoke(here, tenant=here.tenant, prefix=path.prefix, actor=site.actor())
    return Answer(shapes.Revoked(prefix=path.prefix, already=not ended).as_json())


def _made(made: api_keys.Made) -> Answer:
    return Answer(shapes.Made(key=made.key, prefix=made.prefix, ends_at=instant(made.ends_ms) or "").as_json(), 201)


def _shape(one: dict[str, Any]) -> shapes.Key:
    same = ("prefix", "name", "state", "permissions", "colleges", "made_by", "successor")
    return shapes.Key(
        **{name: one[name] for name in same},
        created_at=instant(one["created_ms"]) or "",
        ends_at=instant(one["ends_ms"]) or "",
        revoked_at=instant(one["revoked_ms"]),
        last_used_at=instant(one["last_used_ms"]),
    )
