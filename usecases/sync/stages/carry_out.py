"""Stages delete, update and add: each puts the operations of its kind and waits until the lanes are through with them.

One after the other, so that a class that moved is nowhere for a moment rather than in two places for an hour.

    compare ─▶ deletions ─▶ updates ─▶ additions
       └ every difference is counted before the first is put
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection

from db import import_bases, run_counts, scopes, sync_runs
from db.engine import reading
from db.planning import Chosen
from db.tables import AnyRow
from domain.plans import Operation
from domain.settlement import Verb
from usecases import off_peak
from usecases.sync import layout
from usecases.sync.planning import CoursePlan
from usecases.sync.stages import choose, pace
from usecases.sync.stages.base import Done, More, Running, Step
from usecases.sync.stages.drain import POLL_MS, any_left, note_of
from usecases.sync.turns import scope_of

DELETES, UPDATES, CREATES = 1, 2, 4
_STEPS: Final = {"deletions": DELETES, "updates": UPDATES, "additions": CREATES}
_WORDS: Final = {DELETES: "deletions", UPDATES: "updates", CREATES: "additions"}
_BIT: Final = {Verb.DELETE: DELETES, Verb.UPDATE: UPDATES, Verb.CREATE: CREATES}
_KINDS: Final = ("calendar", "members", "event")


def compare(on: Running, stage: AnyRow) -> Step:
    """Look what differs: of what was touched, or of everything where that was never done since the source was read.

    At the end the whole run is counted and nothing is put yet.
    """
    at: dict[str, Any] = json.loads(stage.cursor) if stage.cursor else _begin(on)
    counts = Counter(dict(zip(_WORDS, at["counts"], strict=True)))
    deps, done = on.deps, stage.done
    chosen = None if at["all"] else Chosen(on.run_id, only=scope_of(on.run))
    planner = layout.planner(deps.engine, deps.tenant, deps.secret, chosen=chosen)
    for cursor, plans in planner.pages(after=at["plan"]):
        _keep_needs(on, plans, counts)
        done += len(plans)
        at |= {"plan": cursor, "counts": [counts[bit] for bit in _WORDS]}
        on.progress(stage.position, cursor=json.dumps(at), done=done, total=max(done, at["chosen"]))
        if on.stopping:
            return More()
    _announce(on, counts)
    return Done(", ".join(f"{counts[bit]:,} {word}" for bit, word in _WORDS.items()) if counts.total() else "no change")


def _begin(on: Running) -> dict[str, Any]:
    """Where comparing begins, and with how many offerings: those touched, those in the scope, or simply all."""
    with reading(on.deps.engine) as tx:
        compared = import_bases.is_planned(tx, tenant=on.deps.tenant, import_no=on.import_no)
    everything = not compared and scope_of(on.run).is_everything
    if compared:
        choose.touched_in_scope(on)
    elif not everything:
        choose.everything_in_scope(on)
    with reading(on.deps.engine) as tx:
        chosen = scopes.count_chosen(tx, run_id=on.run_id)
    return {"all": everything, "chosen": chosen, "plan": None, "counts": [0, 0, 0]}


def _keep_needs(on: Running, plans: list[CoursePlan], counts: Counter[int]) -> None:
    needs: dict[tuple[str, str], int] = {}
    for plan in plans:
        found = Counter(when(plan, one) for one in plan.operations)
        counts.update(found)
        # What nobody wants any more is closed with the deletions.
        needs[plan.term, _offering(plan)] = sum(found) | (DELETES if plan.unwanted or plan.void else 0)
    if needs:
        on.unit(lambda tx: scopes.set_needs(tx, needs, run_id=on.run_id))


def _offering(plan: CoursePlan) -> str:
    """The offering of a plan; one that is gone is known by its calendar."""
    if plan.offering_id is not None:
        return plan.offering_id
    return [*(one.target for one in plan.operations), *plan.unwanted, *plan.void][0].partition(":")[2]


def when(plan: CoursePlan, operation: Operation) -> int:
    """In which of the stages an operation goes. What waits for a new calendar goes with it, whatever its verb."""
    new = any(one.kind == "calendar" and one.verb is Verb.CREATE for one in plan.operations)
    return CREATES if new else _BIT[operation.verb]


def _announce(on: Running, counts: Counter[int]) -> None:
    """Each stage knows what it will have to do."""

    def work(tx: Connection) -> None:
        for stage in sync_runs.stages_of(tx, on.run_id):
            if stage.step in _STEPS:
                sync_runs.change_stage(tx, on.run_id, stage.position, total=counts[_STEPS[stage.step]])

    on.unit(work)


def put_and_wait(on: Running, stage: AnyRow) -> Step:
    """Put the operations of this stage, then look how far the lanes are. Raises `RunFailed` when WPS refuses us."""
    bit = _STEPS[stage.step]
    if stage.total == 0 and not _is_needed(on, bit):
        return Done(f"no {_WORDS[bit]}")
    if stage.cursor != "put":
        _put(on, stage, bit)
        if on.stopping:
            return More()
    return _wait(on, stage)


def _is_needed(on: Running, bit: int) -> bool:
    """Dead letters of things that are not wanted any more are no operations, and are closed all the same."""
    with reading(on.deps.engine) as tx:
        return scopes.any_needs(tx, run_id=on.run_id, bit=bit)


def _put(on: Running, stage: AnyRow, bit: int) -> None:
    """The first put of a run is in here, when all its deletions have been counted by `compare`."""
    deps = on.deps
    chosen = Chosen(on.run_id, bit, only=scope_of(on.run))
    planner = layout.planner(deps.engine, deps.tenant, deps.secret, chosen=chosen)
    for cursor, plans in planner.pages(after=stage.cursor):
        mine = [replace(plan, operations=list(_of(plan, bit))) for plan in plans]
        touched = planner.put(
            [plan for plan in mine if plan.operations or bit == DELETES],
            import_no=on.import_no,
            run_id=on.run_id,
            new_id=deps.new_id,
            fence=on.fence,
            priority=on.run.priority,
            held_from=off_peak.held_from(on.deps),
        )
        on.progress(stage.position, cursor=cursor)
        on.ring_lanes(touched)
        if on.stopping:
            return
    on.progress(stage.position, cursor="put")


def _of(plan: CoursePlan, bit: int) -> Iterable[Operation]:
    return (one for one in plan.operations if when(plan, one) == bit)


def _wait(on: Running, stage: AnyRow) -> Step:
    with reading(on.deps.engine) as tx:
        counts = [of for kind, of in run_counts.totals(tx, run_id=on.run_id).items() if kind in _KINDS]
    open_ = any_left(on, _KINDS)
    # What was put before this stage is closed or held, so what is open is of this stage.
    left = sum(of["planned"] - of["done"] - of["failed"] - of["superseded"] for of in counts)
    on.progress(stage.position, done=max(0, min(stage.total, stage.total - left)))
    pace.note(on)
    if open_:
        return More(POLL_MS)
    failed = sum(of["failed"] for of in counts)
    return Done(note_of(on, f"{failed} failed so far" if failed else None))


def settle(on: Running) -> None:
    """The run has carried out what it chose; where that was everything, the next one need not compare it again."""
    if scope_of(on.run).is_everything:
        on.unit(lambda tx: import_bases.set_planned(tx, tenant=on.deps.tenant, import_no=on.import_no))
    choose.forget(on)
