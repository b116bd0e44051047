"""A full run of a small campus, stage by stage and page by page, planned by the product's own comparison.

import ─▶ sessions ─▶ people ─▶ plan ─▶ calendars ─▶ members ─▶ events ─▶ a look at all of them
"""

from __future__ import annotations

import hashlib
import json

from domain.ids import key_of
from domain.plans import Desired, diff
from tests.simulation.drain import Worker
from tests.simulation.history import NAMES, ROLLS, Universe
from tests.simulation.judge import judge
from tests.simulation.meddling import ask
from tests.simulation.rows import Task
from tests.simulation.runs import Runner

Timetable = dict[str, dict[str, str]]  # calendar → session → what its event says

FIRST: Timetable = {"cal1": {"e10": "A", "e11": "A", "e12": "A"}, "cal2": {"e20": "A", "e21": "A"}}
SECOND: Timetable = {"cal1": {"e10": "B", "e12": "A", "e13": "A"}}
STAGES = ("import", "sessions", "users", "plan", "calendar", "members", "event", "verify")
PAGES = {"import": "_read", "sessions": "_make", "users": "_ask_people", "plan": "_plan", "verify": "_ask_looks"}


class FullRun(Task):
    """Everything it knows is stored: what it has read so far, where it is, and what it has made of it."""

    __slots__ = ("asked", "source", "staged")

    def __init__(self, id_: int, import_no: int, source: Timetable, run_at: int) -> None:
        super().__init__(id_, import_no, [], run_at)
        self.source = source
        self.asked = ""
        self.staged: list[tuple[str, str, str]] = []
        self.stages = ["waiting"] * len(STAGES)

    def step(self, world: Campus, at: int) -> bool | None:
        """A page of the stage: whether it was the last; None while the lanes are at work."""
        world.say(f"run {self.id}", f"{STAGES[at]}, page {self.cursor + 1}")
        if self.asked == STAGES[at] or STAGES[at] not in PAGES:
            waits = any(one.kind == STAGES[at] and one.run == self.id for one in world.open.values())
            return None if waits else True
        over: bool = getattr(self, PAGES[STAGES[at]])(world)
        self.cursor = 0 if over else self.cursor + 1
        if over and STAGES[at] in ("users", "verify"):
            self.asked, over = STAGES[at], False  # and now it waits for the lanes
        return over

    def _ask_people(self, world: Campus) -> bool:
        world.put("users", f"usr{self.id}", f"usr{self.id}", "_", "people", 0, self.id)
        return True

    def _ask_looks(self, world: Campus) -> bool:
        ask(world, "verify", self.id)
        return True

    def _read(self, world: Campus) -> bool:
        rows = [(cal, one, says) for cal, held in self.source.items() for one, says in held.items()]
        page = rows[2 * self.cursor : 2 * self.cursor + 2]
        self.staged += page
        return 2 * self.cursor + 2 >= len(rows)

    def _make(self, world: Campus) -> bool:
        courses = sorted(self.source)
        if self.cursor < len(courses):
            mine = courses[self.cursor]
            world.sessions[mine] = {one: says for cal, one, says in self.staged if cal == mine}
            return False
        for gone in world.sessions.keys() - self.source.keys():  # the sweep
            del world.sessions[gone]
        return True

    def _plan(self, world: Campus) -> bool:
        courses = sorted(set(world.sessions) | {one.target for one in world.mirror.values() if one.kind == "calendar"})
        if self.cursor < len(courses):
            world.plan(courses[self.cursor], self)
        return self.cursor + 1 >= len(courses)


class Campus(Universe):
    """A world without chance: what happens is what the test lets happen."""

    __slots__ = ("lanes_of", "sessions")

    def __init__(self, log: list[str] | None = None) -> None:
        super().__init__(0, log)
        self.rnd = lambda: 0.5
        self.mishaps = []
        self.doubt_in = -1
        self.sessions: dict[str, dict[str, str]] = {}
        self.lanes_of = {"cal1": "a", "cal2": "b"}
        self.rolls = {"cal1": ROLLS[0], "cal2": ROLLS[2]}

    def plan(self, group: str, run: FullRun) -> None:
        """The differences of one course, put as jobs."""
        held = self.sessions.get(group)
        wanted: list[Desired] = []
        if held:
            wanted.append(Desired("calendar", group, NAMES[group][0][1], "", ""))
            wanted.append(Desired("members", f"m{group[3:]}", "roll", "", ""))
            wanted += [Desired("event", one, key_of(says), "", "") for one, says in sorted(held.items())]
        queued = {one.target: one.hash for one in self.open.values() if one.group_id == group}
        for one in diff(wanted, self.groups.get(group, []), queued=queued, calendar=group):
            hash_ = one.desired.hash if one.desired is not None else ""
            self.put(one.kind, one.target, group, self.lanes_of[group], hash_, run.import_no, run.id)
            self.wanted[one.target] = (run.import_no, hash_)

    def fingerprint(self) -> str:
        """Both sides in one hash: what WPS holds, and what the mirror says of it. Ids are left out: they are WPS's affair."""
        remote = self.remote
        theirs = sorted(
            (
                name,
                sorted((marker, says) for marker, says, _ in remote.events[id_].values()),
                sorted((user, role) for user, (role, _) in remote.members[id_].items()),
            )
            for id_, name in remote.calendars.items()
        )
        ours = sorted(
            (one.target, one.state, one.sent_hash, one.marker, one.generation) for one in self.mirror.values()
        )
        tasks = [(one.state, one.ended, one.stages) for one in self.tasks]
        looked = [self.people_known, sorted(self.noted.items()), sorted(self.looks)]
        sides = [theirs, ours, tasks, sorted(self.sessions.items()), sorted(self.open), looked]
        return hashlib.sha256(json.dumps(sides).encode()).hexdigest()


class Struck(Campus):
    """The same, with one blow at one step."""

    __slots__ = ("blow",)

    def __init__(self, at: int, blow: str, log: list[str] | None = None) -> None:
        super().__init__(log)
        self.mishaps = [at]
        self.blow = blow

    def strike(self, process: Worker | Runner) -> None:
        self.mishaps.pop(0)
        self.crashes += 1
        (self.kill if self.blow == "kill" else self.freeze)(process)


def carried_out(campus: Campus) -> Campus:
    """Two full runs, the second on a source that has changed; to the end."""
    campus.tasks = [FullRun(0, 1, FIRST, campus.now), FullRun(1, 2, SECOND, campus.now)]
    campus.after = {1: 0}
    for process in (Worker(campus, "ann"), Worker(campus, "bob"), Runner(campus, "run"), Runner(campus, "rex")):
        campus.start(process)
    campus.play()
    judge(campus)
    return campus
