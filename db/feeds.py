"""Calendar feeds: only hashes of their tokens; and the classes that they show."""

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, func, or_, select, update

from db.people import STUDENT, TEACHER
from db.rolls import SUBSTITUTE
from db.tables import AnyRow, calendar_feeds, offerings, rolls, sessions
from domain.alterations import alteration_of
from domain.feeds import Shown
from domain.plans import SessionView, course_title, event_of

feeds = calendar_feeds
_KINDS = (STUDENT, TEACHER, SUBSTITUTE)
_LISTED = (
    feeds.c.id, feeds.c.owner, feeds.c.kind, feeds.c.subject, feeds.c.on_roll, feeds.c.made_by, feeds.c.created_ms,
    feeds.c.revoked_ms, feeds.c.read_ms,
)  # fmt: skip


def add(connection: Connection, **row: Any) -> None:
    """A new feed."""
    blank = dict.fromkeys(("revoked_ms", "read_ms", "digest", "changed_ms", "stale_ms", "told", "body"))
    connection.execute(feeds.insert(), [{**blank, **row}])


def by_token(connection: Connection, token_hash: str, *, tenant: str) -> AnyRow | None:
    """The feed with that token that was not revoked, with what it told last."""
    where = (feeds.c.tenant_id == tenant, feeds.c.token_hash == token_hash, feeds.c.revoked_ms.is_(None))
    return connection.execute(select(feeds).where(*where)).one_or_none()


def get(connection: Connection, feed_id: str, *, tenant: str, lock: bool = False) -> AnyRow | None:
    """A feed by its id."""
    statement = select(feeds).where(feeds.c.tenant_id == tenant, feeds.c.id == feed_id)
    return connection.execute(statement.with_for_update() if lock else statement).one_or_none()


def change(connection: Connection, feed_id: str, *, tenant: str, **values: Any) -> None:
    """Overwrite columns of a feed."""
    where = (feeds.c.tenant_id == tenant, feeds.c.id == feed_id)
    connection.execute(update(feeds).where(*where).values(**values))


def touch(connection: Connection, feed_id: str, *, tenant: str, now: int, every_ms: int) -> None:
    """Note that it was read, not more often than `every_ms`."""
    old = or_(feeds.c.read_ms.is_(None), feeds.c.read_ms <= now - every_ms)
    where = (feeds.c.tenant_id == tenant, feeds.c.id == feed_id, old)
    connection.execute(update(feeds).where(*where).values(read_ms=now))


def count_of(connection: Connection, owner: str, *, tenant: str) -> int:
    """How many feeds somebody has that were not revoked."""
    where = (feeds.c.tenant_id == tenant, feeds.c.owner == owner, feeds.c.revoked_ms.is_(None))
    return int(connection.execute(select(func.count()).select_from(feeds).where(*where)).scalar_one())


def listing(
    connection: Connection,
    *,
    tenant: str,
    owner: str | None,
    limit: int,
    offset: int = 0,
    after: tuple[int, str] | None = None,
) -> list[AnyRow]:
    """Feeds, newest first; of one owner, or of all. `after` is (made, id) of the last one that was shown."""
    where = [feeds.c.tenant_id == tenant]
    if owner is not None:
        where.append(feeds.c.owner == owner)
    if after is not None:
        made, feed_id = after
        where.append((feeds.c.created_ms < made) | ((feeds.c.created_ms == made) & (feeds.c.id < feed_id)))
    order = (feeds.c.created_ms.desc(), feeds.c.id.desc())
    return list(connection.execute(select(*_LISTED).where(*where).order_by(*order).limit(limit).offset(offset)))


# --- classes --------------------------------------------------------------------------------------------------------

_SHOWN = (
    sessions.c.id, sessions.c.date, sessions.c.start_ms, sessions.c.end_ms, sessions.c.rooms, sessions.c.teachers,
    sessions.c.altered, offerings.c.name, offerings.c.kkh, offerings.c.kcbh,
)  # fmt: skip


def classes_of_person(connection: Connection, code: str, *, tenant: str, since: str) -> list[tuple[Any, ...]]:
    """What somebody takes, teaches or stands in for, from a day on, as `shown` reads it: each class once, by id."""
    same = (rolls.c.tenant_id == tenant) & (rolls.c.term == sessions.c.term)
    joined = _joined(tenant).join(rolls, same & (rolls.c.offering_id == sessions.c.offering_id))
    mine = (sessions.c.tenant_id == tenant, rolls.c.kind.in_(_KINDS), rolls.c.code == code)
    statement = select(*_SHOWN, rolls.c.kind).select_from(joined).where(*mine, sessions.c.date >= since)
    found: dict[str, tuple[Any, ...]] = {}
    for row in connection.execute(statement):
        if row.kind != SUBSTITUTE or _stands_in(row.altered, code):
            found[row.id] = tuple(row)[:-1]
    return [found[id_] for id_ in sorted(found)]


def classes_of_course(connection: Connection, offering_id: str, *, tenant: str, since: str) -> list[tuple[Any, ...]]:
    """The classes of a course, likewise."""
    mine = (sessions.c.tenant_id == tenant, sessions.c.offering_id == offering_id, sessions.c.date >= since)
    known = sessions.c.term.in_(
        select(offerings.c.term).where(offerings.c.tenant_id == tenant, offerings.c.id == offering_id)
    )
    statement = select(*_SHOWN).select_from(_joined(tenant)).where(*mine, known).order_by(sessions.c.id)
    return [tuple(row) for row in connection.execute(statement)]


def _joined(tenant: str) -> Any:
    same = (offerings.c.term == sessions.c.term) & (offerings.c.id == sessions.c.offering_id)
    return sessions.join(offerings, (offerings.c.tenant_id == tenant) & same)


def _stands_in(altered: str | None, code: str) -> bool:
    alteration = alteration_of(altered)
    return alteration is not None and code in alteration.substitutes


def shown(rows: Iterable[tuple[Any, ...]]) -> list[Shown]:
    """The classes of rows, in words: those of their events at WPS."""
    found = []
    for id_, day, start_ms, end_ms, rooms, teachers, altered, name, kkh, kcbh in rows:
        alteration = alteration_of(altered)
        places = tuple((xq, lq, room) for xq, lq, room in json.loads(rooms))
        view = SessionView(id_, day, start_ms, end_ms, places, tuple(json.loads(teachers)), alteration)
        body = event_of(view, summary=course_title(name=name, kcbh=kcbh, kkh=kkh))
        cancelled = alteration is not None and alteration.cancelled
        found.append(Shown(id_, body.summary, body.description, body.location or "", start_ms, end_ms, cancelled))
    return found
