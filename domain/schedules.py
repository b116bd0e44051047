"""Which due times of a schedule are acted upon. Times are arguments; where due times come from is not known here.

A *slot* is one due time of a schedule. Slots are late when no scheduler ran for a while: the policy says what then.

    run_once   the newest slot, once, for all that were missed
    skip       only what is due now; what was missed is left out
    each       every slot, up to `EACH_MOST`
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

RUN_ONCE, SKIP, EACH = "run_once", "skip", "each"
POLICIES = (RUN_ONCE, SKIP, EACH)

EACH_MOST = 24  # an hourly schedule catches up with a day; more would be a stampede
CANDIDATES = EACH_MOST + 1  # how many of the newest due times `decide` wants to see: one more than it ever acts upon
ON_TIME_MS = 180_000  # two ticks of a minute, and the keeper's patience of a minute and a half between them
TICK_LATE_MS = 90_000  # a tick is due each minute; after this long any keeper does it


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a slot: started, or left out for a reason. A started one may carry a remark."""

    slot_ms: int
    starts: bool
    reason: str | None = None


def decide(policy: str, due: Sequence[int], *, now_ms: int) -> list[Decision]:
    """What to do about the newest due times `due` (ascending, none after `now_ms`, at most `CANDIDATES` of them).

    Slots older than those returned are passed over without a trace, however long the outage was.
    """
    if not due:
        return []
    if policy == EACH:
        return _each(due)
    newest, missed = due[-1], len(due) - 1
    if policy == RUN_ONCE:
        return [Decision(newest, True, _stands_for(missed))]
    if policy != SKIP:
        raise ValueError(f"there is no policy {policy!r}")
    late_ms = now_ms - newest
    if late_ms <= ON_TIME_MS:
        return [Decision(newest, True)]
    return [Decision(newest, False, f"noticed {late_ms // 60_000} min late, and the policy is skip")]


def _each(due: Sequence[int]) -> list[Decision]:
    left_out = [Decision(due[-CANDIDATES], False, f"older than the newest {EACH_MOST}")] if len(due) > EACH_MOST else []
    return [*left_out, *(Decision(slot, True) for slot in due[-EACH_MOST:])]


def _stands_for(missed: int) -> str | None:
    if not missed:
        return None
    count = f"{missed} or more" if missed >= EACH_MOST else str(missed)
    return f"also for {count} missed before it"


def tick_is_late(newest_ms: int | None, *, now_ms: int) -> bool:
    """Whether nobody has looked at the schedules for too long. None: nobody ever has."""
    return newest_ms is None or now_ms - newest_ms > TICK_LATE_MS


# --- hours of the day -------------------------------------------------------------------------------------------------

_DAY_MIN = 24 * 60
_MINUTE_MS = 60_000
MOST_WINDOWS = 12


