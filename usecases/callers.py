"""Who asks with an access token, in a process that is asked all the time.

The database is asked for every token, each time: whether its login is active, its sign-in stands, it was not taken back, and
the epoch is the token's. Two things are remembered, because they cannot become false meanwhile: that a text was signed by us
and says what it says; and what a login may do *under an epoch*, because whatever changes roles, their permissions, state or
password begins another epoch in the same transaction (`db.logins`).
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from cachetools import LRUCache, TTLCache
from sqlalchemy import Connection

from db import sign_ins
from db.engine import for_glances, glance
from domain.tenancy import Scope
from domain.tokens import Claims
from usecases import identity
from usecases.deps import Deps
from usecases.identity import NotAuthenticated
from usecases.together import Together

_TEXTS: Final = 20_000
_SCOPES: Final = 20_000
_SCOPE_S: Final = 300.0
"""A database that was put back to yesterday may begin an epoch a second time: what is remembered of the first ends by then."""

_EACH_S: Final = 0.001
"""With some hundred requests a second two or three come together, and wait two or three milliseconds; with a thousand, eight."""

_Epoch = tuple[str, str, int]


class Callers:
    """Access tokens of one process. Safe for threads; those that come at the same time are asked about together, each after it
    came."""

    def __init__(self, deps: Deps, *, clock: Callable[[], float] = time.monotonic, linger_s: float = 0.008) -> None:
        self._deps = deps
        self._engine = for_glances(deps.engine)
        self._lock = threading.Lock()
        self._texts: LRUCache[bytes, Claims] = LRUCache(_TEXTS)
        self._scopes: TTLCache[_Epoch, Scope] = TTLCache(_SCOPES, _SCOPE_S, timer=clock)
        self._asking = Together(self.scopes_of, linger_s=linger_s, each_s=_EACH_S)

    def scope_of(self, token: str, *, now_ms: int) -> Scope:
        """Who the token stands for now. Raises `NotAuthenticated`."""
        return self._asking.ask(self._claims(token, now_ms))

    def _claims(self, token: str, now_ms: int) -> Claims:
        # By digest: no token can be read out of the memory of those that were seen.
        seen = hashlib.sha256(token.encode()).digest()
        with self._lock:
            claims = self._texts.get(seen)
        if claims is None:
            claims = identity.claims_of(self._deps, token, now_ms=now_ms)
            with self._lock:
                self._texts[seen] = claims
        elif now_ms >= claims.ends_ms:
            raise NotAuthenticated("expired")
        return claims

    def scopes_of(self, asked: Sequence[Claims]) -> list[Scope | Exception]:
        """Whom these stand for now, `NotAuthenticated` in the place of one that is refused: one statement for each tenant where
        all are remembered, one more where some are not."""
        now_ms = time.time_ns() // 1_000_000
        found: dict[int, Scope | Exception] = {}
        with glance(self._engine) as tx:
            for tenant in sorted({one.tenant for one in asked}):
                ours = [at for at, one in enumerate(asked) if one.tenant == tenant]
                found |= self._remembered(tx, tenant, ours, asked, now_ms)
                rest = [at for at in ours if at not in found]
                if rest:
                    scopes = identity.scopes_in(tx, tenant, [asked[at] for at in rest], now_ms)
                    found |= self._remember(rest, asked, scopes)
        return [found[at] for at in range(len(asked))]

    def _remembered(
        self, tx: Connection, tenant: str, ours: Sequence[int], asked: Sequence[Claims], now_ms: int
    ) -> dict[int, Scope]:
        """The scopes of those who are known under the epoch that the database says. Nothing is said of the others."""
        with self._lock:
            known = {at: scope for at in ours if (scope := self._scopes.get(_epoch(asked[at]))) is not None}
        if not known:
            return {}
        standing = sign_ins.standing_epochs(
            tx, [(asked[at].family, asked[at].jti) for at in known], tenant=tenant, now_ms=now_ms
        )
        return {
            at: scope
            for at, scope in known.items()
            if standing.get(asked[at].family) == (asked[at].subject, asked[at].epoch)
        }

    def _remember(
        self, rest: Sequence[int], asked: Sequence[Claims], scopes: Sequence[Scope | Exception]
    ) -> dict[int, Scope | Exception]:
        said = dict(zip(rest, scopes, strict=True))
        with self._lock:
            for at, scope in said.items():
                if isinstance(scope, Scope):
                    self._scopes[_epoch(asked[at])] = scope
        return said


def _epoch(claims: Claims) -> _Epoch:
    return claims.tenant, claims.subject, claims.epoch
