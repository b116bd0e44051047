"""Files that a worker makes: ask, follow, fetch for a while, or let go. Each belongs to who asked for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from flask import Response
from sqlalchemy import Connection

from db import exports as rows
from db.engine import reading
from db.tables import AnyRow
from domain.tenancy import Scope, Thing
from usecases import exports
from web import idempotency, site
from web.envelope import Answer
from web.errors import ApiError, Detail
from web.paging import PartQuery, cursor_of, page_meta, read_cursor
from web.policy import demand, needs_some
from web.rest.courses import code_of, thing_of_course, thing_of_person
from web.rest.exports import CSV, XLSX
from web.routes import Feature
from web.schemas import exports as shapes
from web.schemas.base import instant

feature = Feature("export_tasks", "后台导出 files that a worker makes")
_TYPES: Final = {exports.CSV: f"{CSV}; charset=utf-8", exports.XLSX: XLSX}


@feature.post(
    "/export-tasks", needs_some("export.read"), data=shapes.ExportTask, status=202, errors=(409,)
)  # fmt: skip
def begin_export(body: shapes.BeginExport) -> Answer:
    """Have a file made; follow it at /export-tasks/{id}, and fetch it there once it is done."""
    wanted = _wanted(body)
    _demand(wanted)
    export_id = exports.begin(
        site.deps(), body.kind, wanted, form=body.format, asked_by=site.scope().user, actor=site.actor(),
        also=lambda tx, one: idempotency.stored_with(tx, _begun(tx, one)),
    )  # fmt: skip
    with reading(site.deps().engine) as tx:
        return _begun(tx, export_id)


def _wanted(body: shapes.BeginExport) -> dict[str, Any]:
    said = {
        "term": body.term, "course": body.course_id, "room": body.room, "college": body.college, "since": body.since,
        "user": None if body.user is None else code_of(body.user, site.scope()), "until": body.until, "per": body.per,
    }  # fmt: skip
    return {name: value for name, value in said.items() if value is not None}


def _demand(wanted: Mapping[str, Any]) -> None:
    """The caller may have such a file now. Raises `ApiError` 403 or 404."""
    scope = site.scope()
    with reading(site.deps().engine) as tx:
        action, thing = _thing(tx, scope, wanted)
    if thing is None:
        raise ApiError("NOT_FOUND")
    demand(action, thing, scope, site.deps())


def _thing(tx: Connection, scope: Scope, wanted: Mapping[str, Any]) -> tuple[str, Thing | None]:
    """What a file is about: of several narrowings the one that the widest permission is needed for."""
    if "course" in wanted:
        return "export.create", thing_of_course(tx, scope, wanted["course"])
    if "user" in wanted:
        return "export.read", thing_of_person(tx, scope, wanted["user"])
    colleges = frozenset({wanted["college"]}) if "college" in wanted else frozenset[str]()
    return "export.create", Thing(scope.tenant, colleges)


def _begun(tx: Connection, export_id: str) -> Answer:
    row = _own(tx, export_id)
    return Answer(_shape(tx, row).as_json(), 202, headers={"Location": f"/api/v1/export-tasks/{row.id}"})


@feature.get("/export-tasks", needs_some("export.read"), items=shapes.ExportTask)
def list_exports(query: PartQuery) -> Answer:
    """The files that the caller has asked for, newest first."""
    after = None
    if query.cursor is not None:
        made, export_id = read_cursor(query.cursor)
        after = (int(made), str(export_id))
    scope = site.scope()
    with reading(site.deps().engine) as tx:
        found = rows.listing(
            tx, tenant=scope.tenant, asked_by=scope.user, limit=query.size + 1, after=after, offset=query.offset
        )
        shown = found[: query.size]
        items = [_shape(tx, row).as_json() for row in shown]
    cursor = cursor_of(shown[-1].created_ms, shown[-1].id) if shown else None
    return Answer({"items": items}, page=page_meta(query, shown=shown, more=len(found) > query.size, cursor=cursor))


@feature.get("/export-tasks/<export_id>", needs_some("export.read"), data=shapes.ExportTask)
def show_export(path: shapes.ExportPath) -> Answer:
    """How far a file is, and until when it can be fetched."""
    with reading(site.deps().engine) as tx:
        return Answer(_shape(tx, _own(tx, path.export_id)).as_json())


@feature.get(
    "/export-tasks/<export_id>/file", needs_some("export.read"), raw=(CSV, XLSX), errors=(409, 410)
)  # fmt: skip
def fetch_export(path: shapes.ExportPath) -> Response:
    """The file, once it is done and while it is kept; what the caller may see is asked again."""
    tenant = site.scope().tenant
    with reading(site.deps().engine) as tx:
        row = _own(tx, path.export_id)
        state = exports.state_of(tx, row)
    _demand(json.loads(row.wanted))
    if state != rows.DONE:
        raise ApiError("EXPORT_NOT_READY", Detail("state", state))
    if row.expires_ms <= site.now_ms():
        raise ApiError("EXPORT_GONE")
    name = f"{row.kind.replace('.', '-')}.{row.format}"
    sent = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Length": str(row.size)}
    body = exports.pieces(site.deps().engine, row.id, tenant=tenant)
    return Response(body, content_type=_TYPES[row.format], headers=sent)


@feature.post("/export-tasks/<export_id>/cancel", needs_some("export.read"), data=shapes.ExportTask, errors=(409,))
def cancel_export(path: shapes.ExportPath) -> Answer:
    """Let a file go that is being made."""
    with reading(site.deps().engine) as tx:
        _own(tx, path.export_id)
    if not exports.cancel(site.deps(), path.export_id):
        raise ApiError("EXPORT_NOT_READY", Detail("state", "it is not being made any more"))
    with reading(site.deps().engine) as tx:
        return Answer(_shape(tx, _own(tx, path.export_id)).as_json())


def _own(tx: Connection, export_id: str) -> AnyRow:
    """A file of the caller. Raises `ApiError` 404, also for those of others."""
    row = rows.get(tx, export_id, tenant=site.scope().tenant)
    if row is None or row.asked_by != site.scope().user:
        raise ApiError("NOT_FOUND")
    return row


def _shape(tx: Connection, row: AnyRow) -> shapes.ExportTask:
    state: Any = exports.state_of(tx, row)
    done = state == rows.DONE
    return shapes.ExportTask(
        id=row.id, kind=row.kind, format=row.format, state=state, rows=row.written, bytes=row.size if done else None,
        created_at=instant(row.created_ms) or "", finished_at=instant(row.finished_ms),
        expires_at=instant(row.expires_ms) if done else None,
        file=f"/api/v1/export-tasks/{row.id}/file" if done else None,
    )  # fmt: skip
