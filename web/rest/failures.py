"""Failures and their families: what went wrong, why, and trying it again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from db.failure_lists import Which
from usecases import failures
from web import site
from web.envelope import Answer
from web.errors import ApiError
from web.policy import needs, needs_some, whole_school
from web.rest.dead_letters import listed, requeued
from web.routes import Feature
from web.schemas import failures as shapes

feature = Feature("failures", "失败记录 failures and their families")


@feature.get("/failures", needs_some("failure.read"), items=shapes.FailureRecord)
def list_failures(query: shapes.FailuresQuery) -> Answer:
    """Failures, the newest first."""
    return listed(query, query.as_which(site.colleges("failure.read")), dead_only=query.state == "dead")


@feature.get("/failures/<job_id>", needs_some("failure.read"), data=shapes.FailureRecord)
def show_failure(path: shapes.JobPath) -> Answer:
    """One failure, dead or over."""
    return Answer(shapes.FailureRecord.of(one_of("failure.read", path.job_id, dead_only=False)).as_json())


def one_of(action: str, job_id: str, *, dead_only: bool) -> dict[str, Any]:
    """A failure that the caller reaches. Raises `ApiError` 404."""
    which = Which(job_ids=(job_id,), colleges=site.colleges(action))
    items, _ = failures.records(site.deps(), which, after=None, limit=1, dead_only=dead_only)
    if not items:
        raise ApiError("NOT_FOUND")
    return items[0]


# --- families -----------------------------------------------------------------------------------------------------------


@feature.get("/failure-families", needs_some("failure.read"), items=shapes.Family)
def list_families(query: shapes.FamiliesQuery) -> Answer:
    """Families with what is counted of them; those that somebody has to see to unless others are asked for."""
    which = query.as_which(site.colleges("failure.read"))
    found = failures.families(site.deps(), which, states=query.state or (failures.OPEN,))
    shown, page = query.leaf(failures.worst_first(found) if query.sort == "worst" else found)
    return Answer({"items": [shapes.Family.of(one).as_json() for one in shown]}, page=page)


@feature.get("/failure-families/<family>", needs_some("failure.read"), data=shapes.Family)
def show_family(path: shapes.FamilyPath) -> Answer:
    """One family: cause, remedy, how much of it is left."""
    which = Which(colleges=site.colleges("failure.read"))
    return Answer(shapes.Family.of(failures.one_family(site.deps(), path.family, which)).as_json())


@feature.post("/failure-families/<family>/retry", needs_some("dead_letter.requeue"), data=shapes.Done)
def retry_family(path: shapes.FamilyPath, body: shapes.CountedIn) -> Answer:
    """Put all dead letters of a family again; without ``count`` only say how many there are."""
    which = Which(family=path.family, colleges=site.colleges("dead_letter.requeue"))
    failures.one_family(site.deps(), path.family, replace(which, family=None))
    return requeued(which, body.count)


@feature.post("/failure-families/<family>/resolve", needs("failure.resolve", whole_school), data=shapes.Resolved)
def resolve_family(path: shapes.FamilyPath, body: shapes.ResolveIn) -> Answer:
    """Say that a person has seen to all that is dead of a family; one that dies later opens it again."""
    done = failures.resolve(site.deps(), path.family, note=body.note, actor=site.actor())
    return Answer(shapes.Resolved(id=path.family, resolved=done).as_json())
