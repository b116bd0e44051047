"""A worker that drains lanes: the order of the product's drain, one `yield` wherever a process may die or freeze.

choose ─▶ pay ─▶ one transaction: results, intents of this one ─▶ guard ─▶ call ─▶ guard ─▶ call …
                                                                            └ meanwhile the next one is promised
"""

from __future__ import annotations

from collections.abc import Iterator

from domain.jobs import is_wanted
from domain.lanes import (
    OnClaim,
    keeps_promise,
    may_promise_ahead,
    may_renew,
    may_send,
    on_claim,
    shows_life,
    slice_is_over,
    taken,
    taken_over,
)
from domain.outcomes import counts_before
from domain.settlement import Intent, Verb
from tests.simulation import looking, record
from tests.simulation.choose import Call, Close, Settle, Verify, Work, Worn, choose
from tests.simulation.exchange import NOT_SENT, Answer, send
from tests.simulation.look import look
from tests.simulation.rows import LOOK_UPS
from tests.simulation.world import Violation, World

RENEW_MS = 250
change = object.__setattr__  # a row of the table changes in place, though nobody else may change what is read of it


class FenceLost(Exception):
    """The lane has another owner: nothing more is written."""


class Rest(Exception):
    """The slice ends here, and the lane rests for `ms`."""

    def __init__(self, ms: int) -> None:
        super().__init__(ms)
        self.ms = ms


