"""Is the shared limit kept, and is it used? `python -m bench.limiter [--json]`

Several processes with many threads each fight for one key on a private server. Counted from outside: a MONITOR
connection takes the server's own time of every script call; a start is granted at that time plus the wait that its
caller was told. The share used and the round trips are of the measured time, after the rate has reached its maximum: a
call takes no time here and a caller comes back at its granted start, so that callers always outnumber the permits.

Afterwards come a few rushes (all callers rest until the bucket is full, then ask at once) and one throttle, for those
are the moments at which a limit is broken. Every window over all starts, warm-up included, is compared with the limit.
"""

import argparse
import contextlib
import itertools
import multiprocessing
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path

import redis

from bench.report import Figure, report
from bench.valkey import connect, private_valkey
from ratelimit.limiter import Limits, Start
from ratelimit.redis_limiter import RedisLimiter

KEY = "bench"
HOLD_MS = 5_000
FULL_RATE_WITHIN_S = 10.0
RUSHES = 3
RUSH_S = 0.3
SCRIPT_CALLS = frozenset({"EVAL", "EVALSHA"})


@dataclass(frozen=True, slots=True)
class Settings:
    """The measurement's parameters; `threads` are per process."""

    rate_per_s: float
    burst: float
    seconds: float
    processes: int
    threads: int

    @property
    def limits(self) -> Limits:
        return Limits(self.rate_per_s, self.burst, max_in_flight=self.processes * self.threads * 2)


@dataclass(frozen=True, slots=True)
class Told:
    """What one caller was told: its slot, the wait, and how long the question took."""

    slot: str
    wait_ms: int
    took_us: float


def worst_excess(starts_s: Sequence[float], *, rate_per_s: float, burst: float) -> float:
    """The most starts above `burst + rate * W + 1` in any window of any length W; at most 0 when the limit is kept.

    Exact in one pass: with u(k) = k - rate * t(k), the starts from i to j exceed rate * W by u(j) - u(i) + 1, so only
    the least u so far matters.
    """
    worst, least = -(burst + 1.0), float("inf")
    for index, at_s in enumerate(sorted(starts_s)):
        above_line = index - rate_per_s * at_s
        least = min(least, above_line)
        worst = max(worst, above_line - least + 1 - (burst + 1))
    return worst


