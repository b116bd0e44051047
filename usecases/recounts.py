"""Counting attendance again: counters of rosters and sums of statistics against the details they stand for.

begin ─▶ working ─ a worker has the task: a page, its drift and the position in one transaction ─▶ done
            │            └─ died: another one goes on from the last position
            └─ cancelled

    of each term:  rosters ▶ students ▶ courses ▶ teachers ▶ days of colleges ▶ weeks and terms of colleges

A page holds the locks that every writer of these counters waits for before it commits (`db/statistics.py`): what is compared
is as it was before or after any of them. So nothing is drift that is only on its way, and nothing is overwritten that was
just added.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection

from db import audit, jobs, recounts, rosters, statistics, tasks
from db.engine import in_unit, reading
from db.tables import AnyRow
from db.timetable import load_terms
from domain.statistics import COLLEGE, COURSE, KINDS, STATS, TEACHER, USER, Key, key_of
from domain.terms import OPEN
from observability.log import get_logger
from observability.metrics import ATTENDANCE_DRIFT
from usecases import rosters as roster_work
from usecases.deps import Deps
from usecases.tasks import VISIBILITY_MS, Task

log = get_logger("recounts")

KIND: Final = "attendance.recount"
ROSTER: Final = "roster"
MOST_KEPT: Final = 1_000
"""Rows of drift that are kept of a recount; all are counted and mended."""

_QUEUE: Final = "sync"
_KEPT: Final = 30  # recounts of a school
_DAYS, _SUMS = "college-days", "college-sums"
_STAGES: Final = (ROSTER, USER, COURSE, TEACHER, _DAYS, _SUMS)
_PAGE: Final[Mapping[str, int]] = {ROSTER: 100, USER: 40, COURSE: 10, TEACHER: 5, _DAYS: 5, _SUMS: 1}
_SLICE_S: Final = 5.0
_PAUSE_S: Final = 0.005


class UnknownRecount(Exception):
    """There is no such recount."""


class NotWorking(Exception):
    """The recount has ended; `state` says how."""

    def __init__(self, state: str) -> None:
        super().__init__(f"it is {state}")
        self.state = state


def begin(
    deps: Deps,
    *,
    actor: str,
    terms: Sequence[str] = (),
    mends: bool = True,
    also: Callable[[Connection, str], None] = lambda _tx, _id: None,
) -> str:
    """Ask for a recount, of all open terms unless some are named. While one goes on, that one is meant. Returns its id; `also`
    writes in its transaction."""

    def work(tx: Connection) -> tuple[str, str | None]:
        for row in recounts.working(tx, tenant=deps.tenant):
            if jobs.is_open(tx, tenant=deps.tenant, kind=KIND, target=row.id):
                also(tx, row.id)
                return row.id, None
            recounts.end(tx, row, recounts.CANCELLED)  # its task has given up
        known = load_terms(tx, deps.tenant)
        chosen = sorted(terms or (code for code, one in known.items() if one.status == OPEN))
        recount_id = deps.new_id()
        expected = statistics.how_many(tx, chosen, tenant=deps.tenant)
        recounts.add(tx, recount_id, tenant=deps.tenant, actor=actor, terms=chosen, mends=mends, expected=expected)
        said = {"terms": chosen, "mends": mends}
        audit.write(
            tx, tenant=deps.tenant, new_id=deps.new_id, actor=actor, action="recount.begin", thing=recount_id, after=said
        )  # fmt: skip
        also(tx, recount_id)
        return recount_id, tasks.put_task(
            tx, tenant=deps.tenant, queue=_QUEUE, kind=KIND, target=recount_id, payload="{}", run_id=None,
            new_id=deps.new_id,
        )  # fmt: skip

    recount_id, task_id = in_unit(deps.engine, work)
    if task_id is not None:
        deps.ring(task_id)
    return recount_id


def cancel(deps: Deps, recount_id: str, *, actor: str, also: Callable[[Connection], None] = lambda _tx: None) -> None:
    """Let a recount go no further. What it has mended stays. Raises UnknownRecount, NotWorking."""

    def work(tx: Connection) -> None:
        row = recounts.get(tx, recount_id, tenant=deps.tenant, lock=True)
        if row is None:
            raise UnknownRecount(recount_id)
        if row.state != recounts.WORKING:
            raise NotWorking(row.state)
        recounts.end(tx, row, recounts.CANCELLED)
        audit.write(
            tx, tenant=deps.tenant, new_id=deps.new_id, actor=actor, action="recount.cancel", thing=recount_id
        )  # fmt: skip
        also(tx)

    in_unit(deps.engine, work)


# --- at work ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Page:
    """What one page came to."""

    last: Any = None  # of those compared; None: there were none
    compared: int = 0
    drift: list[dict[str, Any]] = field(default_factory=list)


def carry_on(deps: Deps, task: Task) -> None:
    """Go on with a recount for some seconds, a page at a time, and ask for the next turn. Raises `ClaimLost`."""
    until_s = time.monotonic() + _SLICE_S
    going = True
    while going:
        going, drift = in_unit(deps.engine, lambda tx: _step(deps, tx, task))
        kinds = Counter(str(one["kind"]) for one in drift)
        for kind, many in kinds.items():
            ATTENDANCE_DRIFT.add(kind, by=many)
        if drift:
            log.error("recounts.drift", recount=task.target, **kinds)
        if going and (time.monotonic() > until_s or deps.stopping.is_set()):
            in_unit(deps.engine, lambda tx: tasks.defer_task(tx, task, wait_ms=0))
            deps.ring(task.id)
            return
        time.sleep(_PAUSE_S)
    _forget(deps)


def _step(deps: Deps, tx: Connection, task: Task) -> tuple[bool, list[dict[str, Any]]]:
    """One page. False when there is none any more, or nobody wants it."""
    tasks.keep_task(tx, task, visibility_ms=VISIBILITY_MS)
    row = recounts.get(tx, task.target, tenant=deps.tenant, lock=True)
    if row is None or row.state != recounts.WORKING:
        tasks.finish_task(tx, task)
        return False, []
    terms, position = json.loads(row.terms), json.loads(row.position)
    at, stage, after = position or (0, _STAGES[0], "")
    if at >= len(terms):
        recounts.end(tx, row, recounts.DONE)
        tasks.finish_task(tx, task)
        return False, []
    page = _compare(tx, stage, after, tenant=deps.tenant, term=terms[at], mend=row.mends)
    position = [at, stage, page.last] if page.last is not None else _next(at, stage)
    recounts.note(tx, row, page.drift, most=MOST_KEPT)
    recounts.advance(
        tx, row, position=json.dumps(position), compared=row.compared + page.compared,
        differing=row.differing + len(page.drift), mended=row.mended + (len(page.drift) if row.mends else 0),
    )  # fmt: skip
    tasks.made_progress(tx, task)
    return True, page.drift


def _next(at: int, stage: str) -> list[Any]:
    behind = _STAGES.index(stage) + 1
    stage, at = (_STAGES[behind], at) if behind < len(_STAGES) else (_STAGES[0], at + 1)
    return [at, stage, ["", ""] if stage == _DAYS else ""]


def _compare(tx: Connection, stage: str, after: Any, *, tenant: str, term: str, mend: bool) -> _Page:
    key = {"tenant": tenant, "term": term}
    if stage == ROSTER:
        return _rosters(tx, after, key, mend=mend)
    if stage == _DAYS:
        return _college_days(tx, after, key, mend=mend)
    kind = COLLEGE if stage == _SUMS else stage
    subjects = statistics.subjects_after(tx, kind, after, limit=_PAGE[stage], **key)
    if not subjects:
        return _Page()
    statistics.lock(tx, [key_of(kind, one) for one in subjects], **key)
    if stage == _SUMS:
        (college,) = subjects
        real = statistics.days_added_up(tx, college, **key)
        kept = statistics.stored(tx, kind, subjects, periods=~statistics.is_day(), **key)
    else:
        real = statistics.counted(tx, kind, subjects, **key)
        kept = statistics.stored(tx, kind, subjects, **key)
    return _Page(subjects[-1], len(subjects), _settle(tx, kind, kept, real, key, mend=mend))


def _rosters(tx: Connection, after: str, key: Mapping[str, str], *, mend: bool) -> _Page:
    ids = rosters.page_after(tx, after, limit=_PAGE[ROSTER], **key)
    if not ids:
        return _Page()
    found = roster_work.recount_page(tx, ids, mend=mend, **key)
    colleges = statistics.colleges_of(tx, COURSE, {one["course_id"] for one in found}, **key) if found else {}
    drift = [
        {
            "kind": ROSTER, "term": key["term"], "subject": one["session_id"], "course_id": one["course_id"], "period": "",
            "college": colleges.get(one["course_id"], ""), "was": json.dumps(one["was"]), "now": json.dumps(one["is"]),
        }
        for one in found
    ]  # fmt: skip
    return _Page(ids[-1], len(ids), drift)


def _college_days(tx: Connection, after: Sequence[str], key: Mapping[str, str], *, mend: bool) -> _Page:
    """Days of one college: all classes of a college in a term are too many for one transaction."""
    found = statistics.college_days_after(tx, *after, limit=_PAGE[_DAYS], **key)
    if not found:
        return _Page()
    college = found[0][0]
    days = [day for one, day in found if one == college]
    statistics.lock(tx, [key_of(COLLEGE, college)], **key)
    drift: list[dict[str, Any]] = []
    for day in days:
        real = statistics.counted(tx, COLLEGE, [college], day=day, **key)
        kept = statistics.stored(tx, COLLEGE, [college], periods=statistics.is_period(day), **key)
        drift += _settle(tx, COLLEGE, kept, real, key, mend=mend)
    return _Page([college, days[-1]], 0, drift)


def _settle(
    tx: Connection,
    kind: str,
    kept: Mapping[Key, Mapping[str, int]],
    real: Mapping[Key, Mapping[str, int]],
    key: Mapping[str, str],
    *,
    mend: bool,
) -> list[dict[str, Any]]:
    """Report, and with `mend` overwrite, the sums that say something else than was counted."""
    nothing: Mapping[str, int] = {}
    wrong = [one for one in sorted({*kept, *real}) if _said(kept.get(one, nothing)) != _said(real.get(one, nothing))]
    if not wrong:
        return []
    if mend:
        statistics.overwrite(tx, {one: real.get(one, nothing) for one in wrong}, **key)
    at = KINDS.index(kind)
    colleges = statistics.colleges_of(tx, kind, {one[at] for one in wrong}, **key)
    return [
        {
            "kind": kind, "term": key["term"], "subject": one[at], "course_id": one.course_id if kind == USER else "",
            "period": one.period, "college": colleges.get(one[at], ""), "was": json.dumps(_said(kept.get(one, nothing))),
            "now": json.dumps(_said(real.get(one, nothing))),
        }
        for one in wrong
    ]  # fmt: skip


def _said(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: counts.get(name, 0) for name in STATS}


def _forget(deps: Deps) -> None:
    """Only the newest recounts are kept."""
    with reading(deps.engine) as tx:
        old = recounts.older_than(tx, tenant=deps.tenant, keep=_KEPT)
    for recount_id in old:
        in_unit(deps.engine, lambda tx, one=recount_id: recounts.remove(tx, one, tenant=deps.tenant))  # type: ignore[misc]


# --- looking ---------------------------------------------------------------------------------------------------------


def newest(deps: Deps) -> AnyRow | None:
    """The recount that was asked for last."""
    with reading(deps.engine) as tx:
        return next(iter(recounts.listing(tx, tenant=deps.tenant, limit=1)), None)
