"""What several check-ins together show: one device for two students, a journey nobody can make, a point that never moves.

Each rule is about a pair of check-ins, and doubts the later one. So what is doubted is a function of the set of check-ins:
batches may find the pairs in any order. Teachers have no devices here; what they mark leaves no trace.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from operator import attrgetter
from typing import Final, NamedTuple

from domain.geofence import Position, distance_m
from domain.verdicts import SAME_POINT, SHARED_DEVICE, TRAVELLED

DEVICE_MS: Final = 12 * 3_600_000
TRAVEL_MS: Final = 2 * 3_600_000
POINT_MS: Final = 30 * 86_400_000
_FREE_M: Final = 4_000.0  # places are kept to a kilometre: two of them, and a bus between two parts of a campus
_FASTEST_M_PER_MS: Final = 120 / 3_600  # 120 km/h
PLACES: Final = 100  # a degree has so many: about a kilometre


class Trace(NamedTuple):
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


def doubts(traces: Iterable[Trace], near: Iterable[Trace] = ()) -> dict[Trace, set[str]]:
    """The reasons to look at check-ins, for those among these and those near them that have any. `near` are others that have
    the device, the student or the point of one of these; they are compared with these, and not among themselves."""
    mine = {(one.session_id, one.code): one for one in traces}
    known = {(one.session_id, one.code): one for one in near} | mine
    asked = {*mine.values()}
    found: dict[Trace, set[str]] = {}
    for shared, reason, shows in _RULES:
        for together in _groups(known.values(), shared):
            before: list[Trace] = []
            asked_before: list[Trace] = []
            for later in together:
                others = before if later in asked else asked_before
                # The last one first: it is the one that most likely shows it.
                if any(shows(later, earlier) for earlier in reversed(others)):
                    found.setdefault(later, set()).add(reason)
                before.append(later)
                if later in asked:
                    asked_before.append(later)
    return found


def _groups(traces: Collection[Trace], shared: Callable[[Trace], str]) -> Iterator[list[Trace]]:
    """Those that have something in common, in the order of their times: mostly there are none."""
    if len({shared(one) for one in traces}) == len(traces):
        return
    groups: dict[str, list[Trace]] = {}
    for one in traces:
        groups.setdefault(shared(one), []).append(one)
    for value, together in groups.items():
        if value and len(together) > 1:
            yield sorted(together, key=_IN_TIME)


def _of_two_students(trace: Trace, earlier: Trace) -> bool:
    return trace.code != earlier.code and trace.at_ms - earlier.at_ms <= DEVICE_MS


def _at_one_point(trace: Trace, earlier: Trace) -> bool:
    return trace.at_ms - earlier.at_ms <= POINT_MS


def _too_far(trace: Trace, earlier: Trace) -> bool:
    apart_ms = trace.at_ms - earlier.at_ms
    if trace.place is None or earlier.place is None or apart_ms > TRAVEL_MS:
        return False
    one, other = (Position(lat / PLACES, lon / PLACES) for lat, lon in (trace.place, earlier.place))
    return distance_m(one, other) > _FREE_M + apart_ms * _FASTEST_M_PER_MS


_IN_TIME: Final = attrgetter("at_ms", "session_id", "code")
_RULES: Final = (
    (attrgetter("device"), SHARED_DEVICE, _of_two_students),
    (attrgetter("code"), TRAVELLED, _too_far),
    (attrgetter("point"), SAME_POINT, _at_one_point),
)
"""What two check-ins have in common, and when that speaks against the later one."""
