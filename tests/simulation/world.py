"""The database of the simulation: what the SQL of the product does, on rows in memory, by the same decisions.

Every method is one transaction or part of one: nothing else runs meanwhile.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any

from domain.jobs import (
    HELD,
    OnPut,
    is_blocked_by_calendar,
    is_blocked_when_put,
    is_due,
    is_superseded,
    is_to_settle,
    is_unblocked_by_calendar,
    is_wanted,
    on_put,
    state_after_put,
)
from domain.lanes import LaneRow, OnClaim, may_write, on_claim
from domain.settlement import walk_answers
from tests.simulation.remote import TIMES, Remote
from tests.simulation.rows import LOOK_UPS, ONLY_READ, Job, Row, Task, Walk


class Violation(AssertionError):
    """A promise of the product was broken."""


class World:
    """Everything of one history: both sides, the clock, and who is at work."""

    __slots__ = (
        "buried", "calls", "closed", "crashes", "deadly", "deaths", "done_walk", "doubt_in", "doubted", "doubts", "flying",
        "future", "groups", "heap", "lanes", "log", "looks", "meddled", "members", "mirror", "noted", "now", "open",
        "operations", "peak", "people_asked", "people_known", "poison", "processes", "refused", "remote", "rnd",
        "rng", "rolls", "sent_at", "seq", "steps", "tasks", "times", "walk", "wanted",
    )  # fmt: skip

    def __init__(self, seed: int, log: list[str] | None = None) -> None:
        self.rng = random.Random(seed)
        self.rnd = self.rng.random
        self.log = log
        self.now = 1_000
        self.seq = 0
        self.heap: list = []
        self.remote = Remote()
        self.times = TIMES
        self.lanes: dict[str, LaneRow] = {}
        self.mirror: dict[str, Row] = {}
        self.doubted: dict[str, Row] = {}
        self.groups: dict[str, list[Row]] = {}
        self.members: dict[str, dict[str, tuple[str, str]]] = {}
        self.rolls: dict[str, dict[str, str]] = {}
        self.open: dict[str, Job] = {}
        self.closed: list[Job] = []
        self.walk: Walk | None = None
        self.done_walk: Walk | None = None
        self.tasks: list[Task] = []
        self.flying: dict[str, tuple[int, object]] = {}  # lane → (until, worker)
        self.poison: set[str] = set()
        self.refused: set[str] = set()
        self.deadly: set[str] = set()
        self.deaths: dict[str, int] = {}
        self.wanted: dict[str, tuple[int, str]] = {}  # target → (import, hash), what the judge expects
        self.calls = self.crashes = self.doubts = self.operations = self.steps = 0
        self.doubt_in = 1 + int(self.rnd() * 4)  # the write that is certain to be in doubt
        self.peak = False  # far jobs are held
        self.meddled = False  # a person has changed something at WPS
        self.looks: dict[str, Any] = {}  # calendar → how far a walk of it has come
        self.noted: dict[str, dict[tuple[str, str, str], int]] = {}  # calendar → what differs → looks that saw it
        self.sent_at: dict[str, int] = {}  # calendar → when a job that sends was closed last
        self.buried = False
        self.people_asked = self.people_known = False
        self.future = 0  # events of the outside that are still to come
        self.processes: list = []

    def say(self, who: str, what: str) -> None:
        if self.log is not None:
            self.log.append(f"{self.now:>7} ms  {who:<10} {what}")

    def at(self, when: int, what: Callable[[], None]) -> None:
        self.seq += 1
        heapq.heappush(self.heap, (when, self.seq, what))

    # --- put ----------------------------------------------------------------------------------------------------------

    def put(self, kind: str, target: str, group: str, lane: str, hash_: str, import_no: int, run: int = 0) -> None:
        """The desired state of a target; `hash_` blank: it should be gone."""
        if lane not in self.lanes:
            self.lanes[lane] = LaneRow(None, 0, 0, 0, False)
        newest = 0
        if kind not in ONLY_READ:
            row = self.mirror.get(target) or self.new_row(kind, target, group, lane)
            newest = row.import_no
        job = self.open.get(target)
        what = on_put(
            newest_import=newest,
            import_no=import_no,
            open_state=job.state if job is not None else None,
            open_hash=job.hash if job is not None else None,
            desired_hash=hash_,
        )
        if what is OnPut.OLDER:
            return
        if kind not in ONLY_READ and import_no > newest:
            row.import_no = import_no
        if self.buried:
            self.supersede(target)
        may_wait = self.may_wait(kind, target)
        if what is OnPut.FRESH:
            self.fresh(kind, target, group, lane, hash_, import_no, run)
            self.open[target].state = state_after_put(open_state=None, moved=False, may_wait=may_wait)
        else:
            assert job is not None
            job.run, job.import_no = run, import_no
            if what is OnPut.CHANGE:
                job.state = state_after_put(open_state=job.state, moved=False, may_wait=may_wait)
                job.hash, job.attempts, job.run_at = hash_, 0, self.now
                job.rev += 1
            else:
                job.state = state_after_put(open_state=job.state, moved=True, may_wait=may_wait)
        calendar = self.open.get(group)
        if not may_wait and calendar is not None and calendar.state == HELD and kind not in ONLY_READ:
            calendar.state = "queued"
        dead = self.buried and self.is_dead(group)
        if is_blocked_when_put(kind=kind, calendar_dead=dead, calendar_state=self.state_of(group)):
            self.open[target].state = "blocked"
        if kind == "calendar":
            for one in self.open.values():
                if one.group_id == target and is_unblocked_by_calendar(state=one.state):
                    one.state, one.run_at = "queued", self.now

    def supersede(self, target: str) -> None:
        """Its dead letter must not come back later."""
        for one in self.closed:
            if one.target == target and is_superseded(one.state):
                one.state = "superseded"

    def is_dead(self, group: str) -> bool:
        """Whether the last word about a calendar is a dead letter."""
        return any(one.state == "dead" and one.target == group for one in self.closed)

    def state_of(self, group: str) -> str:
        calendar = self.mirror.get(group)
        return "none" if calendar is None else calendar.state

    def may_wait(self, kind: str, target: str) -> bool:
        """Whether a job is put as held: half of all targets are far away, and it is peak time."""
        return self.peak and kind not in ONLY_READ and sum(map(ord, target)) % 2 == 0

    def new_row(self, kind: str, target: str, group: str, lane: str) -> Row:
        row = self.mirror[target] = Row(kind, target, group, lane, self.doubted)
        self.groups.setdefault(group, []).append(row)
        return row

    def fresh(self, kind: str, target: str, group: str, lane: str, hash_: str, import_no: int, run: int) -> None:
        self.seq += 1
        job = Job(self.seq, kind, target, group, lane, hash_, self.now)
        job.import_no, job.run = import_no, run
        self.open[target] = job

    # --- lanes --------------------------------------------------------------------------------------------------------

    def enter(self, lane: str, fence: int) -> bool:
        """First of every effect: whether the fence still counts."""
        return may_write(self.lanes[lane], fence=fence)

    def due_lane(self) -> tuple[str | None, int]:
        """A lane that somebody should claim now, and when to look again if there is none."""
        now = self.now
        soon = now + 2_500
        if not self.open and not self.doubted:
            return None, soon
        lanes = self.lanes
        claimable = [name for name, row in lanes.items() if on_claim(row, now=now) is not OnClaim.REFUSE]
        found: list[str] = []
        if claimable:
            mirror = self.mirror
            for row in self.doubted.values():
                if row.lane not in claimable:
                    continue
                parked = mirror[row.group_id].parked_until
                if is_to_settle(settle_at=row.settle_at, parked_until=parked, now=now):
                    if row.lane not in found:
                        found.append(row.lane)
                elif now < parked < soon:
                    soon = parked
            if len(found) < len(claimable):
                for job in self.open.values():
                    if job.run_at > now:
                        soon = min(soon, job.run_at)
                    elif job.lane in claimable and job.lane not in found and self.is_due(job):
                        found.append(job.lane)
            if found:
                return (found[0] if len(found) == 1 else found[int(self.rnd() * len(found))]), now
        for lane in lanes.values():
            # A free lane may rest, an owned one may be taken over when its lease has run out.
            when = lane.not_before if lane.owner is None else lane.lease_until + 1
            if now < when < soon:
                soon = when
        return None, soon

    def is_due(self, job: Job) -> bool:
        if job.kind in LOOK_UPS:
            return job.state == "queued" and job.run_at <= self.now
        calendar = self.mirror.get(job.group_id)
        if calendar is None:
            return False
        return is_due(
            state=job.state,
            run_at=job.run_at,
            kind=job.kind,
            calendar_state=calendar.state,
            parked_until=calendar.parked_until,
            now=self.now,
        )

    # --- closing ------------------------------------------------------------------------------------------------------

    def close(self, job: Job, rev: int, state: str = "done") -> bool:
        """Close the job if it still asks for what was sent."""
        if not is_wanted(state=job.state, rev=job.rev, seen_rev=rev):
            return False
        job.state = state
        if job.kind not in ONLY_READ:
            self.sent_at[job.group_id] = self.now
        self.take_out(job)
        return True

    def take_out(self, job: Job) -> None:
        if self.open.get(job.target) is job:
            del self.open[job.target]
        self.closed.append(job)

    def bury(self, job: Job, rev: int) -> None:
        """A dead letter; what waits for a dead calendar is blocked."""
        self.buried = True
        if self.close(job, rev, "dead") and job.kind == "calendar":
            for one in self.open.values():
                if one.group_id == job.target and is_blocked_by_calendar(kind=one.kind, state=one.state):
                    one.state = "blocked"

    def close_target(self, target: str, rev: int) -> bool:
        job = self.open.get(target)
        return job is not None and self.close(job, rev)

    def forget_calendar(self, group: str) -> None:
        """The calendar is gone, and everything in it."""
        for row in self.groups[group]:
            if row.state == "live" or row.intent is not None:
                row.gone()
        self.members[group] = {}

    def calendar_deleted(self, group: str, *, wanted_again: bool) -> None:
        self.forget_calendar(group)
        if not wanted_again:
            for job in [one for one in self.open.values() if one.group_id == group and one.kind != "calendar"]:
                job.state = "cancelled"
                self.take_out(job)

    def put_calendar_again(self, group: str, lane: str) -> None:
        """Somebody deleted the calendar: asked for again, unless an open job says what is wanted of it."""
        if group not in self.open:
            row = self.mirror[group]
            self.put("calendar", group, group, lane, self.hash_of[row.name or group], row.import_no)

    def again(self, target: str) -> None:
        """What the timetable wants of the target is asked for again; a person's dead letters stay."""
        row = self.mirror[target]
        hash_ = self.wanted.get(target, (0, ""))[1]
        dead = self.dead()
        if hash_ and target not in dead and row.group_id not in dead:
            self.put(row.kind, target, row.group_id, row.lane, hash_, row.import_no)

    # --- walks --------------------------------------------------------------------------------------------------------

    def find(self, name: str, settle_at: int) -> list[str] | None:
        """Ids of calendars of that name in a walk that counts; None: no such walk yet."""
        for walk in (self.walk, self.done_walk):
            if walk is not None and walk_answers(
                started_ms=walk.started, finished_ms=walk.finished, settle_at=settle_at
            ):
                return sorted(id_ for called, id_ in walk.names if called == name)
        return None

    def dead(self) -> set[str]:
        """Targets whose last word is a dead letter."""
        return {one.target for one in self.closed if one.state == "dead"}
