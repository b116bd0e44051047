"""Scopes as conditions, what of them is unknown, and the offerings that a run plans."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    delete,
    false,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
)

from db.tables import jobs, mirror, offerings, rolls, run_offerings, terms, touched, users
from db.upsert import insert_missing, upsert
from domain.plans import calendar_target
from domain.scopes import NO_COLLEGE, Scope

_PREFIX = calendar_target("")
_CALENDAR_OF = literal(_PREFIX)


def unknown(connection: Connection, scope: Scope, *, tenant: str) -> list[tuple[str, str]]:
    """(name, value) of everything that the scope names and nobody has heard of."""
    found: list[tuple[str, str]] = []
    plain = (
        ("term", terms.c.xnxq, terms.c.tenant_id, scope.terms),
        ("college", offerings.c.college, offerings.c.tenant_id, tuple(one for one in scope.colleges if one != NO_COLLEGE)),
        ("user", users.c.code, users.c.tenant_id, scope.users),
    )  # fmt: skip
    for name, column, owner, values in plain:
        known = set(connection.scalars(select(column).where(owner == tenant, column.in_(values)).distinct()))
        if name == "college" and values:
            mine = (users.c.tenant_id == tenant, users.c.college.in_(values))
            known |= set(connection.scalars(select(users.c.college).where(*mine).distinct()))
        found += [(name, value) for value in values if value not in known]
    for kkh, kcbh in scope.courses:
        where = [offerings.c.tenant_id == tenant, offerings.c.kkh == kkh]
        if kcbh:
            where.append(offerings.c.kcbh == kcbh)
        if connection.execute(select(offerings.c.id).where(*where).limit(1)).first() is None:
            found.append(("course", f"{kkh},{kcbh}".rstrip(",")))
    return found


def known_colleges(connection: Connection, *, tenant: str, limit: int = 12) -> list[str]:
    """Some colleges that there are."""
    where = (offerings.c.tenant_id == tenant, offerings.c.college != "")
    found = select(offerings.c.college).where(*where).distinct().order_by(offerings.c.college).limit(limit)
    return list(connection.scalars(found))


def colleges_of(connection: Connection, scope: Scope, *, tenant: str) -> list[str]:
    """The colleges of the courses in the scope; `NO_COLLEGE` where one has none."""
    found = select(offerings.c.college).where(offerings.c.tenant_id == tenant, offering_in(scope)).distinct()
    return [college or NO_COLLEGE for college in connection.scalars(found)]


def count_of(connection: Connection, scope: Scope, *, tenant: str) -> int:
    """How many courses are in the scope."""
    found = select(func.count()).select_from(offerings).where(offerings.c.tenant_id == tenant, offering_in(scope))
    return connection.execute(found).scalar_one()


def waiting_jobs(connection: Connection, *, tenant: str) -> int:
    """How many jobs of the tenant's lanes wait to be sent."""
    mine = (jobs.c.tenant_id == tenant, jobs.c.state == "queued", jobs.c.lane.is_not(None))
    return connection.execute(select(func.count()).select_from(jobs).where(*mine)).scalar_one()


def offering_in(scope: Scope) -> ColumnElement[bool]:
    """Whether a row of `offerings` is in the scope."""
    tests: list[ColumnElement[bool]] = [true()]
    if scope.terms:
        tests.append(offerings.c.term.in_(scope.terms))
    if scope.colleges:
        tests.append(offerings.c.college.in_(["" if one == NO_COLLEGE else one for one in scope.colleges]))
    if scope.courses:
        tests.append(
            or_(
                *(
                    and_(offerings.c.kkh == kkh, offerings.c.kcbh == kcbh) if kcbh else offerings.c.kkh == kkh
                    for kkh, kcbh in scope.courses
                )
            )
        )
    if scope.users:
        tests.append(_taken_by(rolls.c.code.in_(scope.users)))
    return and_(*tests)


