"""Check-ins that the database refused: dead letters like all others, kept with what stood in the stream."""

import json
from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, select

from db import dead_letters
from db.check_in_stream import Entry
from db.clock import now_ms
from db.tables import jobs
from domain.check_ins import encode
from observability.tracing import UNKNOWN, Origin

KIND: Final = "checkin"
QUEUE: Final = "sync"
_SCHEMA_VER: Final = 1
_RAW_CHARS: Final = 20_000


def add(
    connection: Connection,
    entry: Entry,
    *,
    tenant: str,
    reason: str,
    new_id: Callable[[], str],
    come_from: Origin = UNKNOWN,
) -> None:
    """Make a dead letter of a record; once, however often the same record is met."""
    target = f"checkin:{entry.shard}:{entry.id}"[:48]
    where = (jobs.c.tenant_id == tenant, jobs.c.kind == KIND, jobs.c.target == target)
    if connection.execute(select(jobs.c.id).where(*where)).first() is not None:
        return
    one = entry.check_in
    record = encode(one) if one is not None else entry.raw[:_RAW_CHARS]
    receipt = "" if one is None else one.receipt
    now = now_ms(connection)
    job_id = new_id()
    connection.execute(
        jobs.insert().values(
            id=job_id,
            tenant_id=tenant,
            lane=None,
            queue=QUEUE,
            kind=KIND,
            target=target,
            open_key=None,
            term="",
            group_id="",
            # Escaped, so that what could not be stored can be stored here.
            payload=json.dumps({"record": record, "receipt": receipt}),
            desired_hash="",
            schema_ver=_SCHEMA_VER,
            rev=1,
            import_no=0,
            tier=0,
            priority=0,
            state="dead",
            run_at=now,
            attempts=1,
            claim=None,
            error_code="bad_data",
            last_error=reason,
            run_id=None,
            request=come_from.request,
            trace=come_from.trace,
            created_ms=now,
            finished_ms=now,
        )
    )
    dead_letters.died(connection, job_id, tenant=tenant, error_class="bad_data", message=reason)
