"""Starting a run on the source that the school syncs from, for people who do not sit at the machine.

They name no source: an address from outside would make the server read any file or ask any host.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from db import audit, scopes
from db.engine import reading
from domain.scopes import EVERYTHING, Scope
from remote.sources.base import BadSource
from usecases.deps import Deps
from usecases.sync import runs, scoping, sources

CALLS_PER_COURSE = 3  # its calendar, its members, its events
_LONGEST_SHARE = 4  # how many times longer it takes where others use the limit too


class NoSource(Exception):
    """Nothing was ever synced: an operator has to name the source once."""


class SourceRefused(Exception):
    """The source cannot be read: what is wrong with it and what to do, without its address."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Started:
    """The run and its task, and when the run may be over, milliseconds UTC: at best and with others at work."""

    run_id: str
    task_id: str
    earliest_ms: int
    latest_ms: int


def start(
    deps: Deps,
    *,
    kind: str,
    only: Scope,
    priority: str,
    actor: str,
    rate_per_s: float,
    now_ms: int,
    confirm_deletes: int | None = None,
    also: Callable[[Connection, Started], None] = lambda _tx, _started: None,
) -> Started:
    """Start a run of kind full, incremental or users on the source synced last; audited, and `also` in its transaction.

    Raises `NoSource`, `SourceRefused`, `BadScope`, `RunActive`, `TermRefused` and `UnknownTerm`; nothing is changed then.
    """
    try:
        known = sources.last(deps)
        if known is None:
            raise NoSource
        scope = scoping.checked_scope(deps, only, kind=kind)
        earliest_ms, latest_ms = estimate(deps, scope, rate_per_s=rate_per_s, now_ms=now_ms)

        def note(tx: Connection, run_id: str) -> None:
            said = {"kind": kind, "scope": scope.as_dict(), "priority": priority}
            audit.write(
                tx,
                tenant=deps.tenant,
                new_id=deps.new_id,
                actor=actor,
                action="run.start",
                thing=run_id,
                after=said,
            )
            also(tx, Started(run_id, "", earliest_ms, latest_ms))

        run_id, task_id = runs.begin(
            deps,
            kind=kind,
            source=known.address,
            actor=actor,
            only=scope,
            priority=priority,
            confirm_deletes=confirm_deletes,
            also=note,
        )
    except BadSource as error:
        raise SourceRefused(error.problem, error.remedy) from error
    deps.ring(task_id)
    return Started(run_id, task_id, earliest_ms, latest_ms)


def estimate(deps: Deps, only: Scope, *, rate_per_s: float, now_ms: int) -> tuple[int, int]:
    """When a run over `only` may be over: as if every course in it had to be sent, behind what waits already."""
    with reading(deps.engine) as tx:
        courses = scopes.count_of(tx, only, tenant=deps.tenant)
        waiting = scopes.waiting_jobs(tx, tenant=deps.tenant)
    best_ms = round((courses * CALLS_PER_COURSE + waiting) / max(rate_per_s, 0.1) * 1000)
    return now_ms + best_ms, now_ms + best_ms * _LONGEST_SHARE


def colleges_of(connection: Connection, only: Scope, *, tenant: str) -> frozenset[str]:
    """All colleges that a run over `only` touches; empty where it is about the whole school."""
    if only.colleges:
        return frozenset(only.colleges)
    if only.courses:
        return frozenset(scopes.colleges_of(connection, only, tenant=tenant))
    return frozenset()


__all__ = ["EVERYTHING", "NoSource", "SourceRefused", "Started", "colleges_of", "estimate", "start"]
