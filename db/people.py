"""Students and teachers as one table of users. The WPS account of a user outlives every import."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, exists, func, select, update

from db.tables import enrolments, offerings, rolls, users
from db.tables.base import AnyRow
from db.upsert import insert_missing, upsert
from domain.timetable import Person

STUDENT, TEACHER = "student", "teacher"


@dataclass(frozen=True, slots=True)
class Known:
    """What the people files say of a code: name and unit, blank where they say nothing."""

    name: str
    college: str
    listed: bool


def save_listed(connection: Connection, people: Iterable[Person], *, tenant: str, kind: str, import_no: int) -> None:
    """Write people of the people files, at most 500; the last row of a code wins."""
    latest = {person.code: person for person in people}
    rows = [
        _row(tenant, kind, code, person.name, person.college, listed=True, import_no=import_no)
        for code, person in sorted(latest.items())
    ]
    upsert(connection, users, rows, update=("name", "college", "listed", "import_no"))


def save_unlisted(connection: Connection, names: Mapping[str, str], *, tenant: str, kind: str, import_no: int) -> None:
    """Write codes (with names, where a row gave one) that only rows name; known ones stay as they are."""
    rows = [
        _row(tenant, kind, code, name[:200], "", listed=False, import_no=import_no)
        for code, name in sorted(names.items())
    ]
    insert_missing(connection, users, rows)


def _row(
    tenant: str, kind: str, code: str, name: str, college: str, *, listed: bool, import_no: int
) -> dict[str, object]:
    return {
        "tenant_id": tenant,
        "kind": kind,
        "code": code,
        "name": name,
        "college": college,
        "listed": listed,
        "wps_id": None,
        "checked_ms": None,
        "import_no": import_no,
    }


def known(connection: Connection, codes: Sequence[str], *, tenant: str, kind: str) -> dict[str, Known]:
    """What is known of the codes, at most a page of them."""
    if not codes:
        return {}
    rows = connection.execute(
        select(users.c.code, users.c.name, users.c.college, users.c.listed).where(
            users.c.tenant_id == tenant, users.c.kind == kind, users.c.code.in_(codes)
        )
    )
    return {row.code: Known(row.name, row.college, row.listed) for row in rows}


def unlist_unseen(connection: Connection, *, tenant: str, import_no: int, limit: int = 500) -> int:
    """Mark up to `limit` people whom this import's files no longer name; fewer means none is left."""
    rows = connection.execute(
        select(users.c.kind, users.c.code)
        .where(users.c.tenant_id == tenant, users.c.listed.is_(True), users.c.import_no < import_no)
        .limit(limit)
    ).all()
    for kind in sorted({row.kind for row in rows}):
        codes = sorted(row.code for row in rows if row.kind == kind)
        connection.execute(
            update(users)
            .where(users.c.tenant_id == tenant, users.c.kind == kind, users.c.code.in_(codes))
            .values(listed=False)
        )
    return len(rows)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A student code of the enrolments, with the first line that names it."""

    code: str
    line: int


def unlisted_students(connection: Connection, *, tenant: str, import_no: int) -> Iterator[Enrolled]:
    """Student codes that the enrolments name and the students file does not. Streams; one per code."""
    rows = connection.execution_options(stream_results=True, yield_per=2000).execute(
        select(enrolments.c.code, func.min(enrolments.c.line).label("line"))
        .select_from(
            enrolments.outerjoin(
                users,
                (users.c.tenant_id == enrolments.c.tenant_id)
                & (users.c.kind == STUDENT)
                & (users.c.code == enrolments.c.code)
                & users.c.listed.is_(True),
            )
        )
        .where(enrolments.c.tenant_id == tenant, enrolments.c.import_no == import_no, users.c.code.is_(None))
        .group_by(enrolments.c.code)
    )
    for row in rows:
        yield Enrolled(row.code, row.line)


def named_by_nobody(connection: Connection, *, tenant: str, kind: str, after: str, limit: int = 500) -> list[str]:
    """The next codes, by code, that no list has and no roll names any more."""
    on_a_roll = exists().where(
        rolls.c.tenant_id == users.c.tenant_id, rolls.c.kind == users.c.kind, rolls.c.code == users.c.code
    )
    rows = connection.scalars(
        select(users.c.code)
        .where(users.c.tenant_id == tenant, users.c.kind == kind, users.c.listed.is_(False), users.c.code > after)
        .where(~on_a_roll)
        .order_by(users.c.code)
        .limit(limit)
    )
    return list(rows)


def somebody_with_classes(connection: Connection, *, tenant: str, kind: str) -> AnyRow | None:
    """The first person, by code, whom a roll names; listed ones before those that only rows name."""
    on_a_roll = exists().where(
        rolls.c.tenant_id == users.c.tenant_id, rolls.c.kind == users.c.kind, rolls.c.code == users.c.code
    )
    where = (users.c.tenant_id == tenant, users.c.kind == kind, on_a_roll)
    statement = select(users).where(*where).order_by(users.c.listed.desc(), users.c.code).limit(1)
    found: AnyRow | None = connection.execute(statement).one_or_none()
    return found


def some_college(connection: Connection, *, tenant: str) -> str | None:
    """The first college, by name, that has courses."""
    where = (offerings.c.tenant_id == tenant, offerings.c.college != "")
    statement = select(offerings.c.college).where(*where).order_by(offerings.c.college).limit(1)
    found: str | None = connection.execute(statement).scalar()
    return found
