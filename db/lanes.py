"""Lanes in the database: owner, fence, lease. The database alone decides who works a lane."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    ScalarSelect,
    and_,
    bindparam,
    func,
    or_,
    select,
    tuple_,
    update,
)

from db.clock import db_now_ms, now_ms
from db.jobs import SCHEMA_VER
from db.spelled import Spelled
from db.tables import jobs, lanes, mirror
from db.upsert import insert_missing
from domain.jobs import HELD
from domain.lanes import LaneRow, OnClaim, Times, on_claim, taken, taken_over
from domain.list_size import UNTRIED, ListSizes
from domain.tiers import NEAR


class FenceLost(Exception):
    """The lane has another owner, or none: whatever this drain still wanted to write is refused."""


@dataclass(frozen=True, slots=True)
class Held:
    """A claim of a lane: who holds it and the number every effect must name."""

    tenant: str
    lane: str
    claim: str
    fence: int
    sizes: ListSizes = UNTRIED


def make(connection: Connection, *, tenant: str, names: Iterable[str]) -> None:
    """Write the rows of lanes that have none yet. Those that are there are not touched: whoever drains them is not held up."""
    wanted = set(names)
    where = (lanes.c.tenant_id == tenant, lanes.c.lane.in_(sorted(wanted)))
    wanted.difference_update(connection.execute(select(lanes.c.lane).where(*where)).scalars())
    if not wanted:
        return
    now = now_ms(connection)
    fresh = {"owner": None, "fence": 0, "lease_until": 0, "not_before": 0, "paused": False, "effects": 0}
    rows = [{"tenant_id": tenant, "lane": name, "created_ms": now, **fresh} for name in sorted(wanted)]
    insert_missing(connection, lanes, rows)


def claim(
    connection: Connection,
    *,
    tenant: str,
    lane: str,
    claim_id: str,
    times: Times,
    took_over: Callable[[], None] = lambda: None,
) -> Held | None:
    """Take the lane, or take it over (then it rests, `took_over` is told, and None is returned), or be refused (None)."""
    where = (lanes.c.tenant_id == tenant, lanes.c.lane == lane)
    row = connection.execute(select(lanes).where(*where).with_for_update()).one_or_none()
    if row is None:
        return None
    now = now_ms(connection)
    state = LaneRow(row.owner, row.fence, row.lease_until, row.not_before, row.paused)
    decision = on_claim(state, now=now)
    if decision is OnClaim.REFUSE:
        return None
    if decision is OnClaim.TAKE_OVER:
        rests = taken_over(state, times=times)
        connection.execute(
            update(lanes).where(*where).values(owner=None, fence=rests.fence, not_before=rests.not_before)
        )
        took_over()
        return None
    mine = taken(state, claim=claim_id, now=now, times=times)
    connection.execute(
        update(lanes).where(*where).values(owner=mine.owner, fence=mine.fence, lease_until=mine.lease_until, note=None)
    )
    return Held(tenant, lane, claim_id, mine.fence, ListSizes(row.event_list, row.member_list))


def renew(connection: Connection, held: Sequence[Held], *, times: Times) -> set[str]:
    """Prolong these leases from now, in one unit. Returns the claims that still hold; the others have another owner."""
    mine = tuple_(lanes.c.tenant_id, lanes.c.lane, lanes.c.fence, lanes.c.owner).in_(
        [(one.tenant, one.lane, one.fence, one.claim) for one in sorted(held, key=lambda one: (one.tenant, one.lane))]
    )
    done = connection.execute(update(lanes).where(mine).values(lease_until=db_now_ms() + times.lease_ms))
    if done.rowcount == len(held):
        return {one.claim for one in held}
    return set(connection.execute(select(lanes.c.owner).where(mine)).scalars())


def release(connection: Connection, held: Held, *, park_ms: int = 0, note: str | None = None) -> None:
    """Give the lane back; with `park_ms` it rests that long. A lost lane is left alone."""
    connection.execute(
        update(lanes)
        .where(lanes.c.tenant_id == held.tenant, lanes.c.lane == held.lane, lanes.c.fence == held.fence)
        .values(owner=None, not_before=db_now_ms() + park_ms if park_ms else lanes.c.not_before, note=note)
    )


_MINE = (
    lanes.c.tenant_id == bindparam("b_tenant"),
    lanes.c.lane == bindparam("b_lane"),
    lanes.c.fence == bindparam("b_fence"),
)
_ENTER = update(lanes).where(*_MINE).values(effects=lanes.c.effects + 1)
_ENTER_GOING = Spelled(_ENTER.where(lanes.c.paused.is_(False)))
_KEEP_SIZES = update(lanes).where(*_MINE).values(event_list=bindparam("b_event"), member_list=bindparam("b_members"))


def enter(connection: Connection, held: Held) -> bool:
    """First statement of every effect: locks the lane's row under our fence, or raises `FenceLost`.

    An UPDATE, because it locks on every database and a plain read does not. Returns whether the lane is paused; mostly it
    is not, which the same statement can tell.
    """
    key = {"b_tenant": held.tenant, "b_lane": held.lane, "b_fence": held.fence}
    if _ENTER_GOING.run(connection, key).rowcount == 1:
        return False
    if connection.execute(_ENTER, key).rowcount != 1:
        raise FenceLost(f"lane {held.lane} is no longer held with fence {held.fence}")
    return True


def keep_sizes(connection: Connection, held: Held, sizes: ListSizes) -> None:
    """Remember how long a list of this lane may be; the lane has been entered by the same unit."""
    key = {"b_tenant": held.tenant, "b_lane": held.lane, "b_fence": held.fence}
    connection.execute(_KEEP_SIZES, {**key, "b_event": sizes.event, "b_members": sizes.members})


def exists(connection: Connection, lane: str, *, tenant: str) -> bool:
    """Whether the school has such a lane."""
    where = (lanes.c.tenant_id == tenant, lanes.c.lane == lane)
    return connection.execute(select(lanes.c.lane).where(*where)).first() is not None


def is_paused(connection: Connection, lane: str, *, tenant: str) -> bool | None:
    """Whether the lane is paused; None where there is no such lane. Locked to the end of the unit."""
    where = (lanes.c.tenant_id == tenant, lanes.c.lane == lane)
    found = connection.execute(select(lanes.c.paused).where(*where).with_for_update()).scalar_one_or_none()
    return None if found is None else bool(found)


def set_paused(connection: Connection, *, tenant: str, names: Sequence[str] | None, paused: bool) -> int:
    """Pause or resume the named lanes (None: all). Returns how many there are."""
    statement = update(lanes).where(lanes.c.tenant_id == tenant).values(paused=paused)
    if names is not None:
        statement = statement.where(lanes.c.lane.in_(names))
    return int(connection.execute(statement).rowcount)


def wake(connection: Connection, *, tenant: str, note: str) -> int:
    """Let the free lanes that rest with this note go on at once. Returns how many.

    A lane that was taken over keeps its pause: its note went with the claim that was lost.
    """
    resting = (lanes.c.tenant_id == tenant, lanes.c.owner.is_(None), lanes.c.note == note)
    return int(connection.execute(update(lanes).where(*resting).values(not_before=0, note=None)).rowcount)


def _ready(now: int) -> ScalarSelect[Any]:
    """A due job of the lane, NULL when there is none.

    Correlated and limited to the first row found, by an index that is named: MariaDB would turn an EXISTS into a join over
    all jobs there are, and guesses without knowing the lane that any index of the tenant will do.
    """
    calendar = mirror.alias("calendar")
    statement = (
        select(jobs.c.id)
        .join(
            calendar,
            (calendar.c.tenant_id == jobs.c.tenant_id)
            & (calendar.c.term == jobs.c.term)
            & (calendar.c.target == jobs.c.group_id),
            isouter=True,
        )
        .where(
            jobs.c.tenant_id == lanes.c.tenant_id,
            jobs.c.lane == lanes.c.lane,
            jobs.c.state == "queued",
            jobs.c.run_at <= now,
            jobs.c.schema_ver <= SCHEMA_VER,
            or_(
                jobs.c.kind.in_(("users", "walk")),
                (calendar.c.parked_until <= now) & or_(calendar.c.state == "live", jobs.c.kind == "calendar"),
            ),
        )
        .limit(1)
    )
    for dialect in ("mysql", "mariadb"):
        hint = "FORCE INDEX (ix_jobs_tenant_id_lane_state_tier_priority_id)"
        statement = statement.with_hint(jobs, hint, dialect)
    return statement.correlate(lanes).scalar_subquery()


def due(connection: Connection, *, limit: int = 1000) -> list[tuple[str, str]]:
    """Lanes somebody should claim now: free or with a lease that ran out, rested, not paused, with something to do."""
    now = now_ms(connection)
    # Two questions: what is in doubt is found by its time over all lanes, and joined with OR neither would have an index.
    unsettled = connection.execute(
        select(mirror.c.tenant_id, mirror.c.lane)
        .where(mirror.c.settle_at <= now, mirror.c.parked_until <= now)
        .distinct()
        .limit(limit)
    ).all()
    claimable = or_(
        and_(lanes.c.owner.is_(None), lanes.c.not_before <= now),
        and_(lanes.c.owner.is_not(None), lanes.c.lease_until < now),
    )
    has_work: ColumnElement[bool] = _ready(now).is_not(None)
    if unsettled:
        in_doubt = [(row.tenant_id, row.lane) for row in unsettled]
        has_work = or_(tuple_(lanes.c.tenant_id, lanes.c.lane).in_(in_doubt), has_work)
    found = connection.execute(
        select(lanes.c.tenant_id, lanes.c.lane)
        .where(lanes.c.paused.is_(False), claimable, has_work)
        .order_by(lanes.c.not_before, lanes.c.lane)
        .limit(limit)
    )
    return [(row.tenant_id, row.lane) for row in found]


def urgent(connection: Connection) -> list[tuple[str, str]]:
    """Lanes that nobody holds and that have an urgent job which is due."""
    waits = (
        select(jobs.c.id)
        .where(
            jobs.c.tenant_id == lanes.c.tenant_id,
            jobs.c.lane == lanes.c.lane,
            jobs.c.state == "queued",
            jobs.c.tier < NEAR,
            jobs.c.run_at <= now_ms(connection),
        )
        .limit(1)
        .correlate(lanes)
        .scalar_subquery()
    )
    free = (lanes.c.paused.is_(False), lanes.c.owner.is_(None))
    found = connection.execute(select(lanes.c.tenant_id, lanes.c.lane).where(*free, waits.is_not(None)))
    return [(row.tenant_id, row.lane) for row in found]


def listing(connection: Connection, *, tenant: str) -> list[dict[str, Any]]:
    """Every lane with its owner, what waits in it, and what it waits for."""
    now = now_ms(connection)
    waiting = (
        select(jobs.c.lane, func.count().label("queued"), func.min(jobs.c.run_at).label("next_at"))
        .where(jobs.c.tenant_id == tenant, jobs.c.state == "queued", jobs.c.lane.is_not(None))
        .group_by(jobs.c.lane)
        .subquery()
    )
    dead = (
        select(jobs.c.lane, func.count().label("dead"))
        .where(jobs.c.tenant_id == tenant, jobs.c.state == "dead", jobs.c.lane.is_not(None))
        .group_by(jobs.c.lane)
        .subquery()
    )
    held = (
        select(jobs.c.lane, func.count().label("held"))
        .where(jobs.c.tenant_id == tenant, jobs.c.state == HELD)
        .group_by(jobs.c.lane)
        .subquery()
    )
    open_intents = (
        select(mirror.c.lane, func.count().label("unsettled"))
        .where(mirror.c.tenant_id == tenant, mirror.c.settle_at.is_not(None))
        .group_by(mirror.c.lane)
        .subquery()
    )
    rows = connection.execute(
        select(lanes, waiting.c.queued, held.c.held, dead.c.dead, open_intents.c.unsettled)
        .outerjoin(waiting, waiting.c.lane == lanes.c.lane)
        .outerjoin(held, held.c.lane == lanes.c.lane)
        .outerjoin(dead, dead.c.lane == lanes.c.lane)
        .outerjoin(open_intents, open_intents.c.lane == lanes.c.lane)
        .where(lanes.c.tenant_id == tenant)
        .order_by(lanes.c.lane)
    )
    return [
        {
            "lane": row.lane,
            "state": _state(LaneRow(row.owner, row.fence, row.lease_until, row.not_before, row.paused), now),
            "queued": row.queued or 0,
            "held": row.held or 0,
            "unsettled": row.unsettled or 0,
            "dead": row.dead or 0,
            "fence": row.fence,
            "owner": row.owner,
            "rests_ms": max(0, row.not_before - now),
            "note": row.note,
        }
        for row in rows
    ]


def _state(lane: LaneRow, now: int) -> str:
    if lane.paused:
        return "paused"
    if lane.owner is not None:
        return "working" if lane.lease_until >= now else "lost"
    return "resting" if lane.not_before > now else "free"
