"""Step guard: before the first put, what a run would delete is counted, and a person is asked when that is much.

It only reads, and counts anew each time: whoever confirmed is asked again when the numbers have grown, and a run that was
dropped leaves nothing behind that would keep the next one from asking.
"""

import json
from collections.abc import Sequence
from typing import Any

from db import discrepancies, guards, run_questions
from db.engine import reading
from db.tables import AnyRow
from domain.guards import LaneLoss, ask_about_deletes, ask_about_repairs, unanswered
from usecases.sync.stages.base import Asks, Done, Running, Step
from usecases.sync.turns import scope_of


def ask_before_deleting(on: Running, stage: AnyRow) -> Step:
    """Events of the run's scope that have lost their session, lane by lane."""
    tenant, only = on.deps.tenant, scope_of(on.run)
    allowed = json.loads(on.run.scope).get("confirm_deletes")
    with reading(on.deps.engine) as tx:
        lanes = guards.losses(tx, tenant=tenant, only=only)
        going = sum(one.going for one in lanes)
        left = unanswered(
            ask_about_deletes(lanes),
            run_questions.confirmed(tx, tenant=on.deps.tenant, run_id=on.run_id),
            deletes_allowed=allowed is not None and going <= allowed,
        )
        if left:
            named = _named([one.subject for one in left], lanes)
            sample = guards.going(tx, tenant=tenant, lanes=named, only=only)
            return Asks(left, {"lanes": table(lanes), "sample": sample})
    return _counted(on, stage, lanes, "to delete")


def ask_before_repairing(on: Running, stage: AnyRow) -> Step:
    """Events that a repair would create again or delete, lane by lane."""
    tenant, states = on.deps.tenant, discrepancies.NOT_HEALED
    with reading(on.deps.engine) as tx:
        lanes = guards.repairs(tx, tenant=tenant, states=states)
        left = unanswered(
            ask_about_repairs(lanes), run_questions.confirmed(tx, tenant=on.deps.tenant, run_id=on.run_id)
        )
        if left:
            return Asks(left, {"lanes": table(lanes), "sample": guards.to_repair(tx, tenant=tenant, states=states)})
    return _counted(on, stage, lanes, "to put right")


def table(lanes: Sequence[LaneLoss]) -> list[dict[str, Any]]:
    """Lanes that lose something, as people and programs read them, the greatest loss first."""
    losing = sorted((one for one in lanes if one.going), key=lambda one: (-one.going, one.lane))
    return [{"lane": one.lane, "live": one.live, "going": one.going} for one in losing]


def _named(subjects: Sequence[str], lanes: Sequence[LaneLoss]) -> list[str]:
    """The lanes that the questions are about; all that lose something where one is about the whole run."""
    return sorted(one.lane for one in lanes if one.going) if "" in subjects else sorted(subjects)


def _counted(on: Running, stage: AnyRow, lanes: Sequence[LaneLoss], words: str) -> Step:
    going = sum(one.going for one in lanes)
    on.progress(stage.position, done=going, total=going)
    return Done(f"{words}, within the limits" if going else "nothing " + words)
