"""How long does a student wait for today's classes? `python -m bench.api [--json]`

A school of half a million classes and fifty thousand people in MariaDB, the API as it is deployed in front of it, and an open
loop of requests: each at its time, whether the ones before are answered or not, each by one of thousands of signed-in
students. It begins at half the rate, while most ask for the first time, and then goes on at the whole rate. Who asks for the
first time is cold, whoever asks again is warm. Generator, API and database share the machine.
"""

import argparse
import json
import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.api_world import School, school
from bench.open_loop import Hit, Shot, fire, get, percentiles
from bench.planning_world import Shape, sizes
from bench.report import Figure, report

HOST = "127.0.0.1"
_A_MONDAY = "2024-09-09"
_MY_DAY = f"/api/v1/users/self/timetable?from={_A_MONDAY}&to={_A_MONDAY}"
_OTHERS_A_SECOND = 5
_OTHERS_S = 6.0
_ANSWERED, _TOO_MANY = 200, 429
_CALM_A_SECOND, _BURST_A_SECOND, _BURST_S = 100, 200, 10.0


@dataclass(frozen=True, slots=True)
class Load:
    """So many requests a second for so long, after as long at half the rate, as a morning begins."""

    rate: int
    seconds: float
    seed: int


def my_day(at: School, load: Load) -> dict[str, Figure]:
    """The figures of the students' own day."""
    rng = random.Random(load.seed)
    before = fire(HOST, at.port, _asking(at, at.students, load.rate // 2, load.seconds, rng))
    hits = fire(HOST, at.port, _asking(at, at.students, load.rate, load.seconds, rng))
    first, _ = _apart(before, set())
    cold, warm = _apart(hits, {hit.shot.about for hit in before})
    statuses = Counter(hit.status for hit in hits)
    of_warm, of_cold, of_first = percentiles(warm), percentiles([*first, *cold]), percentiles(before)
    return {
        "asked_per_s": load.rate,
        "answered": statuses[_ANSWERED], "not_answered": len(hits) - statuses[_ANSWERED],
        "statuses": json.dumps(dict(sorted(statuses.items()))),
        "different_users": len({hit.shot.about for hit in hits}),
        "before_asked_per_s": load.rate // 2, "before_cold_share": round(len(first) / len(before), 3),
        "before_p50_ms": of_first.p50, "before_p99_ms": of_first.p99,
        "cold_share": round(len(cold) / len(hits), 3), "warm_share": round(len(warm) / len(hits), 3),
        "warm_p50_ms": of_warm.p50, "warm_p95_ms": of_warm.p95, "warm_p99_ms": of_warm.p99, "warm_max_ms": of_warm.most,
        "cold_p50_ms": of_cold.p50, "cold_p95_ms": of_cold.p95, "cold_p99_ms": of_cold.p99,
        "goal_warm_p99_ms": 30,
        "generator_late_max_ms": round(max(hit.late_s for hit in hits) * 1000, 1),
        "classes_seen": sum(len(json.loads(hit.body)["data"]["items"]) for hit in hits if hit.status == _ANSWERED),
    }  # fmt: skip


def _asking(at: School, students: Sequence[str], rate: int, seconds: float, rng: random.Random) -> list[Shot]:
    """Arrivals of many who know nothing of each other: exponential gaps."""
    shots, now = [], 0.0
    while (now := now + rng.expovariate(rate)) < seconds:
        token = rng.choice(students)
        shots.append(Shot(now, _request(at, _MY_DAY, token), token))
    return shots


def _request(at: School, path: str, token: str) -> bytes:
    return get(path, f"{HOST}:{at.port}", f"Authorization: Bearer {token}")


def _apart(hits: Sequence[Hit], seen: set[object]) -> tuple[list[Hit], list[Hit]]:
    """(first time asked, asked before or `seen`), in the order of the times."""
    cold: list[Hit] = []
    warm: list[Hit] = []
    for hit in sorted(hits, key=lambda one: one.shot.at_s):
        (warm if hit.shot.about in seen else cold).append(hit)
        seen.add(hit.shot.about)
    return cold, warm


def others(at: School) -> dict[str, Figure]:
    """What else people have open: the progress of a run, a term's classes by day."""
    asked = {
        "run_progress": f"/api/v1/sync/runs/{at.run_id}",
        "classes_by_day": f"/api/v1/course-arrangements?from={_A_MONDAY}&to={_A_MONDAY}",
    }
    figures: dict[str, Figure] = {}
    for name, path in asked.items():
        every = range(round(_OTHERS_A_SECOND * _OTHERS_S))
        hits = fire(HOST, at.port, [Shot(n / _OTHERS_A_SECOND, _request(at, path, at.admin)) for n in every])
        took = percentiles(hits)
        figures |= {f"{name}_p50_ms": took.p50, f"{name}_p95_ms": took.p95}
        figures[f"{name}_not_answered"] = sum(hit.status != _ANSWERED for hit in hits)
    return figures


def feeds(at: School) -> dict[str, Figure]:
    """What a calendar app waits for: the first time, when the text is made, and whenever it comes again."""
    figures: dict[str, Figure] = {}
    missed = 0
    for name in ("ics_cold", "ics"):
        asked = (get(path, f"{HOST}:{at.port}") for path in at.feeds)
        hits = fire(HOST, at.port, [Shot(n / _OTHERS_A_SECOND, one) for n, one in enumerate(asked)])
        took = percentiles(hits)
        figures |= {f"{name}_p50_ms": took.p50, f"{name}_p95_ms": took.p95}
        missed += sum(hit.status != _ANSWERED for hit in hits)
    return {**figures, "ics_not_answered": missed}


def neighbours(at: School, seed: int) -> dict[str, Figure]:
    """What others notice of one who asks all the time: he is soon refused, and they are not."""
    rng = random.Random(seed)
    wild, *students = at.students
    alone = percentiles(fire(HOST, at.port, _asking(at, students, _CALM_A_SECOND, _BURST_S, rng)))
    calm = _asking(at, students, _CALM_A_SECOND, _BURST_S, rng)
    burst = _asking(at, [wild], _BURST_A_SECOND, _BURST_S, rng)
    hits = fire(HOST, at.port, sorted((*calm, *burst), key=lambda shot: shot.at_s))
    his = [hit for hit in hits if hit.shot.about == wild]
    theirs = [hit for hit in hits if hit.shot.about != wild]
    beside = percentiles(theirs)
    return {
        "neighbours_alone_p50_ms": alone.p50, "neighbours_alone_p99_ms": alone.p99,
        "neighbours_beside_burst_p50_ms": beside.p50, "neighbours_beside_burst_p99_ms": beside.p99,
        "neighbours_not_answered": sum(hit.status != _ANSWERED for hit in theirs),
        "burst_refused": sum(hit.status == _TOO_MANY for hit in his), "burst_asked": len(his),
    }  # fmt: skip


def measure(shape: Shape, load: Load, given: argparse.Namespace) -> dict[str, Figure]:
    """All figures, on a school made for it."""
    with tempfile.TemporaryDirectory(prefix="obb-") as folder:
        ways = {"people": given.users, "processes": given.processes, "threads": given.threads}
        with school(Path(folder), shape, pool_mib=given.pool_mib, **ways) as at:
            return my_day(at, load) | others(at) | feeds(at) | neighbours(at, load.seed)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="python -m bench.api", description=__doc__.partition("\n")[0])
    parser.add_argument("--sessions", type=int, default=500_000)
    parser.add_argument("--users", type=int, default=3_000, help="signed-in students who ask")
    parser.add_argument("--rate", type=int, default=500, help="requests a second")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--processes", type=int, default=1, help="of the API")
    parser.add_argument("--threads", type=int, default=16, help="of each")
    parser.add_argument("--pool-mib", type=int, default=1024, help="MariaDB's memory for data")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="only the JSON object")
    given = parser.parse_args()
    shape = sizes([given.sessions], of_course=25, roll=30, colleges=40)[0]
    figures = measure(shape, Load(given.rate, given.seconds, given.seed), given)
    parameters: dict[str, Figure] = {
        "sessions": shape.sessions, "people": shape.students + shape.teachers, "users": given.users,
        "seconds": given.seconds, "processes": given.processes, "threads": given.threads,
        "mariadb_pool_mib": given.pool_mib, "seed": given.seed,
    }  # fmt: skip
    report("api", figures, parameters, json_only=given.json)


if __name__ == "__main__":
    main()
