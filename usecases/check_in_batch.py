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
    """What a batch came to: the counters of the rosters it changed, by term and session, and the records by key."""

    counters: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)
    records: dict[tuple[str, str, str], Any] = field(default_factory=dict)


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
    new = [one for one in ours if (one.session_id, one.code) not in there]
    # Before they are there themselves: mostly nobody is near, and then nothing is read.
    traces = [check_ins.trace_of(one, open_place(tenant, one)) for one in new]
    near = check_ins.near(tx, traces, tenant=tenant, term=term, open_place=open_place)
    check_ins.insert(tx, new, tenant=tenant, now_ms=now)
    failpoint("checkins.between_statements")
    records: dict[Key, Any] = {(one.session_id, one.code): _Stored(one) for one in new} | dict(there)
    touched = _doubt(tx, traces, near, tenant=tenant, term=term)
    for key, text in touched.items():
        if key in records and isinstance(records[key], _Stored):
            records[key].doubts = text
    others = [key for key in touched if key not in records]
    records |= check_ins.find(tx, _keys(others), tenant=tenant, term=term) if others else {}
    # Whoever was accepted is on the roster, even where it was made without them.
    counters = standings.work_out(
        tx, _keys(records), tenant=tenant, term=term, records=records, missing=("check-in", now)
    )
    written.counters.update({(term, session_id): counts for session_id, counts in counters.items()})
    written.records.update({(term, *key): record for key, record in records.items()})


class _Stored:
    """A check-in that this unit has inserted, read like its row."""

    __slots__ = ("_of", "doubts")

    def __init__(self, of: CheckIn) -> None:
        self._of = of
        self.doubts = ""

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
    near = check_ins.near(tx, traces, tenant=tenant, term=term, open_place=open_place)
    return _doubt(tx, traces, near, tenant=tenant, term=term)


def _doubt(
    tx: Connection, traces: Sequence[Trace], near: Mapping[Trace, str], *, tenant: str, term: str
) -> dict[Key, str]:
    asked = {*traces}
    if near.keys() <= asked and not _share(traces):
        return {}
    known = dict.fromkeys(asked, "") | dict(near)
    changed: dict[Key, str] = {}
    for one, text in known.items():
        found = doubts(one, known if one in asked else asked)
        both = ",".join(sorted({*found, *filter(None, text.split(","))}))
        if both != text:
            changed[one.session_id, one.code] = both
    check_ins.doubt(tx, changed, tenant=tenant, term=term)
    return changed


def _share(traces: Sequence[Trace]) -> bool:
    """Whether any two of these have a device, a student or a point in common."""
    columns = ([one.device for one in traces], [one.code for one in traces], [one.point for one in traces])
    return any(len({*filter(None, values)}) < len([*filter(None, values)]) for values in columns)
