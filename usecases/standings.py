"""Working out what became of students, after whatever was learnt about them, and the counters that follow from it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection

from db import check_ins, rosters, switches
from db.check_ins import Keys
from db.tables import AnyRow
from domain.attendance import (
    ABNORMAL,
    ABSENT,
    CHECK_IN,
    COUNTERS,
    SWEEP,
    Fact,
    Policy,
    Standing,
    change,
    standing,
)  # fmt: skip
from domain.switches import STATISTICS_OFF
from domain.verdicts import Rules
from usecases import check_in_rules

_AS_STATS: Final[Mapping[str, str]] = {
    "total_students": "total_classes", "attended_count": "attended_classes", "absent_count": "absence_classes",
    "leave_count": "leave_classes", "review_count": "review_classes", "late_count": "late_classes",
    "early_count": "early_leave_classes",
}  # fmt: skip


def fact_of(record: Any) -> Fact:
    """A committed check-in as a fact. What others show about it is part of what it says."""
    says = ABNORMAL if record.doubts else record.status
    return Fact("check_in", CHECK_IN, record.at_ms, says)


def work_out(
    tx: Connection,
    keys: Keys,
    *,
    tenant: str,
    term: str,
    records: Mapping[tuple[str, str], Any] | None = None,
    missing: tuple[str, int] | None = None,
) -> dict[str, dict[str, int]]:
    """Work out these students again, from all facts that this unit can see. Returns the counters of rosters that changed.

    `records` are their committed check-ins where the caller has them. Locks details, then rosters, in the order of their keys; a
    student who has no detail is left out, or with `missing` (why, since when in ms) gets one.
    """
    details = rosters.lock_details(tx, keys, tenant=tenant, term=term)
    if missing is not None and len(details) < sum(map(len, keys.values())):
        details |= _add_missing(tx, keys, details, *missing, tenant=tenant, term=term)
    if records is None:
        records = check_ins.find(tx, keys, tenant=tenant, term=term)
    facts = rosters.facts_of(tx, keys, tenant=tenant, term=term)
    # After the details: whoever has swept them before has told their roster before.
    known = {row.session_id: row for row in rosters.of_sessions(tx, keys, tenant=tenant, term=term, lock=False)}
    rules = check_in_rules.of_courses(tx, {row.course_id for row in known.values()}, tenant=tenant)
    found: dict[tuple[str, str], tuple[Standing, str]] = {}
    over = {one for one, row in known.items() if row.swept_ms is not None}
    told = over if over and not switches.is_on(tx, STATISTICS_OFF, tenant=tenant) else ()
    for key, row in sorted(details.items()):
        of = known.get(key[0])
        if of is None:
            continue
        now = _standing(row, of, rules[of.course_id], records.get(key), facts.get(key, ()))
        counted = now.status if key[0] in told else row.counted
        if (now.status, now.leave_noted, now.by, counted) != (
            row.status,
            row.leave_noted,
            row.produced_by,
            row.counted,
        ):
            found[key] = now, counted
    rosters.set_standings(tx, found, tenant=tenant, term=term)
    _add_stats(tx, found, details, known, tenant=tenant, term=term)
    owed = {key[0] for key, (now, counted) in found.items() if key[0] in over and counted != now.status}
    switches.owe(tx, owed, tenant=tenant, term=term)
    return _add_counters(tx, found, details, tenant=tenant, term=term)


def _add_missing(
    tx: Connection,
    keys: Keys,
    there: Mapping[tuple[str, str], AnyRow],
    why: str,
    since_ms: int,
    *,
    tenant: str,
    term: str,
) -> dict[tuple[str, str], AnyRow]:
    """Details for those who have none, locked: not counted yet, which whoever works them out does."""
    lacking = {one: sorted(code for code in codes if (one, code) not in there) for one, codes in sorted(keys.items())}
    added = [(one, code, why) for one, codes in lacking.items() for code in codes]
    rosters.add_students(tx, added, tenant=tenant, term=term, now_ms=since_ms)
    return rosters.lock_details(tx, {one: codes for one, codes in lacking.items() if codes}, tenant=tenant, term=term)


def _standing(row: AnyRow, roster: AnyRow, rules: Rules, record: Any, facts: Any) -> Standing:
    policy = Policy(rules.check_in_over_leave, rules.checkout_required)
    if record is not None and not facts and roster.swept_ms is None:
        return _came_and_nothing_else(fact_of(record).says, policy)
    known = [*facts]
    if record is not None:
        known.append(fact_of(record))
    if roster.swept_ms is not None:
        known.append(Fact("sweep", SWEEP, roster.swept_ms, ABSENT))
    dropped = row.until_ms is not None and row.until_ms <= roster.start_ms
    return standing(known, policy, dropped=dropped)


@cache
def _came_and_nothing_else(says: str, policy: Policy) -> Standing:
    """At the bell nearly everybody's, and the same whenever they came: some hundreds a second are worked out."""
    return standing([Fact("check_in", CHECK_IN, 0, says)], policy)


def _add_counters(
    tx: Connection,
    found: Mapping[tuple[str, str], tuple[Standing, str]],
    details: Mapping[tuple[str, str], AnyRow],
    **of: str,
) -> dict[str, dict[str, int]]:
    added: dict[str, Counter[str]] = {}
    for key, (now, _) in found.items():
        change(added.setdefault(key[0], Counter()), details[key].status, now.status)
    changed = {one: counter for one, counter in added.items() if any(counter.values())}
    return _lock_and_add(tx, changed, **of)


def _lock_and_add(
    tx: Connection, added: Mapping[str, Mapping[str, int]], *, tenant: str, term: str
) -> dict[str, dict[str, int]]:
    """Add to the counters of rosters, in the order of the key. Returns what they are now."""
    if not added:
        return {}
    rows = rosters.of_sessions(tx, added, tenant=tenant, term=term, lock=True)
    made = {
        row.session_id: {name: getattr(row, name) + added[row.session_id].get(name, 0) for name in COUNTERS}
        for row in rows
    }
    rosters.set_counters(tx, made, tenant=tenant, term=term)
    return made


def expect(
    tx: Connection, added: Sequence[tuple[str, str, str]], *, tenant: str, term: str, now_ms: int
) -> dict[str, dict[str, int]]:
    """Put students on rosters: (session, student, why) in the order of the key. Who is on one stays; new ones are counted."""
    rosters.add_students(tx, added, tenant=tenant, term=term, now_ms=now_ms)
    keys: dict[str, list[str]] = {}
    for session_id, code, _ in added:
        keys.setdefault(session_id, []).append(code)
    return work_out(tx, keys, tenant=tenant, term=term)


def _add_stats(
    tx: Connection,
    found: Mapping[tuple[str, str], tuple[Standing, str]],
    details: Mapping[tuple[str, str], AnyRow],
    known: Mapping[str, AnyRow],
    *,
    tenant: str,
    term: str,
) -> None:
    """The statistics follow sessions that are over, for the student, the course, and the student in the course."""
    added: dict[tuple[str, str], Counter[str]] = {}
    for (session_id, code), (_, counted) in found.items():
        before = details[session_id, code].counted
        if before == counted:
            continue
        step: Counter[str] = Counter()
        change(step, before, counted)
        course = known[session_id].course_id
        for key in ((code, course), (code, ""), ("", course)):
            total = added.setdefault(key, Counter())
            for name, by in step.items():
                if name in _AS_STATS:
                    total[_AS_STATS[name]] += by
    rosters.add_stats(tx, added, tenant=tenant, term=term)
