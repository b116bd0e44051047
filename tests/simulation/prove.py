"""Many histories, spread over processes; a summary that counts, and the first ones that broke."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context

from tests.simulation.history import Verdict, play

_CHUNK = 2_500
REPLAY = ".venv/bin/python -m tests.simulation --replay {seed}"


@dataclass
class Summary:
    """What was played. `poorest`: the least of each that any history had; seconds are those of processors."""

    histories: int = 0
    operations: int = 0
    calls: int = 0
    crashes: int = 0
    doubts: int = 0
    cpu_s: float = 0.0
    poorest: dict[str, int] = field(default_factory=dict)
    broken: list[dict[str, object]] = field(default_factory=list)

    def add(self, verdict: Verdict) -> None:
        self.histories += 1
        self.operations += verdict.operations
        self.calls += verdict.calls
        self.crashes += verdict.crashes
        self.doubts += verdict.doubts
        for name in ("operations", "calls", "crashes", "doubts"):
            value = getattr(verdict, name)
            if value < self.poorest.setdefault(name, value):
                self.poorest[name] = value
        if verdict.broken is not None:
            replay = REPLAY.format(seed=verdict.seed)
            self.broken.append({"seed": verdict.seed, "broken": verdict.broken, "replay": replay})

    def join(self, other: Summary) -> None:
        for name in ("histories", "operations", "calls", "crashes", "doubts", "cpu_s"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name, value in other.poorest.items():
            self.poorest[name] = min(value, self.poorest.get(name, value))
        self.broken += other.broken

    def as_dict(self) -> dict[str, object]:
        rate = round(self.histories / self.cpu_s) if self.cpu_s else 0
        return {**asdict(self), "cpu_s": round(self.cpu_s, 1), "histories_per_cpu_s": rate}


def played(seeds: Iterable[int]) -> Summary:
    """The histories of these seeds, one after the other."""
    summary, began = Summary(), time.process_time()
    gc.disable()  # a world is taken apart when its history is over; looking for circles costs a tenth of the time
    try:
        for seed in seeds:
            summary.add(play(seed))
    finally:
        gc.enable()
    summary.cpu_s = time.process_time() - began
    return summary


def prove(count: int, *, first: int, processes: int) -> Summary:
    """`count` histories from `first` on."""
    chunks = [range(at, min(at + _CHUNK, first + count)) for at in range(first, first + count, _CHUNK)]
    total = Summary()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for one in pool.map(played, chunks):
            total.join(one)
    return total
