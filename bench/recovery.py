"""How long is a lane silent when its worker is killed? `python -m bench.recovery [--json]`

One worker drains all lanes; a second one stands by and finds nothing due. The first is killed with SIGKILL while its calls
are in flight, and the silence of each lane is measured: from the kill to the start of the lane's next call, as the
simulator saw it. Then the second one is the first, and another one stands by.

The kill may hit a lane anywhere: before a call, in it, or in the commit after it. The calendar whose call was cut off
waits for its settlement; the lane goes on with the others, and it is the lane that is measured.
"""

import argparse
import contextlib
import math
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.lane_calls import LoggedCall, of_lanes, overlaps
from bench.lane_site import Site, site
from bench.lane_world import go, jobs_by_state, start_worker
from bench.report import Figure, report
from domain.lanes import Times
from ratelimit.limiter import Limits

_CALLS_BETWEEN = 8  # of each lane, so that every kill hits lanes that are at work
_SLACK_S = 2.0


@dataclass(frozen=True, slots=True)
class Plan:
    """The measurement's parameters; times in seconds."""

    kills: int
    lanes: int
    latency_ms: float
    database: str
    lease_s: float
    budget_s: float
    seed: int

    @property
    def goal_s(self) -> float:
        """Lease, take-over pause, and two seconds for noticing and claiming."""
        times = Times(round(self.budget_s * 1000), round(self.lease_s * 1000), 0, 0)
        return self.lease_s + times.takeover_ms / 1000 + _SLACK_S

    @property
    def work(self) -> dict[str, int]:
        """Enough calendars that no lane runs out of work between the kills."""
        spare_calls = math.ceil(4 * 1000 / max(self.latency_ms, 20))
        return {f"lane-{n:02d}": (self.kills + 2) * (_CALLS_BETWEEN + spare_calls) for n in range(self.lanes)}


def measure(plan: Plan, directory: Path) -> dict[str, Figure]:
    """Kill, wait for each lane's next call, and again."""
    rate = 4 * plan.lanes * 1000 / max(plan.latency_ms, 1)
    with site(
        directory,
        database_wanted=plan.database,
        work=plan.work,
        events=2,
        latency_ms=plan.latency_ms,
        limits=Limits(rate, burst=2 * plan.lanes, max_in_flight=4 * plan.lanes),
        threads=plan.lanes + 2,
        more={"OBSYNC_LANE_LEASE_S": f"{plan.lease_s:g}", "OBSYNC_WPS_TIMEOUT_S": f"{plan.budget_s:g}"},
    ) as here:
        here.wait_until_full()
        before = len(here.wps.ask("log"))
        with contextlib.ExitStack() as stack:
            silences = _kill_and_wait(plan, here, stack, before)
        calls = of_lanes(here.wps.ask(f"log?since={before}"))
        left = jobs_by_state(here.engine)
    return _figures(plan, silences, calls, left)


def _kill_and_wait(plan: Plan, here: Site, stack: contextlib.ExitStack, before: int) -> list[float]:
    chance, silences = random.Random(plan.seed), list[float]()
    owner = _worker(here, stack, 0)
    go(here.engine, here.settings)
    for number in range(plan.kills):
        standby = _worker(here, stack, number + 1)
        _until_each_lane_has_called(plan, here, standby, calls=_CALLS_BETWEEN, since_s=time.time(), before=before)
        time.sleep(chance.uniform(0, 2 * plan.latency_ms / 1000))
        killed_s = time.time()
        owner.kill()
        owner.wait()
        _until_each_lane_has_called(plan, here, standby, calls=1, since_s=killed_s + _SETTLED_S, before=before)
        for calls in of_lanes(here.wps.ask(f"log?since={before}")).values():
            silences.append(next(one.start_s for one in calls if one.start_s > killed_s) - killed_s)
        owner = standby
    return silences


_SETTLED_S = 0.05  # a call that was sent at the moment of the kill may be seen just after it


def _worker(here: Site, stack: contextlib.ExitStack, number: int) -> subprocess.Popen[bytes]:
    """One more worker, listening."""
    known = here.listeners()
    log = stack.enter_context((here.directory / f"worker-{number}.log").open("wb"))
    process = start_worker(here.settings, log)
    stack.callback(process.wait)
    stack.callback(process.kill)
    here.wait_until_up([process], before=known)
    return process


def _until_each_lane_has_called(
    plan: Plan, here: Site, alive: subprocess.Popen[bytes], *, calls: int, since_s: float, before: int
) -> None:
    def enough() -> bool:
        seen = of_lanes(here.wps.ask(f"log?since={before}"))
        lanes = [seen.get(f"{here.settings.tenant}%2F{lane}", seen.get(lane, [])) for lane in plan.work]
        return all(sum(one.start_s > since_s for one in of_lane) >= calls for of_lane in lanes)

    here.wait_until(enough, [alive], within_s=60 + 3 * plan.goal_s, poll_s=0.1)


def _figures(
    plan: Plan, silences: Sequence[float], calls: dict[str, list[LoggedCall]], left: dict[str, int]
) -> dict[str, Figure]:
    ordered = sorted(silences)
    return {
        "kills": plan.kills,
        "silences": len(ordered),
        "silence_p50_s": round(statistics.median(ordered), 3),
        "silence_p95_s": round(ordered[math.ceil(0.95 * len(ordered)) - 1], 3),
        "silence_max_s": round(ordered[-1], 3),
        "goal_p95_s": round(plan.goal_s, 3),
        "overlapping_calls": sum(overlaps(one) for one in calls.values()),
        "jobs_dead": left.get("dead", 0),
        "jobs_done": left.get("done", 0),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.recovery", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="only the JSON object")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--lanes", type=int, default=4, help="silences measured with each kill")
    parser.add_argument("--latency-ms", type=float, default=150)
    parser.add_argument(
        "--database", default="sqlite", help="sqlite, mariadb (both private), or an empty one's address"
    )
    parser.add_argument("--lease-s", type=float, default=8, help="OBSYNC_LANE_LEASE_S")
    parser.add_argument("--budget-s", type=float, default=5, help="OBSYNC_WPS_TIMEOUT_S")
    parser.add_argument("--seed", type=int, default=1, help="of the moments of the kills")
    given = parser.parse_args(arguments)
    plan = Plan(given.kills, given.lanes, given.latency_ms, given.database, given.lease_s, given.budget_s, given.seed)
    with tempfile.TemporaryDirectory(prefix="obb-") as directory:
        measured = measure(plan, Path(directory))
    parameters: dict[str, Figure] = {
        "lanes": plan.lanes,
        "latency_ms": plan.latency_ms,
        "database": plan.database if plan.database in ("sqlite", "mariadb") else "given",
        "lease_s": plan.lease_s,
        "budget_s": plan.budget_s,
        "seed": plan.seed,
    }
    report("recovery", measured, parameters, json_only=given.json)


if __name__ == "__main__":
    main()
