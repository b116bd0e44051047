"""The next peak of check-ins, and how many processes it takes."""

from __future__ import annotations

import redis

from usecases import peaks
from web import site
from web.envelope import Answer
from web.policy import needs, whole_school
from web.routes import Feature
from web.schemas import peaks as shapes
from web.schemas.base import instant

feature = Feature("peaks", "高峰预测 the next peak of check-ins")


@feature.get("/peak", needs("cluster.read", whole_school), data=shapes.Peak)
def show_peak(query: shapes.PeakQuery) -> Answer:
    """Check-ins of each minute to come by timetable and rosters, and the processes they take."""
    found = peaks.forecast(site.deps(), waiting=_waiting(), hours=query.hours)
    shape = shapes.Peak(
        **{name: found[name] for name in ("hours", "highest_per_minute", "waiting", "lanes_due")},
        highest_at=instant(found["highest_at_ms"]),
        suggested=shapes.WorkersSuggested(**found["suggested"]),
        minutes=[
            shapes.PeakMinute(at=instant(one["at_ms"]) or "", check_ins=one["check_ins"]) for one in found["items"]
        ],
    )
    return Answer(shape.as_json())


def _waiting() -> int | None:
    try:
        return site.site().desks.stream.length()
    except redis.RedisError:
        return None