def _taken_by(*who: ColumnElement[bool]) -> ColumnElement[bool]:
    return (
        select(rolls.c.code)
        .where(
            rolls.c.tenant_id == offerings.c.tenant_id,
            rolls.c.term == offerings.c.term,
            rolls.c.offering_id == offerings.c.id,
            *who,
        )
        .exists()
    )


def calendar_in(scope: Scope) -> ColumnElement[bool]:
    """Whether a row of `mirror` whose offering is gone is in the scope: it is known by its term and its lane."""
    if scope.courses or scope.users:
        return false()
    tests: list[ColumnElement[bool]] = [true()]
    if scope.terms:
        tests.append(mirror.c.term.in_(scope.terms))
    if scope.colleges:
        tests.append(mirror.c.lane.in_(scope.colleges))
    return and_(*tests)


# --- what a run plans -------------------------------------------------------------------------------------------------


def choose_all(
    connection: Connection, scope: Scope, *, tenant: str, run_id: str, after: tuple[str, str, str], limit: int
) -> tuple[str, str, str] | None:
    """Let a run plan the next page of everything in its scope: courses, then calendars without one. None: no more."""
    phase, term, last = after
    if phase == "courses":
        inside = and_(offerings.c.tenant_id == tenant, offering_in(scope))
        page = _page(connection, select(offerings.c.term, offerings.c.id), offerings, term, last, inside, limit)
        choose(connection, page, run_id=run_id)
        return ("courses", *page[-1]) if len(page) == limit else ("calendars", "", "")
    of = mirror.c.target.like(f"{_PREFIX}%"), ~_known(mirror.c.term, mirror.c.target, tenant)
    inside = and_(mirror.c.tenant_id == tenant, mirror.c.kind == "calendar", *of, calendar_in(scope))
    page = _page(connection, select(mirror.c.term, mirror.c.target), mirror, term, last, inside, limit)
    choose(connection, [(one, target.removeprefix(_PREFIX)) for one, target in page], run_id=run_id)
    return ("calendars", *page[-1]) if len(page) == limit else None


def _page(
    connection: Connection, what: Select[Any], table: Any, term: str, last: str, inside: Any, limit: int
) -> list[tuple[str, str]]:
    key = table.c.id if table is offerings else table.c.target
    after = or_(table.c.term > term, and_(table.c.term == term, key > last))
    rows = connection.execute(what.where(inside, after).order_by(table.c.term, key).limit(limit))
    return [(row[0], row[1]) for row in rows]


def _known(term: Any, target: Any, tenant: str) -> ColumnElement[bool]:
    return (
        select(offerings.c.id)
        .where(offerings.c.tenant_id == tenant, offerings.c.term == term)
        .where(offerings.c.id == func.substr(target, len(_PREFIX) + 1))
        .exists()
    )


def choose_touched(
    connection: Connection, scope: Scope, *, tenant: str, run_id: str, after: tuple[str, str], limit: int
) -> tuple[str, str] | None:
    """Let a run plan the next page of the touched offerings in its scope. None: no more."""
    same = (offerings.c.term == touched.c.term) & (offerings.c.id == touched.c.offering_id)
    calendar = (mirror.c.term == touched.c.term) & (mirror.c.target == _CALENDAR_OF + touched.c.offering_id)
    beside = touched.outerjoin(offerings, (offerings.c.tenant_id == tenant) & same)
    beside = beside.outerjoin(mirror, (mirror.c.tenant_id == tenant) & calendar)
    inside = or_(
        and_(offerings.c.id.is_not(None), offering_in(scope)),
        and_(offerings.c.id.is_(None), mirror.c.target.is_not(None), calendar_in(scope)),
    )
    key = (touched.c.term, touched.c.offering_id)
    page = connection.execute(
        select(*key)
        .select_from(beside)
        .where(touched.c.tenant_id == tenant, inside)
        .where(or_(key[0] > after[0], and_(key[0] == after[0], key[1] > after[1])))
        .order_by(*key)
        .limit(limit)
    ).all()
    ids = [(row[0], row[1]) for row in page]
    choose(connection, ids, run_id=run_id)
    return ids[-1] if len(page) == limit else None


