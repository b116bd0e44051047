"""Access tokens: signed, self-contained, valid for 7200 s of the simulator's clock.

A token carries its own end, so one that was handed out before a restart of the simulator stays good until then.
"""

import base64
import hmac
import itertools
import json

from simulator import errors
from simulator.errors import Refused

LIFETIME_S = 7200
_SEEN_LIMIT = 10_000


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Tokens:
    """Hands out and checks the tokens of one app."""

    def __init__(self, app_id: str, app_key: str) -> None:
        self._app_id = app_id
        self._key = app_key.encode()
        self._numbers = itertools.count(1)
        self._ends: dict[str, float] = {}

    def issue(self, now_s: float) -> str:
        """A new token; older ones stay valid until their own end."""
        head = _b64(b'{"alg":"HS256","typ":"JWT"}')
        claims = {"iss": self._app_id, "iat": now_s, "exp": now_s + LIFETIME_S, "jti": next(self._numbers)}
        text = f"{head}.{_b64(json.dumps(claims).encode())}"
        return f"{text}.{self._mac(text)}"

    def check(self, header: str | None, now_s: float) -> None:
        """Raises Refused unless the Authorization header carries a live token of ours."""
        if header is None:
            raise Refused(errors.AUTH_ERROR, "no Authorization header")
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refused(errors.AUTH_ERROR, "Authorization must be 'Bearer <token>'")
        end_s = self._ends.get(token)
        if end_s is None:
            end_s = self._read(token)
            if len(self._ends) > _SEEN_LIMIT:
                self._ends.clear()
            self._ends[token] = end_s
        if now_s >= end_s:
            raise Refused(errors.TOKEN_EXPIRED)

    def _mac(self, text: str) -> str:
        return _b64(hmac.digest(self._key, text.encode(), "sha256"))

    def _read(self, token: str) -> float:
        text, _, mac = token.rpartition(".")
        if not hmac.compare_digest(self._mac(text).encode(), mac.encode()):
            raise Refused(errors.OAUTH_INVALID_TOKEN)
        claims = text.partition(".")[2]
        return float(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"])
