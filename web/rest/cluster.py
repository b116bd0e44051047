"""The installation as a whole, for those who run it."""

from __future__ import annotations

from typing import Any

from actors import queues
from usecases import cluster
from web import site
from web.envelope import Answer
from web.policy import needs, platform
from web.routes import Feature
from web.schemas import cluster as shapes

feature = Feature("installation", "整个集群 processes, queues and lanes of all schools")


@feature.get("/cluster", needs("cluster.read", platform), data=shapes.Cluster)
def show_cluster() -> Answer:
    """Processes with what they do, queues with what waits, and the lanes that have something to do."""
    found = cluster.view(site.deps(), queues=queues.ALL)
    return Answer(_shown(found).as_json())


def _shown(found: dict[str, Any]) -> shapes.Cluster:
    known = shapes.Process.model_fields
    processes = [{name: value for name, value in one.items() if name in known} for one in found["processes"]]
    return shapes.Cluster.model_validate({**found, "processes": processes})


@feature.post(
    "/cluster/processes/<process_id>/drain",
    needs("cluster.control", platform),
    data=shapes.ProcessTold,
    errors=(409,),
)
def drain_process(path: shapes.ProcessPath) -> Answer:
    """Let a process begin nothing more, finish what it has, and end."""
    already = cluster.drain(site.deps(), path.process_id, actor=site.actor())
    return Answer(shapes.ProcessTold(id=path.process_id, already=already).as_json())


@feature.post("/cluster/queues/<queue>/pause", needs("cluster.control", platform), data=shapes.QueueTold)
def pause_queue(path: shapes.QueuePath) -> Answer:
    """Begin no task of a queue any more, in all processes; what is under way goes on to its next step."""
    return _tell(path.queue, paused=True)


@feature.post("/cluster/queues/<queue>/resume", needs("cluster.control", platform), data=shapes.QueueTold)
def resume_queue(path: shapes.QueuePath) -> Answer:
    """Go on with a queue."""
    return _tell(path.queue, paused=False)


def _tell(queue: str, *, paused: bool) -> Answer:
    already = cluster.set_paused(site.deps(), queue, paused=paused, actor=site.actor(), known=queues.ALL)
    return Answer(shapes.QueueTold(queue=queue, paused=paused, already=already).as_json())
