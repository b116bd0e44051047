"""Stage users: WPS is asked for the accounts of people whose account is not known yet."""

import json

from sqlalchemy import Connection

from db import accounts, dead_letters, jobs, lanes
from db.engine import reading
from db.jobs import Put
from db.tables import AnyRow
from domain.ids import key_of
from usecases.sync.planning import ANY_COLLEGE
from usecases.sync.stages import drain
from usecases.sync.stages.base import More, Running, Step

USERS_PER_CALL = 100
_PUTS_PER_UNIT = 100


def find_accounts(on: Running, stage: AnyRow) -> Step:
    """One job of lane `_` for each hundred people, found or not found before; then wait for the answers."""
    if stage.cursor == "asked":
        return drain.await_lanes(on, stage)
    deps = on.deps
    with reading(deps.engine) as tx:
        codes = accounts.unmapped_codes(tx, tenant=deps.tenant)
    _drop_replaced(on)
    puts = [_look_up(codes[i : i + USERS_PER_CALL]) for i in range(0, len(codes), USERS_PER_CALL)]
    puts.sort(key=lambda one: one.target)

    def work(tx: Connection, part: list[Put]) -> None:
        lanes.make(tx, tenant=deps.tenant, names=[ANY_COLLEGE])
        jobs.put(tx, part, tenant=deps.tenant, import_no=on.import_no, run_id=on.run_id, new_id=deps.new_id)

    for i in range(0, len(puts), _PUTS_PER_UNIT):
        on.unit(lambda tx, part=puts[i : i + _PUTS_PER_UNIT]: work(tx, part))  # type: ignore[misc]
    on.ring_lanes({ANY_COLLEGE} if puts else set())
    on.progress(stage.position, cursor="asked", total=len(puts))
    return More()


def _drop_replaced(on: Running) -> None:
    """Dead look-ups are asked for anew, for other hundreds of people; a dead run is replaced by this one."""

    def work(tx: Connection) -> None:
        dead_letters.drop_of_kinds(tx, ("users", on.task.kind), tenant=on.deps.tenant, before_ms=on.run.created_ms)

    on.unit(work)


def _look_up(codes: list[str]) -> Put:
    target = f"usr:{key_of(*codes)}"
    return Put("users", target, target, "", ANY_COLLEGE, json.dumps({"codes": codes}), key_of(*codes), 0, 0)
