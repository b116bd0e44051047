"""What WPS had before a run changed or deleted it, and the last word about each target: what taking a run back needs."""

import json
from collections.abc import Sequence

from sqlalchemy import Connection, select

from db.guards import sent_payloads
from db.jobs import Put
from db.tables import AnyRow, jobs, members, mirror, run_changes
from db.upsert import insert_missing
from domain.undoing import Before, Word

KINDS = ("calendar", "members", "event")


def keep(connection: Connection, puts: Sequence[Put], *, tenant: str, run_id: str) -> None:
    """Keep what is at WPS for targets that a run is about to put, at most 500. What was kept first stays."""
    for term in sorted({one.term for one in puts}):
        mine = {one.target: one for one in puts if one.term == term and one.kind in KINDS}
        where = (mirror.c.tenant_id == tenant, mirror.c.term == term, mirror.c.target.in_(sorted(mine)))
        rows = connection.execute(select(mirror).where(*where, mirror.c.state == "live")).all()
        verbs = {
            target: "update" if one.desired_hash or one.kind == "members" else "delete" for target, one in mine.items()
        }
        _write(connection, rows, verbs, tenant=tenant, term=term, run_id=run_id)


def keep_contents(connection: Connection, calendars: Sequence[str], *, tenant: str, term: str, run_id: str) -> None:
    """Keep what is in calendars that a run is about to delete: it goes with them, without a word of its own."""
    where = (mirror.c.tenant_id == tenant, mirror.c.term == term, mirror.c.group_id.in_(calendars))
    rows = connection.execute(select(mirror).where(*where, mirror.c.state == "live", mirror.c.kind != "calendar")).all()
    _write(connection, rows, {row.target: "delete" for row in rows}, tenant=tenant, term=term, run_id=run_id)


def _write(
    connection: Connection, rows: Sequence[AnyRow], verbs: dict[str, str], *, tenant: str, term: str, run_id: str
) -> None:
    events = [row for row in rows if row.kind == "event" and not row.target.startswith("sur:")]
    sent = sent_payloads(
        connection,
        tenant=tenant,
        groups=sorted({row.group_id for row in events}),
        targets=[row.target for row in events],
    )
    people = _people(connection, [row.group_id for row in rows if row.kind == "members"], tenant=tenant, term=term)
    kept = []
    for row in sorted(rows, key=lambda one: str(one.target)):
        if row.target.startswith("sur:"):
            continue
        payload = sent.get((row.target, row.sent_hash))
        if row.kind == "calendar":
            payload = json.dumps({"name": row.name}, ensure_ascii=False)
        elif row.kind == "members":
            payload = json.dumps({"people": people.get(row.group_id, {})})
        same = {"tenant_id": tenant, "run_id": run_id, "term": term, "target": row.target, "kind": row.kind}
        rest = {"group_id": row.group_id, "lane": row.lane, "verb": verbs[row.target], "before_hash": row.sent_hash}
        kept.append({**same, **rest, "payload": payload})
    insert_missing(connection, run_changes, kept)


def _people(connection: Connection, groups: Sequence[str], *, tenant: str, term: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    where = (members.c.tenant_id == tenant, members.c.term == term, members.c.group_id.in_(groups))
    for row in connection.execute(select(members).where(*where)) if groups else ():
        found.setdefault(row.group_id, {})[row.user_id] = row.role
    return found


def calendars_after(connection: Connection, *, tenant: str, after: tuple[str, str], limit: int) -> list[AnyRow]:
    """The next calendars there ever were, by (term, target): they are walked, because jobs are found by their calendar."""
    term, target = after
    later = (mirror.c.term > term) | ((mirror.c.term == term) & (mirror.c.target > target))
    return list(
        connection.execute(
            select(mirror.c.term, mirror.c.target, mirror.c.lane)
            .where(mirror.c.tenant_id == tenant, mirror.c.kind == "calendar", mirror.c.target.not_like("sur:%"), later)
            .order_by(mirror.c.term, mirror.c.target)
            .limit(limit)
        )
    )


def words(connection: Connection, *, tenant: str, groups: Sequence[str]) -> dict[str, dict[str, Word]]:
    """Calendar → target → the last word about it, as far as it was carried out."""
    rows = connection.execute(
        select(jobs.c.group_id, jobs.c.target, jobs.c.run_id, jobs.c.finished_ms, jobs.c.desired_hash)
        .where(jobs.c.tenant_id == tenant, jobs.c.group_id.in_(groups), jobs.c.state == "done", jobs.c.kind.in_(KINDS))
        .order_by(jobs.c.finished_ms, jobs.c.id)
    )
    found: dict[str, dict[str, Word]] = {}
    for row in rows:
        if row.target.startswith("sur:"):
            continue  # a second copy of something of ours is nothing that anybody wants back
        found.setdefault(row.group_id, {})[row.target] = Word(row.run_id, row.finished_ms, row.desired_hash)
    return found


def before(
    connection: Connection, *, tenant: str, run_id: str, term: str, groups: Sequence[str]
) -> dict[str, dict[str, Before]]:
    """Calendar → target → what WPS had before the run."""
    where = (run_changes.c.tenant_id == tenant, run_changes.c.run_id == run_id, run_changes.c.term == term)
    found: dict[str, dict[str, Before]] = {}
    for row in connection.execute(select(run_changes).where(*where, run_changes.c.group_id.in_(groups))):
        found.setdefault(row.group_id, {})[row.target] = Before(row.before_hash, row.payload)
    return found
