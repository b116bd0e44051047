"""Scopes as people write them, checked against what is there."""

from collections.abc import Sequence

from db import scopes
from db.engine import reading
from domain.scopes import EVERYTHING, BadScope, Scope, read_scope
from usecases.deps import Deps


def checked(deps: Deps, texts: Sequence[str], *, kind: str) -> Scope:
    """The scope that `texts` write; everything for none. Raises BadScope when it names what is not there."""
    return checked_scope(deps, read_scope(texts), kind=kind)


def checked_scope(deps: Deps, scope: Scope, *, kind: str) -> Scope:
    """The same for a scope that is already one. Raises BadScope."""
    if scope.is_everything:
        return EVERYTHING
    if kind == "users" and (scope.terms or scope.courses):
        raise BadScope("a users run has no term and no course", "Name users or colleges: user=CODE or college=NAME")
    with reading(deps.engine) as connection:
        missing = scopes.unknown(connection, scope, tenant=deps.tenant)
        colleges = scopes.known_colleges(connection, tenant=deps.tenant)
    if missing:
        listed = ", ".join(f"{name}={value}" for name, value in missing[:12])
        raise BadScope(f"the timetable has no {listed}", _remedy({name for name, _ in missing}, colleges))
    return scope


def _remedy(names: set[str], colleges: Sequence[str]) -> str:
    if "college" in names:
        return f"Some colleges that it has: {', '.join(colleges)}" if colleges else "Sync the whole source first"
    return "Check it against the source, and sync the whole source first where it is new"
