"""Settings of check-ins, and the places of rooms."""

import json
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, or_, select

from db.tables import AnyRow, checkin_settings, geofences, rooms
from db.upsert import upsert

Room = tuple[str, str, str]
"""Campus, building, room."""


def of_courses(
    connection: Connection, course_ids: Collection[str], keys: Collection[str], *, tenant: str
) -> dict[str, dict[str, Any]]:
    """Course → the settings that were set for it, by key; a course without any is left out."""
    c = checkin_settings.c
    where = (c.tenant_id == tenant, c.offering_id.in_(sorted(course_ids)), c.config_key.in_(sorted(keys)))
    found: dict[str, dict[str, Any]] = {}
    for row in connection.execute(select(c.offering_id, c.config_key, c.config_value).where(*where)):
        found.setdefault(row.offering_id, {})[row.config_key] = json.loads(row.config_value)
    return found


def places_of(connection: Connection, wanted: Sequence[Room], *, tenant: str) -> tuple[list[AnyRow], list[AnyRow]]:
    """What is known of where these rooms are: fences (of rooms, and of their buildings), and points."""
    if not wanted:
        return [], []
    buildings = {(xq, lq) for xq, lq, _ in wanted}
    fence = or_(*((geofences.c.xq == xq) & (geofences.c.lq == lq) for xq, lq in sorted(buildings)))
    point = or_(*((rooms.c.xq == xq) & (rooms.c.lq == lq) & (rooms.c.room == room) for xq, lq, room in sorted(wanted)))
    fences = connection.execute(select(geofences).where(geofences.c.tenant_id == tenant, fence)).all()
    points = connection.execute(select(rooms).where(rooms.c.tenant_id == tenant, point)).all()
    return list(fences), list(points)


def save_fence(connection: Connection, room: Room, shape: str, system: str, *, tenant: str) -> None:
    """Say where a room is, or (room blank) a building."""
    xq, lq, name = room
    row = {"tenant_id": tenant, "xq": xq, "lq": lq, "room": name, "shape": shape, "system": system}
    upsert(connection, geofences, [row], update=("shape", "system"))