class Witness:
    """Notes the server's time and the slot of every acquire, from a MONITOR connection in a thread of its own."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._calls: list[tuple[float, str]] = []
        self._watching = threading.Event()
        threading.Thread(target=self._listen, name="witness", daemon=True).start()
        self._watching.wait(timeout=5)

    def _listen(self) -> None:
        # The end of the server is the end of the watch.
        with contextlib.suppress(redis.exceptions.ConnectionError), self._client.monitor() as monitor:  # type: ignore[no-untyped-call]
            self._watching.set()
            for seen in monitor.listen():
                words = seen["command"].split(" ")
                if seen["client_type"] != "lua" and words[0].upper() in SCRIPT_CALLS and "acquire" in words:
                    self._calls.append((float(seen["time"]), words[-2]))  # last come the slot and the one to release

    def calls(self) -> list[tuple[float, str]]:
        """(server time in s, slot) of each question so far."""
        return list(self._calls)


@dataclass(frozen=True, slots=True)
class Signals:
    """From the parent to all callers: ask only while `go` is set, end when `stop` is."""

    go: Event
    stop: Event


def contend(socket_path: str, settings: Settings, signals: Signals, out: Connection) -> None:
    """One process: its threads ask until told to stop; then everything they were told goes to the parent."""
    limiter = RedisLimiter(connect(Path(socket_path)), limits=settings.limits)
    told: list[list[Told]] = [[] for _ in range(settings.threads)]
    threads = [threading.Thread(target=_ask, args=(limiter, signals, mine)) for mine in told]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    out.send([(one.slot, one.wait_ms, one.took_us) for one in itertools.chain.from_iterable(told)])
    out.close()


def _ask(limiter: RedisLimiter, signals: Signals, told: list[Told]) -> None:
    slot: str | None = None
    while not signals.stop.is_set():
        signals.go.wait()
        asked = time.perf_counter()
        answer = limiter.acquire(KEY, hold_ms=HOLD_MS, release=slot)
        took_us = (time.perf_counter() - asked) * 1e6
        slot = answer.slot if isinstance(answer, Start) else None
        if slot is not None:
            told.append(Told(slot, answer.wait_ms, took_us))
        time.sleep(answer.wait_ms / 1_000)
    if slot is not None:
        limiter.release(KEY, slot)


@contextlib.contextmanager
def contenders(socket_path: Path, settings: Settings) -> Iterator[tuple[Signals, list[Connection]]]:
    """Starts the processes; they end at the latest when the block does."""
    context = multiprocessing.get_context("spawn")
    signals = Signals(go=context.Event(), stop=context.Event())
    signals.go.set()
    pipes = [context.Pipe(duplex=False) for _ in range(settings.processes)]
    children = [
        context.Process(target=contend, args=(str(socket_path), settings, signals, out), daemon=True)
        for _, out in pipes
    ]
    for child in children:
        child.start()
    try:
        yield signals, [results for results, _ in pipes]
    finally:
        signals.stop.set()
        signals.go.set()
        for child in children:
            child.join(timeout=5)
            child.kill()


def measure(settings: Settings, directory: Path) -> dict[str, Figure]:
    """Runs the contest and returns the figures."""
    with private_valkey(directory) as socket_path:
        client = connect(socket_path)
        limiter = RedisLimiter(client, limits=settings.limits)
        witness = Witness(client)
        with contenders(socket_path, settings) as (signals, results):
            warm_up_s = _wait_for_full_rate(limiter)
            began_s = _server_time_s(client)
            time.sleep(settings.seconds)
            ended_s = _server_time_s(client)
            _rush(limiter, signals, settings)
            signals.stop.set()
            told = [Told(*one) for result in results for one in result.recv()]
        return {"warm_up_s": round(warm_up_s, 2), **figures(settings, witness.calls(), told, began_s, ended_s)}


def _wait_for_full_rate(limiter: RedisLimiter) -> float:
    began = time.monotonic()
    while (state := limiter.state(KEY)).rate_per_s < state.max_rate_per_s or state.tokens >= 0:
        if time.monotonic() - began > FULL_RATE_WITHIN_S + 5:
            raise RuntimeError(f"the rate did not reach its maximum under contention: {state}")
        time.sleep(0.05)
    return time.monotonic() - began


def _rush(limiter: RedisLimiter, signals: Signals, settings: Settings) -> None:
    for _ in range(RUSHES):
        signals.go.clear()
        time.sleep(0.5 + 1.2 * settings.burst / settings.rate_per_s)
        signals.go.set()
        time.sleep(RUSH_S)
    limiter.throttled(KEY, epoch=limiter.state(KEY).epoch, retry_after_ms=int(RUSH_S * 1_000))
    time.sleep(3 * RUSH_S)


def _server_time_s(client: redis.Redis) -> float:
    seconds, microseconds = client.time()
    return float(seconds) + float(microseconds) / 1e6


def figures(
    settings: Settings, calls: list[tuple[float, str]], told: list[Told], began_s: float, ended_s: float
) -> dict[str, Figure]:
    """Joins what the server saw with what the callers were told."""
    wait_s = {one.slot: one.wait_ms / 1_000 for one in told}
    starts_s = [at_s + wait_s[slot] for at_s, slot in calls if slot in wait_s]
    within = [at_s for at_s in starts_s if began_s <= at_s < ended_s]
    asked = sum(1 for at_s, _ in calls if began_s <= at_s < ended_s)
    admitted = sum(1 for at_s, slot in calls if began_s <= at_s < ended_s and slot in wait_s)
    took_us = statistics.quantiles([one.took_us for one in told], n=100)
    excess = worst_excess(starts_s, rate_per_s=settings.rate_per_s, burst=settings.burst)
    return {
        "excess": max(0, round(excess, 3)),
        "use": round(len(within) / (settings.rate_per_s * (ended_s - began_s)), 4),
        "round_trips_per_admission": round(asked / admitted, 4),
        "acquire_p50_ms": round(took_us[49] / 1_000, 3),
        "acquire_p99_ms": round(took_us[98] / 1_000, 3),
        "starts": len(starts_s),
        "starts_unseen": len(told) - len(starts_s),
        "headroom_of_the_fullest_window": round(-excess, 3),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.limiter", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="only the JSON object")
    parser.add_argument("--seconds", type=float, default=10, help="measured time, after about 7 s of warm-up")
    parser.add_argument("--rate", type=float, default=200, help="permitted calls per second")
    parser.add_argument("--burst", type=float, default=20, help="calls that may start at once")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=16, help="per process")
    given = parser.parse_args(arguments)
    settings = Settings(given.rate, given.burst, given.seconds, given.processes, given.threads)
    with tempfile.TemporaryDirectory(prefix="obsync-bench-") as directory:
        measured = measure(settings, Path(directory))
    parameters: dict[str, Figure] = {
        "seconds": settings.seconds,
        "rate_per_s": settings.rate_per_s,
        "burst": settings.burst,
        "processes": settings.processes,
        "threads_per_process": settings.threads,
    }
    report("limiter", measured, parameters, json_only=given.json)


if __name__ == "__main__":
    main()
