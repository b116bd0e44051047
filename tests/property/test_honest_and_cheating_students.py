"""Generated crowds: honest students are never refused and hardly ever doubted; scripted cheats are seen."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from domain import class_codes
from domain.check_in_traces import DEVICE_MS, POINT_MS, TRAVEL_MS, Trace, doubts, place_of
from domain.geofence import Circle, Position
from domain.verdicts import (
    ACCEPTED,
    REFUSED,
    REVIEW,
    SAME_POINT,
    SHARED_DEVICE,
    TRAVELLED,
    Attempt,
    Rules,
    Verdict,
    judge,
    window,
)  # fmt: skip
from tests.unit.test_geofence import GATE, east
from tests.unit.test_verdicts import START

SEEDS = (7, 20_240_902)
SEED = SEEDS[0]
HONEST, CHEATS = 10_000, 400
SECRET = b"c" * 32
RULES = Rules()


def around(chance: random.Random, centre: Position, radius_m: float) -> Position:
    """Anywhere in a circle, each square metre alike."""
    away, angle = radius_m * math.sqrt(chance.random()), chance.uniform(0, 2 * math.pi)
    return east(away * math.cos(angle), north=away * math.sin(angle), of=centre)


def fix(chance: random.Random, at: Position, accuracy_m: float) -> Position:
    """What a phone believes: off by a normal error, on each axis, of half of what it calls its accuracy."""
    error = [chance.gauss(0, accuracy_m / 2) for _ in range(2)]
    return east(error[0], north=error[1], of=at)


@dataclass(frozen=True)
class Seen:
    """A verdict, and whether its fix was at least as accurate as its fence is large."""

    verdict: Verdict
    accurate: bool


def honest(chance: random.Random) -> Seen:
    """In a room of their class: three in ten are deep indoors, where no fix is better than 30 m."""
    radius = chance.uniform(60, 200)
    indoors = chance.random() < 0.3
    accuracy = chance.uniform(30 if indoors else 5, 100)
    there = around(chance, GATE, radius)
    attempt = Attempt(START + chance.randint(-600_000, 200_000), fix(chance, there, accuracy), accuracy)
    return Seen(judged(attempt, radius), accuracy <= radius)


def judged(attempt: Attempt, radius: float = 100) -> Verdict:
    return judge(attempt, RULES, window(RULES, start_ms=START), Circle(GATE, radius), start_ms=START)


@pytest.mark.parametrize("seed", SEEDS)
def test_honest_students_are_never_refused_and_hardly_ever_doubted(seed: int) -> None:
    """One false alarm in a hundred is three students in each lecture."""
    chance = random.Random(seed)
    seen = [honest(chance) for _ in range(HONEST)]
    assert Counter(one.verdict.decision for one in seen)[REFUSED] == 0
    accurate = [one.verdict.decision for one in seen if one.accurate]
    assert len(accurate) > HONEST / 2
    assert accurate.count(REVIEW) / len(accurate) <= 0.01


def test_honest_students_leave_no_doubtful_traces() -> None:
    """Two classes a day on two campuses, each with their own phone."""
    chance = random.Random(SEED)
    traces = []
    for student in range(500):
        for slot, centre in enumerate((GATE, east(9_000))):
            at = fix(chance, around(chance, centre, 100), 20)
            traces.append(trace(f"u{student}", slot * 45 * 60_000, at, device=f"d{student}", session=f"s{slot}"))
    assert not doubts(traces)


def trace(code: str, at_ms: int, at: Position, *, device: str, session: str = "s") -> Trace:
    point = f"{at.lat:.7f},{at.lon:.7f}"
    return Trace(START + at_ms, session, code, device, point, place_of(at))


def old_codes(chance: random.Random) -> Iterator[bool]:
    """A photograph of the screen, sent on: used two minutes to an hour later, with whatever time the phone claims."""
    for _ in range(CHEATS):
        taken = START - chance.randint(120_000, 3_600_000)
        code = class_codes.code_at(SECRET, tenant="t", session_id="s", at_ms=taken)
        claims = chance.choice((None, taken, START - 60_000, START + 5_000))
        good = (
            class_codes.step_of(SECRET, code, tenant="t", session_id="s", now_ms=START, captured_ms=claims) is not None
        )
        yield judged(Attempt(START, code=good)).decision != ACCEPTED


def codes_of_another_session(chance: random.Random) -> Iterator[bool]:
    for number in range(CHEATS):
        code = class_codes.code_at(SECRET, tenant="t", session_id=f"s{number}", at_ms=START)
        good = class_codes.step_of(SECRET, code, tenant="t", session_id="s", now_ms=START, captured_ms=None) is not None
        yield judged(Attempt(START, code=good)).decision != ACCEPTED


def fixed_mock_points(chance: random.Random) -> Iterator[bool]:
    """An app that reports one point inside of the fence, day after day, and hides that it does."""
    for cheat in range(CHEATS // 20):
        point = around(chance, GATE, 100)
        days = [trace(f"m{cheat}", day * 86_400_000, point, device=f"d{cheat}", session=f"s{day}") for day in range(25)]
        yield from (one in doubts(days) for one in days)


def two_on_one_device(chance: random.Random) -> Iterator[bool]:
    for pair in range(CHEATS):
        first, second = (
            trace(f"{who}{pair}", ms, fix(chance, GATE, 20), device=f"p{pair}")
            for who, ms in (("a", 0), ("b", chance.randint(1, 3_600_000)))
        )
        yield doubts([first, second]).keys() == {second}


def forty_kilometres_in_a_minute(chance: random.Random) -> Iterator[bool]:
    for student in range(CHEATS):
        here = trace(f"t{student}", 0, fix(chance, GATE, 20), device=f"d{student}", session="s1")
        there = trace(f"t{student}", 60_000, fix(chance, east(40_000), 20), device=f"d{student}", session="s2")
        yield there in doubts([here, there])


def test_scripted_cheats_are_seen() -> None:
    """Flagged for a person or refused; nineteen in twenty at least, of each kind."""
    chance = random.Random(SEED)
    for script in (
        old_codes, codes_of_another_session, fixed_mock_points, two_on_one_device, forty_kilometres_in_a_minute,
    ):  # fmt: skip
        caught = list(script(chance))
        assert len(caught) >= CHEATS
        assert sum(caught) / len(caught) >= 0.95, script.__name__


def test_the_order_of_traces_changes_nothing() -> None:
    """The batch writer finds pairs in whatever order the batches come."""
    chance = random.Random(SEED)
    for _ in range(500):
        traces = [
            trace(chance.choice("ab"), chance.choice(APART_MS), east(chance.choice((0, 40_000))),
                  device=chance.choice("xy"), session=f"s{number}")
            for number in chance.sample(range(6), 6)
        ]  # fmt: skip
        found: dict[Trace, set[str]] = {}
        known: list[Trace] = []
        for some in (traces[:1], traces[1:4], traces[4:]):
            for one, reasons in doubts(some, known).items():
                found.setdefault(one, set()).update(reasons)
            known += some
        assert found == doubts(traces) == {one: why for one in traces if (why := by_definition(one, traces))}


APART_MS = [minutes * 60_000 for minutes in (0, 5, 15, 25, 115, 125, 715, 725, 43_195, 43_205)]


def by_definition(later: Trace, traces: list[Trace]) -> set[str]:
    """Each pair by itself."""
    found = set()
    for earlier in (one for one in traces if one < later):
        apart_ms, same = later.at_ms - earlier.at_ms, later.code == earlier.code
        if later.device == earlier.device and not same and apart_ms <= DEVICE_MS:
            found.add(SHARED_DEVICE)
        takes_ms = 18 * 60_000 if later.place != earlier.place else 0  # 40 km, less what is free, at 120 km/h
        if same and apart_ms <= TRAVEL_MS and apart_ms < takes_ms:
            found.add(TRAVELLED)
        if later.point == earlier.point and apart_ms <= POINT_MS:
            found.add(SAME_POINT)
    return found