class Worker:
    """A process. `held` is its lane; it dies at any step, or stands still and goes on as if nothing had happened."""

    __slots__ = (
        "alive", "began", "calls", "claim", "deadline", "fence", "finished", "frozen_until", "generator", "keeping",
        "lane", "nailed", "name", "starved_until", "step_at", "unsent", "world",
    )  # fmt: skip

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.alive = True
        self.nailed = False  # between guard and first byte: a stall there is of bounded length
        self.frozen_until = 0
        self.starved_until = 0  # its keeper does not get through to the database
        self.lane: str | None = None
        self.claim = ""
        self.fence = 0
        self.deadline = 0
        self.step_at = 0
        self.unsent = False
        self.keeping = False
        self.calls = 0
        self.began = 0
        self.finished: list[tuple[Call, Answer]] = []
        self.generator: Iterator[int] = self.life()

    def life(self) -> Iterator[int]:
        """Claim what is due, work a slice of it, give it back; for ever."""
        world, rnd = self.world, self.world.rnd
        while self.alive:
            lane, soon = world.due_lane()
            if lane is None:
                yield max(1, soon - world.now) + int(rnd() * 20)
                continue
            yield 1 + int(rnd() * 4)
            if self.take(lane):
                yield from self.slice(lane)

    def take(self, lane: str) -> bool:
        world = self.world
        row = world.lanes[lane]
        what = on_claim(row, now=world.now)
        if what is OnClaim.REFUSE:
            return False
        if what is OnClaim.TAKE_OVER:
            world.lanes[lane] = taken_over(row, times=world.times)
            world.say(self.name, f"takes lane {lane} from {row.owner}; it rests")
            return False
        world.seq += 1
        self.claim = f"{self.name}/{world.seq}"
        mine = world.lanes[lane] = taken(row, claim=self.claim, now=world.now, times=world.times)
        self.lane, self.fence, self.deadline, self.step_at = lane, mine.fence, mine.lease_until, world.now
        if world.log is not None:
            world.say(self.name, f"claims lane {lane} with fence {mine.fence}")
        if not self.keeping:
            self.keeping = True
            world.at(world.now + RENEW_MS, self.keep)
        if world.rnd() < 0.04:
            self.starved_until = world.now + 2_000
        return True

    def keep(self) -> None:
        """The keeper: a thread of the same process, so it stands still with it."""
        world = self.world
        if not self.alive or self.lane is None:
            self.keeping = False
            return
        if self.frozen_until > world.now:
            world.at(self.frozen_until + int(world.rnd() * 3), self.keep)
            return
        row = world.lanes[self.lane]
        if (
            shows_life(since_step_ms=world.now - self.step_at, times=world.times)
            and self.starved_until <= world.now
            and may_renew(row, claim=self.claim, fence=self.fence)
        ):
            self.deadline = world.now + world.times.lease_ms
            change(row, "lease_until", self.deadline)
        world.at(world.now + RENEW_MS, self.keep)

    def give_back(self, lane: str, rest: int) -> None:
        """Release; with a rest the lane is left alone that long. A lost lane is left alone altogether."""
        world = self.world
        row = world.lanes[lane]
        if self.unsent:
            raise Violation("a lane was given back with an intent of a call that was never sent")
        if row.fence == self.fence:
            change(row, "owner", None)
            if rest:
                change(row, "not_before", world.now + rest)
        self.lane = None

    def lost(self) -> None:
        self.world.say(self.name, "has lost its lane: nothing of it is written")
        self.lane = None
        self.unsent = False

    def slice(self, lane: str) -> Iterator[int]:
        """Work the lane until it is empty, has had its share, or must rest; then give it back."""
        world = self.world
        self.calls, self.began, rest = 0, world.now, 0
        self.finished.clear()
        work = choose(world, lane)
        try:
            while work is not None or self.finished:
                if not self.finished:  # else nothing has changed since the answer came, and a step ended there
                    yield 1
                self.step_at = world.now
                if slice_is_over(calls=self.calls, elapsed_ms=world.now - self.began):
                    self.flush(lane)
                    break
                if type(work) is Call:
                    work = yield from self.call(lane, work)
                    continue
                self.flush(lane)
                if type(work) is Settle:
                    yield from self.settle(lane, work)
                elif type(work) is Verify:
                    yield from looking.verify(self, work)
                elif work is not None:
                    self.without_sending(lane, work)
                work = choose(world, lane)
        except Rest as stop:
            rest = stop.ms
        except FenceLost:
            self.lost()
            return
        if self.alive:
            yield 1
            self.give_back(lane, rest)

    def call(self, lane: str, work: Call) -> Iterator[int]:
        """Pay, commit, send; returns what was chosen meanwhile."""
        world = self.world
        wait = limiter(self, work)
        if wait > 60:  # parked: the result is written, then the lane rests
            self.flush(lane)
            raise Rest(wait)
        if wait:
            yield wait
        self.flush(lane)  # one transaction with the intents
        self.enter(lane)
        call = promise(self, work)
        if call is None:
            return choose(world, lane)
        committed: int | None = world.now
        yield from before_sending(self, call)
        while committed is not None:
            answer = yield from self.exchange(call, committed)
            if answer.kills:
                self.die("of the answer")
                return None
            self.calls += 1
            self.step_at = world.now
            self.finished.append((call, answer))
            call, committed = answer.chosen, answer.promised
            if committed is not None and not self.keeps(answer, committed):
                self.take_back(lane, call)
                return choose(world, lane)
        return answer.chosen

    def keeps(self, before: Answer, committed: int) -> bool:
        """Whether what was promised ahead goes out."""
        now = self.world.now
        return keeps_promise(
            done=before.failure is None,
            since_commit_ms=now - committed,
            lease_left_ms=self.deadline - now,
            times=self.world.times,
        )

    def take_back(self, lane: str, call: Call) -> None:
        """A promised call is not sent."""
        self.enter(lane)
        record.take_back(self.world, call)
        self.unsent = any(one.row.intent is not None for one in call.wanted)
        self.flush(lane)

    def enter(self, lane: str) -> None:
        """First of every effect."""
        if not self.world.enter(lane, self.fence):
            raise FenceLost

    def flush(self, lane: str) -> None:
        """Write what came of calls."""
        if not self.finished:
            return
        self.enter(lane)
        rest = max([record.record(self.world, *one) for one in self.finished])
        self.finished.clear()
        if rest:
            raise Rest(rest)

    def settle(self, lane: str, work: Settle) -> Iterator[int]:
        """Look, decide, and write the answers down."""
        answers = yield from look(self, work)
        self.calls += 2
        if answers is None:
            raise Rest(5)
        yield 1
        self.enter(lane)
        record.settled(self.world, work, answers)

    def rest(self, ms: int) -> None:
        """End the slice; the lane is left alone that long."""
        raise Rest(ms)

    def without_sending(self, lane: str, work: Work) -> None:
        """Close what is as it should be, bury what is worn out."""
        self.enter(lane)
        if type(work) is Close:
            record.close(self.world, work)
        elif type(work) is Worn:
            self.world.bury(work.job, work.rev)
            self.world.say(self.name, f"buries {work.job.target}")

    def exchange(self, call: Call, at: int) -> Iterator[int]:
        """Guard, send, choose the next meanwhile, wait for the answer."""
        world, rnd = self.world, self.world.rnd
        self.unsent = False
        if not may_send(since_commit_ms=world.now - at, lease_left_ms=self.deadline - world.now, times=world.times):
            world.say(self.name, "the guard says no")
            answer = Answer(NOT_SENT)
            answer.chosen = choose(world, call.lane)
            return answer
        guarded = world.now
        if rnd() < (0.02 if self.starved_until <= guarded else 0.6):
            self.nailed = True
            yield int(rnd() * world.times.late_ms)
            self.nailed = False
        answer = send(world, self, call, guarded)
        took, lost = answer.took, False
        if rnd() < 0.2:
            yield (beside := int(rnd() * took))
            took -= beside
        try:
            self.look_ahead(call, answer)
        except FenceLost:
            lost = True
        yield took
        world.remote.until(world.now)
        if lost:
            raise FenceLost
        return answer

    def look_ahead(self, flying: Call, answer: Answer) -> None:
        """While a call is in flight: write what came of the one before, promise the next where that may be."""
        world, lane = self.world, flying.lane
        busy = [flying.group, *(one.group for one, _ in self.finished)]
        work = answer.chosen = choose(world, lane, busy)
        if work is None and self.finished:
            self.flush(lane)
            work = answer.chosen = choose(world, lane, (flying.group,))
        if type(work) is not Call or not self.may_promise(work) or limiter(self, work):
            return
        self.flush(lane)
        self.enter(lane)
        answer.chosen = promise(self, work)
        if answer.chosen is None:
            answer.chosen = choose(world, lane, (flying.group,))
        else:
            answer.promised = world.now

    def may_promise(self, call: Call) -> bool:
        """Whether it may be promised while another one is in flight."""
        return (
            call.kind not in LOOK_UPS
            and not slice_is_over(calls=self.calls + 1, elapsed_ms=self.world.now - self.began)
            and may_promise_ahead(
                counted=counts_before(alone=call.alone),
                waited_ms=0,
                doubted=False,
                latency_ms=self.world.times.guard_ms / 2,  # some promises are kept, some come too late
                times=self.world.times,
            )
        )

    def die(self, why: str) -> None:
        self.world.say(self.name, f"dies: {why}")
        self.world.crashes += 1
        self.alive = False
        self.world.at(self.world.now + 30, lambda: self.world.start(Worker(self.world, self.name + "'")))