def choose_of_people(
    connection: Connection, scope: Scope, *, tenant: str, run_id: str, after: tuple[str, str], limit: int
) -> tuple[str, str] | None:
    """Let a run plan the next page of the courses that the people of the scope teach or take. None: no more."""
    inside = and_(offerings.c.tenant_id == tenant, _taken_by(*people_in(scope)))
    page = _page(connection, select(offerings.c.term, offerings.c.id), offerings, *after, inside, limit)
    choose(connection, page, run_id=run_id)
    return page[-1] if len(page) == limit else None


def people_in(scope: Scope) -> tuple[ColumnElement[bool], ...]:
    """Whether a row of `rolls` names somebody of the scope."""
    tests: list[ColumnElement[bool]] = []
    if scope.users:
        tests.append(rolls.c.code.in_(scope.users))
    if scope.colleges:
        same = (users.c.tenant_id == rolls.c.tenant_id, users.c.kind == rolls.c.kind, users.c.code == rolls.c.code)
        tests.append(select(users.c.code).where(*same, users.c.college.in_(scope.colleges)).exists())
    return tuple(tests)


def choose(connection: Connection, ids: Sequence[tuple[str, str]], *, run_id: str) -> None:
    """Let a run plan these offerings (term, id), at most a page."""
    rows = [{"run_id": run_id, "term": term, "offering_id": one, "needs": 0} for term, one in sorted(set(ids))]
    insert_missing(connection, run_offerings, rows)


def set_needs(connection: Connection, needs: Mapping[tuple[str, str], int], *, run_id: str) -> None:
    """Keep what offerings (term, id) need, at most a page; they are chosen by that."""
    rows = [
        {"run_id": run_id, "term": term, "offering_id": one, "needs": bits}
        for (term, one), bits in sorted(needs.items())
    ]
    upsert(connection, run_offerings, rows, update=("needs",))


def any_needs(connection: Connection, *, run_id: str, bit: int) -> bool:
    """Whether an offering of the run needs this."""
    where = (run_offerings.c.run_id == run_id, run_offerings.c.needs.bitwise_and(bit) != 0)
    return connection.execute(select(run_offerings.c.needs).where(*where).limit(1)).first() is not None


def count_chosen(connection: Connection, *, run_id: str) -> int:
    """How many offerings a run plans."""
    where = run_offerings.c.run_id == run_id
    return int(connection.execute(select(func.count()).select_from(run_offerings).where(where)).scalar_one())


def forget(connection: Connection, *, tenant: str, run_id: str, up_to: int, limit: int = 500) -> int:
    """The run has carried out what it planned: nothing waits there as of the import `up_to`. Returns how many, a page."""
    where = run_offerings.c.run_id == run_id
    rows = connection.execute(select(run_offerings.c.term, run_offerings.c.offering_id).where(where).limit(limit)).all()
    keys = [tuple(row) for row in rows]
    if keys:
        theirs = tuple_(touched.c.term, touched.c.offering_id).in_(keys)
        connection.execute(delete(touched).where(touched.c.tenant_id == tenant, touched.c.import_no <= up_to, theirs))
        mine = tuple_(run_offerings.c.term, run_offerings.c.offering_id).in_(keys)
        connection.execute(delete(run_offerings).where(where, mine))
    return len(keys)


def unchoose(connection: Connection, *, run_id: str, limit: int = 500) -> int:
    """Forget what a run has chosen, without a word about what changes have touched. Returns how many, a page."""
    where = run_offerings.c.run_id == run_id
    rows = connection.execute(select(run_offerings.c.term, run_offerings.c.offering_id).where(where).limit(limit)).all()
    keys = [tuple(row) for row in rows]
    if keys:
        mine = tuple_(run_offerings.c.term, run_offerings.c.offering_id).in_(keys)
        connection.execute(delete(run_offerings).where(where, mine))
    return len(keys)
