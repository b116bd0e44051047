"""Terms as people keep them: first Monday, weeks, status and clock; and the runs that a closed term refuses."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection

from db import audit, imports, terms
from db.engine import in_unit, reading
from db.tables import AnyRow
from domain import timetable as rows_of
from domain.terms import ARCHIVED, FROZEN, OPEN, PeriodRow, closed_reason
from domain.timetable import HELD_NO_MONDAY, HELD_NO_PERIODS, Refused, term_code
from remote.sources.base import BadSource, SourceRow
from remote.sources.csv_folder import rows_of_file
from usecases.deps import Deps

_SHOWN_ERRORS: Final = 20
_WAITS_FOR: Final[Mapping[str, str]] = {"first_monday": HELD_NO_MONDAY, "periods": HELD_NO_PERIODS}


class UnknownTerm(Exception):
    """There is no term of that code. `known` are those there are, newest first."""

    def __init__(self, code: str, known: list[str]) -> None:
        super().__init__(f"there is no term {code}")
        self.code = code
        self.known = known


class TermRefused(Exception):
    """What was asked for cannot be done with the term as it is: why, and what to do instead. Nothing was changed."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}. {remedy}")
        self.problem = problem
        self.remedy = remedy


class PeriodsRefused(Exception):
    """Some rows of a period table cannot be used: which and why, and what to do. Nothing was changed."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.remedy = remedy


# --- runs ---------------------------------------------------------------------------------------------------------------


def refuse_closed(tx: Connection, *, tenant: str, term: str, may_be_new: bool = False) -> None:
    """For the start of a run that names a term: raises `TermRefused` where it is frozen or archived, `UnknownTerm` where
    nobody knows it, unless the run itself may bring it.

    A run over all of a source is not refused: it holds the rows of closed terms back.
    """
    row = terms.get(tx, tenant=tenant, term=term)
    if row is None:
        if may_be_new:
            return
        raise UnknownTerm(term, [one.xnxq for one in terms.all_of(tx, tenant=tenant)])
    reason = closed_reason(row.status)
    if reason is not None:
        remedy = f"Open it with `obsync terms set {term} --status open`, or name another term"
        raise TermRefused(
            f"term {term} is {row.status}: {reason}", remedy if row.archived_ms is None else "Name another term"
        )


# --- looking ------------------------------------------------------------------------------------------------------------


def listing(deps: Deps) -> dict[str, Any]:
    """Every term with what there is of it and what it lacks, newest first."""
    with reading(deps.engine) as tx:
        rows = terms.all_of(tx, tenant=deps.tenant)
        counts = terms.counts(tx, tenant=deps.tenant)
        waiting = _waiting(tx, deps.tenant)
    return {"items": [_as_dict(row, counts, waiting) for row in rows]}


def one(deps: Deps, code: str) -> dict[str, Any]:
    """One term as in `listing`. Raises `UnknownTerm`."""
    items = listing(deps)["items"]
    found = next((item for item in items if item["code"] == code), None)
    if found is None:
        raise UnknownTerm(code, [item["code"] for item in items])
    return dict(found)


def _waiting(tx: Connection, tenant: str) -> dict[tuple[str, str], int]:
    """(term, why) → how many rows of the newest complete import wait."""
    number = imports.latest_complete(tx, tenant)
    if number is None:
        return {}
    groups = imports.held_groups(tx, tenant=tenant, import_no=number)
    return {(group.term, group.reason): group.count for group in groups}


def _as_dict(
    row: AnyRow, counts: Mapping[str, Mapping[str, int]], waiting: Mapping[tuple[str, str], int]
) -> dict[str, Any]:
    mine, of_all = counts.get(row.xnxq, {}), counts.get("", {})
    periods = mine.get("periods", 0) + of_all.get("periods", 0)
    there = {"first_monday": row.first_monday is not None, "periods": periods > 0}
    missing = [
        {"what": what, "rows_waiting": waiting.get((row.xnxq, reason), 0), "command": _command(what, row.xnxq)}
        for what, reason in _WAITS_FOR.items()
        if row.status == OPEN and (not there[what] or (row.xnxq, reason) in waiting)
    ]
    exchange = json.loads(row.exchange)
    return {
        "code": row.xnxq,
        "first_monday": row.first_monday,
        "weeks": row.weeks,
        "status": row.status,
        "exchange_days": [{"date": held, "teaching_day_of": day} for held, day in sorted(exchange.items())],
        "offerings": mine.get("offerings", 0),
        "sessions": mine.get("sessions", 0),
        "periods": periods,
        "missing": missing,
        "archived_ms": row.archived_ms,
        "removed": json.loads(row.removed) if row.removed else None,
    }


def _command(what: str, code: str) -> str:
    if what == "periods":
        return f"obsync terms periods {code} --load FILE.csv"
    return f"obsync terms set {code} --first-monday DATE"


# --- setting ------------------------------------------------------------------------------------------------------------


def change(
    deps: Deps,
    code: str,
    *,
    first_monday: date | None = None,
    weeks: int | None = None,
    status: str | None = None,
    actor: str | None = None,
) -> dict[str, Any]:
    """Set what is given of a term; a code that nobody knows yet makes the term, if more than its status is given.

    Returns the term as it is then. Raises `TermRefused` and `UnknownTerm`; nothing is changed then. With `actor` the act is in
    the audit.
    """
    checked_code(code)
    if first_monday is not None and first_monday.isoweekday() != 1:
        monday = first_monday - timedelta(days=first_monday.isoweekday() - 1)
        raise TermRefused(f"{first_monday} is not a Monday 不是星期一", f"The Monday of that week is {monday}")

    def work(tx: Connection) -> None:
        if first_monday is not None or weeks is not None:
            terms.make(tx, tenant=deps.tenant, term=code)
        row = locked(tx, deps.tenant, code)
        if status is not None and status != row.status:
            _refuse_status(tx, deps.tenant, row, status)
        values = {"first_monday": first_monday and first_monday.isoformat(), "weeks": weeks, "status": status}
        given = {name: value for name, value in values.items() if value is not None}
        terms.change(tx, tenant=deps.tenant, term=code, **given)
        if actor is not None:
            before = {name: getattr(row, name) for name in given}
            audit.write(
                tx, tenant=deps.tenant, new_id=deps.new_id, actor=actor, action="term.change", thing=code, before=before,
                after=given,
            )  # fmt: skip

    in_unit(deps.engine, work)
    return one(deps, code)


def checked_code(code: str) -> None:
    """Raises `TermRefused` unless `code` can be that of a term."""
    try:
        term_code(code)
    except Refused as refused:
        raise TermRefused(
            refused.sentence, "Terms are called as in the column xnxq, for example 2024-2025-1"
        ) from refused


def locked(tx: Connection, tenant: str, code: str) -> AnyRow:
    """The term's row, which stays as it is until the unit ends. Raises `UnknownTerm`."""
    row = terms.get(tx, tenant=tenant, term=code, lock=True)
    if row is None:
        raise UnknownTerm(code, [one.xnxq for one in terms.all_of(tx, tenant=tenant)])
    return row


