"""A worker of queue tasks: runs are carried forward a page at a time, each page under the claim."""

from __future__ import annotations

from collections.abc import Iterator

from domain.jobs import OnFinish, gives_up, may_claim, may_keep, on_finish
from domain.run_moves import Move, move, stage_at
from tests.simulation.rows import Task
from tests.simulation.world import Violation, World

VISIBILITY_MS = 900
MAX_ATTEMPTS = 5
POLL_MS = 1_800


class Runner:
    """A process of queue workers with one thread."""

    __slots__ = ("alive", "claim", "frozen_until", "generator", "lane", "nailed", "name", "world")

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.alive = True
        self.nailed = False
        self.frozen_until = 0
        self.lane: str | None = None  # what it holds
        self.claim = ""
        self.generator: Iterator[int] = self.life()

    def life(self) -> Iterator[int]:
        world = self.world
        while True:
            task = claimable_task(world)
            if task is None:
                now = world.now
                waiting = [max(one.run_at - now, 0) or 1200 for one in world.tasks if one.state == "queued"]
                if not waiting:
                    return
                yield min(waiting) + int(world.rnd() * 20)
                continue
            if not claim(world, task, self):
                continue
            rev = task.rev
            self.lane = f"task {task.id}"
            if task.deadly and task.cursor == 0:
                self.die(task)
                return
            yield from self.advance(task, rev)
            self.lane = None

    def die(self, task: Task) -> None:
        world = self.world
        deaths = world.deaths[self.lane or ""] = world.deaths.get(self.lane or "", 0) + 1
        if deaths > 2 * MAX_ATTEMPTS:
            raise Violation(f"{self.lane} has killed {deaths} workers and is never buried")
        world.say(self.name, f"dies of {self.lane}")
        self.alive = False
        world.crashes += 1
        world.at(world.now + 30, lambda: world.start(Runner(world, self.name + "'")))

    def advance(self, task: Task, rev: int) -> Iterator[int]:
        """Move by move, each a transaction that begins with the claim."""
        world = self.world
        while True:
            at = stage_at(task.stages)
            what = move(ended=task.ended, stage_state=None if at is None else task.stages[at])
            yield 2
            if what is Move.CLOSE or what is Move.FINISH:
                if task.slow:
                    yield 700
                finish(world, task, self, rev)
                return
            if not self.keep(task):
                return
            if what is Move.START:
                task.stages[at] = "running"
                continue
            done = task.step(world, at)
            if done is None:
                task.run_at, task.claim, task.attempts = world.now + POLL_MS, None, 0
                return
            if done:
                task.stages[at] = "done"

    def keep(self, task: Task) -> bool:
        """Heartbeat and fence."""
        world = self.world
        if not may_keep(state=task.state, claim=task.claim, mine=self.claim):
            world.say(self.name, f"has lost task {task.id}: nothing of it is written")
            return False
        task.run_at = task.busy_until = world.now + VISIBILITY_MS
        return True


def claimable_task(world: World) -> Task | None:
    """The first that is due, and no other run of its scope is under way."""
    for task in world.tasks:
        if may_claim(state=task.state, run_at=task.run_at, now=world.now):
            before = world.after.get(task.id)
            if before is None or world.tasks[before].state != "queued":
                return task
    return None


def claim(world: World, task: Task, runner: Runner) -> bool:
    """Count the attempt, then work; worn out, it is a dead letter."""
    if not may_claim(state=task.state, run_at=task.run_at, now=world.now):
        return False
    count(task)
    if gives_up(attempts=task.attempts, max_attempts=MAX_ATTEMPTS):
        task.state = "dead"
        world.say(runner.name, f"buries task {task.id}")
        return False
    world.seq += 1
    runner.claim = task.claim = f"{runner.name}/{world.seq}"
    task.run_at = task.busy_until = world.now + VISIBILITY_MS
    return True


def count(task: Task) -> None:
    """Before the work: one that kills its worker is counted all the same."""
    task.attempts += 1


def finish(world: World, task: Task, runner: Runner, rev: int) -> None:
    """Close the task unless it was asked for again, or is somebody else's."""
    what = on_finish(state=task.state, claim=task.claim, mine=runner.claim, rev=task.rev, claimed_rev=rev)
    if what is OnFinish.NOTHING:
        return
    if task.claim is not None and task.claim != runner.claim and task.busy_until > world.now:
        raise Violation(f"task {task.id} was taken from {task.claim}, which is at work on it")
    task.ended = True
    if what is OnFinish.CLOSE:
        task.state = "done"
        world.say(runner.name, f"ends run {task.id}")
    else:
        task.run_at, task.attempts, task.claim = world.now, 0, None
