"""The tables of the simulation: rows with the names of the real ones, changed in place."""

from __future__ import annotations

from domain.settlement import Intent


class Row:
    """A row of the mirror."""

    __slots__ = (
        "from_ms", "generation", "group_id", "import_no", "intent", "intent_ids", "kind", "lane", "list_max", "marker", "name",
        "parked_until", "remote_id", "sent_hash", "settle_at", "state", "target", "until_ms",
    )  # fmt: skip

    def __init__(self, kind: str, target: str, group_id: str, lane: str) -> None:
        self.kind = kind
        self.target = target
        self.group_id = group_id
        self.lane = lane
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

    def clear(self) -> None:
        """The intent is answered."""
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


class Job:
    """A row of the work of a lane; `hash` blank: the target should not be there."""

    __slots__ = ("alone", "attempts", "group_id", "hash", "id", "import_no", "kind", "lane", "priority", "rev", "run", "run_at", "state", "target")  # fmt: skip

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
        self.priority = 0 if kind in ("calendar", "walk") else 1 if kind == "members" else 2


class Task:
    """A row of the work of a queue: a run to be carried forward, page by page."""

    __slots__ = ("attempts", "claim", "cursor", "deadly", "import_no", "pages", "rev", "run_at", "stages", "state", "ended", "busy_until", "id", "slow")  # fmt: skip

    def __init__(self, id_: int, import_no: int, pages: list[list[tuple[str, str, str, str, str]]], run_at: int) -> None:
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
        self.busy_until = 0


class Walk:
    """A walk of the list of calendars: true only when it came to its end."""

    __slots__ = ("finished", "last", "names", "started")

    def __init__(self, started: int) -> None:
        self.started = started
        self.finished: int | None = None
        self.last = ""
        self.names: list[tuple[str, str]] = []  # (name, id)
