"""Archiving a term: the run that removes the work of a past term."""

from sqlalchemy import Connection

from db import audit, sync_runs, terms
from db.engine import in_unit
from domain.terms import ARCHIVED
from usecases.deps import Deps
from usecases.sync import run_tasks, turns
from usecases.sync.stages.table import STAGES
from usecases.terms import TermRefused, checked_code, locked, refuse_unfinished

KIND = "archive"


def begin(deps: Deps, code: str, *, actor: str | None = None) -> tuple[str, str]:
    """Mark the term as archived and start the run that removes its work. Returns the ids of the run and of its task.

    Raises `TermRefused` while the term is open or something of it is not over, `UnknownTerm`, and `RunActive` while
    anything else reads or plans the timetable; nothing is changed then. With `actor` the act is in the audit.
    """
    checked_code(code)
    run_id = deps.new_id()

    def work(tx: Connection) -> str:
        row = locked(tx, deps.tenant, code)
        if row.archived_ms is not None:
            raise TermRefused(f"term {code} was archived already", "`obsync terms` says what was removed")
        refuse_unfinished(tx, deps.tenant, row)
        sync_runs.hold_order(tx, tenant=deps.tenant)
        turns.refuse_beside_others(tx, tenant=deps.tenant)
        task_id = run_tasks.begin(tx, deps, run_id, kind=KIND, scope={"term": code}, stages=STAGES[KIND])
        sync_runs.change_run(tx, run_id, tenant=deps.tenant, term=code)
        terms.change(tx, tenant=deps.tenant, term=code, status=ARCHIVED)
        if actor is not None:
            audit.write(
                tx, tenant=deps.tenant, new_id=deps.new_id, actor=actor, action="term.archive", thing=code,
                before={"status": row.status}, after={"run": run_id},
            )  # fmt: skip
        return task_id

    return run_id, in_unit(deps.engine, work)
