"""Every metric there is: its name, its labels, what it means.

Counters and histograms are counted in each process and told with its heartbeat; whoever is scraped adds up those of all
processes, on all machines, those that have ended included, so that no sum ever falls. Gauges are read at the scrape, where
the truth is: in the database and in Redis. Labels are routes, states and kinds that the code names; never people, and lanes
only the first few.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final, Literal

Counts = dict[str, Any]
"""Metric → labels, joined → a number, or for a histogram the numbers of its buckets and last the sum. Fit for JSON."""

BETWEEN: Final = "\x1f"
_MOST_SERIES: Final = 1_000  # of one metric and process: more would be a mistake in a label
_REST: Final = "other"
_FAST: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_SLOW: Final = (0.05, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0)


@dataclass(frozen=True, slots=True)
class Described:
    """A metric's name, its sentence, its labels, and for histograms the upper bounds of the buckets."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    kind: Literal["counter", "histogram", "gauge"] = "gauge"
    bounds: tuple[float, ...] = ()


CATALOGUE: Final[dict[str, Described]] = {}
_counted: list[Counter | Histogram] = []


def _described(one: Described) -> Described:
    CATALOGUE[one.name] = one
    return one


class Counter:
    """Grows only. Safe for threads."""

    def __init__(self, name: str, text: str, *labels: str) -> None:
        self.about = _described(Described(name, text, labels, "counter"))
        self._lock = threading.Lock()
        self._values: dict[str, float] = {}
        _counted.append(self)

    def add(self, *labels: str, by: float = 1) -> None:
        """Count. One value for each label."""
        with self._lock:
            key = _room(self._values, self.about, labels)
            self._values[key] = self._values.get(key, 0) + by

    def taken(self) -> dict[str, Any]:
        """What was counted since the process began."""
        with self._lock:
            return dict(self._values)


class Histogram:
    """How long things took, in seconds. Safe for threads."""

    def __init__(self, name: str, text: str, *labels: str, bounds: tuple[float, ...] = _FAST) -> None:
        self.about = _described(Described(name, text, labels, "histogram", bounds))
        self._lock = threading.Lock()
        self._values: dict[str, list[float]] = {}
        _counted.append(self)

    def observe(self, seconds: float, *labels: str) -> None:
        """Count one that took so long."""
        bounds = self.about.bounds
        with self._lock:
            key = _room(self._values, self.about, labels)
            found = self._values.setdefault(key, [0.0] * (len(bounds) + 2))
            found[bisect_left(bounds, seconds)] += 1
            found[-1] += seconds

    @contextmanager
    def timed(self, *labels: str) -> Iterator[None]:
        """Count how long the block takes, however it ends."""
        began = perf_counter()
        try:
            yield
        finally:
            self.observe(perf_counter() - began, *labels)

    def taken(self) -> dict[str, Any]:
        """What was counted since the process began."""
        with self._lock:
            return {key: list(found) for key, found in self._values.items()}


def _room(values: Mapping[str, Any], about: Described, labels: Sequence[str]) -> str:
    if len(labels) != len(about.labels):
        raise ValueError(f"{about.name} has the labels {about.labels}")
    key = BETWEEN.join(labels)
    full = key not in values and len(values) >= _MOST_SERIES
    return BETWEEN.join(_REST for _ in labels) if full else key


def taken() -> Counts:
    """All that this process has counted."""
    return {one.about.name: values for one in _counted if (values := one.taken())}


def add_up(many: Sequence[Counts]) -> Counts:
    """The counts of several processes as those of one."""
    total: Counts = {}
    for counts in many:
        for name, values in counts.items():
            into = total.setdefault(name, {})
            for key, value in values.items():
                into[key] = _plus(into[key], value) if key in into else value
    return total


def since(counts: Counts, before: Counts) -> Counts:
    """What was counted after `before`, which this process had taken earlier."""
    nothing: dict[str, Any] = {}
    return {
        name: {key: _minus(value, before.get(name, nothing).get(key)) for key, value in values.items()}
        for name, values in counts.items()
    }


def _plus(one: Any, other: Any) -> Any:
    if isinstance(one, list) and isinstance(other, list):
        # Code of another version may have had other buckets: what cannot be added up is not.
        return [a + b for a, b in zip(one, other, strict=True)] if len(one) == len(other) else one
    return one + other


def _minus(one: Any, before: Any) -> Any:
    if before is None:
        return one
    return [a - b for a, b in zip(one, before, strict=True)] if isinstance(one, list) else one - before


# --- counted in each process ------------------------------------------------------------------------------------------

