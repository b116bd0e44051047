"""Calendar feeds: whoever has the address reads it. Its token is told once and kept as a hash; taking it back ends it.

    give ─▶ address ─ fetched ─▶ rows ─ as before? ─yes─▶ the text made then
                                          └───────no──▶ told anew, sequences go on, kept for the next one

Nothing here asks WPS.
"""

import hashlib
import json
import secrets
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from db import audit, courses, logins
from db import feeds as rows
from db.clock import now_ms as clock
from db.engine import in_unit, reading
from db.tables import AnyRow
from domain.feeds import Shown, Told, follow, stale_at
from domain.plans import course_title
from usecases import tenants
from usecases.deps import Deps
from usecases.feed_texts import text_of

USER, COURSE = "user", "course"
MOST: Final = 50
"""Feeds that one person may have at a time."""

_VERSION: Final = 1  # of the text: another one makes every feed anew
_MONTHS: Final = 7  # back: a term and its examinations
_TOUCH_MS: Final = 3_600_000


class UnknownFeed(LookupError):
    """There is no such feed, or it has ended."""


class UnknownSubject(LookupError):
    """There is no such person or course to make a feed of."""


class FeedRefused(Exception):
    """A feed cannot be made: why, and what to do."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Given:
    """A new feed; `path` is its address on this installation and is told once."""

    id: str
    path: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Text:
    """A feed as it is sent."""

    body: bytes = field(repr=False)
    etag: str
    changed_ms: int


# --- keeping --------------------------------------------------------------------------------------------------------


def give(
    deps: Deps, *, kind: str, subject: str, owner: str, actor: str, on_roll: bool = False, known: bool = False
) -> Given:
    """A new feed of a person or a course for `owner`, who is `known` where somebody has looked. `on_roll`: good only while the
    owner is on the roll of the course.

    Raises `UnknownSubject`, `FeedRefused`.
    """
    if owner.startswith("key:"):
        raise FeedRefused(
            "API 密钥不能订阅 · an API key is nobody who subscribes", "请写明 user · Name a person as user"
        )
    token = secrets.token_urlsafe(32)

    def work(tx: Connection) -> str:
        if not known and not logins.is_somebody(tx, tenant=deps.tenant, user=owner):
            raise UnknownSubject(owner)
        if kind == COURSE and courses.get(tx, subject, tenant=deps.tenant) is None:
            raise UnknownSubject(subject)
        if rows.count_of(tx, owner, tenant=deps.tenant) >= MOST:
            raise FeedRefused(
                f"{owner} 已有 {MOST} 个订阅 · has {MOST} feeds", "请先撤销不用的 · Revoke those not used"
            )
        feed_id = deps.new_id()
        rows.add(
            tx, tenant_id=deps.tenant, id=feed_id, token_hash=_hash(token), owner=owner, kind=kind, subject=subject,
            on_roll=on_roll, made_by=actor, created_ms=clock(tx),
        )  # fmt: skip
        _note(tx, deps, actor, "feed.give", feed_id, {"kind": kind, "subject": subject, "owner": owner})
        return feed_id

    feed_id = in_unit(deps.engine, work)
    return Given(feed_id, f"/feeds/{deps.tenant}/{token}.ics")


def revoke(deps: Deps, feed_id: str, *, actor: str) -> bool:
    """End a feed now; False where it had ended. Raises `UnknownFeed`."""

    def work(tx: Connection) -> bool:
        row = rows.get(tx, feed_id, tenant=deps.tenant, lock=True)
        if row is None:
            raise UnknownFeed(feed_id)
        if row.revoked_ms is not None:
            return False
        rows.change(tx, feed_id, tenant=deps.tenant, revoked_ms=clock(tx), told=None, body=None, digest=None)
        _note(tx, deps, actor, "feed.revoke", feed_id, {"owner": row.owner})
        return True

    return in_unit(deps.engine, work)


def listing(
    deps: Deps, *, owner: str | None = None, limit: int, offset: int = 0, after: tuple[int, str] | None = None
) -> list[dict[str, Any]]:
    """Feeds, newest first, without their tokens; of one owner, or of all. `after` as in `db.feeds.listing`."""
    with reading(deps.engine) as tx:
        found = rows.listing(tx, tenant=deps.tenant, owner=owner, limit=limit, offset=offset, after=after)
    return [dict(row._mapping) for row in found]


def _note(tx: Connection, deps: Deps, actor: str, action: str, feed_id: str, after: Any) -> None:
    audit.write(
        tx, tenant=deps.tenant, new_id=deps.new_id, actor=actor, action=action, thing=feed_id, after=after
    )  # fmt: skip


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


# --- reading --------------------------------------------------------------------------------------------------------


def standing(deps: Deps, school: str, token: str) -> tuple[Deps, AnyRow]:
    """The feed of a token, and deps in its school. Raises `UnknownFeed` for one that is none, has ended, whose owner may not
    sign in any more, or who has left the course that it is about."""
    with reading(deps.engine) as tx:
        row = rows.by_token(tx, _hash(token), tenant=school)
        if row is None or not _is_good(tx, row):
            raise UnknownFeed
        return replace(deps, tenant=school, zone=tenants.zone_of(tx, tenant=school)), row


def _is_good(tx: Connection, row: AnyRow) -> bool:
    if logins.is_disabled(tx, tenant=row.tenant_id, user=row.owner):
        return False
    if not row.on_roll:
        return True
    course = courses.get(tx, row.subject, tenant=row.tenant_id)
    return course is not None and bool(courses.kinds_on_roll(tx, course, row.owner, tenant=row.tenant_id))


def read(deps: Deps, row: AnyRow, *, now_ms: int) -> Text:
    """What a feed says now. A text that says what the rows still say is not made again."""
    with reading(deps.engine) as tx:
        name, found = _rows(tx, deps, row.kind, row.subject, since=_since(now_ms))
    digest = _digest(name, found, deps)
    _touch(deps, row, now_ms)
    if row.body is not None and row.digest == digest and (row.stale_ms is None or now_ms < row.stale_ms):
        return _text(_unpack(row.body), row.changed_ms)
    shown = rows.shown(found)
    return in_unit(deps.engine, lambda tx: _tell(tx, deps, row.id, name, shown, digest, now_ms))


def once(deps: Deps, *, kind: str, subject: str, now_ms: int) -> bytes:
    """All classes of a person or a course as a feed would tell them: for a file that is taken away."""
    with reading(deps.engine) as tx:
        name, found = _rows(tx, deps, kind, subject, since="")
    shown = rows.shown(found)
    told = follow({}, shown, now_ms=now_ms)
    return text_of(name, shown, told, tenant=deps.tenant, zone=deps.zone, now_ms=now_ms)


def _rows(tx: Connection, deps: Deps, kind: str, subject: str, *, since: str) -> tuple[str, list[tuple[Any, ...]]]:
    """What the calendar is called, and its classes from a day on."""
    if kind == USER:
        known = courses.person(tx, subject, tenant=deps.tenant)
        name = f"课表 {known.name if known is not None and known.name else subject}"
        return name, rows.classes_of_person(tx, subject, tenant=deps.tenant, since=since)
    course = courses.get(tx, subject, tenant=deps.tenant)
    name = subject if course is None else course_title(name=course.name, kcbh=course.kcbh, kkh=course.kkh)
    return name, rows.classes_of_course(tx, subject, tenant=deps.tenant, since=since)


def _since(now_ms: int) -> str:
    """The first day that is told: of a month, so that a text does not become another each day."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    year, month = divmod(now.year * 12 + now.month - 1 - _MONTHS, 12)
    return f"{year:04d}-{month + 1:02d}-01"


