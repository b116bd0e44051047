"""Does a whole university get in at the bell? `python -m bench.bell [--json] [--search]`

Phones press the button at times fixed beforehand (open loop: latency counts from the time a request was due), each of a
student of its own with a token of their own, spread over many sessions that begin together; 5 % press again, 2 % are far away
and refused. Generator, MariaDB, Valkey (writing to disk before it answers), the product's web process and its writer share the
machine's cores. Afterwards the tables are compared with the receipts that the students hold.

`--search` looks for the highest rate that is held: one is when p95 and p99 are within their limits and all of it was accepted
and in the database in time.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.back import Key, back_after
from bench.bell_phones import Press, press_all, timetable
from bench.bell_world import Bell, look, product, seconds_of, wave, written_at
from bench.highest import highest_held
from bench.report import Figure, report

P95_MS, P99_MS, STORED_S, SHARE = 300.0, 1_000.0, 5.0, 0.98
_DRAIN_S = 120.0
_WARM_S = 2.0


@dataclass(frozen=True, slots=True)
class Peak:
    """What one peak showed. Times in milliseconds, and seconds for `stored_s` (None: never)."""

    rate: float
    accepted: int
    acknowledged: int  # students with a receipt, those included who had to press again
    accepted_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    worst_ms: float
    refused: int
    unanswered: int
    turned_away: int
    lost: int
    doubled: int
    wrong_counters: int
    stored_s: float | None
    recovered_s: float | None = None
    left_out: int = 0
    sent_again: int = 0  # by phones that were told to come again and did, while things were killed

    @property
    def held(self) -> bool:
        """Whether the rate is one that the product can be asked for."""
        right = self.lost == self.doubled == self.wrong_counters == self.unanswered == self.turned_away == 0
        quick = self.p95_ms <= P95_MS and self.p99_ms <= P99_MS
        in_time = self.stored_s is not None and self.stored_s <= STORED_S
        return right and quick and in_time and self.accepted_per_s >= SHARE * self.rate


def peak(bell: Bell, *, rate: float, seconds: float, sessions: int, seed: int, kill: bool = False) -> Peak:
    """One peak with students of its own; with `kill` everything dies once in it, and who was turned away presses again after."""
    phones = wave(bell, number_of_sessions=sessions, students=round(rate * (seconds + _WARM_S)))
    warm = round(rate * _WARM_S)
    press_all(timetable(phones[:warm], rate_per_s=rate, seed=seed), bell.address)
    wanted = timetable(phones[warm:], rate_per_s=rate, seed=seed + 1)
    print(f"bell: {len(wanted)} requests at {rate:g} accepted/s", file=sys.stderr, flush=True)
    killer = _Killer(bell, seconds)
    if kill:
        killer.start()
    began_s = time.time()
    press_all(wanted, bell.address, patient=kill)
    pressed = wanted
    if kill:
        killer.join()
        pressed = [*wanted, *_again(bell, wanted, rate=rate, seed=seed + 2)]
    stored_s = _stored(bell)
    _tell_errors(wanted)
    receipts: dict[tuple[str, str], set[str]] = {}
    for one in pressed:
        if (receipt := one.receipt) is not None:
            receipts.setdefault((one.phone.session_id, one.phone.code), set()).add(receipt)
    found: dict[str, Any] = asdict(look(bell, receipts))
    if kill:
        pressed_by = {(one.phone.session_id, one.phone.code) for one in wanted}
        found |= {"recovered_s": killer.recovered_s(wanted, began_s), "left_out": len(pressed_by - receipts.keys())}
    found["acknowledged"] = len(receipts)
    return _peak(rate, wanted, stored_s, found)


def _again(bell: Bell, wanted: Sequence[Press], *, rate: float, seed: int) -> list[Press]:
    """Those who have no receipt press again, with the same client id, until they have one or half a minute is over."""
    tried: list[Press] = []
    give_up = time.monotonic() + 30
    good = _with_receipt(wanted)
    without = {one.phone.code: one.phone for one in wanted if one.phone.code not in good}
    while without and time.monotonic() < give_up:
        some = timetable([*without.values()], rate_per_s=rate / 2, seed=seed)
        press_all(some, bell.address)
        tried += some
        without = {code: phone for code, phone in without.items() if code not in _with_receipt(some)}
    return tried


def _with_receipt(pressed: Sequence[Press]) -> set[str]:
    return {one.phone.code for one in pressed if one.status in (200, 201)}


class _Killer(threading.Thread):
    """Kills writer, stream and database, at a quarter, a half and three quarters of the peak."""

    def __init__(self, bell: Bell, seconds: float) -> None:
        super().__init__(daemon=True)
        self._bell, self._seconds = bell, seconds
        self._began = time.perf_counter()
        self._killed_s: list[float] = []  # since 1970

    def run(self) -> None:
        self._began = time.perf_counter()
        for share, what in ((0.25, "writer"), (0.5, "stream"), (0.75, "database")):
            time.sleep(max(0.0, share * self._seconds - (time.perf_counter() - self._began)))
            self._killed_s.append(time.time())
            print(f"bell: SIGKILL to the {what}", file=sys.stderr, flush=True)
            self._bell.kill(what)

    def recovered_s(self, wanted: Sequence[Press], began_s: float) -> float | None:
        """The longest time from a kill until all that was acknowledged by then, and somebody who pressed later, was written."""
        pressed: dict[Key, float] = {}
        answered: dict[Key, float] = {}
        for one in wanted:
            key = (one.phone.session_id, one.phone.code)
            pressed.setdefault(key, began_s + one.due_s)
            if one.status in (200, 201):
                answered.setdefault(key, began_s + one.due_s + one.took_s)
        seconds = back_after(self._killed_s, pressed, answered, written_at(self._bell))
        return round(max(seconds), 2) if seconds else None


def _peak(rate: float, wanted: Sequence[Press], stored_s: float | None, found: dict[str, Any]) -> Peak:
    took = sorted(one.took_s * 1000 for one in wanted)
    accepted = sum(one.status == 201 for one in wanted)
    span_s = max(one.due_s + one.took_s for one in wanted if one.status == 201) if accepted else 1.0
    return Peak(
        rate=rate,
        accepted=accepted,
        accepted_per_s=round(accepted / span_s, 1),
        p50_ms=_at(took, 0.5),
        p95_ms=_at(took, 0.95),
        p99_ms=_at(took, 0.99),
        worst_ms=round(took[-1], 1),
        refused=sum(one.kind == "far" and one.status == 409 for one in wanted),
        unanswered=sum(one.status == 0 for one in wanted),
        turned_away=sum(one.kind != "far" and one.status not in (0, 200, 201) for one in wanted),
        stored_s=stored_s,
        sent_again=sum(one.again for one in wanted),
        **found,
    )


def _tell_errors(wanted: Sequence[Press]) -> None:
    """What those were told who were turned away, an example of each."""
    told = {one.status: one.body for one in wanted if one.kind != "far" and one.status not in (0, 200, 201)}
    for status, body in told.items():
        print(f"bell: {status} {body.decode()[:300]}", file=sys.stderr)


def _at(ordered: Sequence[float], share: float) -> float:
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 1)


def _stored(bell: Bell) -> float | None:
    """Seconds until the stream is empty."""
    began = time.monotonic()
    while time.monotonic() - began < _DRAIN_S:
        if bell.stream.length() == 0:
            return round(time.monotonic() - began, 2)
        time.sleep(0.02)
    return None


def search(bell: Bell, known: Peak, *, step: float, seconds: float, sessions: int, seed: int) -> list[Peak]:
    """All peaks of a search for the highest rate that is held, which begins with a peak that is `known`."""
    seen, spare = [known], [known]

    def held(rate: float) -> bool:
        if not spare:
            seen.append(peak(bell, rate=rate, seconds=seconds, sessions=sessions, seed=seed + len(seen) * 2))
        one = spare.pop() if spare else seen[-1]
        print(f"bell: {rate:g}/s {'held' if one.held else 'not held'}", file=sys.stderr, flush=True)
        return one.held

    highest_held(held, first=known.rate, step=step)
    return seen


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rate", type=float, default=600, help="accepted check-ins a second")
    parser.add_argument("--seconds", type=float, help="of each peak: 60, or 20 in a search")
    parser.add_argument("--sessions", type=int, default=40)
    parser.add_argument("--web-processes", type=int, default=2)
    parser.add_argument("--web-threads", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--search", action="store_true", help="find the highest rate that is held")
    parser.add_argument("--step", type=float, default=50, help="of the search, a second")
    parser.add_argument("--kill", action="store_true", help="kill writer, stream and database in the middle")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    given.seconds = given.seconds or (20.0 if given.search else 60.0)
    same = {"seconds": given.seconds, "sessions": given.sessions, "seed": given.seed}
    with (
        tempfile.TemporaryDirectory(prefix="obb-") as folder,
        product(Path(folder), web_processes=given.web_processes, web_threads=given.web_threads) as bell,
    ):
        before = seconds_of(bell.pids)
        one = peak(bell, rate=given.rate, kill=given.kill, **same)
        used = {name: round(now - before[name], 2) for name, now in seconds_of(bell.pids).items()}
        seen = search(bell, one, step=given.step, **same) if given.search else [one]
    figures: dict[str, Figure] = {
        **{name: value for name, value in asdict(one).items() if name != "rate"}, "held": one.held,
        "highest_rate_held": max((one.rate for one in seen if one.held), default=None), "goal_per_s": 1_500,
        "peaks": len(seen),
        **{f"{name}_cpu_s": value for name, value in used.items()},
    }  # fmt: skip
    report(
        "bell",
        figures,
        {"rate": given.rate, "search": given.search, "kill": given.kill, **vars_of(given)},
        json_only=given.json,
    )


def vars_of(given: argparse.Namespace) -> dict[str, Figure]:
    """The parameters of the run."""
    return {name: value for name, value in vars(given).items() if name != "json"}


if __name__ == "__main__":
    main()
