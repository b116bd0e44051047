"""Leaving a class, where its course asks for it: who goes before the end has left early.

A check-out is a fact beside the check-in, and may come before that is written. The newest one counts, so that who comes back and
stays has stayed. Time, place and code are judged as for a check-in; what is only suspicious is noted, and refuses nobody.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from db import rosters
from db.engine import in_unit, reading
from domain import verdicts
from domain.attendance import CHECK_OUT, EARLY, LATE, NORMAL, Fact
from domain.verdicts import MINUTE_MS, Rules, Window
from usecases import standings
from usecases.check_in import Asked, Desk, Refused
from usecases.deps import Deps


class NotAsked(Exception):
    """The course does not ask for a check-out."""


@dataclass(frozen=True, slots=True)
class Left:
    """`says`: EARLY, or NORMAL for who has stayed; `status` is what the student's standing is by now."""

    says: str
    at_ms: int
    status: str
    window: Window


def window_of(rules: Rules, *, start_ms: int, end_ms: int) -> Window:
    """From the start on one may leave; from `late_from_ms` on one has stayed."""
    stayed_ms = end_ms - rules.checkout_minutes * MINUTE_MS
    return Window(start_ms, max(start_ms, stayed_ms), end_ms + rules.checkout_close_minutes * MINUTE_MS + 1)


def check_out(deps: Deps, desk: Desk, asked: Asked) -> Left:
    """Note that a student leaves. The same client id again is the same check-out.

    Raises `NotAsked`, `Refused`, and what the database says where it is away: nothing was noted then.
    """
    session = desk.session(asked.session_id)
    row = session.row
    with reading(deps.engine) as tx:
        # First of all: what a course asks for is nothing to strangers.
        if not rosters.is_expected(tx, asked.session_id, asked.code, tenant=deps.tenant, term=row.term):
            raise Refused(verdicts.NOT_ENROLLED)
    if not session.rules.checkout_required:
        raise NotAsked
    open_ = window_of(session.rules, start_ms=row.start_ms, end_ms=row.end_ms)
    verdict = desk.judge(asked, session, open_)
    # The window's second half is who has stayed, where a check-in would be late.
    says = NORMAL if verdict.timing == LATE else EARLY
    fact_id = f"out:{asked.client_id}"[:64] if asked.client_id else f"out:{verdict.at_ms}"
    fact = Fact(fact_id, CHECK_OUT, verdict.at_ms, says)
    note = ",".join((*verdict.reasons, *verdict.notes)) or None

    def work(tx: Connection) -> Left:
        return _note(tx, deps.tenant, row.term, asked, fact, note, open_)

    return in_unit(deps.engine, work)


def _note(tx: Connection, tenant: str, term: str, asked: Asked, fact: Fact, note: str | None, open_: Window) -> Left:
    of = {"tenant": tenant, "term": term}
    keys = {asked.session_id: [asked.code]}
    rosters.lock_details(tx, keys, **of)
    rosters.add_facts(tx, [(asked.session_id, asked.code, fact)], actor=f"student:{asked.code}", note=note, **of)
    standings.work_out(tx, keys, tenant=tenant, term=term)
    status = rosters.lock_details(tx, keys, **of)[asked.session_id, asked.code].status
    known = rosters.facts_of(tx, keys, **of)[asked.session_id, asked.code]
    stored = next(one for one in known if one.id == fact.id)
    return Left(stored.says, stored.at_ms, status, open_)
