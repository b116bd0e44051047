"""What people have to look at: rejected rows, held rows, findings. A row leaves when an import no longer meets it.

A finding has an identity of its own. A rejected row is known by its content and, where the same content comes several
times in one import, by its place among them: a line added at the top of a file renames nothing.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from db.clock import now_ms
from db.tables import AnyRow, quarantine
from db.upsert import upsert
from domain.ids import key_of

REJECT, FINDING, HELD = "reject", "finding", "held"
PAGE = 500


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the quarantine. `row` is JSON; `identity` tells it from others of its kind and reason."""

    kind: str
    reason: str
    file: str
    line: int
    row: str
    sentence: str
    identity: tuple[str, ...]


def put(connection: Connection, entries: Sequence[Entry], *, tenant: str, import_no: int) -> None:
    """Write entries with an identity of their own, at most 500. The same one again only tells the newer line."""
    ids = [key_of(entry.kind, entry.reason, *entry.identity) for entry in entries]
    _write(connection, dict(zip(ids, entries, strict=True)), tenant=tenant, import_no=import_no)


def put_repeatable(connection: Connection, entries: Sequence[Entry], *, tenant: str, import_no: int) -> None:
    """Write entries of which several may be equal, at most 500: each gets a row of its own."""
    bases = [key_of(entry.kind, entry.reason, *entry.identity) for entry in entries]
    places = _first_free(connection, set(bases), tenant=tenant, import_no=import_no)
    found = {}
    for base, entry in zip(bases, entries, strict=True):
        found[_place_id(base, places[base])] = entry
        places[base] += 1
    _write(connection, found, tenant=tenant, import_no=import_no)


def _place_id(base: str, place: int) -> str:
    return key_of(base, str(place))


def _first_free(connection: Connection, bases: set[str], *, tenant: str, import_no: int) -> dict[str, int]:
    """For each base the first place that this import has not used. Places are dense, so it is found by halving."""
    used = dict.fromkeys(bases, -1)
    free: dict[str, int] = {}
    probes = dict.fromkeys(bases, 0)
    while probes:
        ids = {_place_id(base, place): base for base, place in probes.items()}
        rows = connection.execute(
            select(quarantine.c.id).where(
                quarantine.c.tenant_id == tenant, quarantine.c.id.in_(ids), quarantine.c.last_import == import_no
            )
        )
        taken = {ids[row.id] for row in rows}
        following = {}
        for base, place in probes.items():
            (used if base in taken else free)[base] = place
            if base not in free:
                following[base] = 2 * place + 1
            elif free[base] - used[base] > 1:
                following[base] = (used[base] + free[base]) // 2
        probes = following
    return free


def _write(connection: Connection, entries: dict[str, Entry], *, tenant: str, import_no: int) -> None:
    if not entries:
        return
    mine = (quarantine.c.tenant_id == tenant) & quarantine.c.id.in_(entries)
    # One that was cleared and comes back is opened anew, with a new age.
    connection.execute(delete(quarantine).where(mine, quarantine.c.cleared_ms.is_not(None)))
    now = now_ms(connection)
    rows = [
        {
            "tenant_id": tenant,
            "id": entry_id,
            "kind": entry.kind,
            "reason": entry.reason,
            "file": entry.file,
            "line": entry.line,
            "row": entry.row,
            "sentence": entry.sentence,
            "first_import": import_no,
            "last_import": import_no,
            "opened_ms": now,
            "cleared_ms": None,
        }
        for entry_id, entry in sorted(entries.items())
    ]
    upsert(connection, quarantine, rows, update=("file", "line", "row", "sentence", "last_import"))


def clear_unseen(connection: Connection, *, tenant: str, import_no: int, limit: int = PAGE) -> int:
    """Clear up to `limit` open entries that the import did not meet; returns how many: fewer means none is left."""
    ids = connection.scalars(
        select(quarantine.c.id)
        .where(
            quarantine.c.tenant_id == tenant,
            quarantine.c.cleared_ms.is_(None),
            quarantine.c.last_import < import_no,
        )
        .limit(limit)
    ).all()
    clear_ids(connection, ids, tenant=tenant)
    return len(ids)


def clear_of(
    connection: Connection, *, tenant: str, import_no: int, kind: str, reasons: Sequence[str], limit: int = PAGE
) -> int:
    """Like `clear_unseen`, of one kind and these reasons only (no reasons: of any)."""
    where = [quarantine.c.kind == kind, quarantine.c.last_import < import_no, quarantine.c.cleared_ms.is_(None)]
    if reasons:
        where.append(quarantine.c.reason.in_(reasons))
    ids = connection.scalars(select(quarantine.c.id).where(quarantine.c.tenant_id == tenant, *where).limit(limit)).all()
    clear_ids(connection, ids, tenant=tenant)
    return len(ids)


def clear_findings(
    connection: Connection, *, tenant: str, reasons: Sequence[str], identities: Sequence[tuple[str, ...]]
) -> None:
    """Clear the findings of these reasons and identities, at most a page: nobody has met them again."""
    ids = [key_of(FINDING, reason, *identity) for reason in reasons for identity in identities]
    clear_ids(connection, ids, tenant=tenant)


