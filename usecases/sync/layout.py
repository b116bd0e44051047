"""Which layout a tenant has, whoever plans for it, and what has to be said before it is changed."""

from datetime import date

from sqlalchemy import Connection, Engine

from db import personal, timetable
from db.engine import reading
from db.planning import Chosen
from domain.layouts import COURSE, LAYOUTS, PERSONAL, PREFIX
from usecases.sync.personal import PersonalPlanner
from usecases.sync.planning import Planner


class LayoutInUse(Exception):
    """WPS has calendars of the layout that is to be given up, and nobody has said that they may go."""

    def __init__(self, layout: str, calendars: int) -> None:
        super().__init__(
            f"{calendars:,} calendars of layout {layout} are in WPS; they, and what people have added to them, would go"
        )
        self.layout = layout
        self.calendars = calendars


_PLANNERS = {COURSE: Planner, PERSONAL: PersonalPlanner}


def planner(
    engine: Engine, tenant: str, secret: bytes, *, chosen: Chosen | None = None, today: date | None = None
) -> Planner:
    """Who plans in the tenant's layout as it is now. Raises UnknownLayout."""
    with reading(engine) as tx:
        return planner_in(tx, engine, tenant, secret, chosen=chosen, today=today)


def planner_in(
    connection: Connection,
    engine: Engine,
    tenant: str,
    secret: bytes,
    *,
    chosen: Chosen | None = None,
    today: date | None = None,
) -> Planner:
    """The same, as a transaction that is open sees it."""
    return _PLANNERS[timetable.load_layout(connection, tenant=tenant)](engine, tenant, secret, chosen, today)


def may_change(connection: Connection, *, tenant: str, to: str, replacing: bool) -> None:
    """Whether the next run may be in layout `to`. Raises `LayoutInUse` unless `replacing` says that the others may go."""
    for other in LAYOUTS:
        there = 0 if other == to else personal.in_use(connection, tenant=tenant, prefix=PREFIX[other])
        if there and not replacing:
            raise LayoutInUse(other, there)
