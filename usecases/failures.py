"""Failures as people and programs read them: families with cause, count, remedy and command, and the failures of each.

A family is *open* while something of it is dead that nobody has seen to, *resolved* when a person has seen to all that is
dead, and *gone* when nothing of it is dead any more.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy import Connection

from db import audit, failure_lists
from db import failures as rows_db
from db.engine import in_unit, reading
from db.failure_lists import EVERYTHING, Which
from db.tables import AnyRow
from domain.remedies import remedy_for
from usecases import dead_letters
from usecases.deps import Deps
from usecases.failure_words import Words, operation, thing

OPEN, RESOLVED, GONE = "open", "resolved", "gone"
PAGE = 2_000
_IN_A_REPORT = 20  # families


class UnknownFamily(Exception):
    """There is no family of that id, nor a dead letter."""


def families(deps: Deps, which: Which = EVERYTHING, *, states: Sequence[str] = (OPEN,)) -> list[dict[str, Any]]:
    """Families in these states with what is counted of the failures meant, the newest first."""
    with reading(deps.engine) as tx:
        return [one for one in _families(tx, deps, which) if one["state"] in states]


def worst_first(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same in the order in which they matter: how many people, then how many failures."""
    return sorted(items, key=lambda one: (-one["people"], -one["left"] - one["waiting"], one["id"]))


def of_run(tx: Connection, deps: Deps, run_id: str) -> list[dict[str, Any]]:
    """The families of what died in a run, the worst first, at most twenty."""
    return worst_first(_families(tx, deps, Which(run_id=run_id)))[:_IN_A_REPORT]


def _families(tx: Connection, deps: Deps, which: Which) -> list[dict[str, Any]]:
    rows = failure_lists.families(tx, tenant=deps.tenant, which=which)
    people = failure_lists.people(tx, tenant=deps.tenant, which=which)
    lanes = failure_lists.lanes(tx, tenant=deps.tenant, which=which)
    samples: dict[str, dict[str, Any]] = {}
    for start in range(0, len(rows), 500):
        ids = [row.sample for row in rows[start : start + 500]]
        found = failure_lists.of_jobs(tx, tenant=deps.tenant, job_ids=ids)
        words = Words(tx, found, tenant=deps.tenant, zone=deps.zone)
        samples |= {row.id: {"id": row.id, "target": words.of(row), "error": row.last_error} for row in found}
    items = [_family(row, people.get(row.id, 0), lanes.get(row.id, []), samples.get(row.sample)) for row in rows]
    return sorted(items, key=lambda one: (one["last_ms"], one["id"]), reverse=True)


def _family(row: AnyRow, people: int, lanes: list[tuple[str, int]], sample: Mapping[str, Any] | None) -> dict[str, Any]:
    state = OPEN if row.open else RESOLVED if row.left else GONE
    said = remedy_for(kind=row.kind, error_class=row.error_class, code=row.remote_code, pattern=row.pattern)
    remedy = said.for_family(row.id)
    return {
        "id": row.id,
        "state": state,
        "operation": operation(row.kind, row.verb),
        "kind": row.kind,
        "verb": row.verb,
        "class": row.error_class,
        "code": row.remote_code,
        "message": row.pattern,
        "cause": remedy.cause,
        "remedy": remedy.advice,
        "command": remedy.command,
        "left": int(row.left),
        "total": int(row.total),
        "waiting": int(row.waiting),
        "people": people + int(row.looked_up),
        "lanes": [{"lane": lane, "count": count} for lane, count in lanes],
        "first_ms": row.first_ms,
        "last_ms": row.last_ms,
        "sample": sample,
        "note": row.note,
        "resolved_by": row.resolved_by,
        "resolved_ms": row.resolved_ms,
    }


def one_family(deps: Deps, family: str, which: Which = EVERYTHING) -> dict[str, Any]:
    """A family in whatever state, as far as `which` goes. Raises `UnknownFamily`."""
    found = families(deps, replace(which, family=family), states=(OPEN, RESOLVED, GONE))
    if not found:
        raise UnknownFamily(family)
    return found[0]


