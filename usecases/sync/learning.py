"""What a lane learns from its list calls about how long the next one may be."""

from dataclasses import replace

from sqlalchemy import Connection

from db import lanes
from db.lanes import Held
from domain.list_size import after_timeout, next_size
from domain.settlement import Verb
from remote.wps.errors import Kind
from usecases.sync.work import Call, Done, Outcome


class Learnt:
    """The sizes of one drain: taken over from the lane's row, kept there with the next effect after they change.

    In the database, because a restart that forgot them would begin with lists that time out, and each of those holds up
    a calendar until it is settled. In the lane's row, which every effect writes anyway.
    """

    def __init__(self, held: Held) -> None:
        self._held = held
        self._kept = held.sizes
        self.sizes = held.sizes

    def from_call(self, call: Call, outcome: Outcome) -> None:
        """Nothing is learnt from single writes, and from lists that failed for another reason than time."""
        items = _items(call)
        if items == 0:
            return
        size = self.sizes.event if call.kind == "event" else self.sizes.members
        if isinstance(outcome, Done):
            size = next_size(size, items=items, took_ms=outcome.took_ms)
        elif outcome.error.kind is Kind.TIMEOUT and not outcome.error.outage:
            size = after_timeout(size, items=items)
        self.sizes = replace(self.sizes, **{call.kind: size})

    def keep(self, connection: Connection) -> None:
        """Write the sizes if they have changed. The lane has been entered by the same unit."""
        if self.sizes != self._kept:
            lanes.keep_sizes(connection, self._held, self.sizes)

    def kept(self) -> None:
        """The unit of `keep` has been committed."""
        self._kept = self.sizes


def _items(call: Call) -> int:
    """How many items the list of this call has; 0 for a call without one."""
    if call.kind == "event" and call.verb is Verb.CREATE:
        return len(call.wanted)
    return len(call.members.add) if call.members is not None else 0
