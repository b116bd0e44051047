"""Plans for people who ask over the API: put to work, worked out by a worker, read page by page.

begin ─▶ working ─ a worker has the task ─▶ rows, 500 a time ─▶ done, or failed with the reason
                        └─ died: another one begins anew; rows have their numbers
"""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection

from db import audit, plans, tasks
from db.engine import in_unit, reading
from db.tables import AnyRow
from domain.scopes import Scope, of_dict
from remote.sources.base import BadSource
from usecases import tenants
from usecases.deps import Deps
from usecases.sync import dry_runs, scoping, sources
from usecases.sync.starting import NoSource, SourceRefused
from usecases.tasks import VISIBILITY_MS, Task, kept

KIND: Final = "plan.make"
_QUEUE: Final = "sync"
TIMETABLE, SOURCE = "timetable", "source"
MOST_ROWS: Final = 5_000
"""Rows that are kept of a plan; its counts are of all."""

_KEPT: Final = 20  # plans of a school


def begin(
    deps: Deps, *, basis: str, only: Scope, actor: str, also: Callable[[Connection, str], None] = lambda _tx, _id: None
) -> str:
    """Ask for a plan: of the timetable as it was read last, or of the source as it is now. Returns its id; `also` writes in
    its transaction. Raises `NoSource`, `SourceRefused`, `BadScope`, and what `scoping.checked_scope` raises."""
    try:
        if basis == SOURCE and sources.last(deps) is None:
            raise NoSource
    except BadSource as error:
        raise SourceRefused(error.problem, error.remedy) from error
    scope = scoping.checked_scope(deps, only, kind="full")
    plan_id = deps.new_id()

    def work(tx: Connection) -> str:
        plans.add(tx, tenant=deps.tenant, plan_id=plan_id, basis=basis, scope=scope.as_dict(), actor=actor)
        said = {"basis": basis, "scope": scope.as_dict()}
        audit.write(
            tx, tenant=deps.tenant, new_id=deps.new_id, actor=actor, action="plan.begin", thing=plan_id, after=said
        )  # fmt: skip
        also(tx, plan_id)
        return tasks.put_task(
            tx, tenant=deps.tenant, queue=_QUEUE, kind=KIND, target=plan_id, payload="{}", run_id=None,
            new_id=deps.new_id,
        )  # fmt: skip

    task_id = in_unit(deps.engine, work)
    deps.ring(task_id)
    return plan_id


def make(deps: Deps, task: Task) -> None:
    """Work a plan out. What cannot be read is the plan's answer, and no reason to try again."""
    with reading(deps.engine) as tx:
        row = plans.get(tx, task.target, tenant=task.tenant)
        there = replace(deps, tenant=task.tenant, zone=tenants.zone_of(tx, tenant=task.tenant))
    if row is None or row.state != plans.WORKING:
        in_unit(deps.engine, lambda tx: tasks.finish_task(tx, task))
        return
    try:
        with kept(there, task):
            found = _look(there, row)
    except (BadSource, NoSource) as error:
        why = f"{error.problem}. {error.remedy}" if isinstance(error, BadSource) else "there is no source any more"
        _end(there, task, state=plans.FAILED, error=why)
        return
    for first in range(0, len(found.rows), plans.PAGE):
        in_unit(deps.engine, partial(_write, there, task, found.rows[first : first + plans.PAGE], first))
    _end(there, task, state=plans.DONE, operations=found.operations, listed=len(found.rows), found=_said(found))
    _forget(there)


def _look(deps: Deps, row: AnyRow) -> dry_runs.Shown:
    if row.basis == TIMETABLE:
        return dry_runs.of_timetable(deps, limit=MOST_ROWS)
    chosen = sources.last(deps)
    if chosen is None:
        raise NoSource
    only = of_dict(json.loads(row.scope))
    return dry_runs.of_source(deps, chosen.address, only=only, limit=MOST_ROWS)


def _said(found: dry_runs.Shown) -> str:
    counts = [{"kind": kind, "verb": verb, "count": count} for (kind, verb), count in sorted(found.counts.items())]
    asked = [asdict(one) for one in found.questions]
    read = found.read
    seen = None if read is None else {
        "rows": read.rows_in, "used": read.staged, "rejected": read.rejected, "held": read.held,
    }  # fmt: skip
    told = {"counts": counts, "questions": asked, "unmapped_people": found.unmapped_people, "read": seen}
    return json.dumps(told, ensure_ascii=False)


def _write(deps: Deps, task: Task, rows: list[dict[str, Any]], first: int, tx: Connection) -> None:
    tasks.keep_task(tx, task, visibility_ms=VISIBILITY_MS)
    plans.add_rows(tx, rows, tenant=deps.tenant, plan_id=task.target, first=first)


def _end(deps: Deps, task: Task, *, state: str, **values: Any) -> None:
    def work(tx: Connection) -> None:
        tasks.keep_task(tx, task, visibility_ms=VISIBILITY_MS)
        plans.end(tx, task.target, tenant=deps.tenant, state=state, **values)
        tasks.finish_task(tx, task)

    in_unit(deps.engine, work)


def _forget(deps: Deps) -> None:
    """Only the newest plans are kept."""
    with reading(deps.engine) as tx:
        old = plans.older_than(tx, tenant=deps.tenant, keep=_KEPT)
    for plan_id in old:
        while not in_unit(deps.engine, partial(plans.remove_page, plan_id=plan_id, tenant=deps.tenant)):
            continue


# --- looking --------------------------------------------------------------------------------------------------------


def listing(deps: Deps) -> list[AnyRow]:
    """Plans, newest first."""
    with reading(deps.engine) as tx:
        return plans.listing(tx, tenant=deps.tenant, limit=_KEPT)
