"""One storm from beginning to end: sync under fire, then calm, the last settlement, two scans, and the account."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tests.chaos.arena import Arena, now_s, open_arena
from tests.chaos.crowd import RATE_PER_S, Crowd
from tests.chaos.figures import CheckIns
from tests.chaos.folders import other_state
from tests.chaos.judge import Account, judge
from tests.chaos.storm import SURE, Storm
from tests.system.at_the_door import printed
from tests.system.product import ENDED, OBSYNC, QUICK

CAMPUS: Final = ("--colleges", "8", "--offerings", "200", "--students", "600", "--latency-ms", "60", "--rate", "5000")
LATE_S: Final = 0.4  # within OBSYNC_WPS_LATE_S of QUICK
_TICK_S = 0.05
_CALM_S = 150.0
_BACK_S = 15.0  # within which check-ins are taken and written again
_AMBIGUOUS_SHARES: Final = {
    "applied_reply_lost": 0.05,
    "error_500_applied": 0.04,
    "error_500_not_applied": 0.03,
    "half_body": 0.03,
    "late": 0.04,
    "refused_connection_drop": 0.02,
}
_CREATES = r"/v7/calendars/create$|/batch_create$|/events/create$"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a storm did, how the runs in it ended, and the account."""

    seed: int
    seconds: float
    disasters: dict[str, int]
    runs: int
    account: Account

    @property
    def is_clean(self) -> bool:
        """Nothing lost, nothing doubled, and lanes and check-ins came back in time."""
        account = self.account
        late = account.recovery_p95_s is not None and account.recovery_p95_s > account.recovery_bound_s
        return account.lost == 0 and account.doubled == 0 and not late and account.check_ins.is_clean

    @property
    def last_line(self) -> str:
        """For people and scripts."""
        one = self.account
        share = 100 * one.ambiguous_creates / max(1, one.creates)
        p95 = "-" if one.recovery_p95_s is None else f"{one.recovery_p95_s:.1f} s"
        return (
            f"lost: {one.lost} doubled: {one.doubled} healed: {one.healed} · seed {self.seed} · "
            f"{sum(self.disasters.values())} disasters in {self.seconds:.0f} s · {one.calls} calls, "
            f"{one.ambiguous_calls} ambiguous ({share:.0f} % of creates) · "
            f"recovery p95 {p95} of {one.recovery_bound_s:.1f} s ({one.recoveries} measured) · {one.check_ins.line}"
        )

    def as_json(self) -> dict[str, Any]:
        """One object for a program."""
        return {
            "bench": "chaos",
            "seed": self.seed,
            "seconds": self.seconds,
            "cores": os.cpu_count(),
            "disasters": self.disasters,
            "runs": self.runs,
            **self.account.as_json(),
        }


def play(*, seconds: float, seed: int, say: Say = lambda _line: None) -> Outcome:
    """Let a storm rage for so long over a new installation, and judge what is left. Raises AssertionError when the
    product does not come to rest by itself."""
    with _short_folder() as folder:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("OBSYNC_")} | QUICK
        with open_arena(folder, environ, CAMPUS) as arena:
            return _Play(arena, folder, seconds, seed, say).run()