def _refuse_status(tx: Connection, tenant: str, row: AnyRow, status: str) -> None:
    if status == ARCHIVED:
        refuse_unfinished(tx, tenant, row)
    elif row.archived_ms is not None:
        raise TermRefused(
            f"term {row.xnxq} cannot be {status} again: its work was removed when it was archived",
            "Its calendars stay as they are in WPS; what has to change there is changed by hand",
        )


def refuse_unfinished(tx: Connection, tenant: str, row: AnyRow) -> None:
    """Raises `TermRefused` while a term may still change, or something of it is not over."""
    code = row.xnxq
    if row.status == OPEN:
        raise TermRefused(
            f"term {code} is open: imports still change it",
            f"Freeze it with `obsync terms set {code} --status {FROZEN}`, let `obsync lanes` come to rest, and archive it then",
        )
    left = terms.unfinished(tx, tenant=tenant, term=code)
    if left.waiting or left.unsettled:
        raise TermRefused(
            f"{left.waiting} jobs of term {code} wait and {left.unsettled} writes are not settled",
            "Let the lanes finish (`obsync lanes` says what they rest for) and archive it then",
        )
    if left.dead:
        raise TermRefused(
            f"{left.dead} dead letters of term {code} wait for a person",
            "Look at them with `obsync dead`, then `obsync dead requeue` or `obsync dead discard`",
        )


