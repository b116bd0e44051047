"""Shapes of the installation: processes, queues, lanes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from web.schemas.base import In, Out, Text


class ProcessPath(In):
    """Which process."""

    process_id: Annotated[Text, Field(min_length=1, max_length=36, alias="process_id")]


class QueuePath(In):
    """Which queue."""

    queue: Annotated[Text, Field(min_length=1, max_length=20)]


class Doing(Out):
    """What a thread of a process works on, and since when (ms UTC)."""

    what: str
    id: str
    since_ms: int


class Process(Out):
    """A process: what it is, where, and what it does; `beatAgeMs` is the age of its last heartbeat."""

    id: str
    kind: str
    host: str
    pid: int
    version: str
    queues: list[str]
    state: str
    since_ms: int
    beat_age_ms: int
    keeper_age_ms: int | None
    doing: list[Doing]
    holds: list[str]


class ClusterQueue(Out):
    """A queue of all schools: what waits, how long the oldest has, how many end in a minute, and who has paused it."""

    queue: str
    waiting: int
    oldest_ms: int
    per_min: float
    paused: bool
    paused_by: str | None
    paused_since_ms: int | None


class ClusterLane(Out):
    """A lane with something to do: who works it, how fast, and from now in how many ms it is through, as a range."""

    tenant: str
    lane: str
    state: str
    owner: str | None
    pending: int
    held: int
    unsettled: int
    per_min: int
    eta_ms: list[int] | None


class Cluster(Out):
    """The installation; of `lanesWithWork` lanes those with the most are listed."""

    at_ms: int
    processes: list[Process]
    queues: list[ClusterQueue]
    lanes: list[ClusterLane]
    lanes_with_work: int


class ProcessTold(Out):
    """A process that was asked to end; `already` where it had been."""

    id: str
    already: bool


class QueueTold(Out):
    """A queue that was paused or goes on; `already` where it was so before."""

    queue: str
    paused: bool
    already: bool
