"""What screens are told while it happens: a capped stream for each school, whose ids are the sequence."""

import json
from collections.abc import Callable, Mapping

import redis

Publish = Callable[[str, Mapping[tuple[str, str], Mapping[str, int]]], None]
"""Tells a school's screens the counters of rosters, by term and session. Raises RedisError."""


def live_key(tenant: str) -> str:
    """The capped stream of what a tenant's screens are told; its ids are the sequence."""
    return f"live:{tenant}"


def publisher(client: redis.Redis, *, kept: int = 10_000) -> Publish:
    """Appends counters to the tenant's stream of live events, and wakes whoever listens."""

    def publish(tenant: str, counters: Mapping[tuple[str, str], Mapping[str, int]]) -> None:
        asked = client.pipeline(transaction=False)
        for (term, session_id), counts in counters.items():
            said = json.dumps({"kind": "roster", "term": term, "session_id": session_id, "counters": dict(counts)})
            asked.xadd(live_key(tenant), {"e": said}, maxlen=kept, approximate=True)
        asked.publish(live_key(tenant), b"")
        asked.execute()

    return publish
