"""The rooms of a generated university, with coordinates."""

from dataclasses import dataclass
from random import Random

from simulator.campus_words import BUILDINGS, CAMPUSES, GROUNDS

_FLOORS = 6
_LEAST_ROOMS = 40
_OFFERINGS_PER_ROOM = 8
_NO_COORDINATES_EVERY = 33
_CENTRES = ((30.5401, 114.3912), (30.4688, 114.4277), (30.6032, 114.2986))  # degrees north, east


@dataclass(frozen=True, slots=True)
class Room:
    """One room: `campus` is a number, `building` and `floor` may be blank."""

    campus: int
    building: str
    room: str
    floor: str
    lat: str
    lon: str


def make_rooms(seed: int, *, offerings: int) -> list[Room]:
    """All rooms of all campuses, sports grounds included; a few have no coordinates."""
    rng = Random(f"{seed}:rooms")  # noqa: S311
    wanted = max(_LEAST_ROOMS, offerings // _OFFERINGS_PER_ROOM)
    rooms = [_ground(rng, campus, ground) for campus in range(len(CAMPUSES)) for ground in GROUNDS]
    for number in range(wanted):
        campus = number % len(CAMPUSES)
        place = number // len(CAMPUSES)
        building = place % len(BUILDINGS)
        turn, floor = divmod(place // len(BUILDINGS), _FLOORS)
        name = BUILDINGS[building] if turn % 2 == 0 else BUILDINGS[building] + "附楼"
        lat, lon = _coordinates(rng, campus, building)
        if number % _NO_COORDINATES_EVERY == 5:
            lat = lon = ""
        rooms.append(Room(campus, name, f"{floor + 1}{turn + 1:02d}", str(floor + 1), lat, lon))
    return rooms


def room_row(room: Room) -> tuple[str, ...]:
    """One row of the file `rooms`."""
    return (CAMPUSES[room.campus], room.building, room.room, room.lat, room.lon)


def _ground(rng: Random, campus: int, ground: str) -> Room:
    lat, lon = _coordinates(rng, campus, len(BUILDINGS))
    return Room(campus, "", ground, "0", lat, lon)


def _coordinates(rng: Random, campus: int, building: int) -> tuple[str, str]:
    """Buildings stand about 150 m apart; rooms of one building lie within about 20 m."""
    lat, lon = _CENTRES[campus]
    lat += building // 4 * 0.0014 + rng.uniform(-0.0002, 0.0002)
    lon += building % 4 * 0.0016 + rng.uniform(-0.0002, 0.0002)
    return f"{lat:.6f}", f"{lon:.6f}"
