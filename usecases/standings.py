"""Working out what became of students, after whatever was learnt about them, and the counters that follow from it."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection

from db import check_ins, rosters, statistics, switches
from db.key_ranges import Keys
from db.tables import AnyRow
from domain.attendance import (
    ABNORMAL,
    ABSENT,
    CHECK_IN,
    COUNTERS,
    PENDING,
    SWEEP,
    Fact,
    Policy,
    Standing,
    change,
    of_check_in,
    standing,
)  # fmt: skip
from domain.statistics import Key, add, keys_of
from domain.switches import STATISTICS_OFF
from domain.verdicts import Rules
from usecases import check_in_rules

_FEW_FACTS: Final = 500  # read at once, to see whether they are about whoever checks in


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
    over = {one for one, row in known.items() if row.college is not None}
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


def came(
    tx: Connection, said: Mapping[tuple[str, str], str], *, tenant: str, term: str
) -> dict[str, dict[str, int]] | None:
    """The same for students who were pending and of whom this unit has stored a check-in: (session, student) → what it says.

    At the bell that is nearly everybody, and then their details need not be read. None where anything else is known of any of
    them: then nothing was changed, and `work_out` is the one to ask. Locks in the same order.
    """
    alike: dict[Standing, dict[str, list[str]]] = {}
    added: dict[str, Counter[str]] = {}
    for (session_id, code), says in said.items():
        now = of_check_in(says)
        alike.setdefault(now, {}).setdefault(session_id, []).append(code)
        change(added.setdefault(session_id, Counter()), PENDING, now.status)
    with tx.begin_nested() as so_far:
        if rosters.settle_pending(tx, alike, tenant=tenant, term=term) == len(said):
            # After the details: whoever has swept them, or said anything about them, before has written it by now.
            rows = rosters.lock_counters(tx, added, tenant=tenant, term=term)
            spoken_of = {row.session_id for row in rows if row.spoken_of}
            known = len(rows) == len(added) and all(row.swept_ms is None for row in rows)
            if known and not _have_facts(tx, said, spoken_of, tenant=tenant, term=term):
                return _add(tx, rows, added, tenant=tenant, term=term)
        so_far.rollback()
    return None


def _have_facts(
    tx: Connection, keys: Collection[tuple[str, str]], spoken_of: Collection[str], *, tenant: str, term: str
) -> bool:
    """Whether anybody has said anything about one of these students, or so much about their sessions that it may be."""
    if not spoken_of:
        return False
    found = rosters.with_facts(tx, spoken_of, tenant=tenant, term=term, limit=_FEW_FACTS)
    return len(found) == _FEW_FACTS or any(key in keys for key in found)


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
        return of_check_in(fact_of(record).says)
    known = [*facts]
    if record is not None:
        known.append(fact_of(record))
    if roster.swept_ms is not None:
        known.append(Fact("sweep", SWEEP, roster.swept_ms, ABSENT))
    dropped = row.until_ms is not None and row.until_ms <= roster.start_ms
    return standing(known, policy, dropped=dropped)


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
    return _add(tx, rows, added, tenant=tenant, term=term)


def _add(
    tx: Connection, rows: Sequence[AnyRow], added: Mapping[str, Mapping[str, int]], *, tenant: str, term: str
) -> dict[str, dict[str, int]]:
    """Add to the counters of these rosters, which are locked."""
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
    """The statistics follow sessions that are closed."""
    changed = {key: counted for key, (_, counted) in found.items() if details[key].counted != counted}
    if not changed:
        return
    places = statistics.places(tx, [known[one] for one in {key[0] for key in changed}], tenant=tenant, term=term)
    sums: dict[Key, Counter[str]] = {}
    for (session_id, code), counted in changed.items():
        add(sums, keys_of(code, places[session_id]), details[session_id, code].counted, counted)
    statistics.add_to(tx, sums, tenant=tenant, term=term)
