"""The rules of a session: the settings that hold for its course, and where it is."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from zlib import crc32

from sqlalchemy import Connection

from db import check_in_rules
from db.check_in_rules import Room
from db.tables import AnyRow
from domain.configs import CONFIGS
from domain.geofence import AnyOf, BadPosition, Circle, Fence, Polygon, position
from domain.verdicts import Rules
from observability.log import get_logger
from usecases import configs

log = get_logger("check_in")


PREFIX = "checkin."
KEYS = tuple(key for key in CONFIGS if key.startswith(PREFIX))


def of_courses(tx: Connection, course_ids: Collection[str], *, tenant: str) -> dict[str, Rules]:
    """Course → its rules: two statements for the school, one for all courses."""
    school = configs.read(tx, KEYS, tenant=tenant)
    own = check_in_rules.of_courses(tx, course_ids, KEYS, tenant=tenant)
    general = {key: value for key, (value, _) in school.items()}
    return {one: _rules({**general, **own.get(one, {})}) for one in course_ids}


def _rules(values: dict[str, Any]) -> Rules:
    """The version stands for the values: it is the same wherever they are, and the history of settings tells since when."""
    said = {key.removeprefix(PREFIX): value for key, value in values.items()}
    return Rules(**said, version=crc32(json.dumps(said, sort_keys=True).encode()) >> 1)


def fences_of(
    tx: Connection, wanted: Mapping[str, tuple[Sequence[Room], Rules]], *, tenant: str
) -> dict[str, Fence | None]:
    """Where the rooms of each session are: a room's own fence, else its building's, else a circle around its point; None where
    nothing is known of any of them. In two statements."""
    asked = sorted({(xq, lq[:100], room[:100]) for rooms, _ in wanted.values() for xq, lq, room in rooms})
    fences, points = check_in_rules.places_of(tx, asked, tenant=tenant)
    drawn = {(row.xq, row.lq, row.room): row for row in fences}
    known = {(row.xq, row.lq, row.room): row for row in points}
    found: dict[str, Fence | None] = {}
    for one, (rooms, rules) in wanted.items():
        parts: list[Circle | Polygon] = []
        for xq, lq, room in rooms:
            row = drawn.get((xq, lq, room)) or drawn.get((xq, lq, ""))
            part = _drawn(row) if row is not None else _around(known.get((xq, lq, room)), rules.valid_distance)
            if part is not None:
                parts.append(part)
        found[one] = None if not parts else parts[0] if len(parts) == 1 else AnyOf(tuple(parts))
    return found


def _drawn(row: AnyRow) -> Circle | Polygon | None:
    try:
        return shape_of(json.loads(row.shape), row.system)
    except (BadPosition, ValueError, KeyError, TypeError) as error:
        log.warning("check_in.bad_fence", room=f"{row.lq}{row.room}", reason=str(error))
        return None


def shape_of(said: dict[str, Any], system: str) -> Circle | Polygon:
    """A fence as it is written down. Raises BadPosition, KeyError, TypeError, ValueError."""
    if "circle" in said:
        lat, lon, metres = said["circle"]
        return Circle(position(lat, lon, system), float(metres))
    return Polygon(tuple(position(lat, lon, system) for lat, lon in said["polygon"]), float(said.get("margin", 0)))


def _around(row: AnyRow | None, radius_m: int) -> Circle | None:
    """A room that is only a point; the point may be missing."""
    if row is None:
        return None
    try:
        return Circle(position(float(row.lat), float(row.lon)), radius_m)
    except ValueError:
        return None
