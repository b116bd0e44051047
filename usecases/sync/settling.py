"""Answering open intents: look at WPS until the whole window has been seen, decide, and write the answers down.

The looking is a generator of read calls, so that the drain can pay for each of them; the deciding is `domain.settlement`.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection, Engine

from db import closing, jobs, lanes, mirror, walks
from db.clock import now_ms
from db.engine import reading
from db.jobs import Put
from db.mirror import SentRow
from domain.calendars import Page, RemoteEvent, RemoteMember
from domain.ids import key_of
from domain.settlement import Aftermath, Finding, Mirrored, Seen, Settled, Verb, aftermath, settle, shorter
from remote.wps.client import WpsClient
from remote.wps.errors import WpsGone
from remote.wps.transport import Admitted
from usecases.sync.recording import Scope, calendar_deleted, forget_calendar, gone, put_calendar_again
from usecases.sync.work import Settling

T = TypeVar("T")
Read = Callable[[Callable[[Admitted], T]], T]

WINDOW_MS = 31 * 24 * 3600 * 1000  # the longest span one list of events may cover
WALK_TARGET = "walk:calendars"
WALK_POLL_MS = 500


@dataclass(frozen=True, slots=True)
class Answers:
    """What the looking found: an answer for each open target, and the members of the calendar if they were read."""

    settled: tuple[tuple[Mirrored, Settled], ...] = ()
    members: tuple[RemoteMember, ...] | None = None
    waits_for_walk: bool = False
    calendar_gone: bool = False


def look(client: WpsClient, read: Read, engine: Engine, work: Settling, *, tenant: str) -> Answers:  # type: ignore[type-arg]
    """Read everything that the open intents of this calendar could have left behind. Raises what `read` raises."""
    calendar = work.calendar
    if calendar.intent is not None:
        return _calendar(client, read, engine, calendar, tenant=tenant)
    assert calendar.remote_id is not None
    try:
        return _inside(client, read, calendar.remote_id, work)
    except WpsGone:
        return Answers(calendar_gone=True)


def _inside(client: WpsClient, read: Read, remote_id: str, work: Settling) -> Answers:  # type: ignore[type-arg]
    settled: list[tuple[Mirrored, Settled]] = []
    created: list[Mirrored] = []
    for one in work.open:
        if one.kind == "event" and one.remote_id is None:
            created.append(one)
        elif one.kind == "event":
            settled.append(
                (one, settle(one, key=one.marker, seen=_known(client, read, remote_id, one.remote_id or "")))
            )
    if created:
        seen = [_seen(event) for event in _events(client, read, remote_id, created)]
        settled += [(one, settle(one, key=one.marker, seen=seen)) for one in created]
    members: tuple[RemoteMember, ...] | None = None
    if any(one.kind == "members" for one in work.open):
        members = tuple(_pages(lambda token: read(lambda on: client.members_page(on, remote_id, token))))
    return Answers(tuple(settled), members)


def _calendar(client: WpsClient, read: Read, engine: Engine, calendar: Mirrored, *, tenant: str) -> Answers:  # type: ignore[type-arg]
    assert calendar.intent is not None and calendar.settle_at is not None
    if calendar.intent.verb is Verb.CREATE:
        assert calendar.name is not None
        with reading(engine) as connection:
            ids = walks.find(connection, tenant=tenant, name=calendar.name, started_after=calendar.settle_at)
        if ids is None:
            return Answers(waits_for_walk=True)
        seen = [Seen(one, calendar.name, calendar.intent.hash) for one in ids]
        return Answers(((calendar, settle(calendar, key=calendar.name, seen=seen)),))
    assert calendar.remote_id is not None
    remote_id = calendar.remote_id
    try:
        found = read(lambda on: client.get_calendar(on, remote_id))
        seen = [] if found.deleted else [Seen(found.id, found.name, key_of(found.name))]
    except WpsGone:
        seen = []
    return Answers(((calendar, settle(calendar, key=None, seen=seen)),))


def _known(client: WpsClient, read: Read, calendar_id: str, event_id: str) -> list[Seen]:  # type: ignore[type-arg]
    """An event that was to be changed or deleted, by its id: somebody may have moved it out of every window."""
    try:
        event: RemoteEvent = read(lambda on: client.get_event(on, calendar_id, event_id))
    except WpsGone:
        return []
    return [] if event.cancelled else [_seen(event)]


def _seen(event: RemoteEvent) -> Seen:
    return Seen(event.id, event.marker, event.body.content_hash())


def _events(client: WpsClient, read: Read, calendar_id: str, open_: Sequence[Mirrored]) -> Iterator[RemoteEvent]:  # type: ignore[type-arg]
    for from_ms, until_ms in windows(open_):

        def page(token: str | None, from_ms: int = from_ms, until_ms: int = until_ms) -> Page[RemoteEvent]:
            found: Page[RemoteEvent] = read(
                lambda on: client.events_page(on, calendar_id, from_ms=from_ms, until_ms=until_ms, token=token)
            )
            return found

        for event in _pages(page):
            if not event.cancelled:
                yield event


def windows(open_: Sequence[Mirrored]) -> list[tuple[int, int]]:
    """Spans of at most 31 days that together hold every time at which one of the targets can be."""
    spans = []
    for one in open_:
        assert one.intent is not None
        times = [ms for ms in (one.intent.from_ms, one.intent.until_ms, one.from_ms, one.until_ms) if ms is not None]
        spans.append((min(times), max(times)))
    spans.sort()
    found: list[tuple[int, int]] = []
    for start, end in spans:
        if found and end - found[-1][0] <= WINDOW_MS:
            found[-1] = (found[-1][0], max(found[-1][1], end))
            continue
        while end - start > WINDOW_MS:
            found.append((start, start + WINDOW_MS))
            start += WINDOW_MS
        found.append((start, max(end, start + 1)))
    return found


def _pages(fetch: Callable[[str | None], Page[T]]) -> Iterator[T]:
    token: str | None = None
    while True:
        page = fetch(token)
        yield from page.items
        token = page.next_token
        if token is None:
            return


def record(connection: Connection, scope: Scope, work: Settling, answers: Answers) -> None:
    """Write the answers down; the calendar is free again. The lane has been entered by the same unit."""
    key = {"tenant": scope.tenant, "term": work.ref.term}
    if answers.waits_for_walk:
        _ask_for_walk(connection, scope, work)
        return
    if answers.calendar_gone:
        # Somebody deleted it, and with it whatever was in doubt; the jobs that still wait create it all anew.
        forget_calendar(connection, scope, term=work.ref.term, group_id=work.ref.group_id)
        put_calendar_again(connection, scope, work.calendar, term=work.ref.term, run_id=None)
        mirror.free_group(connection, group_id=work.ref.group_id, **key)
        return
    retry = sum(1 for _, one in answers.settled if one.finding is Finding.NOT_APPLIED)
    for target, answer in answers.settled:
        _apply(connection, scope, work, target, answer, retry=retry)
    if answers.members is not None:
        _members(connection, scope, work, answers.members)
    if mirror.open_intents(connection, group_id=work.ref.group_id, **key):
        mirror.doubt_group(connection, group_id=work.ref.group_id, until=now_ms(connection), **key)
    else:
        mirror.free_group(connection, group_id=work.ref.group_id, **key)


def _ask_for_walk(connection: Connection, scope: Scope, work: Settling) -> None:
    """Only a walk that began after the wait counts; lane `_` does it, and this calendar looks again soon."""
    put_walk(connection, tenant=scope.tenant, new_id=scope.deps.new_id)
    postpone(connection, scope, work, wait_ms=WALK_POLL_MS)


def put_walk(connection: Connection, *, tenant: str, new_id: jobs.NewId) -> None:
    """Have lane `_` walk the list of all calendars; a walk that is asked for already is the one."""
    lanes.make(connection, tenant=tenant, names=["_"])
    walk = Put("walk", WALK_TARGET, WALK_TARGET, "", "_", "{}", "", 0, 0)
    jobs.put(connection, [walk], tenant=tenant, import_no=0, run_id=None, new_id=new_id)


def postpone(connection: Connection, scope: Scope, work: Settling, *, wait_ms: int) -> None:
    """Leave the calendar and its open intents alone for `wait_ms`, then look again."""
    at = now_ms(connection) + wait_ms
    mirror.park_group(connection, tenant=scope.tenant, term=work.ref.term, group_id=work.ref.group_id, until=at)


def _apply(
    connection: Connection, scope: Scope, work: Settling, target: Mirrored, answer: Settled, *, retry: int
) -> None:
    assert target.intent is not None
    key = {"tenant": scope.tenant, "term": work.ref.term}
    follows = aftermath(target.intent.verb, answer.finding)
    if follows is Aftermath.SENT:
        assert answer.remote_id is not None
        sent = SentRow(
            target.target,
            answer.remote_id,
            target.intent.hash,
            target.intent.from_ms,
            target.intent.until_ms,
            target.list_max,
        )
        mirror.write_sent(connection, [sent], **key)
        _close(connection, scope, target)
    elif follows is Aftermath.DELETED:
        closed = _close(connection, scope, target)
        if target.kind == "calendar":
            group, again = work.ref.group_id, not closed
            calendar_deleted(connection, scope, term=work.ref.term, group_id=group, wanted_again=again)
        else:
            gone(connection, scope, target, term=work.ref.term)
    elif follows is Aftermath.LOST and target.kind == "calendar":
        forget_calendar(connection, scope, term=work.ref.term, group_id=work.ref.group_id)
    elif follows is Aftermath.LOST:
        gone(connection, scope, target, term=work.ref.term)
    else:
        mirror.clear_intents(connection, [target.target], **key)
        # Nobody knows which of them the failing call stumbled over: half as many go next time.
        mirror.set_list_max(connection, [target.target], list_max=shorter(target.list_max, failed=retry), **key)
    for remote_id in answer.surplus:
        put_surplus(connection, scope, target, remote_id, term=work.ref.term)


def _close(connection: Connection, scope: Scope, target: Mirrored) -> set[str]:
    assert target.intent is not None
    return closing.done_at(
        connection,
        [(target.target, target.intent.rev)],
        tenant=scope.tenant,
        kind=target.kind,
        lane=scope.lane,
    )


def _members(connection: Connection, scope: Scope, work: Settling, found: Sequence[RemoteMember]) -> None:
    """The whole list was read, so the mirror becomes it; the job then sends what is still missing."""
    key = {"tenant": scope.tenant, "term": work.ref.term}
    mirror.drop_members(connection, None, group_id=work.ref.group_id, **key)
    kept = {one.user_id: (one.user_id, one.role, one.permission_id) for one in found if one.role != "owner"}
    mirror.add_members(connection, list(kept.values()), group_id=work.ref.group_id, **key)
    for target in work.open:
        if target.kind == "members" and target.intent is not None:
            named = len(json.loads(target.intent_ids or "{}").get("add", ()))
            missing = named and not all(user in kept for user, _ in json.loads(target.intent_ids or "{}")["add"])
            mirror.clear_intents(connection, [target.target], **key)
            if missing:
                mirror.set_list_max(connection, [target.target], list_max=shorter(target.list_max, failed=named), **key)


def put_surplus(connection: Connection, scope: Scope, target: Mirrored, remote_id: str, *, term: str) -> None:
    """A second copy of something of ours: a target of its own that should not exist, deleted like any other."""
    copy = f"sur:{key_of(remote_id)}"
    group = copy if target.kind == "calendar" else target.group_id
    one = Put(target.kind, copy, group, term, scope.lane, jobs.GONE, "", 0, 0)
    jobs.put(
        connection,
        [one],
        tenant=scope.tenant,
        import_no=target.import_no,
        run_id=None,
        new_id=scope.deps.new_id,
    )
    # The copy of an object that was only just created is where its intent says, not where the mirror does.
    where = target if target.from_ms is not None or target.intent is None else target.intent
    mirror.write_sent(
        connection,
        [SentRow(copy, remote_id, "surplus", where.from_ms, where.until_ms, 1)],
        tenant=scope.tenant,
        term=term,
    )