class BadWindow(ValueError):
    """Hours of a day that cannot be used. `said` is what was said, `problem` what is wrong with it."""

    def __init__(self, said: str, problem: str) -> None:
        super().__init__(f"window {said!r} cannot be used: {problem}")
        self.said = said
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of the day, in minutes after midnight, in which something is due every `every_min` minutes from their beginning.

    One that ends before it begins goes on after midnight.
    """

    from_min: int
    to_min: int
    every_min: int

    @property
    def length_min(self) -> int:
        """How long it is."""
        return (self.to_min - self.from_min - 1) % _DAY_MIN + 1

    def holds(self, minute: int) -> bool:
        """Whether a minute of the day is in it."""
        return (minute - self.from_min) % _DAY_MIN < self.length_min

    def is_due(self, minute: int) -> bool:
        """Whether something is due in that minute of the day."""
        return self.holds(minute) and (minute - self.from_min) % _DAY_MIN % self.every_min == 0

    @property
    def said(self) -> str:
        """As people write it."""
        return f"{_clock(self.from_min)}-{_clock(self.to_min)}={self.every_min}"


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def read_window(said: str) -> Window:
    """`07:00-22:00=15`: every 15 minutes from 7:00 until 22:00. Raises BadWindow."""
    hours, mark, every = said.replace(" ", "").partition("=")
    begins, dash, ends = hours.partition("-")
    if not mark or not dash:
        raise BadWindow(said, "write it as 07:00-22:00=15, hours and minutes between two times")
    window = Window(_minute(said, begins) % _DAY_MIN, _minute(said, ends) % _DAY_MIN, _every(said, every))
    if window.every_min > window.length_min:
        raise BadWindow(said, f"it is shorter than {window.every_min} minutes")
    return window


def _minute(said: str, text: str) -> int:
    hour, _, minute = text.partition(":")
    if not (hour.isascii() and hour.isdigit() and minute.isascii() and minute.isdigit() and len(minute) == 2):
        raise BadWindow(said, f"{text or 'nothing'} is no time of day such as 07:00")
    found = int(hour) * 60 + int(minute)
    if int(minute) > 59 or found > _DAY_MIN:
        raise BadWindow(said, f"{text} is no time of day")
    return found


def _every(said: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= _DAY_MIN:
        raise BadWindow(said, f"{text or 'nothing'} is no number of minutes between 1 and {_DAY_MIN}")
    return int(text)


def read_windows(said: Iterable[str]) -> tuple[Window, ...]:
    """Windows that do not overlap, by their beginning. Raises BadWindow."""
    found = sorted((read_window(one) for one in said), key=lambda one: one.from_min)
    if len(found) > MOST_WINDOWS:
        raise BadWindow(found[-1].said, f"there are more than {MOST_WINDOWS}")
    for place, one in enumerate(found):
        for other in found[place + 1 :]:
            if one.holds(other.from_min) or other.holds(one.from_min):
                raise BadWindow(other.said, f"it overlaps with {one.said}")
    return tuple(found)


def windows_of(stored: Iterable[Mapping[str, Any]]) -> tuple[Window, ...]:
    """The windows of a stored list."""
    return tuple(Window(int(one["from_min"]), int(one["to_min"]), int(one["every_min"])) for one in stored)


def minute_of_day(instant_ms: int, zone: tzinfo) -> int:
    """What a clock on the wall shows, in minutes after midnight."""
    local = datetime.fromtimestamp(instant_ms / 1000, UTC).astimezone(zone)
    return local.hour * 60 + local.minute


def due_in(windows: Sequence[Window], zone: tzinfo, *, after_ms: int, until_ms: int) -> Iterator[int]:
    """Due times of the windows in (after, until], ascending.

    They are what the clock on the wall shows: an hour that is left out has none, one that comes twice has them twice.
    """
    instant = (after_ms // _MINUTE_MS + 1) * _MINUTE_MS
    while instant <= until_ms and windows:
        minute = minute_of_day(instant, zone)
        if any(one.is_due(minute) for one in windows):
            yield instant
        instant += _MINUTE_MS


def outside(slots: Iterable[int], windows: Sequence[Window], zone: tzinfo) -> Iterator[int]:
    """Those due times that no window has taken the place of."""
    for slot in slots:
        if not any(one.holds(minute_of_day(slot, zone)) for one in windows):
            yield slot


# --- load -------------------------------------------------------------------------------------------------------------

QUEUE, THROTTLED, BREAKER, RUN = "queue", "throttled", "breaker", "run"
SIGNS = (THROTTLED, BREAKER, RUN)
_WORDS = {
    QUEUE: "many jobs wait in the lanes",
    THROTTLED: "WPS says that it is called too often",
    BREAKER: "WPS is down",
    RUN: "another run is going on",
}


def backs_off(signs: Collection[str], *, since_start_ms: int | None, busy_every_min: int | None) -> str | None:
    """Why a slot is left out under load; None where it starts.

    Under load it starts no more often than every `busy_every_min` minutes (None: not at all), and never while WPS is down.
    `since_start_ms`: how long ago it last started something; None: never.
    """
    if not signs:
        return None
    told = " and ".join(_WORDS[one] for one in (QUEUE, *SIGNS) if one in signs)
    if BREAKER in signs or busy_every_min is None:
        return told
    if since_start_ms is None or since_start_ms >= busy_every_min * _MINUTE_MS:
        return None
    return f"{told}: under load only every {busy_every_min} min"
