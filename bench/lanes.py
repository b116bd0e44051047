"""How much of the time is a lane's call in flight? `python -m bench.lanes [--json]`

Equal lanes, each with the same number of live calendars, and in each calendar the same number of events to be made: one
call a calendar. Real worker processes drain them into the simulator, which is a process of its own and takes the same
time for every call. The limiter is warmed to its full rate and gives several times what is needed, so that what keeps a
lane from its next call is our own work alone.

Counted from outside: starts and ends of calls from the simulator's log, what is left from the database. The product runs
as it does in production; the bench only puts rows and looks.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.lane_calls import figures, of_lanes
from bench.lane_site import site
from bench.lane_world import (
    Shape,
    Simulator,
    anything_queued,
    cpu_s,
    go,
    jobs_by_state,
    workers,
)
from bench.report import Figure, report
from ratelimit.limiter import Limits

_HEADROOM = 4  # how many times the needed rate the limiter allows unless told


@dataclass(frozen=True, slots=True)
class Plan:
    """The measurement's parameters; `threads` are per process, `rate_per_s` 0 asks for four times the need."""

    shape: Shape
    latency_ms: float
    database: str
    processes: int
    threads: int
    rate_per_s: float

    @property
    def limits(self) -> Limits:
        rate = self.rate_per_s or _HEADROOM * self.shape.lanes * 1000 / max(1.0, self.latency_ms)
        return Limits(round(rate, 1), burst=2 * self.shape.lanes, max_in_flight=2 * self.shape.lanes)

    @property
    def give_up_s(self) -> float:
        """Ten times what the calls take one after the other, and a minute."""
        return 60 + 10 * self.shape.calls * max(self.latency_ms, 20) / 1000


class NotMeasured(Exception):
    """The bench could not come to its end; the message says where it stopped."""


def measure(plan: Plan, directory: Path) -> dict[str, Figure]:
    """Set the world up, let the workers drain it, and count."""
    with site(
        directory,
        database_wanted=plan.database,
        work=plan.shape.work,
        events=plan.shape.events,
        latency_ms=plan.latency_ms,
        limits=plan.limits,
        threads=plan.threads,
    ) as here:
        here.wait_until_full()
        before = len(here.wps.ask("log"))
        with workers(here.settings, plan.processes, directory) as running:
            here.wait_until_up(running)
            pids: dict[str, list[int | None]] = {
                "workers": [one.pid for one in running],
                "simulator": [here.wps.process.pid],
                "valkey": [int(here.client.info("server")["process_id"])],
                "database": [here.database_pid],
            }
            spent = _cpu(pids)
            go(here.engine, here.settings)
            tenant = here.settings.tenant
            here.wait_until(lambda: not anything_queued(here.engine, tenant), running, within_s=plan.give_up_s)
            spent = _difference(_cpu(pids), spent)
            left = jobs_by_state(here.engine)
        return _figures(plan, here.wps, before, spent, left)


def _cpu(pids: Mapping[str, Sequence[int | None]]) -> dict[str, float | None]:
    found = {}
    for name, several in pids.items():
        seconds = [cpu_s(pid) for pid in several]
        found[name] = None if None in seconds else sum(one for one in seconds if one is not None)
    return found


def _difference(after: Mapping[str, float | None], before: Mapping[str, float | None]) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for name, seconds in after.items():
        earlier = before[name]
        found[name] = None if seconds is None or earlier is None else round(seconds - earlier, 2)
    return found


def _figures(
    plan: Plan, wps: Simulator, before: int, spent: Mapping[str, float | None], left: Mapping[str, int]
) -> dict[str, Figure]:
    lanes = of_lanes(wps.ask(f"log?since={before}"))
    found = figures(lanes, latency_ms=plan.latency_ms, fewest_calls=plan.shape.fewest_calls)
    calls = sum(len(one) for one in lanes.values())
    worker_s = spent["workers"]
    return {
        **found,
        "lanes_seen": len(lanes),
        "events_at_wps": wps.ask("state?counts=1")["events"],
        "events_wanted": plan.shape.lanes * plan.shape.calls * plan.shape.events,
        "jobs_done": left.get("done", 0),
        "jobs_not_done": sum(count for state, count in left.items() if state != "done"),
        "worker_cpu_ms_per_call": None if worker_s is None else round(worker_s * 1000 / calls, 3),
        **{f"{name}_cpu_s": seconds for name, seconds in spent.items()},
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.lanes", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="only the JSON object")
    parser.add_argument("--lanes", type=int, default=16)
    parser.add_argument("--calls", type=int, default=100, help="calendars of a lane: one call each")
    parser.add_argument("--events", type=int, default=25, help="events of a calendar")
    parser.add_argument("--latency-ms", type=float, default=150, help="time the simulator takes for a call")
    parser.add_argument(
        "--database", default="sqlite", help="sqlite, mariadb (both private), or an empty one's address"
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=8, help="per process")
    parser.add_argument("--rate", type=float, default=0, help="calls per second of the limiter; 0: 4 times the need")
    given = parser.parse_args(arguments)
    plan = Plan(
        Shape(given.lanes, given.calls, given.events),
        given.latency_ms,
        given.database,
        given.processes,
        given.threads,
        given.rate,
    )
    with tempfile.TemporaryDirectory(prefix="obb-") as directory:
        measured = measure(plan, Path(directory))
    parameters: dict[str, Figure] = {
        "lanes": given.lanes,
        "calls": given.calls,
        "events": given.events,
        "latency_ms": given.latency_ms,
        "database": given.database if given.database in ("sqlite", "mariadb") else "given",
        "processes": given.processes,
        "threads_per_process": given.threads,
        "rate_per_s": plan.limits.rate_per_s,
    }
    report("lanes", measured, parameters, json_only=given.json)


if __name__ == "__main__":
    main()
