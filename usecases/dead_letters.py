"""Dead letters: jobs in state `dead`. Nothing of them expires; putting them again asks for the same targets again.

Acts on many go in units in the order of the jobs' ids. Each unit locks what it finds dead, so that two people who ask
for the same at the same time put each of them once.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Connection

from db import audit, failure_lists, imports, jobs
from db import dead_letters as rows
from db import tasks as task_rows
from db.check_in_dead_letters import KIND
from db.engine import in_unit, reading
from db.failure_lists import Which
from db.jobs import Put
from db.tables import AnyRow
from domain.ids import key_of
from domain.job_payloads import Editable, editable
from usecases.deps import Deps

CHECK_INS = KIND
UNIT = 250  # with a calendar for each at the most, 500 rows a transaction
_PAUSE_S = 0.005


class Changed(Exception):
    """The dead letter is not any more what the caller saw."""


class NotEditable(Exception):
    """The edit is refused; the sentence says why, and nothing was changed."""


def count(deps: Deps, which: Which) -> int:
    """How many dead letters are meant."""
    with reading(deps.engine) as tx:
        return failure_lists.count(tx, tenant=deps.tenant, which=which)


def put_again(deps: Deps, which: Which, *, actor: str, units: int | None = None) -> int:
    """Put the dead letters again, with the dead calendars that they would wait for. Returns how many were put.

    One that was put again meanwhile is left alone: twice is once. With `units` it ends after so many, and the rest stays.
    """
    done = sum(islice(_each_unit(deps, which, lambda tx, ids: _put_again(tx, deps, ids)), units))
    _note(deps, actor=actor, action="failures.retry", which=which, after={"put_again": done})
    deps.ring("lanes")
    return done


def discard(deps: Deps, which: Which, *, actor: str, units: int | None = None) -> int:
    """Close the dead letters for good. Returns how many were closed; the next plan asks for what is still wanted.

    With `units` it ends after so many, and the rest stays.
    """
    done = sum(islice(_each_unit(deps, which, lambda tx, ids: rows.discard(tx, ids, tenant=deps.tenant)), units))
    _note(deps, actor=actor, action="dead.discard", which=which, after={"discarded": done})
    return done


def each_page(deps: Deps, which: Which) -> Iterator[list[str]]:
    """Ids of the dead letters that are meant, a unit's worth at a time."""
    after = ""
    while True:
        with reading(deps.engine) as tx:
            ids = failure_lists.dead_ids(tx, tenant=deps.tenant, which=which, after=after, limit=UNIT)
        if not ids:
            return
        yield ids
        after = ids[-1]


def _each_unit(deps: Deps, which: Which, work: Callable[[Connection, Sequence[str]], int]) -> Iterator[int]:
    for ids in each_page(deps, which):
        yield in_unit(deps.engine, lambda tx, ids=ids: work(tx, ids))  # type: ignore[misc]
        time.sleep(_PAUSE_S)  # others write too


def _note(deps: Deps, *, actor: str, action: str, which: Which, after: dict[str, Any]) -> None:
    def work(tx: Connection) -> None:
        thing = which.family or (which.job_ids[0] if which.job_ids and len(which.job_ids) == 1 else "dead letters")
        audit.write(
            tx,
            tenant=deps.tenant,
            new_id=deps.new_id,
            actor=actor,
            action=action,
            thing=thing,
            before={"which": which.as_dict()},
            after=after,
        )

    in_unit(deps.engine, work)


def _put_again(tx: Connection, deps: Deps, job_ids: Sequence[str]) -> int:
    calendars = rows.calendars_of(tx, job_ids, tenant=deps.tenant)
    found = rows.lock(tx, sorted({*job_ids, *calendars}), tenant=deps.tenant)
    tasks = [row for row in found if row.lane is None]
    puts = sorted((_as_put(row) for row in found if row.lane is not None), key=lambda one: one.target)
    # What is dead was never put again since, so nothing newer is known of its target.
    import_no = max((imports.latest_complete(tx, deps.tenant) or 0, *(row.import_no for row in found)))
    done = sum(task_rows.revive_task(tx, row.id, tenant=deps.tenant) for row in tasks)
    return done + jobs.put(tx, puts, tenant=deps.tenant, import_no=import_no, run_id=None, new_id=deps.new_id)


def _as_put(row: AnyRow) -> Put:
    return Put(
        kind=row.kind,
        target=row.target,
        group_id=row.group_id,
        term=row.term,
        lane=row.lane,
        payload=row.payload,
        desired_hash=row.desired_hash,
        tier=row.tier,
        priority=row.priority,
    )


# --- editing ----------------------------------------------------------------------------------------------------------


def version_of(payload: str) -> str:
    """Changes with whatever an edit changes."""
    return key_of(payload)


def version_now(connection: Connection, job_id: str, *, tenant: str) -> str | None:
    """The version of a job as it is; None where there is none of that id."""
    found = failure_lists.of_jobs(connection, tenant=tenant, job_ids=[job_id])
    return version_of(found[0].payload) if found else None


def edit(
    deps: Deps, job_id: str, changes: dict[str, Any], *, whole: bool, actor: str, seen: str | None = None
) -> dict[str, Any]:
    """Change what a dead letter asks for: `changes` are its whole payload, or only the keys that change. It stays dead until
    it is put again. Returns the payload before and after.

    Raises `NotEditable` where the job is no dead letter, where its kind has nothing to edit, and where a key or a value is
    not what its schema wants; `Changed` where `seen` is not its `version_of` any more.
    """

    def work(tx: Connection) -> dict[str, Any]:
        found = rows.lock(tx, [job_id], tenant=deps.tenant)
        if not found:
            raise NotEditable(f"there is no dead letter {job_id}")
        row = found[0]
        if seen is not None and seen != version_of(row.payload):
            raise Changed(job_id)
        before = json.loads(row.payload)
        if before is None:
            raise NotEditable("it is a deletion, and a deletion carries nothing")
        edited = editable(row.kind, before, changes if whole else {**before, **changes})
        if not isinstance(edited, Editable):
            raise NotEditable(edited)
        if not rows.edit(tx, row, payload=edited.payload, desired_hash=edited.desired_hash):
            raise NotEditable(f"{job_id} was changed by somebody else just now")
        after = json.loads(edited.payload)
        audit.write(
            tx,
            tenant=deps.tenant,
            new_id=deps.new_id,
            actor=actor,
            action="dead.edit",
            thing=job_id,
            before=before,
            after=after,
        )
        return {"id": job_id, "kind": row.kind, "before": before, "after": after}

    return in_unit(deps.engine, work)
