"""Failures as they are listed: families with their counts, and failures page by page, the newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, and_, case, cast, exists, func, or_, select

from db.tables import AnyRow, failure_families, failures, jobs, offerings, rolls

_NUMBER = 18  # digits that a remote code fits in


@dataclass(frozen=True, slots=True)
class Which:
    """The failures that somebody means: each field that is given has to fit."""

    family: str | None = None
    lane: str | None = None
    kind: str | None = None
    code: str | None = None  # the class of the error, or the code of the service
    run_id: str | None = None
    since_ms: int | None = None
    job_ids: tuple[str, ...] | None = None
    colleges: tuple[str, ...] | None = None  # those that the course of a failure belongs to

    def where(self, tenant: str) -> list[ColumnElement[bool]]:
        """The condition on `failures`."""
        found: list[ColumnElement[bool]] = [failures.c.tenant_id == tenant]
        for column, wanted in (
            (failures.c.family, self.family),
            (failures.c.lane, self.lane),
            (failures.c.kind, self.kind),
            (failures.c.run_id, self.run_id),
        ):
            if wanted is not None:
                found.append(column == wanted)
        if self.code is not None:
            number = self.code.lstrip("-").isdecimal() and len(self.code) <= _NUMBER
            found.append(failures.c.remote_code == int(self.code) if number else failures.c.error_class == self.code)
        if self.since_ms is not None:
            found.append(failures.c.died_ms >= self.since_ms)
        if self.job_ids is not None:
            found.append(failures.c.job_id.in_(self.job_ids))
        if self.colleges is not None:
            found.append(_of_colleges(self.colleges, tenant))
        return found

    def as_dict(self) -> dict[str, Any]:
        """Only what is given, for the audit."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}


def _of_colleges(colleges: tuple[str, ...], tenant: str) -> ColumnElement[bool]:
    """What is not about one course, or about one that is gone, belongs to the school and to none of them."""
    return exists().where(
        offerings.c.tenant_id == tenant,
        offerings.c.term == failures.c.term,
        offerings.c.id == failures.c.offering_id,
        offerings.c.college.in_(colleges),
        offerings.c.college != "",
    )


EVERYTHING = Which()
_DEAD = failures.c.dead.is_(True)
_OPEN = and_(_DEAD, failures.c.resolved_ms.is_(None))


def families(connection: Connection, *, tenant: str, which: Which = EVERYTHING) -> list[AnyRow]:
    """Each family with at least one such failure: its row, and `total`, `left` (still dead), `open` (nobody has seen to
    it), `waiting`, `looked_up`, `first_ms`, `last_ms`, `sample` (id of its newest job)."""
    counted = (
        select(
            failures.c.family,
            func.count().label("total"),
            _sum(_DEAD).label("left"),
            _sum(_OPEN).label("open"),
            func.sum(case((_DEAD, failures.c.waiting), else_=0)).label("waiting"),
            func.sum(case((_DEAD, failures.c.people), else_=0)).label("looked_up"),
            func.min(failures.c.died_ms).label("first_ms"),
            func.max(failures.c.died_ms).label("last_ms"),
            func.max(failures.c.job_id).label("sample"),
        )
        .where(*which.where(tenant))
        .group_by(failures.c.family)
        .subquery()
    )
    mine = failure_families.c.tenant_id == tenant
    joined = failure_families.join(counted, failure_families.c.id == counted.c.family)
    return list(connection.execute(select(failure_families, counted).select_from(joined).where(mine)))