def open_rejects(
    connection: Connection, *, tenant: str, before: int, after: str, limit: int = PAGE
) -> list[tuple[str, dict[str, Any]]]:
    """(id, row) of the next open rejects that imports before this one have met, by id."""
    rows = connection.execute(
        select(quarantine.c.id, quarantine.c.row)
        .where(quarantine.c.tenant_id == tenant, quarantine.c.kind == REJECT, quarantine.c.cleared_ms.is_(None))
        .where(quarantine.c.last_import < before, quarantine.c.id > after)
        .order_by(quarantine.c.id)
        .limit(limit)
    )
    return [(row.id, json.loads(row.row)) for row in rows]


def clear_ids(connection: Connection, ids: Sequence[str], *, tenant: str) -> None:
    """Clear entries, at most a page."""
    if ids:
        connection.execute(
            update(quarantine)
            .where(quarantine.c.tenant_id == tenant, quarantine.c.id.in_(sorted(ids)))
            .where(quarantine.c.cleared_ms.is_(None))
            .values(cleared_ms=now_ms(connection))
        )


@dataclass(frozen=True, slots=True)
class Counts:
    """How many open entries an import met, by reason."""

    rejects: Counter[str]
    findings: Counter[str]


def counts(connection: Connection, *, tenant: str, import_no: int, reject_files: Collection[str]) -> Counts:
    """Open entries of one import: findings of every file, rejects of `reject_files` only."""
    rows = connection.execute(
        select(quarantine.c.kind, quarantine.c.reason, quarantine.c.file, func.count())
        .where(
            quarantine.c.tenant_id == tenant,
            quarantine.c.cleared_ms.is_(None),
            quarantine.c.last_import == import_no,
        )
        .group_by(quarantine.c.kind, quarantine.c.reason, quarantine.c.file)
    )
    found = Counts(Counter(), Counter())
    for kind, reason, file, count in rows:
        if kind == FINDING:
            found.findings[reason] += count
        elif kind == REJECT and file in reject_files:
            found.rejects[reason] += count
    return found


def batches(entries: Iterable[Entry], *, size: int = 500) -> Iterable[list[Entry]]:
    """The entries in lists of `size`, each list without two of the same identity."""
    batch: dict[tuple[str, ...], Entry] = {}
    for entry in entries:
        batch[entry.kind, entry.reason, *entry.identity] = entry
        if len(batch) == size:
            yield list(batch.values())
            batch = {}
    if batch:
        yield list(batch.values())


def summary(connection: Connection, *, tenant: str) -> list[dict[str, Any]]:
    """Open entries by kind and reason, rejects first."""
    rows = connection.execute(
        select(quarantine.c.kind, quarantine.c.reason, func.count().label("entries"))
        .where(quarantine.c.tenant_id == tenant, quarantine.c.cleared_ms.is_(None))
        .group_by(quarantine.c.kind, quarantine.c.reason)
        .order_by(quarantine.c.kind.desc(), quarantine.c.reason)
    )
    return [{"kind": row.kind, "reason": row.reason, "count": row.entries} for row in rows]


def listing(
    connection: Connection, *, tenant: str, kind: str | None, reason: str | None, limit: int
) -> list[dict[str, Any]]:
    """Open entries, those of the newest import first."""
    where = [quarantine.c.tenant_id == tenant, quarantine.c.cleared_ms.is_(None)]
    if kind is not None:
        where.append(quarantine.c.kind == kind)
    if reason is not None:
        where.append(quarantine.c.reason == reason)
    rows = connection.execute(
        select(quarantine)
        .where(*where)
        .order_by(quarantine.c.last_import.desc(), quarantine.c.file, quarantine.c.line, quarantine.c.id)
        .limit(limit)
    )
    return [_as_dict(row) for row in rows]


def _as_dict(row: AnyRow) -> dict[str, Any]:
    shown = ("id", "kind", "reason", "file", "line", "sentence", "first_import", "last_import", "opened_ms")
    return {**{name: getattr(row, name) for name in shown}, "row": json.loads(row.row)}


def page(
    connection: Connection,
    *,
    tenant: str,
    kind: str | None,
    reason: str | None,
    limit: int,
    after: str | None = None,
    offset: int = 0,
) -> list[dict[str, Any]]:
    """Open entries by their ids: those behind `after`, or all but the first `offset`."""
    where = [quarantine.c.tenant_id == tenant, quarantine.c.cleared_ms.is_(None)]
    for column, wanted in ((quarantine.c.kind, kind), (quarantine.c.reason, reason)):
        if wanted is not None:
            where.append(column == wanted)
    if after is not None:
        where.append(quarantine.c.id > after)
    rows = connection.execute(select(quarantine).where(*where).order_by(quarantine.c.id).limit(limit).offset(offset))
    return [_as_dict(row) for row in rows]


def one(connection: Connection, entry_id: str, *, tenant: str) -> dict[str, Any] | None:
    """An open entry; None where there is none of that id."""
    where = (quarantine.c.tenant_id == tenant, quarantine.c.id == entry_id, quarantine.c.cleared_ms.is_(None))
    row = connection.execute(select(quarantine).where(*where)).one_or_none()
    return None if row is None else _as_dict(row)


def college_of(entry: dict[str, Any]) -> str:
    """The college that the source names in an entry's row; blank where it names none."""
    row = entry["row"]
    return str(row.get("kkxy") or "").strip() if isinstance(row, dict) else ""
