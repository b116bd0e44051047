"""Pausing and resuming a lane by a person."""

from sqlalchemy import Connection

from db import audit, lanes
from db.engine import in_unit
from usecases.deps import Deps


class UnknownLane(Exception):
    """There is no lane of that name."""


def set_paused(deps: Deps, lane: str, *, paused: bool, actor: str) -> bool:
    """Pause or resume a lane; a call under way ends first. Returns whether it was so before. Raises `UnknownLane`."""

    def work(tx: Connection) -> bool:
        before = lanes.is_paused(tx, lane, tenant=deps.tenant)
        if before is None:
            raise UnknownLane(lane)
        if before is not paused:
            lanes.set_paused(tx, tenant=deps.tenant, names=[lane], paused=paused)
            audit.write(
                tx,
                tenant=deps.tenant,
                new_id=deps.new_id,
                actor=actor,
                action="lane.pause" if paused else "lane.resume",
                thing=lane,
            )
        return before is paused

    already = in_unit(deps.engine, work)
    if not paused:
        deps.ring("lanes")
    return already
