"""The tables of the simulation: rows with the names of the real ones, changed in place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.settlement import Intent

if TYPE_CHECKING:
    from tests.simulation.history import Universe as World


LOOK_UPS = ("walk", "users")  # of lane `_`, which belong to no calendar
ONLY_READ = (*LOOK_UPS, "verify")  # jobs whose target is nothing at WPS

Operation = tuple[str, str, str, str, str]  # kind, target, calendar, lane, hash


class Row:
    """A row of the mirror. `doubted`: where all rows with an open intent stand, as in an index."""

    __slots__ = (
        "doubted", "from_ms", "generation", "group_id", "import_no", "intent", "intent_ids", "kind", "lane",
        "list_max", "marker", "name", "parked_until", "remote_id", "sent_hash", "settle_at", "state", "target",
        "until_ms",
    )  # fmt: skip

    def __init__(self, kind: str, target: str, group_id: str, lane: str, doubted: dict[str, Row]) -> None:
        self.kind = kind
        self.target = target
        self.group_id = group_id
        self.lane = lane
        self.doubted = doubted
        self.state = "none"
        self.remote_id: str | None = None
        self.marker = f"{target}#0" if kind == "event" else None
        self.name = target if kind == "calendar" else None
        self.generation = 0
        self.sent_hash = ""
        self.from_ms = self.until_ms = None
        self.list_max = 100
        self.import_no = 0
        self.intent: Intent | None = None
        self.intent_ids: tuple[str, ...] = ()
        self.settle_at: int | None = None
        self.parked_until = 0

    def as_read(self) -> Row:
        """A copy, which does not change with the row."""
        copy = Row.__new__(Row)
        copy.kind = self.kind
        copy.target = self.target
        copy.group_id = self.group_id
        copy.lane = self.lane
        copy.state = self.state
        copy.remote_id = self.remote_id
        copy.marker = self.marker
        copy.name = self.name
        copy.generation = self.generation
        copy.sent_hash = self.sent_hash
        copy.from_ms = self.from_ms
        copy.until_ms = self.until_ms
        copy.list_max = self.list_max
        copy.import_no = self.import_no
        copy.intent = self.intent
        copy.intent_ids = self.intent_ids
        copy.settle_at = self.settle_at
        copy.parked_until = self.parked_until
        return copy

    def promise(self, intent: Intent, settle_at: int) -> None:
        """Say what is about to be sent."""
        self.intent, self.settle_at = intent, settle_at
        self.doubted[self.target] = self

    def clear(self) -> None:
        """The intent is answered."""
        self.doubted.pop(self.target, None)
        self.intent = self.settle_at = None
        self.intent_ids = ()

    def sent(self, remote_id: str, hash_: str) -> None:
        """Mirror := what was sent."""
        self.state, self.remote_id, self.sent_hash = "live", remote_id, hash_
        self.clear()

    def gone(self) -> None:
        """The next object carries a marker of its own."""
        self.state, self.remote_id, self.sent_hash = "gone", None, ""
        self.generation += 1
        if self.marker is not None:
            self.marker = f"{self.target}#{self.generation}"
        self.clear()


PRIORITY = {"calendar": 0, "walk": 0, "users": 0, "members": 1, "event": 2, "verify": 9}


class Job:
    """A row of the work of a lane; `hash` blank: the target should not be there."""

    __slots__ = (
        "alone", "attempts", "group_id", "hash", "id", "import_no", "kind", "lane", "priority", "rev", "run", "run_at", "state",
        "target",
    )  # fmt: skip

    def __init__(self, id_: int, kind: str, target: str, group_id: str, lane: str, hash_: str, now: int) -> None:
        self.id = id_
        self.kind = kind
        self.target = target
        self.group_id = group_id
        self.lane = lane
        self.hash = hash_
        self.rev = 1
        self.import_no = 0
        self.run = 0
        self.state = "queued"
        self.run_at = now
        self.attempts = 0
        self.alone = 0  # calls that it was alone in: as many attempts may be counted
        self.priority = PRIORITY[kind]


class Task:
    """A row of the work of a queue: a run to be carried forward, page by page."""

    __slots__ = (
        "attempts", "busy_until", "claim", "cursor", "deadly", "ended", "id", "import_no", "pages", "rev", "run_at", "slow",
        "stages", "state",
    )  # fmt: skip

    def __init__(self, id_: int, import_no: int, pages: list[list[Operation]], run_at: int) -> None:
        self.id = id_
        self.import_no = import_no
        self.pages = pages
        self.run_at = run_at
        self.state = "queued"
        self.claim: str | None = None
        self.rev = 1
        self.attempts = 0
        self.cursor = 0
        self.stages = ["waiting", "waiting"]  # plan, drain
        self.ended = False
        self.deadly = False
        self.slow = False

    def step(self, world: World, at: int) -> bool | None:
        """A page of the stage: whether it was the last; None while the lanes have to be waited for."""
        if at == 0:
            if self.cursor < len(self.pages):
                self.page(world)
            return self.cursor >= len(self.pages)
        for one in world.open.values():
            if one.run == self.id and one.state in ("queued", "held"):
                return None
        return True

    def page(self, world: World) -> None:
        """The next page: its desired states and the cursor, in one transaction."""
        operations = self.pages[self.cursor]
        group = operations[0][2]
        if operations[0][0] != "calendar" and group in world.dead():
            # The mirror does not have the calendar, so the plan asks for it too.
            operations = [("calendar", group, group, operations[0][3], world.wanted[group][1]), *operations]
        for kind, target, group, lane, hash_ in operations:
            world.put(kind, target, group, lane, hash_, self.import_no, self.id)
            if kind in ONLY_READ:
                continue
            if self.import_no >= world.wanted.get(target, (0, ""))[0]:
                world.wanted[target] = (self.import_no, hash_)
                if kind == "members":
                    world.rolls[group] = world.rolls_of[hash_]
        self.cursor += 1
        self.attempts = 0
        if world.log is not None:
            world.say(f"run {self.id}", f"page {self.cursor} of import {self.import_no}")
        self.busy_until = 0


class Walk:
    """A walk of the list of calendars: true only when it came to its end."""

    __slots__ = ("finished", "last", "names", "started")

    def __init__(self, started: int) -> None:
        self.started = started
        self.finished: int | None = None
        self.last = ""
        self.names: list[tuple[str, str]] = []  # (name, id)
