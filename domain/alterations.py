"""How a class differs from what the source says of it, and what people read about that in its event."""

import json
from dataclasses import dataclass
from typing import Any, Final

MOVED: Final = "moved"
CANCELLED: Final = "cancelled"
RESTORED: Final = "restored"
MAKE_UP: Final = "make_up"
SUBSTITUTE: Final = "substitute"
ROOM_CHANGE: Final = "room_change"
EXCHANGE_DAY: Final = "exchange_day"
TYPES: Final = (MOVED, CANCELLED, RESTORED, MAKE_UP, SUBSTITUTE, ROOM_CHANGE, EXCHANGE_DAY)

CHINESE: Final = {
    MOVED: "调课",
    CANCELLED: "停课",
    RESTORED: "恢复上课",
    MAKE_UP: "补课",
    SUBSTITUTE: "代课",
    ROOM_CHANGE: "换教室",
    EXCHANGE_DAY: "调休",
}

SUMMARY_CHARS: Final = 200
_TITLED: Final = (CANCELLED, MAKE_UP, MOVED, EXCHANGE_DAY, SUBSTITUTE, ROOM_CHANGE)
"""Which one stands in a title where there are several: what keeps people from going to the wrong place goes first."""

Room = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Original:
    """What the source says of the class. Instants are milliseconds UTC; `date` and `hours` are local, `08:00–09:35`."""

    date: str
    hours: str
    start_ms: int
    end_ms: int
    rooms: tuple[Room, ...]
    teachers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Alteration:
    """What was changed about a class: types in the order of TYPES, reasons, the codes of teachers who stand in.

    The class itself has the actual time, rooms and teachers. `original` None: the source knows no such class.
    """

    types: tuple[str, ...]
    original: Original | None
    reasons: tuple[str, ...] = ()
    substitutes: tuple[str, ...] = ()

    @property
    def cancelled(self) -> bool:
        """Whether the class is not held."""
        return CANCELLED in self.types

    def as_json(self) -> str:
        """As a session stores it."""
        said: dict[str, Any] = {"types": self.types, "reasons": self.reasons, "substitutes": self.substitutes}
        one = self.original
        said["original"] = one and {
            "date": one.date, "hours": one.hours, "start_ms": one.start_ms, "end_ms": one.end_ms,
            "rooms": one.rooms, "teachers": one.teachers,
        }  # fmt: skip
        return json.dumps(said, ensure_ascii=False)


def alteration_of(text: str | None) -> Alteration | None:
    """What a session has stored."""
    if text is None:
        return None
    said = json.loads(text)
    one = said["original"]
    original = one and Original(
        one["date"], one["hours"], one["start_ms"], one["end_ms"],
        tuple((xq, lq, room) for xq, lq, room in one["rooms"]), tuple(one["teachers"]),
    )  # fmt: skip
    return Alteration(tuple(said["types"]), original or None, tuple(said["reasons"]), tuple(said["substitutes"]))


def titled(summary: str, alteration: Alteration | None) -> str:
    """The title of the event: `【停课】线性代数`."""
    if alteration is None:
        return summary
    kind = next((one for one in _TITLED if one in alteration.types), None)
    return summary if kind is None else f"【{CHINESE[kind]}】{summary}"[:SUMMARY_CHARS]


def lines(alteration: Alteration | None, *, teachers: tuple[str, ...]) -> list[str]:
    """What the description says beside the teachers, Chinese first."""
    if alteration is None:
        return []
    was, types = alteration.original, alteration.types
    found = []
    if CANCELLED in types:
        found.append("停课 · cancelled")
    if MAKE_UP in types:
        found.append("补课 · make-up class")
    if was is not None and EXCHANGE_DAY in types and CANCELLED not in types:
        found.append(f"调休：上 {was.date} 的课 · exchange day: classes of {was.date}")
    if was is not None and MOVED in types:
        found.append(f"调课：原 {was.date} {was.hours} · moved from {was.date} {was.hours}")
    if was is not None and ROOM_CHANGE in types:
        place = places(was.rooms) or "未定"
        found.append(f"换教室：原 {place} · room was {place}")
    if was is not None and SUBSTITUTE in types:
        now, before = "、".join(teachers), "、".join(was.teachers) or "未定"
        found.append(f"代课：{now} 代 {before} · substitute: {now} for {before}")
    return found + [f"原因 reason：{reason}" for reason in alteration.reasons]


def places(rooms: tuple[Room, ...]) -> str:
    """Rooms as one text, sorted."""
    return "、".join(sorted({lq + room for _, lq, room in rooms if lq + room}))
