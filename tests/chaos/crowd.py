"""A school that checks in over HTTP while the storm rages: each student until they hold a receipt, some once more after that.

It is a tenant of its own beside the one that is synced, so that neither the timetable nor the account of the calendars knows
of it; a second process `checkins` is its own, the first one belongs to `obsync up`, and both write whatever is in the stream.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.back import Key, back_after
from bench.bell_phones import Phone, receipt_in
from bench.bell_world import TENANT, Bell, look, seeded, wave, written_at
from bench.open_loop import Shot, fire
from bench.valkey import connect
from bootstrap.settings import Settings
from db.check_in_stream import CheckInStream
from tests.chaos.figures import CheckIns, percentile
from workers import embedded

RATE_PER_S = 25.0
SESSIONS = 12
_SLICE_S = 3.0
_SHARE_AGAIN = 0.05
_CONNECTIONS = 8
_PATIENCE_S = 90.0


@dataclass
class _Known:
    """What the students know: when each pressed first and was answered first (seconds since 1970), and all their receipts."""

    pressed: dict[Key, float] = field(default_factory=dict)
    answered: dict[Key, float] = field(default_factory=dict)
    receipts: dict[Key, set[str]] = field(default_factory=dict)


class Crowd(threading.Thread):
    """Runs until `go_home`, and then until everybody who pressed has a receipt, for a minute and a half at most."""

    def __init__(self, environ: Mapping[str, str], address: tuple[str, int], folder: Path, *, students: int, seed: int):
        super().__init__(name="crowd", daemon=True)
        ours = {**environ, "OBSYNC_TENANT": TENANT}
        settings = Settings.from_env(ours)
        deps, engine = seeded(settings)
        stream = embedded.stream(Path(settings.data_dir))
        client = CheckInStream(connect(stream.socket))
        self._bell = Bell(deps, engine, client, address, folder, ours, stream, None)
        self._phones = wave(self._bell, number_of_sessions=SESSIONS, students=students)
        self._dice = random.Random(seed)
        self._known = _Known()
        self._over = threading.Event()
        self.unheard = 0

    def go_home(self) -> None:
        """Nobody presses for the first time any more."""
        self._over.set()

    def run(self) -> None:
        """Slices of some seconds: newcomers, those who were turned away before, and a few who have a receipt already."""
        owing: list[int] = []
        newcomer, until_s = 0, float("inf")
        while time.monotonic() < until_s:
            if self._over.is_set():
                until_s = min(until_s, time.monotonic() + _PATIENCE_S)
                if not owing:
                    break
            many = 0 if self._over.is_set() else round(RATE_PER_S * _SLICE_S)
            some = [*owing, *range(newcomer, min(newcomer + many, len(self._phones)))]
            newcomer = min(newcomer + many, len(self._phones))
            again = [at for at in range(newcomer) if self._dice.random() < _SHARE_AGAIN * many / max(1, newcomer)]
            self._press([*some, *again])
            owing = [at for at in some if _key(self._phones[at]) not in self._known.answered]
        self.unheard = len(owing)

    def _press(self, some: Sequence[int]) -> None:
        self._dice.shuffle(shuffled := list(some))
        gap_s = _SLICE_S / max(1, len(shuffled))
        shots = [Shot(at * gap_s, self._phones[who].request(who)) for at, who in enumerate(shuffled)]
        began_s = time.time()
        for who, hit in zip(shuffled, fire(*self._bell.address, shots, connections=_CONNECTIONS), strict=True):
            key = _key(self._phones[who])
            self._known.pressed.setdefault(key, began_s + hit.shot.at_s)
            if hit.status in (200, 201):
                self._known.answered.setdefault(key, began_s + hit.shot.at_s + hit.took_s)
                self._known.receipts.setdefault(key, set()).add(receipt_in(hit.body))
        time.sleep(max(0.0, began_s + _SLICE_S - time.time()))

    def is_written(self) -> bool:
        """Whether nothing waits in the stream."""
        return self._bell.stream.length() == 0

    def account(self, troubles: Sequence[float], *, bound_s: float) -> CheckIns:
        """Compare the tables with what the students know; `troubles` are the times at which something of theirs was killed."""
        found = look(self._bell, self._known.receipts)
        seconds = back_after(troubles, self._known.pressed, self._known.answered, written_at(self._bell))
        return CheckIns(
            acknowledged=len(self._known.receipts),
            lost=found.lost,
            doubled=found.doubled,
            wrong_counters=found.wrong_counters,
            unheard=self.unheard,
            disasters=len(troubles),
            back_measured=len(seconds),
            back_p95_s=percentile(seconds, 0.95),
            back_max_s=percentile(seconds, 1.0),
            back_bound_s=bound_s,
        )

    def close(self) -> None:
        """No connection is left."""
        self._bell.engine.dispose()


def _key(phone: Phone) -> Key:
    return phone.session_id, phone.code
