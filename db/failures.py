"""Failures: a row for each job that died, sorted into families, written in the transaction in which it dies.

dead ─▶ again (put again) | discarded | unwanted (the timetable does not ask for it any more)

A row is never removed: a family tells what came of all its failures.
"""

import json
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, select, update

from db.clock import db_now_ms, now_ms
from db.tables import AnyRow, failure_families, failures
from db.upsert import insert_missing, upsert
from domain.failures import Fault, family_of, fault_of

AGAIN, DISCARDED, UNWANTED = "again", "discarded", "unwanted"
_COURSE = "cal:"


def died(connection: Connection, job: AnyRow, *, error_class: str, message: str, verb: str = "") -> None:
    """A job became a dead letter. A task that dies a second time keeps its row."""
    wanted = _object(job.payload)
    fault = fault_of(message, names=_names(wanted))
    family = family_of(kind=job.kind, verb=verb, error_class=error_class, fault=fault)
    _make_family(connection, job, family, error_class=error_class, fault=fault, verb=verb)
    row = {
        "tenant_id": job.tenant_id,
        "job_id": job.id,
        "family": family,
        "lane": job.lane,
        "kind": job.kind,
        "target": job.target,
        "term": job.term,
        "group_id": job.group_id,
        "offering_id": job.group_id.removeprefix(_COURSE) if job.group_id.startswith(_COURSE) else "",
        "run_id": job.run_id,
        "error_class": error_class,
        "remote_code": fault.code,
        "people": len(wanted.get("codes", ())),
        "waiting": 0,
        "died_ms": now_ms(connection),
        "dead": True,
        "ended": None,
        "ended_ms": None,
        "resolved_ms": None,
    }
    upsert(connection, failures, [row], update=[name for name in row if name not in ("tenant_id", "job_id")])


def _make_family(
    connection: Connection, job: AnyRow, family: str, *, error_class: str, fault: Fault, verb: str
) -> None:
    """Looked for first: an insert that finds its row there still locks it, for every lane in which the same fault occurs."""
    where = (failure_families.c.tenant_id == job.tenant_id, failure_families.c.id == family)
    if connection.execute(select(failure_families.c.id).where(*where)).first() is not None:
        return
    row = {
        "tenant_id": job.tenant_id,
        "id": family,
        "kind": job.kind,
        "verb": verb,
        "error_class": error_class,
        "remote_code": fault.code,
        "pattern": fault.pattern,
    }
    insert_missing(connection, failure_families, [row])


def _object(payload: str) -> dict[str, Any]:
    """What the job asks for; nothing when its target should be gone."""
    found = json.loads(payload)
    return found if isinstance(found, dict) else {}


def _names(wanted: dict[str, Any]) -> list[str]:
    """The target's own words, which an answer may repeat."""
    names = [value for key in ("summary", "name", "location") if isinstance(value := wanted.get(key), str)]
    if "name" in wanted:
        names.append(str(wanted["name"]).rpartition(" ·")[0])
    return names


def holds_up(connection: Connection, *, tenant: str, job_id: str, count: int) -> None:
    """So many jobs were blocked with it."""
    where = (failures.c.tenant_id == tenant, failures.c.job_id == job_id)
    connection.execute(update(failures).where(*where).values(waiting=count))


def any_dead(connection: Connection, *, tenant: str) -> bool:
    """Whether there is a dead letter at all."""
    where = (failures.c.tenant_id == tenant, failures.c.dead.is_(True))
    return connection.execute(select(failures.c.job_id).where(*where).limit(1)).first() is not None


def dead_of(connection: Connection, *, tenant: str, kinds: Collection[str], targets: Sequence[str]) -> list[str]:
    """Ids of the dead letters of these targets."""
    where = (
        failures.c.tenant_id == tenant,
        failures.c.target.in_(targets),
        failures.c.dead.is_(True),
        failures.c.kind.in_(kinds),
    )
    return list(connection.execute(select(failures.c.job_id).where(*where)).scalars())


def dead_of_kinds(connection: Connection, *, tenant: str, kinds: Sequence[str], before_ms: int) -> list[str]:
    """Ids of the dead letters of these kinds that died before."""
    where = (
        failures.c.tenant_id == tenant,
        failures.c.dead.is_(True),
        failures.c.died_ms < before_ms,
        failures.c.kind.in_(kinds),
    )
    return list(connection.execute(select(failures.c.job_id).where(*where).order_by(failures.c.job_id)).scalars())


def end(connection: Connection, job_ids: Sequence[str], *, tenant: str, how: str) -> None:
    """The dead letters are none any more."""
    where = (failures.c.tenant_id == tenant, failures.c.job_id.in_(job_ids), failures.c.dead.is_(True))
    connection.execute(update(failures).where(*where).values(dead=False, ended=how, ended_ms=db_now_ms()))


def resolve(connection: Connection, job_ids: Sequence[str], *, tenant: str) -> int:
    """Somebody has seen to these dead letters. Returns how many of them nobody had before."""
    where = (
        failures.c.tenant_id == tenant,
        failures.c.job_id.in_(job_ids),
        failures.c.dead.is_(True),
        failures.c.resolved_ms.is_(None),
    )
    return int(connection.execute(update(failures).where(*where).values(resolved_ms=db_now_ms())).rowcount)


def note_family(connection: Connection, family: str, *, tenant: str, note: str, actor: str) -> None:
    """What the person who resolved it has to say."""
    where = (failure_families.c.tenant_id == tenant, failure_families.c.id == family)
    values = {"note": note, "resolved_by": actor, "resolved_ms": db_now_ms()}
    connection.execute(update(failure_families).where(*where).values(**values))
