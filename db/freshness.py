"""What freshness is told from: samples of what was closed, when each tier was synced, and what of each is still open."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, and_, case, delete, false, func, or_, select

from db.clock import now_ms
from db.jobs import WAITING
from db.tables import jobs, lanes, rolls, run_counts, sessions, terms, throughput, tier_syncs
from db.upsert import upsert
from domain.freshness import WINDOW_MS, Sample
from domain.layouts import own_calendar_target, person_key
from domain.plans import calendar_target
from domain.terms import ARCHIVED
from domain.tiers import FAR, MIDDLE, NEAR, TODAY, Horizon

SAMPLE_MS = 10_000
_KEPT_MS = 4 * WINDOW_MS
SHOWN = (TODAY, NEAR, MIDDLE, FAR)
"""Tiers that a class can be in."""


def sample(connection: Connection, *, tenant: str, run_id: str) -> None:
    """Note how much of the run is closed by now; what is older than an hour is forgotten."""
    at_ms = now_ms(connection) // SAMPLE_MS * SAMPLE_MS
    closed = run_counts.c.done + run_counts.c.failed
    count = connection.execute(select(func.sum(closed)).where(run_counts.c.run_id == run_id)).scalar()
    row = {"tenant_id": tenant, "at_ms": at_ms, "run_id": run_id, "closed": int(count or 0)}
    upsert(connection, throughput, [row], update=["closed"])
    old = (throughput.c.tenant_id == tenant, throughput.c.at_ms < at_ms - _KEPT_MS)
    connection.execute(delete(throughput).where(*old))


def is_sampled(connection: Connection, *, tenant: str, run_id: str) -> bool:
    """Whether this is not the time for another sample."""
    at_ms = now_ms(connection) // SAMPLE_MS * SAMPLE_MS
    key = (throughput.c.tenant_id == tenant, throughput.c.at_ms == at_ms, throughput.c.run_id == run_id)
    return connection.execute(select(throughput.c.at_ms).where(*key)).first() is not None


def samples(connection: Connection, *, tenant: str) -> dict[str, list[Sample]]:
    """Run → what it had closed by when, of the last minutes."""
    since = now_ms(connection) - WINDOW_MS - SAMPLE_MS
    rows = connection.execute(
        select(throughput.c.run_id, throughput.c.at_ms, throughput.c.closed)
        .where(throughput.c.tenant_id == tenant, throughput.c.at_ms >= since)
        .order_by(throughput.c.at_ms)
    )
    found: dict[str, list[Sample]] = {}
    for run_id, at_ms, closed in rows:
        found.setdefault(run_id, []).append(Sample(at_ms, closed))
    return found


def least_open(connection: Connection, *, tenant: str) -> int | None:
    """The first tier of which something is open in some lane; None when nothing is.

    One look into an index for each lane and state, however much is open.
    """
    found: list[int] = []
    for state in WAITING:
        first = (
            select(jobs.c.tier)
            .where(jobs.c.tenant_id == lanes.c.tenant_id, jobs.c.lane == lanes.c.lane, jobs.c.state == state)
            .where(jobs.c.tier <= FAR)
            .order_by(jobs.c.tier)
            .limit(1)
            .correlate(lanes)
            .scalar_subquery()
        )
        least = connection.execute(select(func.min(first)).select_from(lanes).where(lanes.c.tenant_id == tenant))
        tier = least.scalar()
        if tier is not None:
            found.append(int(tier))
    return min(found, default=None)


def synced(connection: Connection, tiers: Sequence[int], *, tenant: str, run_id: str) -> None:
    """All of these tiers that a run over the whole timetable has found is sent; said once by each run."""
    known = select(tier_syncs.c.tier).where(tier_syncs.c.tenant_id == tenant, tier_syncs.c.run_id == run_id)
    new = sorted(set(tiers) - set(connection.execute(known).scalars()))
    if new:
        now = now_ms(connection)
        rows = [{"tenant_id": tenant, "tier": tier, "run_id": run_id, "synced_ms": now} for tier in new]
        upsert(connection, tier_syncs, rows, update=["run_id", "synced_ms"])


def synced_at(connection: Connection, *, tenant: str) -> dict[int, int]:
    """Tier → when nothing of it was left the last time."""
    rows = connection.execute(select(tier_syncs.c.tier, tier_syncs.c.synced_ms).where(tier_syncs.c.tenant_id == tenant))
    return {row.tier: row.synced_ms for row in rows}


def open_jobs(
    connection: Connection, *, tenant: str, groups: Sequence[tuple[str, str]] | None = None
) -> dict[tuple[int, str, str], int]:
    """(tier, state, kind) → how many jobs are open, at all or of some calendars (term, target)."""
    mine = [jobs.c.tenant_id == tenant, jobs.c.tier <= FAR]
    if groups is None:
        mine += [jobs.c.state.in_(WAITING), jobs.c.lane.is_not(None)]
    else:
        mine.append(jobs.c.group_id.in_([target for _, target in groups]))
        # A person has a few calendars: found by them. Indexes of state and lane, which SQLite prefers, have all that is open.
        mine += [jobs.c.state.concat("").in_(WAITING), jobs.c.lane.concat("").is_not(None)]
    columns = (jobs.c.tier, jobs.c.state, jobs.c.kind)
    rows = connection.execute(select(*columns, func.count()).where(*mine).group_by(*columns))
    return {(row[0], row[1], row[2]): int(row[3]) for row in rows}


def open_jobs_by_run(connection: Connection, *, tenant: str) -> dict[str | None, dict[tuple[int, str, str], int]]:
    """Run → the same of its jobs, those of no run too: one look at all that is open, however many runs go on."""
    mine = (jobs.c.tenant_id == tenant, jobs.c.state.in_(WAITING), jobs.c.lane.is_not(None), jobs.c.tier <= FAR)
    columns = (jobs.c.run_id, jobs.c.tier, jobs.c.state, jobs.c.kind)
    found: dict[str | None, dict[tuple[int, str, str], int]] = {}
    for run_id, tier, state, kind, count in connection.execute(
        select(*columns, func.count()).where(*mine).group_by(*columns)
    ):
        found.setdefault(run_id, {})[tier, state, kind] = int(count)
    return found


def classes(connection: Connection, horizon: Horizon, *, tenant: str, code: str | None = None) -> dict[int, int]:
    """Tier → how many classes there are, of all terms that are not archived; of one person's where `code` is given."""
    at = sessions.c.start_ms
    tier = case(
        (and_(at >= horizon.day_ms, at < horizon.today_until_ms), TODAY),
        (and_(at >= horizon.week_ms, at < horizon.near_until_ms), NEAR),
        (and_(at >= horizon.near_until_ms, at < horizon.middle_until_ms), MIDDLE),
        else_=FAR,
    )
    archived = select(terms.c.xnxq).where(terms.c.tenant_id == tenant, terms.c.status == ARCHIVED)
    mine = [sessions.c.tenant_id == tenant, sessions.c.term.not_in(archived)]
    if code is not None:
        taken = select(rolls.c.term, rolls.c.offering_id).where(rolls.c.tenant_id == tenant, rolls.c.code == code)
        by_term: dict[str, list[str]] = {}
        for term, offering_id in connection.execute(taken.distinct()):
            by_term.setdefault(term, []).append(offering_id)
        # For each term a list: of single pairs, SQLite would rather look at all classes there are.
        its = (and_(sessions.c.term == term, sessions.c.offering_id.in_(ids)) for term, ids in by_term.items())
        mine.append(or_(false(), *its))
    rows = connection.execute(select(tier.label("tier"), func.count()).where(*mine).group_by("tier"))
    return {int(row[0]): int(row[1]) for row in rows}


def calendars_of(connection: Connection, *, tenant: str, code: str) -> list[tuple[str, str]]:
    """The calendars (term, target) that a person reads: those of the courses, and their own."""
    on_roll = (rolls.c.tenant_id == tenant, rolls.c.code == code, rolls.c.kind.in_(("student", "teacher")))
    courses = connection.execute(select(rolls.c.term, rolls.c.offering_id).where(*on_roll).distinct()).all()
    own = [
        (term, own_calendar_target(person_key(term=term, code=code))) for term in sorted({one for one, _ in courses})
    ]
    return [(term, calendar_target(one)) for term, one in courses] + own


def last_sent(connection: Connection, groups: Sequence[tuple[str, str]], *, tenant: str) -> Mapping[int, int]:
    """Tier → when something of these calendars was sent the last time."""
    mine = (jobs.c.tenant_id == tenant, jobs.c.group_id.in_([one for _, one in groups]), jobs.c.state == "done")
    rows = connection.execute(select(jobs.c.tier, func.max(jobs.c.finished_ms)).where(*mine).group_by(jobs.c.tier))
    return {row[0]: int(row[1]) for row in rows if row[1] is not None}
