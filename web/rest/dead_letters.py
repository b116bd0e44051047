"""Dead letters: open them, change what they ask for, try them again, give them up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection

from db import failure_lists
from db.engine import reading
from db.failure_lists import Which
from domain.job_payloads import fields_of
from domain.tenancy import Scope, Thing
from usecases import dead_letters, failures
from web import site, versions
from web.envelope import Answer
from web.errors import ApiError, Detail
from web.paging import PageQuery, cursor_of, page_meta, read_cursor
from web.policy import needs, needs_some
from web.routes import Feature
from web.schemas import failures as shapes
from web.schemas.base import to_ms

feature = Feature("dead-letters", "死信 jobs that gave up and wait for a person")
_UNITS: Final = 20
"""Units of a request: some 5,000 dead letters and a second or two; the answer says how many are left."""


def letter_of(tx: Connection, scope: Scope, said: Mapping[str, Any]) -> Thing | None:
    """The dead letter that the address names, with the college that it is about."""
    college = failure_lists.college_of(tx, said["path"].job_id, tenant=scope.tenant)
    if college is None:
        return None
    return Thing(scope.tenant, frozenset({college} - {""}))


@feature.get("/dead-letters", needs_some("dead_letter.read"), items=shapes.FailureRecord)
def list_dead_letters(query: shapes.DeadLettersQuery) -> Answer:
    """Dead letters, the newest first."""
    return listed(query, query.as_which(site.colleges("dead_letter.read")), dead_only=True)


def listed(query: PageQuery, which: Which, *, dead_only: bool) -> Answer:
    """A page of failures."""
    if query.updated_after is not None:
        since_ms = max(which.since_ms or 0, to_ms(query.updated_after))
        which = replace(which, since_ms=since_ms)
    after = None if query.cursor is None else str(read_cursor(query.cursor)[0])
    items, following = failures.records(
        site.deps(), which, after=after, limit=query.size, dead_only=dead_only, offset=query.offset
    )
    cursor = None if following is None else cursor_of(following)
    page = page_meta(query, shown=items, more=following is not None, cursor=cursor)
    return Answer({"items": [shapes.FailureRecord.of(one).as_json() for one in items]}, page=page)


@feature.get("/dead-letters/<job_id>", needs("dead_letter.read", letter_of), data=shapes.DeadLetter)
def show_dead_letter(path: shapes.JobPath) -> Answer:
    """One dead letter: what it asks for, the error, and what of it can be edited. Send its ETag with an edit."""
    return _shown(path.job_id)


def _shown(job_id: str) -> Answer:
    deps = site.deps()
    items, _ = failures.records(deps, Which(job_ids=(job_id,)), after=None, limit=1)
    if not items:
        raise ApiError("NOT_FOUND")
    with reading(deps.engine) as tx:
        college = failure_lists.college_of(tx, job_id, tenant=deps.tenant)
        version = dead_letters.version_now(tx, job_id, tenant=deps.tenant)
    found = shapes.FailureRecord.of(items[0])
    shape = shapes.DeadLetter(failure=found, college=college or None, editable=list(fields_of(found.kind)))
    return Answer(shape.as_json(), etag=version)


@feature.patch("/dead-letters/<job_id>", needs("dead_letter.edit", letter_of), data=shapes.Edited, versioned=True)
def edit_dead_letter(path: shapes.JobPath, body: shapes.EditIn) -> Answer:
    """Change what a dead letter asks for; it stays dead until it is put again."""
    done = dead_letters.edit(
        site.deps(), path.job_id, body.changes, whole=body.whole, actor=site.actor(), seen=versions.seen()
    )
    return Answer(shapes.Edited(id=done["id"], before=done["before"], after=done["after"]).as_json())


@feature.post("/dead-letters/<job_id>/requeue", needs("dead_letter.requeue", letter_of), data=shapes.Done)
def requeue_dead_letter(path: shapes.JobPath) -> Answer:
    """Put one dead letter again; one that was put again meanwhile is left alone."""
    return requeued(Which(job_ids=(path.job_id,)), 1, exactly=False)


@feature.post("/dead-letters/<job_id>/discard", needs("dead_letter.discard", letter_of), data=shapes.Done)
def discard_dead_letter(path: shapes.JobPath) -> Answer:
    """Give one dead letter up; the next plan asks for what is still wanted."""
    return _discarded(Which(job_ids=(path.job_id,)), 1, exactly=False)


@feature.post("/dead-letters/requeue", needs_some("dead_letter.requeue"), data=shapes.Done)
def requeue_dead_letters(body: shapes.Many) -> Answer:
    """Put dead letters again; without ``count`` only say how many there are."""
    return requeued(_meant(body, "dead_letter.requeue"), body.count)


@feature.post("/dead-letters/discard", needs_some("dead_letter.discard"), data=shapes.Done)
def discard_dead_letters(body: shapes.Many) -> Answer:
    """Give dead letters up; without ``count`` only say how many there are."""
    return _discarded(_meant(body, "dead_letter.discard"), body.count)


def _meant(body: shapes.Many, action: str) -> Which:
    return body.as_which(site.colleges(action), None if body.ids is None else tuple(body.ids))


def requeued(which: Which, count: int | None, *, exactly: bool = True) -> Answer:
    """Put those that are meant again, if they are as many as the caller counted."""
    return _done(dead_letters.put_again, which, count, exactly=exactly)


def _discarded(which: Which, count: int | None, *, exactly: bool = True) -> Answer:
    return _done(dead_letters.discard, which, count, exactly=exactly)


def _done(act: Callable[..., int], which: Which, count: int | None, *, exactly: bool) -> Answer:
    deps = site.deps()
    found = dead_letters.count(deps, which)
    if count is None:
        return Answer(shapes.Done(count=found, done=None, left=found).as_json())
    if exactly and found != count:
        raise ApiError("COUNT_CHANGED", Detail("count", f"there are {found} now", "look at them, and send that count"))
    done = act(deps, which, actor=site.actor(), units=_UNITS) if found else 0
    left = dead_letters.count(deps, which)
    return Answer(shapes.Done(count=found, done=done, left=left).as_json())
