"""A person who wants no calendar in a term: what they could read is withdrawn, and not put again until they want it.

In layout `course` they lose their place among the readers of their courses; in layout `personal` their own calendar goes.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from db import audit, changes, imports, opt_outs, timetable
from db.engine import in_unit, reading
from db.sync_runs import URGENT
from domain.layouts import COURSE, PERSONAL, PREFIX, own_calendar_target, person_key
from usecases import terms
from usecases.deps import Deps
from usecases.sync import layout

_PAGE = 100


class UnknownPerson(Exception):
    """Nobody has that number."""

    def __init__(self, code: str) -> None:
        super().__init__(f"没有编号为 {code} 的师生 · nobody has the number {code}")
        self.code = code


class OptOutRefused(Exception):
    """It cannot be; the sentence says why."""


def opt_out(deps: Deps, code: str, *, term: str, actor: str) -> dict[str, Any]:
    """Withdraw a person's calendars of a term; twice is once. Returns who, and how many calendars follow.

    Raises `UnknownPerson`, `UnknownTerm`, `TermRefused` (frozen or archived), and `OptOutRefused` for a teacher where courses
    have calendars: those are theirs to write.
    """
    return _change(deps, code, term=term, actor=actor, out=True)


def opt_in(deps: Deps, code: str, *, term: str, actor: str) -> dict[str, Any]:
    """Give a person their calendars of a term back; twice is once. Raises as `opt_out` does."""
    return _change(deps, code, term=term, actor=actor, out=False)


def _change(deps: Deps, code: str, *, term: str, actor: str, out: bool) -> dict[str, Any]:
    tenant = deps.tenant

    def work(tx: Connection) -> bool:
        _check(tx, tenant, code, term, out=out)
        before = opt_outs.get(tx, tenant=tenant, term=term, code=code) is not None
        if before == out:
            return False
        if out:
            opt_outs.add(tx, tenant=tenant, term=term, code=code, by=actor)
        else:
            opt_outs.remove(tx, tenant=tenant, term=term, code=code)
        audit.write(
            tx,
            tenant=tenant,
            new_id=deps.new_id,
            actor=actor,
            action=f"people.opt_{'out' if out else 'in'}",
            thing=code,
            before={"term": term, "out": before},
            after={"term": term, "out": out},
        )
        latest = imports.latest_complete(tx, tenant)
        if latest is not None:
            # Whoever dies before the jobs are put: the next incremental run puts them.
            taken = opt_outs.offerings_taken(tx, tenant=tenant, term=term, code=code)
            changes.touch(tx, [(term, one) for one in taken], tenant=tenant, import_no=latest)
        return True

    changed = in_unit(deps.engine, work)
    # Also where nothing changed: what was asked for before may not have been put.
    calendars = _follow(deps, code, term)
    return {"code": code, "term": term, "out": out, "changed": changed, "calendars": calendars}


def _check(tx: Connection, tenant: str, code: str, term: str, *, out: bool) -> None:
    terms.refuse_closed(tx, tenant=tenant, term=term)
    kinds = opt_outs.kinds_of(tx, tenant=tenant, code=code)
    if not kinds:
        raise UnknownPerson(code)
    if out and kinds == {"teacher"} and timetable.load_layout(tx, tenant=tenant) == COURSE:
        raise OptOutRefused(
            f"{code} 是教师，课程日历由教师维护，不能退出 · {code} is a teacher: course calendars are theirs to write"
        )


def _follow(deps: Deps, code: str, term: str) -> int:
    """Put what the planner asks for now, as far as it is about this person. Returns how many calendars have something to do."""
    tenant, put = deps.tenant, 0
    with reading(deps.engine) as tx:
        number = imports.latest_complete(tx, tenant)
        own = timetable.load_layout(tx, tenant=tenant) == PERSONAL
        taken = opt_outs.offerings_taken(tx, tenant=tenant, term=term, code=code)
    if number is None:
        return 0
    targets = (
        [own_calendar_target(person_key(term=term, code=code))] if own else [f"{PREFIX[COURSE]}{one}" for one in taken]
    )
    for start in range(0, len(targets), _PAGE):
        put += _put(deps, term, targets[start : start + _PAGE], import_no=number, own=own)
    return put


def _put(deps: Deps, term: str, targets: Sequence[str], *, import_no: int, own: bool) -> int:
    planner = layout.planner(deps.engine, deps.tenant, deps.secret)
    with reading(deps.engine) as tx:
        calendars = opt_outs.calendars(tx, list(targets), tenant=deps.tenant, term=term)
        plans = planner.of_calendars(tx, calendars)
    for plan in plans:
        if not own:
            plan.operations[:] = [one for one in plan.operations if one.kind == "members"]
    plans = [plan for plan in plans if plan.operations]
    lanes = planner.put(
        plans, import_no=import_no, run_id=None, new_id=deps.new_id, fence=lambda _tx: None, priority=URGENT
    )
    if lanes:
        deps.hints.mark([(deps.tenant, lane) for lane in sorted(lanes)])
        deps.ring("lanes")
    return len(plans)


def listing(deps: Deps, *, term: str | None, limit: int = 500) -> list[dict[str, Any]]:
    """Who has opted out, newest first."""
    with reading(deps.engine) as tx:
        found = opt_outs.listing(tx, tenant=deps.tenant, term=term, limit=limit)
    return [
        {
            "code": row.code,
            "term": row.term,
            "by": row.by,
            "since_ms": row.since_ms,
            "since": datetime.fromtimestamp(row.since_ms / 1000, deps.zone).isoformat(timespec="minutes"),
        }
        for row in found
    ]
