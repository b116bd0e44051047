"""Walks of the whole calendar list: name → id of everything WPS has, true only when the walk came to its end."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update

from db.clock import db_now_ms, now_ms
from db.tables import AnyRow, walk_calendars, walks
from db.upsert import upsert
from domain.settlement import walk_answers


@dataclass(frozen=True, slots=True)
class Walk:
    """An unfinished walk and where it goes on."""

    id: str
    page_token: str | None


def begin_or_resume(connection: Connection, *, tenant: str, new_id: str) -> Walk:
    """The walk in progress, or a new one that starts now."""
    where = (walks.c.tenant_id == tenant, walks.c.finished_ms.is_(None))
    row = connection.execute(select(walks).where(*where)).one_or_none()
    if row is not None:
        return Walk(row.id, row.page_token)
    connection.execute(
        walks.insert(), [{"tenant_id": tenant, "id": new_id, "started_ms": now_ms(connection), "pages": 0}]
    )
    return Walk(new_id, None)


def store_page(
    connection: Connection,
    *,
    tenant: str,
    walk_id: str,
    calendars: Sequence[tuple[str, str]],
    next_token: str | None,
) -> None:
    """Store one page of (remote id, name); without a next page the walk is finished and older ones are forgotten."""
    rows = [{"tenant_id": tenant, "walk_id": walk_id, "remote_id": rid, "name": name[:60]} for rid, name in calendars]
    upsert(connection, walk_calendars, rows, update=["name"])
    mine = (walks.c.tenant_id == tenant, walks.c.id == walk_id)
    connection.execute(update(walks).where(*mine).values(page_token=next_token, pages=walks.c.pages + 1))
    if next_token is None:
        connection.execute(update(walks).where(*mine).values(finished_ms=db_now_ms()))
        for table, column in ((walk_calendars, walk_calendars.c.walk_id), (walks, walks.c.id)):
            connection.execute(delete(table).where(table.c.tenant_id == tenant, column != walk_id))


def abandon(connection: Connection, *, tenant: str) -> None:
    """Forget the unfinished walk: WPS no longer gives its next page."""
    where = (walks.c.tenant_id == tenant, walks.c.finished_ms.is_(None))
    for walk_id in connection.execute(select(walks.c.id).where(*where)).scalars().all():
        connection.execute(
            delete(walk_calendars).where(walk_calendars.c.tenant_id == tenant, walk_calendars.c.walk_id == walk_id)
        )
    connection.execute(delete(walks).where(*where))


def is_finished(connection: Connection, *, tenant: str, started_after: int) -> bool:
    """Whether a walk that began then or later has come to its end."""
    where = (walks.c.tenant_id == tenant, walks.c.finished_ms.is_not(None), walks.c.started_ms >= started_after)
    return connection.execute(select(walks.c.id).where(*where)).first() is not None


def _answers(row: AnyRow, settle_at: int) -> bool:
    return walk_answers(started_ms=row.started_ms, finished_ms=row.finished_ms, settle_at=settle_at)


def find(connection: Connection, *, tenant: str, name: str, started_after: int) -> list[str] | None:
    """Ids of the calendars with this name in a finished walk that began after `started_after`; None: no such walk yet."""
    rows = connection.execute(select(walks).where(walks.c.tenant_id == tenant)).all()
    row = next((one for one in rows if _answers(one, started_after)), None)
    if row is None:
        return None
    where = (walk_calendars.c.tenant_id == tenant, walk_calendars.c.walk_id == row.id, walk_calendars.c.name == name)
    return sorted(connection.execute(select(walk_calendars.c.remote_id).where(*where)).scalars())
