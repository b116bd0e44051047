"""Answers to requests that carry an Idempotency-Key: one row for each key of a caller."""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update

from db.clock import now_ms
from db.tables import answers
from db.upsert import insert_missing

_PRUNED = 100  # rows that one claim removes at most, so that no request pays for a day of others


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of a key: the request that it was used for, and its answer; None while that is worked on."""

    fingerprint: str
    answer: str | None


def claim(
    connection: Connection,
    *,
    tenant: str,
    user: str,
    key: str,
    fingerprint: str,
    claim: str,
    busy_ms: int,
    kept_ms: int,
) -> Found | None:
    """Take a key for a request; None: it is taken. Otherwise what the key was used for.

    A key is free again when nobody has answered within `busy_ms`, and when its answer is older than `kept_ms`.
    """
    now = now_ms(connection)
    _prune(connection, tenant=tenant, before_ms=now - kept_ms)
    row = {
        "tenant_id": tenant,
        "user_id": user,
        "key": key,
        "fingerprint": fingerprint,
        "claim": claim,
        "claimed_ms": now,
    }
    insert_missing(connection, answers, [row])
    mine = (answers.c.tenant_id == tenant, answers.c.user_id == user, answers.c.key == key)
    found = connection.execute(select(answers).where(*mine).with_for_update()).one()
    if found.claim == claim:
        return None
    if found.answer is not None or found.fingerprint != fingerprint or found.claimed_ms > now - busy_ms:
        return Found(found.fingerprint, found.answer)
    connection.execute(update(answers).where(*mine).values(claim=claim, claimed_ms=now))
    return None


def store(connection: Connection, *, tenant: str, user: str, key: str, claim: str, answer: str) -> None:
    """Keep the answer of the request that has the claim."""
    mine = (answers.c.tenant_id == tenant, answers.c.user_id == user, answers.c.key == key, answers.c.claim == claim)
    connection.execute(update(answers).where(*mine).values(answer=answer))


def forget(connection: Connection, *, tenant: str, user: str, key: str, claim: str) -> None:
    """Free the key of a request that was not carried out."""
    mine = (answers.c.tenant_id == tenant, answers.c.user_id == user, answers.c.key == key, answers.c.claim == claim)
    connection.execute(delete(answers).where(*mine, answers.c.answer.is_(None)))


def _prune(connection: Connection, *, tenant: str, before_ms: int) -> None:
    old = (answers.c.tenant_id == tenant, answers.c.claimed_ms < before_ms)
    keys = connection.execute(select(answers.c.user_id, answers.c.key).where(*old).limit(_PRUNED)).all()
    for user, key in keys:
        connection.execute(delete(answers).where(*old, answers.c.user_id == user, answers.c.key == key))