def _digest(name: str, found: list[tuple[Any, ...]], deps: Deps) -> str:
    return hashlib.sha256(repr((_VERSION, name, deps.zone.key, found)).encode()).hexdigest()


def _tell(tx: Connection, deps: Deps, feed_id: str, name: str, shown: list[Shown], digest: str, now_ms: int) -> Text:
    """Tell the classes anew; of two that come at once the second goes on from what the first has told."""
    row = rows.get(tx, feed_id, tenant=deps.tenant, lock=True)
    if row is None or row.revoked_ms is not None:
        raise UnknownFeed(feed_id)
    told = follow(_read_told(row.told), shown, now_ms=now_ms)
    body = text_of(name, shown, told, tenant=deps.tenant, zone=deps.zone, now_ms=now_ms)
    # Last-Modified has whole seconds: two texts never have the same one.
    changed_ms = now_ms if row.changed_ms is None else max(now_ms, (row.changed_ms // 1000 + 1) * 1000)
    stale = stale_at(told.values(), now_ms=now_ms)
    kept = json.dumps({id_: astuple(one) for id_, one in told.items()}, ensure_ascii=False)
    packed = {"told": _pack(kept.encode()), "body": _pack(body)}
    rows.change(
        tx, feed_id, tenant=deps.tenant, digest=digest, changed_ms=changed_ms, stale_ms=stale, **packed
    )  # fmt: skip
    return _text(body, changed_ms)


def _read_told(packed: str | None) -> Mapping[str, Told]:
    if packed is None:
        return {}
    return {id_: Told(*one) for id_, one in json.loads(_unpack(packed)).items()}


def _text(body: bytes, changed_ms: int) -> Text:
    return Text(body, hashlib.sha256(body).hexdigest()[:32], changed_ms)


def _pack(data: bytes) -> str:
    return b64encode(zlib.compress(data)).decode()


def _unpack(text: str) -> bytes:
    return zlib.decompress(b64decode(text))


def _touch(deps: Deps, row: AnyRow, now_ms: int) -> None:
    if row.read_ms is not None and row.read_ms > now_ms - _TOUCH_MS:
        return

    def work(tx: Connection) -> None:
        rows.touch(tx, row.id, tenant=deps.tenant, now=now_ms, every_ms=_TOUCH_MS)

    try:
        in_unit(deps.engine, work)
    except DBAPIError:
        return  # when it was read last is worth no refusal
