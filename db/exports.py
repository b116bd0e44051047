"""Files that somebody asked for, and their pieces."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, delete, or_, select, update

from db.clock import db_now_ms, now_ms
from db.tables import AnyRow, export_parts, exports

_export, _part = exports.c, export_parts.c

WORKING, DONE, FAILED, CANCELLED = "working", "done", "failed", "cancelled"
PART_BYTES: Final = 1 << 18
_UNFINISHED_MS: Final = 30 * 24 * 3_600_000  # after which one that never ended is taken away


def add(
    connection: Connection,
    export_id: str,
    *,
    tenant: str,
    kind: str,
    wanted: Mapping[str, Any],
    form: str,
    asked_by: str,
) -> None:
    """A file that is to be made."""
    row = {
        "tenant_id": tenant, "id": export_id, "kind": kind, "wanted": json.dumps(wanted, ensure_ascii=False), "format": form,
        "state": WORKING, "asked_by": asked_by, "written": 0, "size": 0, "error": None, "created_ms": now_ms(connection),
        "finished_ms": None, "expires_ms": None,
    }  # fmt: skip
    connection.execute(exports.insert(), [row])


def get(connection: Connection, export_id: str, *, tenant: str, lock: bool = False) -> AnyRow | None:
    """A file by its id, locked if asked for."""
    asked = select(exports).where(_export.tenant_id == tenant, _export.id == export_id)
    return connection.execute(asked.with_for_update() if lock else asked).one_or_none()


def listing(
    connection: Connection,
    *,
    tenant: str,
    asked_by: str,
    limit: int,
    after: tuple[int, str] | None = None,
    offset: int = 0,
) -> list[AnyRow]:
    """Somebody's files, newest first; `after` is (created, id) of the last one seen."""
    where = [_export.tenant_id == tenant, _export.asked_by == asked_by]
    if after is not None:
        made, export_id = after
        where.append(or_(_export.created_ms < made, (_export.created_ms == made) & (_export.id < export_id)))
    order = (_export.created_ms.desc(), _export.id.desc())
    return list(connection.execute(select(exports).where(*where).order_by(*order).limit(limit).offset(offset)))


def working_of(connection: Connection, *, tenant: str, asked_by: str) -> list[str]:
    """The files of somebody that are being made."""
    where = (_export.tenant_id == tenant, _export.asked_by == asked_by, _export.state == WORKING)
    return list(connection.execute(select(_export.id).where(*where)).scalars())


def write(connection: Connection, export_id: str, *, tenant: str, **values: Any) -> bool:
    """Overwrite columns of a file that is being made. False: nobody wants it any more."""
    mine = (_export.tenant_id == tenant, _export.id == export_id, _export.state == WORKING)
    return connection.execute(update(exports).where(*mine).values(**values)).rowcount == 1


def end(connection: Connection, export_id: str, *, tenant: str, state: str, keep_ms: int = 0, **values: Any) -> bool:
    """It is made, or will not be. False where it had ended before."""
    now = now_ms(connection)
    until = {"finished_ms": now, "expires_ms": now + keep_ms}
    return write(connection, export_id, tenant=tenant, state=state, **until, **values)


# --- pieces ----------------------------------------------------------------------------------------------------------


def put_part(connection: Connection, export_id: str, number: int, body: bytes, *, tenant: str) -> None:
    """Write a piece; that of a try that died is replaced."""
    mine = (_part.tenant_id == tenant, _part.export_id == export_id, _part.number == number)
    connection.execute(delete(export_parts).where(*mine))
    row = {"tenant_id": tenant, "export_id": export_id, "number": number, "body": body}
    connection.execute(export_parts.insert(), [row])


def part(connection: Connection, export_id: str, number: int, *, tenant: str) -> bytes | None:
    """A piece; None behind the last one."""
    mine = (_part.tenant_id == tenant, _part.export_id == export_id, _part.number == number)
    return connection.execute(select(_part.body).where(*mine)).scalar()


def drop_parts(connection: Connection, export_id: str, *, tenant: str, behind: int = -1, limit: int = 20) -> int:
    """Take some pieces behind a number away. Returns how many there were."""
    mine = (_part.tenant_id == tenant, _part.export_id == export_id, _part.number > behind)
    numbers: Sequence[int] = connection.execute(select(_part.number).where(*mine).limit(limit)).scalars().all()
    if numbers:
        connection.execute(delete(export_parts).where(*mine, _part.number.in_(numbers)))
    return len(numbers)


def expired(connection: Connection, *, tenant: str, limit: int = 50) -> list[str]:
    """Files whose time is over."""
    over = or_(
        _export.expires_ms <= db_now_ms(),
        _export.expires_ms.is_(None) & (_export.created_ms <= db_now_ms() - _UNFINISHED_MS),
    )
    return list(connection.execute(select(_export.id).where(_export.tenant_id == tenant, over).limit(limit)).scalars())


def remove(connection: Connection, export_id: str, *, tenant: str) -> None:
    """Take a file without pieces away."""
    connection.execute(delete(exports).where(_export.tenant_id == tenant, _export.id == export_id))
