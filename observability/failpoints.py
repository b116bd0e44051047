"""Places at which a process can be told to fail, so that tests meet every crash they are about, and only that one.

    OBSYNC_FAILPOINTS='wps.after_send:kill@3;db.before_complete:raise'

Nothing is armed unless that setting says so at the start of the process; then a point that is not named costs one look at an
empty table. Entries are `point:action` or `point:action@n`, joined by `;`. With `@n` the action is taken at the n-th time the
process comes by, without it each time.

| action | what happens |
| --- | --- |
| `kill` | SIGKILL of this process, in the middle of whatever its threads do |
| `stop` | SIGSTOP of this process, until somebody continues it |
| `raise` | `FailedOnPurpose`, which nothing of the product expects |
| `sleep:MS` | this thread waits so many milliseconds |
| `drop` | `failpoint` answers True: the caller loses the reply it holds; only where the table below says so |
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final


@dataclass(frozen=True, slots=True)
class Point:
    """Where a point is and what has happened when it is reached. `drops`: a reply can be lost there."""

    where: str
    reached: str
    drops: bool = False


POINTS: Final[Mapping[str, Point]] = {
    "lanes.after_claim": Point("usecases/lanes.py", "a lane is ours in the database; nothing was done with it"),
    "lanes.before_renew": Point("usecases/lanes.py", "leases are about to be prolonged"),
    "lanes.before_release": Point("usecases/lanes.py", "the slice is over, the lane is still ours"),
    "lanes.after_intent": Point("usecases/sync/calling.py", "the intent is committed, nothing was sent"),
    "wps.before_send": Point("remote/wps/transport.py", "the connection is open; the guard was not asked yet"),
    "wps.after_send": Point("remote/wps/transport.py", "WPS has answered, the answer is not read", drops=True),
    "wps.after_reply": Point("remote/wps/transport.py", "the answer is read and not looked at", drops=True),
    "members.after_call": Point("usecases/sync/sending.py", "a call about members has come back"),
    "db.before_complete": Point("usecases/sync/calling.py", "a result is written and not committed"),
    "db.after_complete": Point("usecases/sync/calling.py", "a result is committed"),
    "settle.after_walk": Point("usecases/sync/draining.py", "what is in doubt was looked up; no answer is written"),
    "walk.after_page": Point("usecases/sync/recording.py", "a page of the calendar list is written, not committed"),
    "verify.after_page": Point("usecases/sync/draining.py", "a page of a calendar that is verified was read"),
    "jobs.after_claim": Point("usecases/tasks.py", "a task is ours and its attempt is counted"),
    "import.after_page": Point("usecases/sync/importing.py", "a page of the source is committed"),
    "sessions.after_page": Point("usecases/sync/stages/aggregate.py", "a page of sessions is committed, no progress"),
    "plan.after_unit": Point("usecases/sync/stages/plan.py", "a page of the plan is committed, no progress"),
    "run.after_stage": Point("usecases/sync/runs.py", "the end of a stage is committed"),
    "tick.after_slot": Point("usecases/schedules.py", "a slot and its task are written, not committed"),
    "api.after_work": Point("web/idempotency.py", "the work of a request is committed, its answer is on its way"),
    "checkins.between_statements": Point("usecases/check_in_batch.py", "records are written; their details are not"),
    "checkins.before_commit": Point("usecases/check_in_batch.py", "a batch is written and not committed"),
    "checkins.before_ack": Point("workers/batcher.py", "a batch is committed and still stands in the stream"),
    "broker.before_ack": Point("actors", "an actor has done its work; its message is not acknowledged"),
}
"""Every point there is. A test compares it with the sources."""


class FailedOnPurpose(Exception):
    """A point was told to raise; it names the point."""


Action = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class _Entry:
    act: Action
    nth: int | None  # None: each time


_armed: dict[str, list[_Entry]] = {}
_hits: dict[str, int] = {}
_lock = threading.Lock()


def failpoint(name: str) -> bool:
    """Do what this process was told to do at the point, usually nothing. True: lose the reply. May not return at all."""
    if not _armed or name not in _armed:
        return False
    with _lock:
        _hits[name] = hit = _hits.get(name, 0) + 1
        due = [entry.act for entry in _armed[name] if entry.nth in (None, hit)]
    lost = [act(name) for act in due]
    return any(lost)


def arm(spec: str) -> None:
    """Make the points of `spec` fail from now on, counting from zero; blank disarms all. Raises ValueError."""
    entries = parse(spec)
    with _lock:
        _hits.clear()
        _armed.clear()
        _armed.update(entries)


def parse(spec: str) -> dict[str, list[_Entry]]:
    """What a setting asks for, by point. Raises ValueError, which says what to write instead."""
    found: dict[str, list[_Entry]] = {}
    for text in filter(None, (part.strip() for part in spec.split(";"))):
        name, colon, action = text.partition(":")
        if name not in POINTS:
            raise ValueError(f"there is no failpoint {name!r}; use one of {', '.join(POINTS)}")
        if not colon:
            raise ValueError(f"{name!r} has no action; use {name}:kill, stop, raise, drop or sleep:MS")
        found.setdefault(name, []).append(_entry(name, action))
    return found


def _entry(name: str, text: str) -> _Entry:
    action, at, nth = text.partition("@")
    if at and not (nth.isascii() and nth.isdigit() and int(nth) > 0):
        raise ValueError(f"{name}:{text} counts by {nth!r}; after @ use a whole number from 1")
    return _Entry(_action(name, action), int(nth) if at else None)


def _action(name: str, text: str) -> Action:
    word, colon, value = text.partition(":")
    if word == "sleep" and value.isascii() and value.isdigit():
        return partial(_sleep, int(value) / 1000)
    if word == "drop" and not POINTS[name].drops:
        able = ", ".join(point for point, meaning in POINTS.items() if meaning.drops)
        raise ValueError(f"{name} has no reply to drop; only {able} have")
    if colon or word not in ACTIONS:
        raise ValueError(f"{name}:{text} is no action; use kill, stop, raise, drop or sleep:MS")
    return ACTIONS[word]


def _sleep(wait_s: float, _: str) -> bool:
    time.sleep(wait_s)
    return False


def _kill(_: str) -> bool:
    os.kill(os.getpid(), signal.SIGKILL)
    return False


def _stop(_: str) -> bool:
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(0.05)  # the signal may reach another thread first, and this one must not run on meanwhile
    return False


def _raise(name: str) -> bool:
    raise FailedOnPurpose(f"failpoint {name}")


def _drop(_: str) -> bool:
    return True


ACTIONS: Final[dict[str, Action]] = {"kill": _kill, "stop": _stop, "raise": _raise, "drop": _drop}
"""What can be asked for beside `sleep`."""
