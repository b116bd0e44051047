"""How what the service leans on is doing, each part with the time of the look and a reason where it is not well.

The database decides whether a process can answer. Redis away costs time, not answers; a late queue and a WPS that is down are
somebody else's work, and said.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import redis
from sqlalchemy.exc import SQLAlchemyError

from db import lag, paused_queues
from db.check_in_stream import CheckInStream
from db.engine import reading
from db.migrate import newest, revision_of
from ratelimit.limiter import LimiterAway
from usecases.deps import Deps

State = Literal["ok", "degraded", "down"]
LATE_S: Final = 60
"""A task or a lane that is due for longer is late: workers look every second."""


class Server(Protocol):
    """A Redis client, as far as it is asked here."""

    def ping(self) -> object:
        """Raises any exception where the server does not answer."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its state, how long the look took, and why it is not well."""

    state: State
    took_ms: float
    reason: str | None = None


def look(deps: Deps, *, servers: Mapping[str, Server], stream: CheckInStream | None = None) -> dict[str, Part]:
    """Look at database, Redis servers, queues, circuit to WPS and, where it is given, stream of check-ins. Never raises."""
    found = {"database": _timed(lambda: _database(deps))}
    for name, server in servers.items():
        found[f"redis_{name}"] = _timed(lambda server=server: _redis(server))  # type: ignore[misc]
    if stream is not None:
        found["checkins"] = _timed(lambda: _check_ins(stream))
    if found["database"].state == "down":
        return found
    found["queues"] = _timed(lambda: _queues(deps))
    found["wps"] = _timed(lambda: _circuit(deps))
    return found


def overall(parts: Mapping[str, Part]) -> State:
    """`down` where the database is, `degraded` where anything else is not well."""
    if parts["database"].state == "down":
        return "down"
    return "ok" if all(part.state == "ok" for part in parts.values()) else "degraded"


def _timed(question: Callable[[], tuple[State, str | None]]) -> Part:
    began = time.perf_counter()
    state, reason = question()
    return Part(state, round((time.perf_counter() - began) * 1000, 1), reason)


def _database(deps: Deps) -> tuple[State, str | None]:
    try:
        with reading(deps.engine) as tx:
            found = revision_of(tx)
    except SQLAlchemyError as error:
        return "down", type(error).__name__
    return ("ok", None) if found == newest() else ("down", f"it is at revision {found}; run `obsync migrate`")


def _redis(server: Server) -> tuple[State, str | None]:
    try:
        server.ping()
    except Exception as error:  # whatever the client's library raises: it did not answer
        return "degraded", type(error).__name__
    return "ok", None


def _check_ins(stream: CheckInStream) -> tuple[State, str | None]:
    """Check-ins are taken without their stream too, more slowly; those that wait in it are safe, and late."""
    try:
        oldest_ms = stream.oldest_of_all_ms()
        late_s = 0 if oldest_ms is None else int(time.time() - oldest_ms / 1000)
        if late_s <= LATE_S:
            return "ok", None
        return "degraded", f"{stream.length()} check-ins wait to be written, the oldest for {late_s} s"
    except redis.RedisError as error:
        return "degraded", f"the stream's server: {type(error).__name__}"


def _queues(deps: Deps) -> tuple[State, str | None]:
    try:
        with reading(deps.engine) as tx:
            waits, paused = lag.oldest_due_ms(tx), sorted(paused_queues.names(tx))
    except SQLAlchemyError as error:
        return "degraded", type(error).__name__
    late = {queue: ms for queue, ms in waits.items() if ms > LATE_S * 1000}
    said = [f"{queue} is paused" for queue in paused]
    said += [f"{queue} is {ms // 1000} s late" for queue, ms in sorted(late.items())]
    return ("degraded", ", ".join(said)) if said else ("ok", None)


def _circuit(deps: Deps) -> tuple[State, str | None]:
    try:
        found = deps.remote.limiter.breaker(deps.remote.limiter_key)
    except LimiterAway as error:
        return "degraded", type(error).__name__
    if found.state == "closed":
        return "ok", None
    return "degraded", f"{found.state} for {found.for_ms // 1000} s: {found.why}"
