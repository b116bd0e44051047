"""One history from one number: a world, what happens to it, and the verdict."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from domain.ids import key_of
from tests.simulation.drain import Worker
from tests.simulation.judge import judge
from tests.simulation.meddling import Scan, hold, let_go, meddle, put_right
from tests.simulation.rows import Operation, Task
from tests.simulation.runs import Runner
from tests.simulation.world import Violation, World

LONGEST_MS = 90_000
LOOKED_AT = 0.06  # share of the histories in which WPS is looked at
PROCESSES = frozenset((Worker, Runner))
LANE_B = ("a", "a", "b")
NAMES = {f"cal{n}": [(f"cal{n}·{v}", key_of(f"cal{n}·{v}")) for v in range(2)] for n in (1, 2)}
ROLLS = [
    {"u1": "reader", "u2": "reader"},
    {"u1": "reader", "u2": "writer", "u3": "reader"},
    {"u3": "reader"},
    {"u2": "reader", "u4": "reader"},
]

NAME_OF = {hash_: name for pairs in NAMES.values() for name, hash_ in pairs}
HASH_OF = {name: hash_ for hash_, name in NAME_OF.items()}
ROLLS_OF = {f"roll{n}": roll for n, roll in enumerate(ROLLS)}


class Universe(World):
    """A world with processes and misfortune."""

    __slots__ = ("after", "hash_of", "mishaps", "names", "rolls_of")

    def __init__(self, seed: int, log: list[str] | None = None) -> None:
        super().__init__(seed, log)
        self.names = NAME_OF
        self.hash_of = HASH_OF
        self.rolls_of = ROLLS_OF
        self.after: dict[int, int] = {}
        rnd = self.rnd
        self.mishaps = [3 + int(rnd() * 38)]
        if rnd() < 0.4:
            self.mishaps.append(self.mishaps[0] + int(rnd() * 50))

    def start(self, process: Worker | Runner, after: int = 0) -> None:
        self.processes.append(process)
        self.seq += 1
        heapq.heappush(self.heap, (self.now + after, self.seq, process))

    def quiet(self) -> bool:
        """Whether nothing is left to do, and nothing on its way."""
        if self.future or self.remote.pending:
            return False
        for task in self.tasks:
            if task.state == "queued":
                return False
        for job in self.open.values():
            if job.state == "queued":
                return False
        return not self.doubted

    def play(self) -> None:
        """Let everything happen until it is quiet."""
        heap, remote, pending = self.heap, self.remote, self.remote.pending
        pop, push_and_pop = heapq.heappop, heapq.heappushpop
        again = None  # the process that was just at work, with its next time
        while True:
            when, _, what = pop(heap) if again is None else push_and_pop(heap, again)
            again = None
            self.now = when
            if pending and pending[0][0] <= when:
                remote.until(when)
            if type(what) not in PROCESSES:
                what()
                continue
            if not what.alive:
                continue
            if what.frozen_until <= when:
                self.steps += 1
                if self.mishaps and self.steps >= self.mishaps[0] and what.lane is not None and not what.nailed:
                    self.strike(what)
                    if not what.alive:
                        continue
            self.seq += 1
            if what.frozen_until > when:
                again = (what.frozen_until, self.seq, what)
                continue
            delay = next(what.generator, None)
            if delay is None:  # it died of its work
                continue
            again = (when + delay, self.seq, what)
            if what.lane is None and delay > 20 and self.quiet():
                heapq.heappush(heap, again)
                return
            if when > LONGEST_MS:
                raise Violation(f"it does not end: {self.remains()}")

    def strike(self, process: Worker | Runner) -> None:
        """Kill it, or let it stand still for longer than its lease."""
        self.mishaps.pop(0)
        self.crashes += 1
        if self.rnd() < 0.5:
            self.kill(process)
            return
        self.freeze(process)

    def kill(self, process: Worker | Runner) -> None:
        self.say(process.name, "is killed")
        process.alive = False
        kind = type(process)
        self.at(self.now + 20 + int(self.rnd() * 400), lambda: self.start(kind(self, process.name + "'")))

    def freeze(self, process: Worker | Runner) -> None:
        still = int(self.rnd() * 2500) + (self.times.lease_ms if type(process) is Worker else 200)
        if still < self.times.lease_ms:
            self.crashes -= 1  # too short to count: it may find its task still its own
        process.frozen_until = self.now + still
        self.say(process.name, f"stands still until {process.frozen_until}")

    def take_apart(self) -> None:
        """Cut the circles, so that a world goes with its last name and nobody has to search for it."""
        for process in self.processes:
            process.generator = process.world = None
        self.heap.clear()
        self.remote.pending.clear()

    def remains(self) -> str:
        jobs = [f"{one.target}:{one.state}" for one in self.open.values()]
        intents = [one.target for one in self.mirror.values() if one.intent is not None]
        tasks = [f"run {one.id}:{one.state}" for one in self.tasks]
        return f"jobs {jobs}, intents {intents}, {tasks}"


def build(world: Universe) -> None:
    """Two imports of a small timetable, each put by a run in pages."""
    rnd, rng = world.rnd, world.rng
    lane2 = LANE_B[int(rnd() * 3)]
    first: list[list[Operation]] = []
    second: list[list[Operation]] = []
    drops = rnd() < 0.12
    for n, lane in ((1, "a"), (2, lane2)):
        group = f"cal{n}"
        count = (2 if n == 1 else 1) + (rnd() < 0.35)
        events = [f"e{n}{m}" for m in range(count)]
        page = [("calendar", group, group, lane, NAMES[group][0][1])]
        if n == 1 or rnd() < 0.4:
            page.append(("members", f"m{n}", group, lane, f"roll{int(rnd() * 4)}"))
        page += [("event", one, group, lane, "A") for one in events]
        first.append(page)
        change: list[Operation] = []
        if n == 2 and drops:
            second.append([("calendar", group, group, lane, "")])
            world.after[1] = 0
            continue
        draw = rnd()
        if draw < 0.1:
            change.append(("calendar", group, group, lane, NAMES[group][1][1]))
        if draw > 0.8 and len(page) > count + 1:
            change.append(("members", f"m{n}", group, lane, f"roll{int(rnd() * 4)}"))
        for one in events:
            draw = rnd()
            if draw < 0.5:
                change.append(("event", one, group, lane, "B" if draw < 0.3 else ""))
        if change:
            second.append(change)
    if rnd() < 0.08:
        some = rng.choice([one for page in first for one in page if one[0] != "members"])[1]
        (world.poison if some[0] == "e" else world.refused).add(some)
    elif rnd() < 0.02:
        world.deadly.add(rng.choice([one for page in first for one in page if one[0] == "event"])[1])
    world.tasks = [Task(0, 1, first, world.now)]
    if second:
        world.tasks.append(Task(1, 2, second, world.now + 50 + int(rnd() * 1800)))
    if second and rnd() < 0.01:
        world.tasks[1].deadly = True
    if rnd() < 0.15:
        world.tasks.append(slot(len(world.tasks), world.now + int(rnd() * 600)))
    if rnd() < 0.03:
        world.future += 1
        world.at(world.now + 300 + int(rnd() * 2000), lambda: meddle(world))
    keep_hours(world)
    look_around(world)


def look_around(world: Universe) -> None:
    """WPS is asked who people are before anything is sent, and is looked at in the middle of it."""
    rnd = world.rnd
    if rnd() < 0.12:
        world.people_asked = True
        world.tasks[0].pages[0].insert(0, ("users", "usr1", "usr1", "_", "people"))
    if rnd() < LOOKED_AT:
        first = len(world.tasks)
        around = world.tasks[1].run_at - 300 if first > 1 else world.now
        due = around + int(rnd() * 1500)
        world.tasks += [Scan(first, "verify", due), Scan(first + 1, "repair", due)]
        world.after[first + 1] = first


def keep_hours(world: Universe) -> None:
    """Off-peak hours end at some time, perhaps before the first put, and begin again."""
    rnd = world.rnd
    if rnd() < 0.2:
        world.future += 2
        ends = world.now + int(rnd() * 1200)
        world.at(ends, lambda: hold(world))
        world.at(ends + 100 + int(rnd() * 2500), lambda: let_go(world))


def slot(id_: int, due: int) -> Task:
    """A task of one long transaction, as a slot of a schedule is."""
    task = Task(id_, 1, [], due)
    task.stages = ["done", "done"]
    task.slow = True
    return task


@dataclass(frozen=True)
class Verdict:
    """What one history was, and the promise that was broken in it, if any."""

    seed: int
    broken: str | None
    operations: int
    calls: int
    crashes: int
    doubts: int


def play(seed: int, log: list[str] | None = None) -> Verdict:
    """Play the history of `seed`; with a `log` it is written there for people."""
    world = Universe(seed, log)
    broken = None
    try:
        build(world)
        world.start(Runner(world, "run"))
        for name in ("ann", "bob"):  # somebody is there when the first work comes, perhaps before the second import
            world.start(Worker(world, name), after=int(world.rnd() * 400))
        if world.rnd() < 0.3 or any(task.slow for task in world.tasks):
            world.start(Runner(world, "rex"))
        world.play()
        while world.crashes == 0 or world.doubts == 0 or world.operations < 4:
            once_more(world)
            world.play()
        if world.meddled:
            put_right(world)
        judge(world)
    except Violation as violation:
        broken = str(violation)
        world.say("judge", f"BROKEN: {broken}")
    verdict = Verdict(seed, broken, world.operations, world.calls, world.crashes, world.doubts)
    world.take_apart()
    return verdict


def once_more(world: Universe) -> None:
    """The history was too kind: one more change, and what it lacked."""
    world.seq += 1
    target = f"e1x{world.seq}"
    if not world.crashes:
        world.mishaps = [world.steps + 4 + int(world.rnd() * 12)]
    if not world.doubts:
        world.doubt_in = 1
    if "cal1" not in world.open:
        if "cal1" in world.dead():
            world.refused.discard("cal1")
            world.put("calendar", "cal1", "cal1", "a", world.wanted["cal1"][1], 2)
        world.put("event", target, "cal1", "a", "A", 2)
        world.wanted[target] = (2, "A")
