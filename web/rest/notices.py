"""What the caller is told by the product: that a file is ready, or will not come."""

from __future__ import annotations

import json

from sqlalchemy import Connection

from db import notices as rows
from db.engine import in_unit, reading
from db.tables import AnyRow
from domain.notices import sentence
from web import site
from web.envelope import Answer, language
from web.paging import cursor_of, page_meta, when_and_id
from web.policy import anyone_signed_in
from web.routes import Feature
from web.schemas import notices as shapes
from web.schemas.base import instant

feature = Feature("notices", "通知 what one is told")


@feature.get("/notices", anyone_signed_in(), items=shapes.Notice)
def list_notices(query: shapes.NoticesQuery) -> Answer:
    """What the caller was told, newest first."""
    scope = site.scope()
    with reading(site.deps().engine) as tx:
        found = rows.listing(
            tx, scope.user, tenant=scope.tenant, unread=query.unread, limit=query.size + 1,
            after=when_and_id(query.cursor), offset=query.offset,
        )  # fmt: skip
    shown = found[: query.size]
    cursor = cursor_of(shown[-1].created_ms, shown[-1].id) if shown else None
    page = page_meta(query, shown=shown, more=len(found) > query.size, cursor=cursor)
    return Answer({"items": [_shape(row).as_json() for row in shown]}, page=page)


def _shape(row: AnyRow) -> shapes.Notice:
    body = json.loads(row.body)
    return shapes.Notice(
        id=row.id,
        kind=row.kind,
        message=sentence(row.kind, body, zh=language() == "zh"),
        about=row.about,
        link=body.get("link"),
        created_at=instant(row.created_ms) or "",
        read_at=instant(row.read_ms),
    )


@feature.get("/notices/counts", anyone_signed_in(), data=shapes.NoticeCount)
def count_notices() -> Answer:
    """How many the caller has not read: cheap, for the mark beside his name."""
    scope = site.scope()
    with reading(site.deps().engine) as tx:
        return Answer(shapes.NoticeCount(unread=rows.unread(tx, scope.user, tenant=scope.tenant)).as_json())


@feature.post("/notices/read", anyone_signed_in(), data=shapes.NoticesDone)
def read_notices(body: shapes.NoticesRead) -> Answer:
    """Say that one has read some of them, or all."""
    scope = site.scope()

    def work(tx: Connection) -> shapes.NoticesDone:
        done = rows.read(tx, scope.user, body.ids, tenant=scope.tenant)
        return shapes.NoticesDone(read=done, unread=rows.unread(tx, scope.user, tenant=scope.tenant))

    return Answer(in_unit(site.deps().engine, work).as_json())
