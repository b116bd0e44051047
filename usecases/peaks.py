"""What the next hours bring: check-ins of each minute, and how many processes they take."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection

from db import lanes, peaks
from db.clock import now_ms
from db.engine import reading
from domain.configs import CONFIGS
from domain.peaks import MINUTE_MS, Arrivals, BadArrivals, Capacity, Load, per_minute, suggested
from observability.log import get_logger
from ratelimit.limiter import LimiterAway
from usecases import configs
from usecases.deps import Deps

log = get_logger("peaks")

PREFIX: Final = "peak."
KEYS: Final = tuple(key for key in CONFIGS if key.startswith(PREFIX))
HOURS: Final = 3
_BACK_MS: Final = 60 * MINUTE_MS


def forecast(deps: Deps, *, waiting: int | None, hours: int = HOURS, now: int | None = None) -> dict[str, Any]:
    """The minutes to come with somebody in them, the highest, and how many processes it takes.

    `waiting` are check-ins that are not written yet; None: nobody knows. `now` stands for the database's time."""
    with reading(deps.engine) as tx:
        now = now_ms(tx) if now is None else now
        minutes, said = _minutes(tx, deps.tenant, now, hours)
        due = len(lanes.due(tx))
    highest = max(range(len(minutes)), key=lambda at: (minutes[at], -at))
    from_ms = now - now % MINUTE_MS
    load = Load(minutes[highest], waiting or 0, due, wps_rate(deps))
    return {
        "items": [
            {"at_ms": from_ms + at * MINUTE_MS, "check_ins": round(many, 1)}
            for at, many in enumerate(minutes)
            if many > 0
        ],
        "highest_per_minute": round(load.highest_per_minute, 1),
        "highest_at_ms": from_ms + highest * MINUTE_MS if load.highest_per_minute else None,
        "waiting": waiting,
        "lanes_due": due,
        "suggested": suggested(load, _capacity(said)),
        "hours": hours,
    }


def highest(tx: Connection, *, tenant: str, now: int, hours: int = HOURS) -> tuple[float, Capacity]:
    """Check-ins of the busiest minute to come, and what a process takes."""
    minutes, said = _minutes(tx, tenant, now, hours)
    return max(minutes), _capacity(said)


def _minutes(tx: Connection, tenant: str, now: int, hours: int) -> tuple[list[float], dict[str, Any]]:
    said = {key.removeprefix(PREFIX): value for key, (value, _) in configs.read(tx, KEYS, tenant=tenant).items()}
    count = hours * 60
    from_ms = now - now % MINUTE_MS
    # A class counts that began lately: its students are still coming; and one behind the end, whose students come early.
    classes = peaks.expected(tx, from_ms - _BACK_MS, from_ms + count * MINUTE_MS + _BACK_MS, tenant=tenant)
    came = said["came_percent"] / 100
    return per_minute(classes.items(), _arrivals(said["arrivals"]), from_ms=from_ms, minutes=count, came=came), said


def _arrivals(steps: list[str]) -> Arrivals:
    try:
        return Arrivals.parse(steps)
    except BadArrivals as error:
        log.warning("peaks.bad_arrivals", reason=str(error))
        return Arrivals.parse(CONFIGS[f"{PREFIX}arrivals"].default)


def _capacity(said: dict[str, Any]) -> Capacity:
    return Capacity.of({**said, "headroom": said["headroom_percent"] / 100})


def wps_rate(deps: Deps) -> float:
    """Calls a second that WPS grants; 0 where the limiter cannot be asked."""
    try:
        return deps.remote.limiter.state(deps.remote.limiter_key).max_rate_per_s
    except LimiterAway:
        return 0.0
