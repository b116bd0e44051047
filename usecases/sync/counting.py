"""What the lanes of this process have sent, for those who watch."""

from observability import activity
from observability.metrics import LANE_JOBS
from usecases.sync.work import Call, Done, Outcome


def count_call(tenant: str, lane: str, call: Call, outcome: Outcome) -> None:
    """A call of a lane is over and written down."""
    jobs = len(call.wanted)
    LANE_JOBS.add(call.kind, type(outcome).__name__.lower(), by=jobs)
    if isinstance(outcome, Done):
        activity.sent(tenant, lane, jobs)
