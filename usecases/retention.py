"""Where people were is kept only as long as it is needed, and never longer than the school says.

    a place (to a kilometre)          a day: nobody compares it with anything later
    whom the desk turned away         as long as a point's fingerprint
    a point's fingerprint             `privacy.location_days`: it stands for the exact fix, and cannot be turned back into it

With 0 days both go the night after. Distances, reasons and the number of the rules stay: they are what a verdict was made of.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, Engine

from db import check_in_refusals, check_ins, rosters
from db.engine import in_unit, reading
from db.timetable import load_terms
from usecases import configs

SETTING: Final = "privacy.location_days"
_DAY_MS: Final = 24 * 3_600_000
_FEW: Final = 5  # sessions, each of some hundred check-ins
_PAGE: Final = 500


def forget(engine: Engine, *, tenant: str, now: int, days: int = 7) -> int:
    """Drop what is kept too long. Returns how many check-ins lost something, and refusals were forgotten. Again is harmless.

    `days` is how far back it is looked for places, for nights that were missed; points are found however old they are.
    """
    with reading(engine) as tx:
        kept_ms = int(configs.value_of(tx, SETTING, tenant=tenant)) * _DAY_MS
        terms = sorted(load_terms(tx, tenant))
    dropped = _places(engine, tenant, now - min(_DAY_MS, kept_ms), days)
    while many := in_unit(engine, lambda tx: check_in_refusals.forget(tx, now - kept_ms, tenant=tenant, limit=_PAGE)):
        dropped += many
    for term in terms:
        while many := in_unit(engine, lambda tx, t=term: _points(tx, now - kept_ms, tenant, t)):  # type: ignore[misc]
            dropped += many
    return dropped


def _points(tx: Connection, before_ms: int, tenant: str, term: str) -> int:
    keys = check_ins.with_points_before(tx, before_ms, tenant=tenant, term=term, limit=_PAGE)
    return check_ins.forget_points(tx, keys, tenant=tenant, term=term) if keys else 0


def _places(engine: Engine, tenant: str, before_ms: int, days: int) -> int:
    with reading(engine) as tx:
        found = rosters.between(tx, before_ms - days * _DAY_MS, before_ms, tenant=tenant)
    by_term: dict[str, list[str]] = {}
    for row in found:
        by_term.setdefault(row.term, []).append(row.session_id)
    dropped = 0
    for term, ids in by_term.items():
        for at in range(0, len(ids), _FEW):
            part = ids[at : at + _FEW]
            dropped += in_unit(
                engine,
                lambda tx, p=part, t=term: check_ins.forget_places(tx, p, tenant=tenant, term=t),  # type: ignore[misc]
            )
    return dropped
