"""Who asks, by the database; and on the one route that may do without it, who it said it was a moment ago."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

from db.engine import DatabaseUnreachable
from domain.tenancy import Scope
from observability.metrics import TOKENS_BELIEVED
from usecases.identity import NotAuthenticated
from web.auth import bearer
from web.errors import is_away
from web.policy import Policy
from web.site import Site


def scope_of(here: Site, policy: Policy, authorization: str | None, api_key: str | None) -> Scope:
    """The scope of the caller. Raises `NotAuthenticated`, and what the database raises where nobody may go on without it."""
    if api_key is not None or authorization is None:
        return here.authenticator.scope_of(authorization, api_key)
    token = bearer(authorization)
    if policy.while_away and here.lately.is_away and (known := here.lately.find(token)) is not None:
        here.authenticator.check(token)
        return _believed(known)
    try:
        scope = here.authenticator.scope_of(authorization, None)
    except NotAuthenticated:
        here.lately.refused(token)
        raise
    except (DBAPIError, DatabaseUnreachable) as error:
        if isinstance(error, DBAPIError) and not is_away(error):
            raise
        here.lately.database_away()
        known = here.lately.find(token) if policy.while_away else None
        if known is None:
            raise
        return _believed(known)
    here.lately.stands(token, scope)
    return scope


def _believed(scope: Scope) -> Scope:
    TOKENS_BELIEVED.add()
    return scope
