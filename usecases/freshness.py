"""How fresh the timetable is at WPS, for everybody or for one person, and when what is missing will be there."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection

from db import freshness, holding, people, planning
from db.clock import now_ms
from db.engine import reading
from domain.freshness import Range, Sample, added_up, eta, percent, up_to
from domain.jobs import HELD
from domain.tiers import FAR, HURRIED, MIDDLE, NEAR, TODAY, Horizon
from usecases import off_peak, schedules
from usecases.deps import Deps

NAMES: Final = {TODAY: "today", NEAR: "near", MIDDLE: "middle", FAR: "far"}
Open = Mapping[tuple[int, str, str], int]


class UnknownPerson(Exception):
    """Nobody has this number."""

    def __init__(self, code: str) -> None:
        super().__init__(f"nobody has the number {code}")
        self.code = code


def shown(deps: Deps, *, user: str | None = None) -> dict[str, Any]:
    """For each tier: when it was synced, how much of it is, and when the rest will be. Raises `UnknownPerson`."""
    next_ms = _next_run(deps)
    with reading(deps.engine) as tx:
        if user is not None and not _is_known(tx, deps.tenant, user):
            raise UnknownPerson(user)
        today, zone = planning.local_day(tx, tenant=deps.tenant)
        total = freshness.classes(tx, Horizon.of(today, zone), tenant=deps.tenant, code=user)
        queue = freshness.open_jobs(tx, tenant=deps.tenant)
        synced = freshness.synced_at(tx, tenant=deps.tenant)
        mine: Open = queue
        if user is not None:
            groups = freshness.calendars_of(tx, tenant=deps.tenant, code=user)
            mine = freshness.open_jobs(tx, tenant=deps.tenant, groups=groups)
            sent = freshness.last_sent(tx, groups, tenant=deps.tenant)
            synced = _of_person(synced, sent, mine)
        ranges = _etas(tx, deps, mine, queue)
        now = now_ms(tx)
    tiers = [_tier(tier, total, mine, synced, ranges[tier], next_ms) for tier in freshness.SHOWN]
    left = _events(mine)
    term = percent(sum(total.values()), left.total())
    return {"user": user, "at_ms": now, "zone": zone.key, "next_ms": next_ms, "term_percent": term, "items": tiers}


def _is_known(tx: Connection, tenant: str, code: str) -> bool:
    return any(people.known(tx, [code], tenant=tenant, kind=kind) for kind in ("student", "teacher"))


def of_run(deps: Deps, run_id: str) -> list[dict[str, Any]]:
    """For each tier of which a run has something left: how much, and when it will be through."""
    return of_runs(deps, [run_id])[run_id]


def of_runs(deps: Deps, run_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """The same of several runs, which together cost no more than one."""
    if not run_ids:
        return {}
    with reading(deps.engine) as tx:
        by_run = freshness.open_jobs_by_run(tx, tenant=deps.tenant)
        queue = Counter[tuple[int, str, str]]()
        for counts in by_run.values():
            queue.update(counts)
        return {one: _of_run(tx, deps, by_run[one], queue) if one in by_run else [] for one in run_ids}


def _of_run(tx: Connection, deps: Deps, mine: Open, queue: Open) -> list[dict[str, Any]]:
    ranges = _etas(tx, deps, mine, queue)
    tiers = Counter[int]()
    for (tier, _, _), count in mine.items():
        tiers[max(tier, TODAY)] += count
    return [{"tier": NAMES[tier], "open": tiers[tier], **ranges[tier]} for tier in freshness.SHOWN if tiers[tier]]


def _etas(tx: Connection, deps: Deps, mine: Open, queue: Open) -> dict[int, dict[str, Any]]:
    """Tier → when what is wanted of it will be through; the lanes send everything that is as near before it."""
    going: list[Sample] = added_up(freshness.samples(tx, tenant=deps.tenant))
    now = now_ms(tx)
    held = holding.any_held(tx, tenant=deps.tenant)
    until = off_peak.begin_ms(tx, tenant=deps.tenant) if held else now
    ahead, waits = _by_tier(queue, held=False), _by_tier(queue, held=True)
    own, own_held = _by_tier(mine, held=False), _by_tier(mine, held=True)
    found: dict[int, dict[str, Any]] = {}
    for tier in freshness.SHOWN:
        left = up_to(ahead, tier) if up_to(own, tier) or up_to(own_held, tier) else 0
        behind = up_to(waits, tier) if up_to(own_held, tier) else 0
        promised = eta(going, left, now_ms=now, held=behind, held_until_ms=until)
        found[tier] = {**_as_dict(promised), "held": own_held[tier], "held_until_ms": until if behind else None}
    return found


def _as_dict(promised: Range | None) -> dict[str, Any]:
    if promised is None:
        return {"eta_ms": None}
    return {"eta_ms": [promised.soonest_ms, promised.latest_ms]}


def _by_tier(open_: Open, *, held: bool) -> Counter[int]:
    found = Counter[int]()
    for (tier, state, _), count in open_.items():
        if (state == HELD) is held:
            found[tier] += count
    return found


def _events(open_: Open) -> Counter[int]:
    """Tier → classes that are not as they should be. What was hurried is as near as can be."""
    found = Counter[int]()
    for (tier, _, kind), count in open_.items():
        if kind == "event":
            found[TODAY if tier == HURRIED else tier] += count
    return found


def _of_person(synced: Mapping[int, int], sent: Mapping[int, int], mine: Open) -> dict[int, int]:
    """A person's tier is synced when the school's is, or when the last of what is theirs was sent."""
    waits = {tier for tier, _, _ in mine}
    return {
        tier: max(synced.get(tier, 0), 0 if tier in waits else sent.get(tier, 0))
        for tier in freshness.SHOWN
        if tier in synced or (tier in sent and tier not in waits)
    }


def _tier(
    tier: int,
    total: Mapping[int, int],
    mine: Open,
    synced: Mapping[int, int],
    promised: Mapping[str, Any],
    next_ms: int | None,
) -> dict[str, Any]:
    left, count = _events(mine)[tier], total.get(tier, 0)
    return {
        "tier": NAMES[tier],
        "classes": count,
        "percent": percent(max(count, left), left),
        "synced_ms": synced.get(tier),
        "next_ms": next_ms,
        **promised,
    }


def _next_run(deps: Deps) -> int | None:
    """When the next run over the timetable starts by itself."""
    items = schedules.listing(deps)["items"]
    due = [one["next_slot_ms"] for one in items if one["starts"].get("kind") in ("full", "incremental")]
    return min((one for one in due if one is not None), default=None)
