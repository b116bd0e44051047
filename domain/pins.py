"""Targets that a person had taken back stay so, until the source says something else than it said then."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from domain.plans import Desired

NOTHING = ""


@dataclass(frozen=True, slots=True)
class Pin:
    """While the source wants `source_hash` for the target, `desired_hash` is wanted instead; blank = nothing is."""

    kind: str
    target: str
    source_hash: str
    desired_hash: str
    payload: str


def apply(wanted: Sequence[Desired], pins: Sequence[Pin], *, calendar: str) -> tuple[list[Desired], list[str]]:
    """What is wanted of a calendar and what is in it, pins considered; and the targets whose pin means nothing any more.

    A class that is new since brings its calendar back; what was pinned in a calendar that nobody wants goes with it.
    """
    by_target = {one.target: one for one in wanted}
    void: list[str] = []
    pinned: set[str] = set()
    for pin in pins:
        source = by_target.get(pin.target)
        if pin.source_hash != (source.hash if source is not None else NOTHING):
            void.append(pin.target)
            continue
        pinned.add(pin.target)
        if pin.desired_hash == NOTHING and pin.kind != "members":
            by_target.pop(pin.target, None)
        else:
            by_target[pin.target] = Desired(pin.kind, pin.target, pin.desired_hash, _payload(pin), _label(pin))
    events = {target for target, one in by_target.items() if one.kind == "event"}
    if calendar not in by_target:
        source = next((one for one in wanted if one.target == calendar), None)
        if source is not None and events - pinned:
            by_target[calendar] = source
            void.append(calendar)
        else:
            void += sorted(events & pinned)
            by_target = {}
    return list(by_target.values()), void


def _payload(pin: Pin) -> str:
    """That of its job. Of members it says only that they are pinned: who they are is read when they are sent."""
    if pin.kind != "members":
        return pin.payload
    return json.dumps({"offering": pin.target.partition(":")[2], "roll": pin.desired_hash, "pinned": True})


def _label(pin: Pin) -> str:
    said = json.loads(pin.payload)
    return f"{said.get('summary') or said.get('name') or pin.target} (taken back 已撤销)"
