"""Distances, fences and the coordinate system of Chinese maps."""

from __future__ import annotations

import math

import pytest

from domain.geofence import (
    GCJ02,
    WGS84,
    BadPosition,
    Circle,
    Polygon,
    Position,
    distance_m,
    position,
    to_gcj02,
    to_wgs84,
)  # fmt: skip

# Published pairs of the same place: Tiananmen, the Bund.
PAIRS = [((39.90734, 116.39089), (39.90874, 116.39713)), ((31.23793, 121.48533), (31.23600, 121.48989))]
GATE = Position(39.9, 116.4)


def east(metres: float, *, north: float = 0.0, of: Position = GATE) -> Position:
    a_degree = math.pi * 6_371_008.8 / 180
    return Position(of.lat + north / a_degree, of.lon + metres / a_degree / math.cos(math.radians(of.lat)))


@pytest.mark.parametrize(("wgs", "gcj"), PAIRS)
def test_known_places_are_moved_as_maps_move_them(wgs: tuple[float, float], gcj: tuple[float, float]) -> None:
    """Half a kilometre off would send every student of a Chinese phone to the review."""
    moved = Position(*to_gcj02(*wgs))
    assert distance_m(moved, Position(*gcj)) < 30  # the pairs are read off maps
    assert 100 < distance_m(moved, Position(*wgs)) < 900


@pytest.mark.parametrize("lat", [18.3, 25.0, 31.2, 39.9, 47.3, 53.4])
@pytest.mark.parametrize("lon", [75.9, 91.1, 104.0, 116.4, 126.6, 134.8])
def test_the_way_back_ends_where_it_began(lat: float, lon: float) -> None:
    """A fence drawn in one system is checked in the other."""
    assert distance_m(to_wgs84(*to_gcj02(lat, lon)), Position(lat, lon)) < 0.01


def test_outside_of_china_nothing_is_moved() -> None:
    """The system is defined there only."""
    assert to_gcj02(48.85, 2.35) == (48.85, 2.35)
    assert position(48.85, 2.35, GCJ02) == Position(48.85, 2.35)


@pytest.mark.parametrize(
    ("lat", "lon", "system"), [(91, 0, WGS84), (0, math.nan, WGS84), (0, math.inf, GCJ02), (1, 1, "BD-09")]
)
def test_what_is_no_place_is_refused(lat: float, lon: float, system: str) -> None:
    """A NaN compares as neither inside nor outside."""
    with pytest.raises(BadPosition):
        position(lat, lon, system)


def test_distances_are_those_of_the_earth() -> None:
    """One degree of latitude, and one of longitude at 60° north, which is half as much."""
    assert distance_m(Position(0, 0), Position(1, 0)) == pytest.approx(111_195, rel=1e-3)
    assert distance_m(Position(60, 0), Position(60, 1)) == pytest.approx(55_597, rel=1e-3)


@pytest.mark.parametrize("metres", [0.0, 99.0, 100.0, 101.0, 5_000.0])
def test_a_circle_measures_from_its_edge(metres: float) -> None:
    """Negative inside, so that one comparison serves."""
    assert Circle(GATE, 100).outside_m(east(metres)) == pytest.approx(metres - 100, abs=0.5)


L_SHAPE = Polygon(
    (east(0), east(100), east(100, north=50), east(50, north=50), east(50, north=100), east(0, north=100))
)


@pytest.mark.parametrize(
    ("at", "outside"),
    [
        (east(25, north=25), -25), (east(75, north=75), 25), (east(75, north=25), -25), (east(-40, north=50), 40),
        (east(130, north=-40), 50), (east(25, north=90), -10),
    ],
)  # fmt: skip
def test_a_polygon_measures_from_its_nearest_edge(at: Position, outside: float) -> None:
    """The notch of an L is outside, whatever a bounding box says."""
    assert L_SHAPE.outside_m(at) == pytest.approx(outside, abs=0.2)


def test_a_margin_widens_a_polygon() -> None:
    """GPS at a window is outside of the walls."""
    wide = Polygon(L_SHAPE.corners, margin_m=30)
    assert wide.outside_m(east(75, north=75)) == pytest.approx(-5, abs=0.2)
    assert L_SHAPE.size_m == pytest.approx(math.sqrt(7_500 / math.pi), rel=1e-3)
    with pytest.raises(BadPosition):
        Polygon((GATE, GATE))