HTTP_REQUESTS = Counter(
    "obsync_http_requests_total", "Requests by route template and status.", "method", "route", "status"
)
HTTP_SECONDS = Histogram("obsync_http_request_seconds", "How long requests took.", "method", "route")
ACTOR_RUNS = Counter("obsync_actor_runs_total", "Tasks that actors worked on, and what came of it.", "actor", "outcome")
ACTOR_SECONDS = Histogram("obsync_actor_seconds", "How long actors worked on a task.", "actor", bounds=_SLOW)
WPS_CALLS = Counter("obsync_wps_calls_total", "Calls to WPS, and what came of them.", "call", "outcome")
WPS_SECONDS = Histogram("obsync_wps_call_seconds", "How long calls to WPS took.", "call")
LANE_SLICES = Counter("obsync_lane_slices_total", "Slices of lanes, and why they ended.", "ended")
LANE_JOBS = Counter(
    "obsync_lane_jobs_total", "Jobs of lanes that calls were made for, and what came of them.", "kind", "outcome"
)
ADMISSIONS = Counter("obsync_limiter_admissions_total", "What the limiter answered.", "answer")
ADMISSION_WAIT = Histogram("obsync_limiter_wait_seconds", "How long the limiter let admitted calls wait.")
CHECK_INS = Counter("obsync_checkins_total", "Check-ins at the desk, and what they were told.", "outcome")
CHECK_IN_REFUSALS = Counter("obsync_checkin_refusals_total", "Check-ins that the desk refused, by cause.", "cause")
TOKENS_BELIEVED = Counter(
    "obsync_tokens_believed_total", "Check-ins by a token that stood a moment ago, while the database was away."
)
CHECK_INS_WRITTEN = Counter("obsync_checkins_written_total", "Check-ins that writers brought into the database.")
CHECK_INS_DEAD = Counter("obsync_checkins_dead_total", "Check-ins that the database refused.")
CHECK_IN_COMMIT = Histogram("obsync_checkin_commit_seconds", "How long a batch of check-ins took to commit.")
ATTENDANCE_DRIFT = Counter(
    "obsync_attendance_drift_total", "Counters and sums of attendance that a recount found to be wrong.", "kind"
)

# --- read at the scrape -----------------------------------------------------------------------------------------------


def _gauge(name: str, text: str, *labels: str) -> Described:
    return _described(Described(name, text, labels))


UP = _gauge("obsync_up", "Whether a part answers: 1, or 0.", "part")
PART_SECONDS = _gauge("obsync_part_seconds", "How long the look at a part took.", "part")
PROCESSES = _gauge("obsync_processes", "Processes by kind and state.", "process", "state")
POOL_IN_USE = _gauge(
    "obsync_db_pool_in_use", "Connections to the database that are in use, of all processes.", "process"
)
POOL_SIZE = _gauge("obsync_db_pool_size", "Connections to the database that may be open, of all processes.", "process")
QUEUE_WAITING = _gauge("obsync_queue_waiting", "Tasks that wait in a queue; of lanes the lanes that are due.", "queue")
QUEUE_OLDEST = _gauge("obsync_queue_oldest_seconds", "How long the oldest task of a queue has been due.", "queue")
QUEUE_PAUSED = _gauge("obsync_queue_paused", "Whether a person has paused the queue.", "queue")
LANES = _gauge("obsync_lanes", "Lanes by state.", "state")
LANE_PENDING = _gauge(
    "obsync_lane_pending", "Jobs that wait in a lane: the lanes with the most, the others together.", "tenant", "lane"
)
LANE_SPEED = _gauge(
    "obsync_lane_sent_per_minute",
    "Jobs of a lane that were sent within the last minute, of those lanes.",
    "tenant",
    "lane",
)
LANES_UNSETTLED = _gauge("obsync_intents_unsettled", "Writes whose outcome is not known.")
DEAD_LETTERS = _gauge("obsync_dead_letters", "Jobs that gave up and wait for a person.", "kind")
LIMITER_RATE = _gauge("obsync_limiter_rate", "Calls a second that the limiter grants now.")
LIMITER_MAX_RATE = _gauge("obsync_limiter_max_rate", "Calls a second that WPS grants us.")
LIMITER_TOKENS = _gauge("obsync_limiter_tokens", "Calls that may start at once; below zero they are promised already.")
LIMITER_IN_FLIGHT = _gauge("obsync_limiter_in_flight", "Calls under way.")
LIMITER_BLOCKED = _gauge("obsync_limiter_blocked_seconds", "For how long WPS wants no call at all.")
BREAKER = _gauge("obsync_wps_circuit", "The state of the circuit breaker: 1 for the one it is in.", "state")
STREAM_LENGTH = _gauge("obsync_checkin_stream_length", "Check-ins that are not committed yet.")
STREAM_OLDEST = _gauge(
    "obsync_checkin_stream_oldest_seconds", "How long the oldest check-in has waited for its commit."
)
CHECK_INS_EXPECTED = _gauge(
    "obsync_checkins_expected_per_minute", "Check-ins of the busiest minute of the next three hours, of all schools."
)
WORKERS_SUGGESTED = _gauge("obsync_workers_suggested", "How many processes the next three hours take.", "process")
SWITCHES_ON = _gauge("obsync_switches_on", "Schools in which a switch is on.", "switch")
STATS_OWED = _gauge("obsync_stats_owed_sessions", "Closed sessions that the statistics do not know all of.")
RUNS = _gauge("obsync_runs", "Runs that have not ended, by state.", "state")
QUESTIONS = _gauge("obsync_questions_open", "Runs that wait for a person's answer.")
QUESTIONS_OLDEST = _gauge("obsync_questions_oldest_seconds", "How long the oldest of them has waited.")
SYNCED_AGO = _gauge("obsync_run_succeeded_ago_seconds", "Since when no run over the timetable has succeeded.")
DISCREPANCIES = _gauge("obsync_discrepancies", "Differences between WPS and what was sent, by state.", "state")
CONSISTENT = _gauge(
    "obsync_calendars_consistent_ratio", "Of the calendars that were verified, those without a difference."
)
ATTENDANCE = _gauge("obsync_attendance", "Students in the sessions of the last 24 hours, by standing.", "standing")
QUARANTINED = _gauge("obsync_quarantined_rows", "Rows of the sources that were not used or look odd.", "kind")
SCRAPE_SECONDS = _gauge("obsync_scrape_seconds", "How long it took to read all this.")
