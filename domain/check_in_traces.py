"""What several check-ins together show: one device for two students, a journey nobody can make, a point that never moves.

Each rule is about a pair of check-ins, and doubts the later one. So what is doubted is a function of the set of check-ins:
batches may find the pairs in any order. Teachers have no devices here; what they mark leaves no trace.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from domain.geofence import Position, distance_m
from domain.verdicts import SAME_POINT, SHARED_DEVICE, TRAVELLED

DEVICE_MS: Final = 12 * 3_600_000
TRAVEL_MS: Final = 2 * 3_600_000
POINT_MS: Final = 30 * 86_400_000
_FREE_M: Final = 4_000.0  # places are kept to a kilometre: two of them, and a bus between two parts of a campus
_FASTEST_M_PER_MS: Final = 120 / 3_600  # 120 km/h
PLACES: Final = 100  # a degree has so many: about a kilometre


@dataclass(frozen=True, slots=True, order=True)
class Trace:
    """What is kept of a check-in to compare it with others. `place` is in hundredths of a degree (latitude, longitude);
    `point` stands for the exact position and accuracy and cannot be turned back into them; blank where there is none."""

    at_ms: int
    session_id: str
    code: str
    device: str = ""
    point: str = ""
    place: tuple[int, int] | None = None


def place_of(at: Position) -> tuple[int, int]:
    """A position to about a kilometre."""
    return round(at.lat * PLACES), round(at.lon * PLACES)


def doubts(trace: Trace, others: Iterable[Trace]) -> tuple[str, ...]:
    """The reasons to look at a check-in, given others: any that have its device, its student or its point."""
    found = {reason for other in others if other < trace for reason in _pair(trace, other)}
    return tuple(sorted(found))


def _pair(trace: Trace, earlier: Trace) -> Iterable[str]:
    apart_ms = trace.at_ms - earlier.at_ms
    same_student = trace.code == earlier.code
    if trace.device and trace.device == earlier.device and not same_student and apart_ms <= DEVICE_MS:
        yield SHARED_DEVICE
    if same_student and apart_ms <= TRAVEL_MS and _too_far(trace, earlier, apart_ms):
        yield TRAVELLED
    if trace.point and trace.point == earlier.point and apart_ms <= POINT_MS:
        yield SAME_POINT


def _too_far(trace: Trace, earlier: Trace, apart_ms: int) -> bool:
    if trace.place is None or earlier.place is None:
        return False
    one, other = (Position(lat / PLACES, lon / PLACES) for lat, lon in (trace.place, earlier.place))
    return distance_m(one, other) > _FREE_M + apart_ms * _FASTEST_M_PER_MS