def _sum(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return cast(func.sum(case((condition, 1), else_=0)), Integer)


def people(connection: Connection, *, tenant: str, which: Which = EVERYTHING) -> dict[str, int]:
    """Family → how many people are on the rolls of the courses in which something of it is dead."""
    courses = (
        select(failures.c.family, failures.c.term, failures.c.offering_id)
        .where(*which.where(tenant), _DEAD, failures.c.offering_id != "")
        .distinct()
        .subquery()
    )
    rows = connection.execute(
        select(courses.c.family, func.count((rolls.c.kind + ":" + rolls.c.code).distinct()))
        .select_from(
            courses.join(
                rolls,
                (rolls.c.tenant_id == tenant)
                & (rolls.c.term == courses.c.term)
                & (rolls.c.offering_id == courses.c.offering_id),
            )
        )
        .group_by(courses.c.family)
    )
    return {row[0]: int(row[1]) for row in rows}


def lanes(connection: Connection, *, tenant: str, which: Which = EVERYTHING) -> dict[str, list[tuple[str, int]]]:
    """Family → its lanes with how many are dead in each, the worst first."""
    count = func.count().label("count")
    rows = connection.execute(
        select(failures.c.family, failures.c.lane, count)
        .where(*which.where(tenant), _DEAD, failures.c.lane.is_not(None))
        .group_by(failures.c.family, failures.c.lane)
        .order_by(count.desc(), failures.c.lane)
    )
    found: dict[str, list[tuple[str, int]]] = {}
    for row in rows:
        found.setdefault(row.family, []).append((row.lane, row[2]))
    return found


_SHOWN = (
    *(jobs.c[name] for name in ("id", "queue", "payload", "attempts", "error_code", "last_error", "state", "tier")),
    *(failures.c[name] for name in ("family", "lane", "kind", "target", "term", "group_id", "offering_id", "run_id")),
    *(failures.c[name] for name in ("error_class", "remote_code", "waiting", "died_ms", "dead", "ended", "ended_ms")),
    failures.c.resolved_ms,
)
_JOINED = failures.join(jobs, (jobs.c.id == failures.c.job_id) & (jobs.c.tenant_id == failures.c.tenant_id))


def page(
    connection: Connection,
    *,
    tenant: str,
    which: Which,
    after: str | None,
    limit: int,
    dead_only: bool = True,
    offset: int = 0,
) -> list[AnyRow]:
    """Failures with their jobs, the newest first; those older than the failure of job `after`, or all but the first
    `offset` of them."""
    where = which.where(tenant)
    if dead_only:
        where.append(_DEAD)
    if after is not None:
        last = select(failures.c.died_ms).where(failures.c.tenant_id == tenant, failures.c.job_id == after)
        died_ms = connection.execute(last).scalar()
        if died_ms is None:
            return []
        older = and_(failures.c.died_ms == died_ms, failures.c.job_id < after)
        where.append(or_(failures.c.died_ms < died_ms, older))
    newest = (failures.c.died_ms.desc(), failures.c.job_id.desc())
    wanted = select(*_SHOWN).select_from(_JOINED).where(*where).order_by(*newest).limit(limit).offset(offset)
    return list(connection.execute(wanted))


def of_jobs(connection: Connection, *, tenant: str, job_ids: Sequence[str]) -> list[AnyRow]:
    """The failures of these jobs, dead or not."""
    where = (failures.c.tenant_id == tenant, failures.c.job_id.in_(job_ids))
    return list(connection.execute(select(*_SHOWN).select_from(_JOINED).where(*where)))


def college_of(connection: Connection, job_id: str, *, tenant: str) -> str | None:
    """The college of the course that a failure is about; blank where there is none, None where nothing of that id failed."""
    course = (
        (offerings.c.tenant_id == failures.c.tenant_id)
        & (offerings.c.term == failures.c.term)
        & (offerings.c.id == failures.c.offering_id)
    )
    found = connection.execute(
        select(offerings.c.college)
        .select_from(failures.outerjoin(offerings, course))
        .where(failures.c.tenant_id == tenant, failures.c.job_id == job_id)
    ).one_or_none()
    return None if found is None else found.college or ""


def dead_ids(connection: Connection, *, tenant: str, which: Which, after: str, limit: int) -> list[str]:
    """Ids of dead letters in the order of the ids: a page of those after `after`."""
    where = (*which.where(tenant), _DEAD, failures.c.job_id > after)
    statement = select(failures.c.job_id).where(*where).order_by(failures.c.job_id).limit(limit)
    return list(connection.execute(statement).scalars())


def count(connection: Connection, *, tenant: str, which: Which) -> int:
    """How many dead letters are meant."""
    where = (*which.where(tenant), _DEAD)
    return int(connection.execute(select(func.count()).select_from(failures).where(*where)).scalar_one())


def is_family(connection: Connection, family: str, *, tenant: str) -> bool:
    """Whether there ever was a failure of this family."""
    where = (failure_families.c.tenant_id == tenant, failure_families.c.id == family)
    return connection.execute(select(failure_families.c.id).where(*where)).first() is not None


def died_elsewhere(connection: Connection, *, tenant: str, run_id: str, since_ms: int) -> int:
    """How many jobs of other runs, or of none, have died since and still are dead."""
    where = (
        failures.c.tenant_id == tenant,
        _DEAD,
        failures.c.died_ms >= since_ms,
        or_(failures.c.run_id.is_(None), failures.c.run_id != run_id),
    )
    return int(connection.execute(select(func.count()).select_from(failures).where(*where)).scalar_one())
