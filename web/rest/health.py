"""Whether this process lives, and whether what it leans on does."""

from typing import Any

from usecases import health
from web.envelope import Answer
from web.policy import anybody, needs, whole_school
from web.routes import Feature
from web.schemas.health import Alive, Health, Part
from web.site import deps, site

open_feature = Feature("health", "存活与就绪 whether the service lives and is ready", prefix="")
feature = Feature("cluster", "集群 processes, queues and what they lean on")


@open_feature.get("/healthz", anybody("a supervisor asks, and learns nothing but that the process answers"), data=Alive)
def healthz() -> Answer:
    """The process answers; nothing else is asked."""
    return Answer(Alive(status="ok").as_json())


@open_feature.get(
    "/readyz", anybody("a load balancer asks; parts have states, and no addresses"), data=Health, errors=(503,)
)
def readyz() -> Answer:
    """Whether requests may be sent here: 503 while the database is away or of another version."""
    found = _looked()
    return Answer(found.as_json(), 503 if found.status == "down" else 200)


@feature.get("/health", needs("cluster.read", whole_school), data=Health)
def show_health() -> Answer:
    """The same as /readyz for the console, always 200."""
    return Answer(_looked().as_json())


def _looked() -> Health:
    here = site()
    parts = health.look(deps(), servers=here.servers, stream=here.stream)
    shown: dict[str, Any] = {
        name: Part(state=part.state, took_ms=part.took_ms, reason=part.reason) for name, part in parts.items()
    }
    return Health(status=health.overall(parts), parts=shown)
