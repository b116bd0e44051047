"""Many check-ins in one transaction: records, details, counters, and what they show about each other.

The first committed check-in of a student in a session stays; a later one changes nothing. So a batch may be written twice,
by two writers at once, or in another order.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError

from db import check_ins, tasks
from db.check_in_dead_letters import KIND
from db.check_ins import OpenPlace
from db.clock import now_ms
from db.engine import asks_for_retry, in_unit, unit
from domain.attendance import ABNORMAL
from domain.check_in_traces import Trace, doubts
from domain.check_ins import CheckIn, decode
from observability.failpoints import failpoint
from usecases import standings
from usecases.deps import Deps
from usecases.places import opener
from usecases.tasks import VISIBILITY_MS, Task

__all__ = ["KIND", "Written", "doubt", "put_again", "write", "write_in"]

Key = tuple[str, str]


@dataclass(frozen=True)
class Written:
    """What a batch came to: the counters of the rosters it changed, by term and session."""

    counters: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)


def write(
    engine: Engine, batch: Sequence[CheckIn], *, tenant: str, open_place: OpenPlace = check_ins.plain_place
) -> Written:
    """Write a batch of one tenant in one transaction; `open_place` opens what was sealed.

    Raises what the database says; nothing is written then.
    """
    try:
        with unit(engine) as tx:
            return _write(tx, batch, open_place, tenant=tenant, careful=False)
    except DBAPIError as error:
        # Some are there already: a replay, or a student who was written past the stream.
        if not isinstance(error, IntegrityError) and not asks_for_retry(error):
            raise
    return in_unit(engine, lambda tx: write_in(tx, batch, tenant=tenant, open_place=open_place))


def write_in(
    tx: Connection, batch: Sequence[CheckIn], *, tenant: str, open_place: OpenPlace = check_ins.plain_place
) -> Written:
    """The same inside a unit of the caller's, which may have to be done again."""
    return _write(tx, batch, open_place, tenant=tenant, careful=True)


def _write(tx: Connection, batch: Sequence[CheckIn], open_place: OpenPlace, *, tenant: str, careful: bool) -> Written:
    written = Written()
    now = now_ms(tx)
    by_term: dict[str, list[CheckIn]] = {}
    for one in _first_of_each(batch):
        by_term.setdefault(one.term, []).append(one)
    for term, ours in sorted(by_term.items()):
        _write_term(tx, ours, written, open_place, tenant=tenant, term=term, careful=careful, now=now)
    failpoint("checkins.before_commit")
    return written


def _first_of_each(batch: Iterable[CheckIn]) -> list[CheckIn]:
    """The first of each student in each session, in the order of the key in which everybody locks."""
    first: dict[tuple[str, str, str], CheckIn] = {}
    for one in batch:
        first.setdefault(one.key, one)
    return [first[key] for key in sorted(first)]


def _write_term(
    tx: Connection,
    ours: list[CheckIn],
    written: Written,
    open_place: OpenPlace,
    *,
    tenant: str,
    term: str,
    careful: bool,
    now: int,
) -> None:
    keys = _keys((one.session_id, one.code) for one in ours)
    there = check_ins.find(tx, keys, tenant=tenant, term=term) if careful else {}
    new = {key: one for one in ours if (key := (one.session_id, one.code)) not in there}
    # Before they are there themselves: mostly nobody is near, and then nothing is read.
    traces = [check_ins.trace_of(one, open_place(tenant, one)) for one in new.values()]
    near = check_ins.near(tx, traces, tenant=tenant, term=term, open_place=open_place)
    doubted = _doubted(traces, near)
    check_ins.insert(tx, [*new.values()], tenant=tenant, now_ms=now, doubts=doubted)
    failpoint("checkins.between_statements")
    others = {key: text for key, text in doubted.items() if key not in new}
    came = {key: ABNORMAL if key in doubted else one.status for key, one in new.items()}
    counters = None if careful or others else standings.came(tx, came, tenant=tenant, term=term)
    if counters is None:
        check_ins.doubt(tx, others, tenant=tenant, term=term)
        records: dict[Key, Any] = {key: _Stored(one, doubted.get(key, "")) for key, one in new.items()} | there
        records |= check_ins.find(tx, _keys(others), tenant=tenant, term=term) if others else {}
        # Whoever was accepted is on the roster, even where it was made without them.
        counters = standings.work_out(
            tx, _keys(records), tenant=tenant, term=term, records=records, missing=("check-in", now)
        )
    written.counters.update({(term, session_id): counts for session_id, counts in counters.items()})


class _Stored:
    """A check-in that this unit has inserted, read like its row."""

    __slots__ = ("_of", "doubts")

    def __init__(self, of: CheckIn, doubts: str) -> None:
        self._of = of
        self.doubts = doubts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._of, name)


def _keys(pairs: Iterable[Key]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for session_id, code in pairs:
        found.setdefault(session_id, []).append(code)
    return found


def put_again(deps: Deps, task: Task) -> None:
    """A dead letter of the stream was put again: write its record, and close the task with it. Raises BadCheckIn, DBAPIError."""
    said = json.loads(task.payload)
    one = decode(said["record"], said["receipt"])

    def work(tx: Connection) -> None:
        tasks.keep_task(tx, task, visibility_ms=VISIBILITY_MS)
        write_in(tx, [one], tenant=task.tenant, open_place=opener(deps.encryption_keys))
        tasks.finish_task(tx, task)

    in_unit(deps.engine, work)


def doubt(
    tx: Connection,
    traces: Sequence[Trace],
    *,
    tenant: str,
    term: str,
    open_place: OpenPlace = check_ins.plain_place,
) -> dict[Key, str]:
    """Compare these check-ins with all others near them, both ways, and write what is doubtful about either. Returns the
    check-ins whose doubts changed."""
    changed = _doubted(traces, check_ins.near(tx, traces, tenant=tenant, term=term, open_place=open_place))
    check_ins.doubt(tx, changed, tenant=tenant, term=term)
    return changed


def _doubted(traces: Sequence[Trace], near: Mapping[Trace, str]) -> dict[Key, str]:
    """Whom there is more to doubt about than is written: the check-ins with all that is doubtful about each."""
    changed: dict[Key, str] = {}
    for one, reasons in doubts(traces, near).items():
        before = near.get(one, "")
        both = ",".join(sorted({*reasons, *filter(None, before.split(","))}))
        if both != before:
            changed[one.session_id, one.code] = both
    return changed
