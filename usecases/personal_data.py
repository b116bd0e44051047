"""What is kept about one student's attendance, for the student; and erasing what is about the person.

Erased is where and with what somebody checked in, and what people wrote about him. That he attended, when, and the receipt that
he holds stay: they are the school's record of the class, and counters and statistics are sums of them.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from db import audit, personal_data
from db.engine import in_unit, reading
from usecases.deps import Deps


def export(deps: Deps, code: str) -> dict[str, Any]:
    """Every row about a student's attendance, as it stands in the database."""
    with reading(deps.engine) as tx:
        return {"student": code, **personal_data.of_student(tx, code, tenant=deps.tenant)}


def erase(deps: Deps, code: str, *, actor: str) -> dict[str, int]:
    """Erase what is about the person. Returns how much of what; the audit says so too, without what it was. Again is harmless."""

    def work(tx: Connection) -> dict[str, int]:
        done = personal_data.erase(tx, code, tenant=deps.tenant)
        audit.write(
            tx, tenant=deps.tenant, new_id=deps.new_id, actor=actor, action="personal.erase", thing=code, after=done
        )
        return done

    return in_unit(deps.engine, work)
