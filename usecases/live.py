"""Telling screens what a class comes to now, after somebody has said something about it."""

import redis

from db import rosters
from db.engine import reading
from db.live_events import Publish
from domain.attendance import COUNTERS
from observability.log import get_logger
from usecases.deps import Deps

log = get_logger("live")


def tell(deps: Deps, session_id: str, publish: Publish) -> None:
    """Tell the counters of a class as they are committed. What cannot be told is logged: screens ask again by themselves."""
    with reading(deps.engine) as tx:
        row = rosters.find(tx, session_id, tenant=deps.tenant)
    if row is None:
        return
    try:
        publish(deps.tenant, {(row.term, session_id): {name: getattr(row, name) for name in COUNTERS}})
    except redis.RedisError as error:
        log.warning("live.not_told", reason=str(error)[:200])
