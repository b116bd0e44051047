"""Stages users, view, and a step of detect: WPS is asked for the accounts of people whose account is not known yet."""

import json
from collections.abc import Sequence

from sqlalchemy import Connection

from db import accounts, dead_letters, jobs, lanes
from db.engine import reading
from db.jobs import Put
from db.tables import AnyRow
from domain.ids import key_of
from usecases.sync.planning import ANY_COLLEGE
from usecases.sync.stages import drain
from usecases.sync.stages.base import More, Running, Step
from usecases.sync.turns import scope_of

USERS_PER_CALL = 100
_PAGE = 2_000  # people: twenty jobs
_ASKED = "asked"
_AFTER = "after:"


def find_accounts(on: Running, stage: AnyRow) -> Step:
    """One job of lane `_` for each hundred people, found or not found before; then wait for the answers."""
    if stage.cursor == _ASKED:
        return drain.await_lanes(on, stage)
    if stage.cursor is None:
        _drop_replaced(on)
    after, asked = (stage.cursor or _AFTER).removeprefix(_AFTER), stage.total
    while not on.stopping:
        codes = _codes(on, after=after)
        if codes:
            asked += _ask(on, codes)
            after = codes[-1]
        more = len(codes) == _PAGE
        on.progress(stage.position, cursor=f"{_AFTER}{after}" if more else _ASKED, total=asked)
        if not more:
            break
    return More()


def _ask(on: Running, codes: Sequence[str]) -> int:
    """Put the jobs for a page of people; how many."""
    puts = [_look_up(codes[i : i + USERS_PER_CALL]) for i in range(0, len(codes), USERS_PER_CALL)]
    puts.sort(key=lambda one: one.target)
    deps = on.deps

    def work(tx: Connection) -> None:
        lanes.make(tx, tenant=deps.tenant, names=[ANY_COLLEGE])
        jobs.put(tx, puts, tenant=deps.tenant, import_no=on.import_no, run_id=on.run_id, new_id=deps.new_id)

    on.unit(work)
    on.ring_lanes({ANY_COLLEGE})
    return len(puts)


def _drop_replaced(on: Running) -> None:
    """Dead look-ups are asked for anew, for other hundreds of people; a dead run is replaced by this one."""

    def work(tx: Connection) -> None:
        dead_letters.drop_of_kinds(tx, ("users", on.task.kind), tenant=on.deps.tenant, before_ms=on.run.created_ms)

    on.unit(work)


def _codes(on: Running, *, after: str) -> Sequence[str]:
    """Whom to ask for: everybody without an account; in an incremental run only who is new, in a users run everybody."""
    tenant, scope = on.deps.tenant, scope_of(on.run)
    with reading(on.deps.engine) as tx:
        if on.run.kind == "users":
            return accounts.codes_in(tx, scope, tenant=tenant, after=after, limit=_PAGE)
        never = on.run.kind == "incremental"
        return accounts.unmapped_codes(tx, tenant=tenant, after=after, limit=_PAGE, never_asked=never)


def _look_up(codes: Sequence[str]) -> Put:
    target = f"usr:{key_of(*codes)}"
    return Put("users", target, target, "", ANY_COLLEGE, json.dumps({"codes": list(codes)}), key_of(*codes), 0, 0)