# --- its clock ----------------------------------------------------------------------------------------------------------


def periods(deps: Deps, code: str) -> list[dict[str, Any]]:
    """The period rows that count for a term, its own first. Raises `UnknownTerm`."""
    with reading(deps.engine) as tx:
        if terms.get(tx, tenant=deps.tenant, term=code) is None:
            raise UnknownTerm(code, [row.xnxq for row in terms.all_of(tx, tenant=deps.tenant)])
        rows = terms.periods_of(tx, tenant=deps.tenant, term=code)
    return [
        {"term": row.xnxq, "campus": row.xq, "since": row.since, "period": row.jc, "start": row.st, "end": row.ed}
        for row in rows
    ]


def load_periods(deps: Deps, code: str, file: Path, *, actor: str | None = None) -> int:
    """Make the rows of a CSV file the term's own clock; a term nobody knows yet is made. Returns how many rows.

    Raises `BadSource`, naming lines, and `TermRefused`; nothing is changed then. With `actor` the act is in the audit.
    """
    checked_code(code)
    return _replace_periods(deps, code, _read_periods(rows_of_file("periods", file), code, called=file.name), actor)


def set_periods(deps: Deps, code: str, said: Iterable[Mapping[str, str]], *, actor: str) -> int:
    """The same from rows with `jc`, `st`, `ed`, and `xq` and `since` where needed. Raises `PeriodsRefused`, naming them by
    their numbers, and `TermRefused`."""
    checked_code(code)
    lines = [SourceRow(number, {**one}) for number, one in enumerate(said, 1)]
    try:
        read = _read_periods(lines, code, called="periods")
    except BadSource as bad:
        raise PeriodsRefused(bad.problem, bad.remedy) from bad
    return _replace_periods(deps, code, read, actor)


def _replace_periods(deps: Deps, code: str, read: list[PeriodRow], actor: str | None) -> int:
    def work(tx: Connection) -> None:
        terms.make(tx, tenant=deps.tenant, term=code)
        row = locked(tx, deps.tenant, code)
        if row.status == ARCHIVED:
            raise TermRefused(f"term {code} is archived", "Its classes keep the hours they had")
        terms.replace_periods(tx, read, tenant=deps.tenant, term=code)
        if actor is not None:
            audit.write(
                tx, tenant=deps.tenant, new_id=deps.new_id, actor=actor, action="term.periods", thing=code,
                after={"periods": len(read)},
            )  # fmt: skip

    in_unit(deps.engine, work)
    return len(read)


def _read_periods(lines: Iterable[SourceRow], code: str, *, called: str) -> list[PeriodRow]:
    """The rows, or BadSource with each line that cannot be used."""
    read: dict[tuple[str, str, int], PeriodRow] = {}
    problems: list[str] = []
    for source in lines:
        try:
            row = rows_of.read_period(source.values)
        except Refused as refused:
            problems.append(f"line {source.line}: {refused.sentence}")
            continue
        key = (row.campus, row.since, row.period)
        if row.term not in ("", code):
            problems.append(f"line {source.line}: 学期不符 · it is of term {row.term}, not of {code}")
        elif key in read:
            problems.append(
                f"line {source.line}: 节次重复 · period {row.period} of this campus and clock is there already"
            )
        else:
            read[key] = replace(row, term=code)
    if problems:
        more = f" (and {len(problems) - _SHOWN_ERRORS} more)" if len(problems) > _SHOWN_ERRORS else ""
        raise BadSource(called, "; ".join(problems[:_SHOWN_ERRORS]) + more, "Mend these lines; nothing was changed")
    if not read:
        raise BadSource(
            called, "it has no periods", "Write one row for each period: jc, st, ed, and xq and from where needed"
        )
    return list(read.values())
