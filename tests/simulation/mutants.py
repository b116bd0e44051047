"""Twenty ways to be wrong, and two of looking wrongly; each changes one decision, or its use, in the simulation only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from domain import jobs
from domain.lanes import LaneRow, Times, keeps_promise
from tests.simulation import choose, drain, exchange, look, looking, record, remote, rows, runs, world

Change = tuple[Any, str, Any]


@dataclass(frozen=True)
class Mutant:
    """What is changed, and what breaks by it. `seeds`: within how many histories it has to be found."""

    name: str
    breaks: str
    changes: Callable[[], list[Change]]
    seeds: int = 4_000


@contextmanager
def mutated(mutant: Mutant) -> Iterator[None]:
    """The simulation with this change."""
    before = [(where, name, getattr(where, name)) for where, name, _ in mutant.changes()]
    for where, name, value in mutant.changes():
        setattr(where, name, value)
    try:
        yield
    finally:
        for where, name, value in before:
            setattr(where, name, value)


def _waits(settle_ms: Callable[[Times], int]) -> list[Change]:
    hasty: Any = type("Hasty", (Times,), {"settle_ms": property(settle_ms)})
    now = remote.TIMES
    return [(world, "TIMES", hasty(now.budget_ms, now.lease_ms, now.late_ms, now.lag_ms, now.guard_ms))]


def _intent_in_job() -> list[Change]:
    put = world.World.put

    def forgetful(self: Any, kind: str, target: str, *rest: Any) -> None:
        job = self.open.get(target)
        rev = job.rev if job is not None else 0
        put(self, kind, target, *rest)
        if job is not None and job.rev != rev:  # the row was overwritten, and what was in it is gone
            self.mirror[target].clear()

    return [(world.World, "put", forgetful)]


def _no_open_key() -> list[Change]:
    put = world.World.put

    def careless(self: Any, kind: str, target: str, *rest: Any) -> None:
        job = self.open.get(target)
        if job is None or kind == "walk":
            put(self, kind, target, *rest)
            return
        del self.open[target]
        put(self, kind, target, *rest)
        self.open[f"{target} as it was before"] = job

    def take_out(self: Any, job: Any) -> None:
        for key in [key for key, one in self.open.items() if one is job]:
            del self.open[key]
        self.closed.append(job)

    return [(world.World, "put", careless), (world.World, "take_out", take_out)]


def _attempts_after() -> list[Change]:
    return [(drain, "counts_before", lambda *, alone: False), (runs, "count", lambda task: None)]


def _finish_without_claim() -> list[Change]:
    def finish(*, state: str, claim: str | None, mine: str, rev: int, claimed_rev: int) -> jobs.OnFinish:
        return jobs.on_finish(state=state, claim=mine, mine=mine, rev=rev, claimed_rev=claimed_rev)

    return [(runs, "on_finish", finish)]


def _takeover_without_wait() -> list[Change]:
    def at_once(lane: LaneRow, *, times: Times) -> LaneRow:
        return LaneRow(None, lane.fence + 1, lane.lease_until, lane.lease_until, lane.paused)

    return [(drain, "taken_over", at_once)]


def _by_position() -> list[Change]:
    def positions(call: Any, made: list[Any]) -> dict[str, str]:
        return {one.job.target: id_ for one, (id_, _) in zip(call.wanted, made, strict=False)}

    return [(record, "matched", positions)]


def _any_walk() -> list[Change]:
    def any_walk(*, started_ms: int, finished_ms: int | None, settle_at: int) -> bool:
        return started_ms >= settle_at

    return [(world, "walk_answers", any_walk)]


def _delete_unsettled() -> list[Change]:
    def may_go(row: rows.Row, job: rows.Job) -> bool:
        return row.intent is None or job.hash == ""

    is_due = world.World.is_due

    def due(self: Any, job: rows.Job) -> bool:
        calendar = self.mirror.get(job.group_id)
        return is_due(self, job) or (calendar is not None and calendar.state == "live" and job.hash == "")

    return [(choose, "may_go", may_go), (world.World, "is_due", due)]


def _limiter_after() -> list[Change]:
    def nothing(worker: Any, call: Any) -> int:
        return 0

    def late(worker: Any, call: Any) -> Iterator[int]:
        wait = drain_limiter(worker, call)
        yield wait
        if wait > 60:  # parked: the lane goes back, the promise stays
            worker.give_back(worker.lane, wait)

    drain_limiter = drain.limiter
    return [(drain, "limiter", nothing), (drain, "before_sending", late)]


def _older_wins() -> list[Change]:
    def on_put(*, newest_import: int, import_no: int, **rest: Any) -> jobs.OnPut:
        return jobs.on_put(newest_import=0, import_no=import_no, **rest)

    return [(world, "on_put", on_put)]


def _blames_all() -> list[Change]:
    def promise(worker: Any, call: Any) -> Any:
        ready = drain_promise(worker, call)
        if ready is not None and len(ready.wanted) > 1:
            for one in ready.wanted:
                one.job.attempts += 2
        return ready

    drain_promise = drain.promise
    return [(drain, "promise", promise)]


def _list_is_definite() -> list[Change]:
    return [(exchange, "is_definite", lambda **_: True)]


def _renews_blindly() -> list[Change]:
    def by_name(lane: LaneRow, *, claim: str, fence: int) -> bool:
        return True

    return [(drain, "may_renew", by_name)]


def _unguarded() -> list[Change]:
    return [(drain, "may_send", lambda **_: True), (look, "may_send", lambda **_: True)]


def _without_lag(times: Times) -> int:
    return times.guard_ms + times.budget_ms + times.late_ms


def _any_rev(*, state: str, rev: int, seen_rev: int) -> bool:
    return state == "queued"


def _nothing(**_: Any) -> bool:
    return False


MUTANTS = (
    Mutant("no fence check", "a worker that was taken for dead writes over its successor",
           lambda: [(world, "may_write", lambda lane, *, fence: True)]),
    Mutant("no send guard", "a call goes out after others have settled it: doubled", _unguarded),
    Mutant("wait shortened by the lag", "a list does not show yet what was made: doubled", lambda: _waits(_without_lag)),
    Mutant("no wait", "the request lands after the look: doubled", lambda: _waits(lambda t: 0)),
    Mutant("intent in the job", "the doubt is overwritten with the job: doubled", _intent_in_job),
    Mutant("result without rev", "a wish that came meanwhile is closed as done: lost", lambda: [(world, "is_wanted", _any_rev)]),
    Mutant("no open key", "two rows for one target, both sent", _no_open_key),
    Mutant("attempts after the work", "what kills its worker is tried for ever", _attempts_after),
    Mutant("finish without claim", "a task is taken from the worker that is at it", _finish_without_claim, 12_000),
    Mutant("renew without fence", "a former owner keeps sending beside the new one", _renews_blindly, 12_000),
    Mutant("adopt on an unfinished walk", "the calendar was on a later page: doubled", _any_walk),
    Mutant("match by position", "events are known by each other's ids", _by_position),
    Mutant("list 400 taken as definite", "a part of the list was made: doubled", _list_is_definite),
    Mutant("limiter paid after the intent", "a calendar waits for a call that was never sent", _limiter_after),
    Mutant("delete without settling", "what is deleted lands afterwards, and stays", _delete_unsettled),
    Mutant("takeover without wait", "WPS sees two calls of one lane", _takeover_without_wait, 12_000),
    Mutant("dead row not superseded", "a target is done and a dead letter at once",
           lambda: [(world, "is_superseded", lambda state: False)]),
    Mutant("dead parent not blocking", "events wait for ever for a calendar that does not come",
           lambda: [(world, "is_blocked_by_calendar", _nothing)]),
    Mutant("older import wins", "an old timetable overwrites the new one", _older_wins),
    Mutant("innocents charged with attempts", "events die of their neighbour's fault", _blames_all),
)  # fmt: skip

OF_PROMISES = (
    Mutant("single writes promised ahead", "a job is buried for the death of a worker at another one's call",
           lambda: [(drain, "may_promise_ahead", lambda **_: True)], 12_000),
    Mutant("promise kept whatever came before", "a lane that was told to rest goes on calling",
           lambda: [(drain, "keeps_promise", lambda *, done, **rest: keeps_promise(done=True, **rest))]),
    Mutant("promise not taken back", "a calendar waits for a call that was never sent",
           lambda: [(record, "take_back", lambda world, call: None)]),
)  # fmt: skip
"""The same for what is done ahead: the lane stays quick without them, and is wrong."""

OF_LOOKS = (
    Mutant("looked at too soon", "lists still show what was deleted: taken for a stranger's copy",
           lambda: [(looking, "is_too_fresh", lambda world, group: False)]),
    Mutant("half a look of yesterday", "one part was seen before something was sent, the other after it",
           lambda: [(looking, "is_of_now", lambda world, group, look: True)]),
)  # fmt: skip
"""The same for jobs that only look: with one of these a repair would act on what nobody did."""
