"""What a run that waits notes while it waits: how fast the lanes are, and which tiers are through."""

from sqlalchemy import Connection

from db import freshness
from db.engine import reading
from usecases.sync.stages.base import Running
from usecases.sync.turns import scope_of

_PLANNED = {"full": ("calendars", "events", "finish"), "incremental": ("status",)}
"""Kind of run → the stages in which everything that it found has been put."""


def note(on: Running, *, at_once: bool = False) -> None:
    """Once in ten seconds, or at once: a sample, and the tiers of which nothing is left."""
    tenant = on.deps.tenant
    with reading(on.deps.engine) as tx:
        if not at_once and freshness.is_sampled(tx, tenant=tenant, run_id=on.run_id):
            return
        through: list[int] = []
        if scope_of(on.run).is_everything and on.run.stage in _PLANNED.get(on.run.kind, ()):
            least = freshness.least_open(tx, tenant=tenant)
            through = [tier for tier in freshness.SHOWN if least is None or tier < least]

    def work(tx: Connection) -> None:
        freshness.sample(tx, tenant=tenant, run_id=on.run_id)
        freshness.synced(tx, through, tenant=tenant, run_id=on.run_id)

    on.unit(work)
