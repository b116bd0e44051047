"""What runs asked a person, and the answers.

open ─▶ confirmed | dropped          a run that asks again gets a new row; what was answered stays
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, func, select, update

from db.clock import db_now_ms, now_ms
from db.tables import AnyRow, run_questions
from domain.guards import Guard, Question

OPEN, CONFIRMED, DROPPED = "open", "confirmed", "dropped"


def ask(
    connection: Connection, *, tenant: str, run_id: str, questions: Sequence[Question], shown: Mapping[str, Any]
) -> None:
    """Write down what the run asks. `shown` is what a person sees beside the numbers."""
    mine = (run_questions.c.tenant_id == tenant, run_questions.c.run_id == run_id)
    last = connection.execute(select(func.max(run_questions.c.number)).where(*mine)).scalar()
    row = {"run_id": run_id, "number": (last or 0) + 1, "tenant_id": tenant, "state": OPEN}
    row["questions"] = json.dumps([asdict(one) for one in questions], ensure_ascii=False)
    row["shown"] = json.dumps(shown, ensure_ascii=False)
    connection.execute(run_questions.insert(), [{**row, "asked_ms": now_ms(connection)}])


def answer(connection: Connection, *, tenant: str, run_id: str, state: str, by: str) -> int:
    """Answer what is open. Returns how many askings that were: 0 or 1."""
    mine = (run_questions.c.tenant_id == tenant, run_questions.c.run_id == run_id, run_questions.c.state == OPEN)
    hit = connection.execute(
        update(run_questions).where(*mine).values(state=state, answered_ms=db_now_ms(), answered_by=by[:80])
    )
    return int(hit.rowcount)


def confirmed(connection: Connection, *, tenant: str, run_id: str) -> list[Question]:
    """Everything that was confirmed for the run."""
    mine = (run_questions.c.tenant_id == tenant, run_questions.c.run_id == run_id, run_questions.c.state == CONFIRMED)
    rows = connection.execute(select(run_questions).where(*mine))
    return [one for row in rows for one in questions_of(row)]


def questions_of(row: AnyRow) -> list[Question]:
    """The questions of one asking."""
    return [Question(**{**one, "guard": Guard(one["guard"])}) for one in json.loads(row.questions)]


def of_run(connection: Connection, *, tenant: str, run_id: str) -> list[AnyRow]:
    """Every asking of a run, newest first."""
    mine = (run_questions.c.tenant_id == tenant, run_questions.c.run_id == run_id)
    return list(connection.execute(select(run_questions).where(*mine).order_by(run_questions.c.number.desc())))
