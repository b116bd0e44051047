"""Where somebody is, and how far outside of the place of a class that is.

Positions are WGS-84 inside the product. Phones in China often give GCJ-02, which is WGS-84 moved by up to some hundred
metres in a way that depends on the place; `to_wgs84` takes that back to less than a metre. Polygons are projected onto a
plane that touches the earth at the position asked about, which is exact to centimetres at the size of a campus.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WGS84: Final = "WGS-84"
GCJ02: Final = "GCJ-02"
SYSTEMS: Final = (WGS84, GCJ02)

_EARTH_M: Final = 6_371_008.8
# GCJ-02 is defined on the ellipsoid of Krasovsky.
_KRASOVSKY_M: Final = 6_378_245.0
_KRASOVSKY_E2: Final = 0.00669342162296594323
_ROUNDS: Final = 4  # each makes what is left about ten thousand times smaller


@dataclass(frozen=True, slots=True)
class Position:
    """Degrees, WGS-84."""

    lat: float
    lon: float


class BadPosition(ValueError):
    """Not a place on earth, or in a system that nobody here knows."""


def position(lat: float, lon: float, system: str = WGS84) -> Position:
    """A position given in one of `SYSTEMS`. Raises BadPosition."""
    if not (math.isfinite(lat) and math.isfinite(lon) and -90 <= lat <= 90 and -180 <= lon <= 180):
        raise BadPosition(f"{lat}, {lon} is no place on earth")
    if system not in SYSTEMS:
        raise BadPosition(f"{system} is no coordinate system; it may be {' or '.join(SYSTEMS)}")
    return Position(lat, lon) if system == WGS84 else to_wgs84(lat, lon)


def to_gcj02(lat: float, lon: float) -> tuple[float, float]:
    """Latitude and longitude in GCJ-02 of a place given in WGS-84; outside of China the two are the same."""
    if not _in_china(lat, lon):
        return lat, lon
    x, y = lon - 105.0, lat - 35.0
    north, east = _shift(x, y)
    radians = math.radians(lat)
    flat = 1 - _KRASOVSKY_E2 * math.sin(radians) ** 2
    north = math.degrees(north / (_KRASOVSKY_M * (1 - _KRASOVSKY_E2) / (flat * math.sqrt(flat))))
    east = math.degrees(east / (_KRASOVSKY_M / math.sqrt(flat) * math.cos(radians)))
    return lat + north, lon + east


def to_wgs84(lat: float, lon: float) -> Position:
    """The place whose GCJ-02 this is. There is no formula for the way back: the shift is taken off until it fits."""
    found_lat, found_lon = lat, lon
    for _ in range(_ROUNDS):
        shifted_lat, shifted_lon = to_gcj02(found_lat, found_lon)
        found_lat, found_lon = found_lat - (shifted_lat - lat), found_lon - (shifted_lon - lon)
    return Position(found_lat, found_lon)


def _in_china(lat: float, lon: float) -> bool:
    return 0.8293 <= lat <= 55.8271 and 72.004 <= lon <= 137.8347


def _shift(x: float, y: float) -> tuple[float, float]:
    """Metres to the north and to the east, as the system defines them, at (x, y) degrees from 105° E 35° N."""
    root, pi = math.sqrt(abs(x)), math.pi
    ripple = 20 * math.sin(6 * x * pi) + 20 * math.sin(2 * x * pi)
    north = -100 + 2 * x + 3 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * root
    north += (ripple + 20 * math.sin(y * pi) + 40 * math.sin(y * pi / 3)) * 2 / 3
    north += (160 * math.sin(y * pi / 12) + 320 * math.sin(y * pi / 30)) * 2 / 3
    east = 300 + x + 2 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * root
    east += (ripple + 20 * math.sin(x * pi) + 40 * math.sin(x * pi / 3)) * 2 / 3
    east += (150 * math.sin(x * pi / 12) + 300 * math.sin(x * pi / 30)) * 2 / 3
    return north, east


def distance_m(one: Position, other: Position) -> float:
    """Metres between two places along the surface."""
    lat, other_lat = math.radians(one.lat), math.radians(other.lat)
    half = math.sin((other_lat - lat) / 2) ** 2
    half += math.cos(lat) * math.cos(other_lat) * math.sin(math.radians(other.lon - one.lon) / 2) ** 2
    return 2 * _EARTH_M * math.asin(min(1.0, math.sqrt(half)))


@dataclass(frozen=True, slots=True)
class Circle:
    """Everything within `radius_m` of `centre`."""

    centre: Position
    radius_m: float

    @property
    def size_m(self) -> float:
        """What the accuracy of a fix is compared with."""
        return self.radius_m

    def outside_m(self, at: Position) -> float:
        """Metres from the edge: negative inside."""
        return distance_m(self.centre, at) - self.radius_m


@dataclass(frozen=True, slots=True)
class Polygon:
    """A simple polygon, and `margin_m` around it. The last corner joins the first."""

    corners: tuple[Position, ...]
    margin_m: float = 0.0

    def __post_init__(self) -> None:
        if len(self.corners) < 3:
            raise BadPosition(f"a polygon has three corners or more, not {len(self.corners)}")

    @property
    def size_m(self) -> float:
        """The radius of a circle of the same area, with the margin."""
        corners = _plane(self.corners, self.corners[0])
        doubled = sum(a[0] * b[1] - b[0] * a[1] for a, b in _edges(corners))
        return math.sqrt(abs(doubled) / 2 / math.pi) + self.margin_m

    def outside_m(self, at: Position) -> float:
        """Metres from the edge: negative inside."""
        corners = _plane(self.corners, at)
        away = min(_from_origin(a, b) for a, b in _edges(corners))
        return (-away if _has_origin(corners) else away) - self.margin_m


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Several places, of which one will do: a class in two rooms."""

    parts: tuple[Circle | Polygon, ...]

    @property
    def size_m(self) -> float:
        """That of the largest."""
        return max(one.size_m for one in self.parts)

    def outside_m(self, at: Position) -> float:
        """Metres from the nearest edge: negative inside."""
        return min(one.outside_m(at) for one in self.parts)


Fence = Circle | Polygon | AnyOf

_Point = tuple[float, float]


def _plane(corners: Sequence[Position], origin: Position) -> list[_Point]:
    """The corners in metres to the east and north of `origin`."""
    shrink = math.cos(math.radians(origin.lat))
    return [
        (math.radians(one.lon - origin.lon) * _EARTH_M * shrink, math.radians(one.lat - origin.lat) * _EARTH_M)
        for one in corners
    ]


def _edges(corners: Sequence[_Point]) -> list[tuple[_Point, _Point]]:
    return list(zip(corners, [*corners[1:], corners[0]], strict=True))


def _from_origin(a: _Point, b: _Point) -> float:
    along_x, along_y = b[0] - a[0], b[1] - a[1]
    length2 = along_x**2 + along_y**2
    t = 0.0 if length2 == 0 else max(0.0, min(1.0, -(a[0] * along_x + a[1] * along_y) / length2))
    return math.hypot(a[0] + t * along_x, a[1] + t * along_y)


def _has_origin(corners: Sequence[_Point]) -> bool:
    """Whether a ray to the east crosses the edge an odd number of times."""
    crossed = False
    for (ax, ay), (bx, by) in _edges(corners):
        if (ay > 0) != (by > 0) and ax - ay * (bx - ax) / (by - ay) > 0:
            crossed = not crossed
    return crossed