def limiter(worker: Worker, call: Call) -> int:
    """How long the limiter makes a call wait: mostly not at all; long means park."""
    world = worker.world
    draw = world.rnd()
    if draw < 0.9:
        return 0
    return 20 if draw < 0.97 else 300


def before_sending(worker: Worker, call: Call) -> Iterator[int]:
    """From the commit to the open connection."""
    rnd = worker.world.rnd
    yield int(rnd() * 20) if rnd() < 0.93 else int(rnd() * 90)


def promise(worker: Worker, call: Call) -> Call | None:
    """Commit the intents of what is still wanted at the rev that was read."""
    world = worker.world
    call.wanted = [
        one for one in call.wanted if is_wanted(state=one.job.state, rev=one.job.rev, seen_rev=one.rev)
    ]  # fmt: skip
    if not call.wanted:
        return None
    if call.kind in LOOK_UPS:
        if call.kind == "walk":
            record.begin_walk(world)
        return call
    now = world.now
    settle_at = now + world.times.settle_ms
    for one in call.wanted:
        one.row.promise(Intent(call.verb, one.hash, one.rev, now), settle_at)
        one.row.intent_ids = tuple(user for user, _ in call.members.add) if call.members is not None else ()
    if call.kind == "calendar" and call.verb is not Verb.DELETE:
        call.wanted[0].row.name = world.names[call.wanted[0].hash]
    world.mirror[call.group].parked_until = settle_at
    if call.alone:
        call.wanted[0].job.alone += 1
    if counts_before(alone=call.alone):
        call.wanted[0].job.attempts += 1
    worker.unsent = True
    return call