def records(
    deps: Deps, which: Which, *, after: str | None, limit: int, dead_only: bool = True, offset: int = 0
) -> tuple[list[dict[str, Any]], str | None]:
    """Failures, the newest first, from the one behind `after` (a job's id) on; and what to give as `after` for the rest,
    None when there is no more. At most 2,000."""
    limit = min(limit, PAGE)
    with reading(deps.engine) as tx:
        rows = failure_lists.page(
            tx, tenant=deps.tenant, which=which, after=after, limit=limit + 1, dead_only=dead_only, offset=offset
        )
        shown = rows[:limit]
        words = Words(tx, shown, tenant=deps.tenant, zone=deps.zone)
        items = [_record(row, words) for row in shown]
    return items, (items[-1]["id"] if len(rows) > limit else None)


def _record(row: AnyRow, words: Words) -> dict[str, Any]:
    return {
        "id": row.id,
        "family": row.family,
        "state": row.ended or "dead",
        "lane": row.lane,
        "queue": row.queue,
        "kind": row.kind,
        "target": row.target,
        "thing": words.of(row),
        "term": row.term,
        "class": row.error_class,
        "code": row.remote_code,
        "error": row.last_error,
        "attempts": row.attempts,
        "waiting": row.waiting,
        "run_id": row.run_id,
        "payload": json.loads(row.payload),
        "died_ms": row.died_ms,
        "ended_ms": row.ended_ms,
        "resolved_ms": row.resolved_ms,
    }


# --- acts -------------------------------------------------------------------------------------------------------------


def named(deps: Deps, names: Sequence[str], which: Which = EVERYTHING) -> list[Which]:
    """The failures meant by ids of families and of jobs, each narrowed by `which`. Raises `UnknownFamily`."""
    found, job_ids = [], []
    with reading(deps.engine) as tx:
        for name in dict.fromkeys(names):
            if failure_lists.is_family(tx, name, tenant=deps.tenant):
                found.append(Which(**{**which.as_dict(), "family": name}))
            elif failure_lists.of_jobs(tx, tenant=deps.tenant, job_ids=[name]):
                job_ids.append(name)
            else:
                raise UnknownFamily(name)
    if job_ids:
        found.append(Which(**{**which.as_dict(), "job_ids": tuple(job_ids)}))
    return found


def resolve(deps: Deps, family: str, *, note: str, actor: str) -> int:
    """A person has seen to all that is dead of a family, and says how. Returns how many nobody had seen to before.

    They stay dead letters; one that dies after this opens the family again. Raises `UnknownFamily`.
    """
    before = one_family(deps, family)

    def work(tx: Connection, ids: Sequence[str]) -> int:
        return rows_db.resolve(tx, ids, tenant=deps.tenant)

    done = 0
    for ids in dead_letters.each_page(deps, Which(family=family)):
        done += in_unit(deps.engine, partial(work, ids=ids))

    def sign(tx: Connection) -> None:
        rows_db.note_family(tx, family, tenant=deps.tenant, note=note, actor=actor)
        audit.write(
            tx,
            tenant=deps.tenant,
            new_id=deps.new_id,
            actor=actor,
            action="failures.resolve",
            thing=family,
            before={"state": before["state"], "note": before["note"]},
            after={"note": note, "resolved": done},
        )

    in_unit(deps.engine, sign)
    return done


# --- runs -------------------------------------------------------------------------------------------------------------


def cause_of(run: Mapping[str, Any]) -> str | None:
    """One line on why a run that has ended is not green; None for one that is."""
    if run["state"] in ("failed", "cancelled"):
        return str(run["error"] or run["state"])
    if run["state"] != "partially_succeeded":
        return None
    report = run["report"] or {}
    found = report.get("failures") or []
    if not found:
        taken = report.get("taken_over")
        return f"{taken:,} that another run took over have failed there" if taken else "see `obsync dead`"
    worst = found[0]
    more = f" (and {len(found) - 1} more causes)" if len(found) > 1 else ""
    return f"{thing(worst['kind'], worst['total'])}: {worst['cause']}{more}"