class _Play:
    def __init__(self, arena: Arena, folder: Path, seconds: float, seed: int, say: Say) -> None:
        self._arena = arena
        self._folder = folder
        self._seconds = seconds
        self._say = say
        self._seed = seed
        self._storm = Storm(random.Random(seed), float(QUICK["OBSYNC_LANE_LEASE_S"]))
        self._states: list[Path] = []
        self._asking: subprocess.Popen[bytes] | None = None
        self._asked = 0

    def run(self) -> Outcome:
        product = self._arena.product
        product.until_stage("calendars", 90)
        self._states = [product.campus, other_state(product.campus, self._folder / "other", seed=self._seed)]
        product.simulator("faults", _ambiguous())
        crowd = self._crowd()
        crowd.start()
        self._rage()
        self._arena.calm()
        crowd.go_home()
        self._say("calm; waiting for the last run")
        product.simulator("settings", {"latency_ms": 5})
        self._until_idle()
        campus = self._states[0]
        self._sync_to_the_end(campus)
        healed = self._scan()
        self._until_idle()
        product.until(self._is_at_rest, 30, "lanes to come to rest")
        check_ins = self._check_ins(crowd)
        account = judge(product, campus, self._storm, healed=healed, bound_s=_bound_s(), check_ins=check_ins)
        disasters = dict(sorted(self._storm.done.items()))
        runs = product.query("SELECT count(*) AS n FROM runs")[0]["n"]
        return Outcome(self._seed, self._seconds, disasters, int(runs), account)

    def _crowd(self) -> Crowd:
        environ = self._arena.product.until(self._arena.environ, 30, "a worker whose settings can be read")
        bind = urlsplit(printed(self._arena.product)[0])
        assert bind.hostname is not None and bind.port is not None
        many = round(RATE_PER_S * (self._seconds + 5))
        return Crowd(environ, (bind.hostname, bind.port), self._folder, students=many, seed=self._seed)

    def _check_ins(self, crowd: Crowd) -> CheckIns:
        """What became of those who checked in, once all is written."""
        self._arena.product.until(lambda: self._tended(not crowd.is_alive()), _CALM_S, "everybody to have a receipt")
        self._arena.product.until(lambda: self._tended(crowd.is_written()), 60, "all check-ins to be written")
        try:
            return crowd.account(self._storm.check_in_troubles, bound_s=_BACK_S)
        finally:
            crowd.close()

    def _tended(self, true: bool) -> bool:
        self._arena.tend(now_s())
        return true

    def _rage(self) -> None:
        began = time.monotonic()
        told = 0.0
        sure = deque((self._seconds * share / 4, name) for share, name in enumerate(SURE, start=1))
        while (elapsed := time.monotonic() - began) < self._seconds:
            now = now_s()
            self._arena.tend(now)
            self._storm.rage(self._arena, now)
            if sure and elapsed >= sure[0][0]:
                self._storm.strike(sure.popleft()[1], self._arena, now)
            self._keep_busy()
            if elapsed - told >= 10:
                told = elapsed
                self._say(f"{elapsed:.0f} s: {dict(self._storm.done)}, run {self._asked + 1}")
            time.sleep(_TICK_S)

    def _keep_busy(self) -> None:
        """Ask for the other state of the timetable whenever nothing goes on."""
        if self._asking is not None and self._asking.poll() is None:
            return
        rows = self._arena.rows("SELECT id, state FROM runs ORDER BY created_ms DESC, id DESC LIMIT 1")
        if not rows:
            return
        if rows[0]["state"] == "needs_confirmation":
            self._ask("runs", "confirm", rows[0]["id"])
        elif rows[0]["state"] in ENDED:
            self._asked += 1
            self._ask("sync", str(self._states[self._asked % 2]), "--no-wait")

    def _ask(self, *arguments: str) -> None:
        with (self._folder / "asked.log").open("ab") as said:
            self._asking = subprocess.Popen(
                [str(OBSYNC), *arguments],
                env=self._arena.product.environ,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )

    def _until_idle(self) -> None:
        """The newest run ends by itself; one that asks is confirmed."""

        def idle() -> bool:
            self._arena.tend(now_s())
            if self._asking is not None and self._asking.poll() is None:
                return False
            open_runs = self._arena.rows("SELECT id, state FROM runs WHERE finished_ms IS NULL")
            for run in open_runs or ():
                if run["state"] == "needs_confirmation":
                    self._ask("runs", "confirm", run["id"])
            return open_runs is not None and not open_runs

        self._arena.product.until(idle, _CALM_S, "all runs to end", every_s=0.2)

    def _sync_to_the_end(self, campus: Path) -> None:
        """The last word: without faults, twice at most, because what failed in the storm is tried in the next run."""
        self._arena.product.simulator("faults", [])
        for _ in range(2):
            self._ask("sync", str(campus), "--no-wait")
            self._until_idle()
            run = self._arena.product.newest_run()
            if run is not None and run["state"] == "succeeded":
                return
        raise AssertionError(f"the last run ended {run}\n{self._arena.product.story()}")

    def _scan(self) -> int:
        """Two scans; what one finds is repaired. Returns what was healed."""
        product, healed = self._arena.product, 0
        for number in (1, 2):
            found = product.obsync("verify", "--json", timeout_s=120)
            assert found.out, found.err
            self._say(f"scan {number} found {found.json['discrepancies']}")
            if found.json["discrepancies"]:
                healed += int(product.obsync("repair", "--json", timeout_s=120).json["healed"])
        return healed

    def _is_at_rest(self) -> bool:
        rows = self._arena.rows("SELECT lane FROM lanes WHERE owner IS NOT NULL")
        return rows is not None and not rows


def _bound_s() -> float:
    """Lease + 1.1 × call budget + 2 s."""
    return float(QUICK["OBSYNC_LANE_LEASE_S"]) + 1.1 * float(QUICK["OBSYNC_WPS_TIMEOUT_S"]) + 2


def _ambiguous() -> list[dict[str, Any]]:
    """Rules are tried in order; shares are small enough that the order hardly matters."""
    rules: list[dict[str, Any]] = []
    for name, rate in _AMBIGUOUS_SHARES.items():
        params = {"delay_s": LATE_S} if name == "late" else {}
        rules.append(
            {"match": {"method": "POST", "path": _CREATES}, "rate": rate, "do": name}
            | ({"params": params} if params else {})
        )
    return rules


@contextlib.contextmanager
def _short_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="obc-"))  # short: sockets are made below it
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def line_of(outcomes: Sequence[Outcome]) -> str:
    """One JSON object for all storms."""
    return json.dumps({"storms": [one.as_json() for one in outcomes]}, ensure_ascii=False)
