"""What a run plans, where that is not everything: chosen once, a page at a time, and stored."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from db import scopes
from db.engine import in_unit
from usecases.sync.stages.base import Running
from usecases.sync.turns import scope_of

T = TypeVar("T")

_PAGE = 500


def everything_in_scope(on: Running) -> None:
    """All courses of the run's scope, and calendars there whose course is gone."""
    after: tuple[str, str, str] | None = ("courses", "", "")
    while after is not None:
        after = _choose(on, partial(scopes.choose_all, after=after))


def touched_in_scope(on: Running) -> None:
    """What changes have touched there, and no run has carried out yet."""
    after: tuple[str, str] | None = ("", "")
    while after is not None:
        after = _choose(on, partial(scopes.choose_touched, after=after))


def courses_of_people(on: Running) -> None:
    """The courses that the people of the scope teach or take."""
    after: tuple[str, str] | None = ("", "")
    while after is not None:
        after = _choose(on, partial(scopes.choose_of_people, after=after))


def _choose(on: Running, page: Callable[..., T]) -> T:
    def work(tx: Connection) -> T:
        on.fence(tx)
        return page(tx, scope_of(on.run), tenant=on.deps.tenant, run_id=on.run_id, limit=_PAGE)

    return in_unit(on.deps.engine, work)


def forget(on: Running) -> None:
    """The run has carried out what it chose, as of its import."""
    up_to, tenant = on.import_no, on.deps.tenant

    def work(tx: Connection) -> int:
        on.fence(tx)
        return scopes.forget(tx, tenant=tenant, run_id=on.run_id, up_to=up_to)

    while in_unit(on.deps.engine, work):
        pass
