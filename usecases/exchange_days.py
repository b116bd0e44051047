"""The exchange-day desk: the classes of a day held on another one, or not at all, as a school announces it for a holiday.

A day is one rule, not a change for each class: a class that a later import brings to that day goes with it. What a source says
itself (`exchange` of its terms) is in its sessions already; the desk shows it beside its own.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Any, Final

from sqlalchemy import Connection

from db import audit, classes, teaching_changes, timetable
from db.clock import now_ms as clock
from db.engine import reading
from db.tables import AnyRow
from domain import clashes
from domain.aggregation import Session
from domain.alterations import CANCELLED, EXCHANGE_DAY, MOVED
from domain.clashes import Clash, Held
from domain.teaching_changes import APPLIED, Around, on_day, teaching_day
from domain.terms import Term
from usecases import terms
from usecases.change_checks import ChangeRefused, InTheWay, Said, UnknownClass, conflict, people_of
from usecases.deps import Deps
from usecases.sync.overlaying import around
from usecases.teaching_changes import as_dict, begin_run, done, write

_WEEKDAYS: Final = "一二三四五六日"
_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Pair:
    """The classes of `day` are held on `held_on`; None: not at all."""

    day: date
    held_on: date | None


@dataclass(slots=True)
class _Day:
    """A pair with the classes that it moves or cancels, as they are to be, and those that stay where a person put them."""

    pair: Pair
    held: list[Held] = field(default_factory=list)
    stay: int = 0


def read_pairs(texts: Sequence[str], off: Sequence[str], term: Term) -> list[Pair]:
    """`HELD=TEACHING` as in the column `exchange` of a term, and days without classes. A teaching day is a date, or `W5-5` for
    Friday of week five. Raises `ChangeRefused`."""
    pairs = []
    for text in texts:
        held, equals, taught = text.partition("=")
        if not equals:
            raise ChangeRefused(f"{text} is no pair", "Write made-up date=teaching day: 2024-09-29=2024-10-04")
        pairs.append(Pair(_teaching(taught.strip(), term), _date(held.strip())))
    pairs += [Pair(_teaching(text.strip(), term), None) for text in off]
    if not pairs:
        raise ChangeRefused("no day is named", "Write made-up date=teaching day, or --off DATE")
    days = Counter(pair.day for pair in pairs)
    twice = sorted(day for day, count in days.items() if count > 1)
    if twice:
        raise ChangeRefused(f"{twice[0]} is named twice", "The classes of a day can be held once")
    return sorted(pairs, key=lambda pair: pair.day)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ChangeRefused(f"{text!r} is no date", "Write dates as 2024-09-29") from None


def _teaching(text: str, term: Term) -> date:
    week, dash, weekday = text.upper().removeprefix("W").partition("-")
    if not text.upper().startswith("W"):
        return _date(text)
    if not (dash and week.isdigit() and weekday in "1234567" and weekday):
        raise ChangeRefused(f"{text!r} is no teaching day", "Write a date, or week and weekday as W5-5")
    if term.first_monday is None:
        remedy = f"Write a date, or `obsync terms set {term.code} --first-monday DATE`"
        raise ChangeRefused(f"the first Monday of {term.code} is not known", remedy)
    return term.first_monday + timedelta(days=7 * (int(week) - 1) + int(weekday) - 1)


# --- looking ------------------------------------------------------------------------------------------------------------


def preview(
    deps: Deps, term: str, texts: Sequence[str], off: Sequence[str] = (), *, now_ms: int | None = None
) -> dict[str, Any]:
    """What would become of the days: classes, people, and what is in the way. Changes nothing.

    Raises `ChangeRefused` and `UnknownTerm`.
    """
    with reading(deps.engine) as tx:
        return _look(tx, deps, term, texts, off, now_ms)[0]


def _look(
    tx: Connection, deps: Deps, term: str, texts: Sequence[str], off: Sequence[str], now_ms: int | None
) -> tuple[dict[str, Any], list[Pair]]:
    terms.refuse_closed(tx, tenant=deps.tenant, term=term)
    seen = around(tx, tenant=deps.tenant, term=term, zone=deps.zone)
    pairs = read_pairs(texts, off, seen.term)
    today = datetime.fromtimestamp((now_ms or clock(tx)) / 1000, deps.zone).date()
    _refuse(pairs, seen, today)
    days = [_classes_of(tx, deps, seen, pair) for pair in pairs]
    empty = [one.pair.day for one in days if not one.held and not one.stay]
    if len(empty) == len(days):
        said = "、".join(map(str, empty))
        raise ChangeRefused(
            f"{said} 没有课 · no classes there", "Check the days; the source may have moved them already"
        )
    conflicts = _conflicts(tx, deps, term, days)
    offerings = {held.offering_id for one in days for held in one.held}
    found = {
        "term": term,
        "items": [_as_dict(tx, deps, seen, one, conflicts) for one in reversed(days)],
        "sessions": sum(len(one.held) for one in days),
        "people": people_of(tx, deps, term, offerings),
        "conflicts": [said for _, said in conflicts[:_SHOWN]],
        "conflicts_total": len(conflicts),
    }
    return found, pairs


def _refuse(pairs: Sequence[Pair], seen: Around, today: date) -> None:
    for pair in pairs:
        if pair.day in seen.days:
            remedy = f"Take it back first: `obsync days undo {seen.days[pair.day].id}`"
            raise ChangeRefused(f"{pair.day} 已调休 · was mapped already", remedy)
        if pair.held_on == pair.day:
            raise ChangeRefused(f"{pair.day} would be held on itself", "Name another day")
        if min(pair.day, pair.held_on or pair.day) < today:
            raise ChangeRefused(
                f"{pair.day} 或其补课日已经过去 · is over, or would be held on a day that is", "Name days to come"
            )


def _classes_of(tx: Connection, deps: Deps, seen: Around, pair: Pair) -> _Day:
    """The classes of a teaching day; those that a person has moved, or cancelled, stay as they are."""
    there = seen.term.made_up.get(pair.day)
    dates = sorted({pair.day.isoformat(), *([there.isoformat()] if there is not None else [])})
    found = _Day(pair)
    for row in classes.of_days(tx, dates, tenant=deps.tenant, term=seen.term.code):
        now = classes.as_session(row)
        source = _as_in_source(now)
        if source is None or teaching_day(source, seen.term) != pair.day:
            continue
        if now.alteration is not None and {MOVED, CANCELLED} & set(now.alteration.types):
            found.stay += 1
            continue
        to_be = now if pair.held_on is None else on_day(now, pair.held_on, seen)
        if pair.held_on is None or to_be.date != now.date:
            held = classes.as_held(row)
            found.held.append(
                Held(held.id, held.offering_id, held.course, to_be.start_ms, to_be.end_ms, held.rooms, held.teachers)
            )
    return found


def _as_in_source(now: Session) -> Session | None:
    return now if now.source_date else None


def _conflicts(tx: Connection, deps: Deps, term: str, days: Sequence[_Day]) -> list[tuple[date, dict[str, Any]]]:
    """(Teaching day, conflict): what classes that move would share with those that are there, or that come from another day."""
    found: list[tuple[date, dict[str, Any]]] = []
    going = {held.id for one in days for held in one.held}
    came: list[Held] = []
    coming = sorted(
        (one for one in days if one.pair.held_on is not None), key=lambda one: (str(one.pair.held_on), one.pair.day)
    )
    for held_on, group in groupby(coming, key=lambda one: one.pair.held_on):
        assert held_on is not None
        start = int(datetime(held_on.year, held_on.month, held_on.day, tzinfo=deps.zone).timestamp()) * 1000
        near = [(held_on + timedelta(days=n)).isoformat() for n in (-1, 0)]
        rows = classes.at(
            tx, tenant=deps.tenant, start_ms=start, end_ms=start + 2 * 86_400_000, dates=near, but=going
        )  # fmt: skip
        came = [classes.as_held(row) for row in rows]
        for one in group:
            found += [(one.pair.day, conflict(deps, clash)) for clash in clashes.of_things(one.held, came)]
            found += [(one.pair.day, said) for said in _of_students(tx, deps, term, one.held, came)]
            came = came + one.held
    return found


def _of_students(
    tx: Connection, deps: Deps, term: str, moved: Sequence[Held], others: Sequence[Held]
) -> Iterator[dict[str, Any]]:
    """Students who take a class that comes and one that is there, at the same time."""
    if not others:
        return
    expected: dict[str, set[str]] = {}
    ids = {one.offering_id for one in (*moved, *others)}
    for offering_id, kind, code in classes.students(tx, ids, tenant=deps.tenant, term=term):
        if kind == "student":
            expected.setdefault(offering_id, set()).add(code)
    for one, other, both in clashes.of_students(moved, others, expected):
        yield conflict(deps, Clash(clashes.STUDENT, str(len(both)), one, other))


def _as_dict(
    tx: Connection, deps: Deps, seen: Around, one: _Day, conflicts: Sequence[tuple[date, Mapping[str, Any]]]
) -> dict[str, Any]:
    offerings = {held.offering_id for held in one.held}
    return {
        "teaching_day": one.pair.day.isoformat(),
        "teaching_day_is": in_words(one.pair.day, seen.term),
        "held_on": one.pair.held_on and one.pair.held_on.isoformat(),
        "held_on_is": in_words(one.pair.held_on, seen.term),
        "sessions": len(one.held),
        "offerings": len(offerings),
        "staying": one.stay,
        "people": people_of(tx, deps, seen.term.code, offerings),
        "conflicts": sum(1 for day, _ in conflicts if day == one.pair.day),
    }


def in_words(day: date | None, term: Term) -> str:
    """A day as schools announce it: `第5周（单周）周五`; blank for none."""
    if day is None:
        return "停课 off"
    weekday = f"周{_WEEKDAYS[day.weekday()]}"
    if term.first_monday is None or day < term.first_monday:
        return weekday
    week = (day - term.first_monday).days // 7 + 1
    return f"第{week}周（{'单' if week % 2 else '双'}周）{weekday}"


# --- deciding -----------------------------------------------------------------------------------------------------------


def apply(deps: Deps, term: str, texts: Sequence[str], off: Sequence[str], said: Said) -> dict[str, Any]:
    """Let the days be exchanged, all at once. Raises `ChangeRefused` and its kinds, `UnknownTerm`."""

    def work(tx: Connection) -> tuple[dict[str, Any], str]:
        found, pairs = _look(tx, deps, term, texts, off, said.now_ms)
        if found["conflicts"] and not said.confirm:
            raise InTheWay(
                found["conflicts"] + [{"sentence": "…"}] * (found["conflicts_total"] - len(found["conflicts"]))
            )
        rows = [
            {
                "id": deps.new_id(),
                "term": term,
                "type": EXCHANGE_DAY,
                "day": pair.day.isoformat(),
                "date": pair.held_on and pair.held_on.isoformat(),
                "reason": said.reason.strip()[:500],
            }
            for pair in pairs
        ]
        written, task_id = write(tx, deps, said, EXCHANGE_DAY, rows, found["conflicts"])
        return {**written, "preview": found}, task_id

    return done(deps, said, work)


def undo(deps: Deps, reference: str, said: Said) -> dict[str, Any]:
    """Take a batch of exchange days back, all at once. Raises `ChangeRefused` and its kinds."""

    def work(tx: Connection) -> tuple[dict[str, Any], str]:
        rows = [
            row for row in teaching_changes.by_reference(tx, reference, tenant=deps.tenant) if row.type == EXCHANGE_DAY
        ]
        if not rows:
            raise UnknownClass(f"no exchange days go by {reference}", "`obsync days` lists them with their batches")
        batch = teaching_changes.by_reference(tx, rows[0].batch_id, tenant=deps.tenant)
        standing = [row for row in batch if row.state == APPLIED]
        if not standing:
            raise ChangeRefused(
                f"exchange days {reference} were taken back already", "`obsync days` lists those that count"
            )
        terms.refuse_closed(tx, tenant=deps.tenant, term=rows[0].term)
        ids = [row.id for row in standing]
        teaching_changes.withdraw(tx, ids, tenant=deps.tenant, actor=said.actor)
        run_id, task_id = begin_run(tx, deps, ids, what="days_undone")
        audit.write(
            tx, tenant=deps.tenant, new_id=deps.new_id, actor=said.actor, action="days.undo", thing=rows[0].batch_id,
            before=[as_dict(row) for row in standing], after={"run": run_id, "reason": said.reason},
        )  # fmt: skip
        items = [as_dict(row) for row in teaching_changes.by_ids(tx, ids, tenant=deps.tenant)]
        return {"items": items[::-1], "batch": rows[0].batch_id, "run": run_id, "conflicts": []}, task_id

    return done(deps, said, work)


def listing(deps: Deps, *, term: str | None = None, limit: int = 50) -> dict[str, Any]:
    """Exchange days, newest first: the desk's, also those that were taken back, then those that sources say."""
    with reading(deps.engine) as tx:
        known = timetable.load_terms(tx, deps.tenant)
        rows = teaching_changes.listing(tx, tenant=deps.tenant, term=term, kinds=[EXCHANGE_DAY], limit=limit)
    items = [_desk(row, known.get(row.term) or Term(row.term)) for row in rows]
    for code in sorted(known, reverse=True):
        if term in (None, code):
            items += [_of_source(known[code], day) for day in sorted(known[code].made_up, reverse=True)]
    return {"items": items[:limit]}


def _desk(row: AnyRow, term: Term) -> dict[str, Any]:
    held = date.fromisoformat(row.date) if row.date else None
    said = {name: getattr(row, name) for name in ("id", "term", "state", "reason", "actor", "at_ms", "run_id")}
    return {**said, "batch": row.batch_id, "by": "desk", **_words(date.fromisoformat(row.day), held, term)}


def _of_source(term: Term, day: date) -> dict[str, Any]:
    return {
        "id": None,
        "term": term.code,
        "state": APPLIED,
        "batch": None,
        "by": "source",
        **_words(day, term.made_up[day], term),
    }


def _words(day: date, held: date | None, term: Term) -> dict[str, Any]:
    return {
        "teaching_day": day.isoformat(),
        "teaching_day_is": in_words(day, term),
        "held_on": held and held.isoformat(),
        "held_on_is": in_words(held, term),
    }
