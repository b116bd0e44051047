"""Does a small college wait for a large one? `python -m bench.fairness [--json]`

First one small lane alone, then as many small lanes beside one that has fifty times their work. A lane's *finish* is the
end of its last call, counted from the first call of all. With fewer threads than lanes they have to take turns; with as
many, they only share the limiter, the database and the machine.
"""

import argparse
import math
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.lane_calls import LoggedCall, of_lanes, overlaps
from bench.lane_site import Site, site
from bench.lane_world import anything_queued, go, workers
from bench.report import Figure, report
from ratelimit.limiter import Limits

_ALONE, _BIG = "alone", "big"
_HEADROOM = 4  # how many times what all lanes can use the limiter allows unless told


@dataclass(frozen=True, slots=True)
class Plan:
    """The measurement's parameters; `threads` are per process."""

    small: int
    calls: int
    times: int
    events: int
    latency_ms: float
    database: str
    processes: int
    threads: int
    rate_per_s: float

    @property
    def small_lanes(self) -> list[str]:
        return [f"small-{number:02d}" for number in range(1, self.small + 1)]

    @property
    def work(self) -> dict[str, int]:
        """Lane → calls it needs."""
        return {_ALONE: self.calls, _BIG: self.times * self.calls, **dict.fromkeys(self.small_lanes, self.calls)}

    @property
    def limits(self) -> Limits:
        lanes = self.small + 1
        rate = self.rate_per_s or _HEADROOM * lanes * 1000 / max(1.0, self.latency_ms)
        return Limits(round(rate, 1), burst=2 * lanes, max_in_flight=2 * lanes)


def measure(plan: Plan, directory: Path) -> dict[str, Figure]:
    """One small lane by itself, then all of them beside the big one."""
    with site(
        directory,
        database_wanted=plan.database,
        work=plan.work,
        events=plan.events,
        latency_ms=plan.latency_ms,
        limits=plan.limits,
        threads=plan.threads,
    ) as here:
        here.wait_until_full()
        with workers(here.settings, plan.processes, directory) as running:
            here.wait_until_up(running)
            alone = _drained(plan, here, [_ALONE], [_ALONE], running)
            here.wait_until_full()
            together = _drained(plan, here, [_BIG, *plan.small_lanes], plan.small_lanes, running)
    return _figures(plan, alone, together)


def _drained(
    plan: Plan,
    here: Site,
    lanes: Sequence[str],
    awaited: Sequence[str],
    running: Sequence[subprocess.Popen[bytes]],
) -> dict[str, list[LoggedCall]]:
    """The calls of these lanes until those that are awaited have nothing left to do."""
    before = len(here.wps.ask("log"))
    go(here.engine, here.settings, lanes)
    within_s = 60 + 10 * plan.calls * len(lanes) * max(plan.latency_ms, 20) / 1000
    tenant = here.settings.tenant
    here.wait_until(lambda: not anything_queued(here.engine, tenant, awaited), running, within_s=within_s, poll_s=0.1)
    return of_lanes(here.wps.ask(f"log?since={before}"))


def _finishes(calls: dict[str, list[LoggedCall]]) -> dict[str, float]:
    """Lane → seconds from the first call of all to the end of its own last one."""
    began_s = min(one[0].start_s for one in calls.values())
    return {lane: max(call.end_s for call in one) - began_s for lane, one in calls.items()}


def _figures(
    plan: Plan, alone: dict[str, list[LoggedCall]], together: dict[str, list[LoggedCall]]
) -> dict[str, Figure]:
    (alone_s,) = _finishes(alone).values()
    small = sorted(seconds for lane, seconds in _finishes(together).items() if not lane.endswith(_BIG))
    p95_s = small[math.ceil(0.95 * len(small)) - 1]
    big = next(calls for lane, calls in together.items() if lane.endswith(_BIG))
    return {
        "alone_s": round(alone_s, 3),
        "small_p50_s": round(statistics.median(small), 3),
        "small_p95_s": round(p95_s, 3),
        "small_max_s": round(small[-1], 3),
        "p95_ratio": round(p95_s / alone_s, 3),
        "small_lanes_seen": len(small),
        "big_calls_meanwhile": len(big),
        "big_calls_needed": plan.times * plan.calls,
        "overlapping_calls": sum(overlaps(one) for one in together.values()),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.fairness", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="only the JSON object")
    parser.add_argument("--small", type=int, default=15, help="small lanes")
    parser.add_argument("--calls", type=int, default=20, help="calls of a small lane")
    parser.add_argument("--times", type=int, default=50, help="how many times that the big one has")
    parser.add_argument("--events", type=int, default=5, help="events of a call")
    parser.add_argument("--latency-ms", type=float, default=150)
    parser.add_argument(
        "--database", default="sqlite", help="sqlite, mariadb (both private), or an empty one's address"
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=8, help="per process")
    parser.add_argument("--rate", type=float, default=0, help="calls per second of the limiter; 0: 4 times the need")
    given = parser.parse_args(arguments)
    plan = Plan(
        given.small,
        given.calls,
        given.times,
        given.events,
        given.latency_ms,
        given.database,
        given.processes,
        given.threads,
        given.rate,
    )
    with tempfile.TemporaryDirectory(prefix="obb-") as directory:
        measured = measure(plan, Path(directory))
    parameters: dict[str, Figure] = {
        "small": plan.small,
        "calls": plan.calls,
        "times": plan.times,
        "events": plan.events,
        "latency_ms": plan.latency_ms,
        "database": plan.database if plan.database in ("sqlite", "mariadb") else "given",
        "processes": plan.processes,
        "threads_per_process": plan.threads,
        "rate_per_s": plan.limits.rate_per_s,
    }
    report("fairness", measured, parameters, json_only=given.json)


if __name__ == "__main__":
    main()
