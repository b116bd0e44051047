"""What must be true when the storm is over, whatever it was: read off the database and the simulator, rule by rule.

- accepted ⊆ done ∪ dead: no lane's job waits for ever, what is blocked waits for a dead calendar, and each run's counts add up;
- one remote object per target, and none that belongs to no target;
- mirror = remote: ids, markers, names, contents, people;
- nothing is in doubt, no calendar is parked for it;
- no lane is held by nobody.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, Table, select

from db.engine import reading
from db.tables import AnyRow, jobs, lanes, members, mirror, run_counts
from domain.ids import key_of
from remote.wps.payloads import event_in
from tests.contract.wps_rig import wait_until
from tests.integration.drain_rig import World

_MARKER = re.compile(r"⟦ob:([^⟧]*)⟧\s*\Z")
_ZONE = ZoneInfo("Asia/Shanghai")


def all_is_well(here: World) -> None:
    """Fails with every finding. Whoever has done the last job gives its lane back a moment later."""
    wait_until(lambda: not list(_no_lane_is_lost(_all(here.engine, lanes))), at_most_s=20)
    dump = here.simulator.desk("state")
    assert dump["calendars"], "an empty WPS proves nothing"
    found = findings(here.engine, dump)
    assert not found, "\n".join(found)


def findings(engine: Engine, dump: dict[str, Any]) -> list[str]:
    """Everything that is wrong, as sentences; none when all is well."""
    stored = {table.name: _all(engine, table) for table in (jobs, lanes, members, mirror, run_counts)}
    calendars = [one for one in dump["calendars"] if not one["is_deleted"]]
    return [
        *_accepted_is_done_or_dead(stored["jobs"], stored["run_counts"]),
        *_one_of_each(calendars),
        *_mirror_is_remote(stored["mirror"], calendars),
        *_people_are_remote(stored["mirror"], stored["members"], calendars),
        *_nothing_is_in_doubt(stored["mirror"]),
        *_no_lane_is_lost(stored["lanes"]),
    ]


def _all(engine: Engine, table: Table) -> list[AnyRow]:
    with reading(engine) as tx:
        return list(tx.execute(select(table)))


def _accepted_is_done_or_dead(rows: Iterable[AnyRow], counts: Iterable[AnyRow]) -> Iterator[str]:
    rows = list(rows)
    dead = {row.target for row in rows if row.state == "dead" and row.kind == "calendar"}
    for row in rows:
        if row.lane is not None and row.state == "queued":
            yield f"{row.kind} {row.target} is still queued: {row.error_code} {row.last_error}"
        if row.state == "blocked" and row.group_id not in dead:
            yield f"{row.kind} {row.target} is blocked by {row.group_id}, which is not dead"
        if row.state == "dead" and not (row.error_code and row.last_error):
            yield f"{row.kind} {row.target} is dead and nobody says why"
    open_targets = Counter((row.tenant_id, row.kind, row.open_key) for row in rows if row.open_key is not None)
    yield from (f"{key} is open {times} times" for key, times in open_targets.items() if times > 1)
    for row in counts:
        if row.planned != row.done + row.failed + row.superseded:
            closed = f"{row.done} done + {row.failed} failed + {row.superseded} superseded"
            yield f"{row.kind} of {row.lane}: {row.planned} planned, {closed}"


def _one_of_each(calendars: Iterable[dict[str, Any]]) -> Iterator[str]:
    calendars = list(calendars)
    names = Counter(one["summary"] for one in calendars)
    yield from (f"{times} calendars are called {name}" for name, times in names.items() if times > 1)
    markers = Counter(_marker(event) for one in calendars for event in _live(one))
    yield from (f"{times} events are marked {marker}" for marker, times in markers.items() if times > 1)
    for one in calendars:
        people = Counter(permission["user_id"] for permission in one["permissions"])
        yield from (f"{who} is {times} times in {one['summary']}" for who, times in people.items() if times > 1)


def _mirror_is_remote(rows: Iterable[AnyRow], calendars: Iterable[dict[str, Any]]) -> Iterator[str]:
    live = {row.remote_id: row for row in rows if row.state == "live" and row.kind != "members"}
    remote: dict[str, tuple[str, str | None, str]] = {}
    for one in calendars:
        remote[one["id"]] = ("calendar", None, key_of(one["summary"]))
        for event in _live(one):
            remote[event["id"]] = ("event", _marker(event), event_in(event, _ZONE).body.content_hash())
    for remote_id in sorted(live.keys() - remote.keys()):
        yield f"{live[remote_id].target} is live in the mirror and not at WPS"
    for remote_id in sorted(remote.keys() - live.keys()):
        yield f"{remote[remote_id][0]} {remote_id} is at WPS and belongs to no target"
    for remote_id in sorted(remote.keys() & live.keys()):
        row, (kind, marker, hash_) = live[remote_id], remote[remote_id]
        if (row.kind, row.marker if kind == "event" else None) != (kind, marker):
            yield f"{row.target} is marked {row.marker} in the mirror, {marker} at WPS"
        if row.sent_hash != hash_:
            yield f"{row.target} does not say at WPS what the mirror says was sent"


def _people_are_remote(
    rows: Iterable[AnyRow], people: Iterable[AnyRow], calendars: Iterable[dict[str, Any]]
) -> Iterator[str]:
    ids = {row.target: row.remote_id for row in rows if row.kind == "calendar" and row.state == "live"}
    ours = {(ids.get(row.group_id), row.user_id, row.role, row.permission_id) for row in people}
    theirs = {
        (one["id"], permission["user_id"], permission["role"], permission["id"])
        for one in calendars
        for permission in one["permissions"]
        if permission["role"] != "owner"
    }
    yield from (f"the mirror has {one}, WPS has not" for one in sorted(ours - theirs, key=str))
    yield from (f"WPS has {one}, the mirror has not" for one in sorted(theirs - ours, key=str))


def _nothing_is_in_doubt(rows: Iterable[AnyRow]) -> Iterator[str]:
    for row in rows:
        if row.intent_verb is not None or row.settle_at is not None:
            yield f"it is not known what became of {row.intent_verb} {row.target}"


def _no_lane_is_lost(rows: Iterable[AnyRow]) -> Iterator[str]:
    yield from (f"lane {row.lane} is held by {row.owner}" for row in rows if row.owner is not None)


def _live(calendar: dict[str, Any]) -> list[dict[str, Any]]:
    return [event for event in calendar["events"] if event["status"] == "normal"]


def _marker(event: dict[str, Any]) -> str | None:
    found = _MARKER.search(event["description"] or "")
    return found.group(1) if found else None
