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
REFRESH_LIFETIME_S = 2_592_000
_SEEN_LIMIT = 10_000


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Tokens:
    """Hands out and checks the tokens of one app."""

    def __init__(self, app_id: str, app_key: str) -> None:
        self._app_id = app_id
        self._key = app_key.encode()
        self._numbers = itertools.count(1)
        self._seen: dict[str, tuple[float, str | None]] = {}

    def issue(self, now_s: float, user_id: str | None = None) -> str:
        """A new token, of the app or of a person; older ones stay valid until their own end."""
        head = _b64(b'{"alg":"HS256","typ":"JWT"}')
        claims = {"iss": self._app_id, "iat": now_s, "exp": now_s + LIFETIME_S, "jti": next(self._numbers)}
        if user_id is not None:
            claims["sub"] = user_id
        text = f"{head}.{_b64(json.dumps(claims).encode())}"
        return f"{text}.{self._mac(text)}"

    def check(self, header: str | None, now_s: float) -> str | None:
        """Whose token it is: a person's id, or None for the app's. Raises Refused unless the Authorization header carries a
        live token of ours."""
        if header is None:
            raise Refused(errors.AUTH_ERROR, "no Authorization header")
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refused(errors.AUTH_ERROR, "Authorization must be 'Bearer <token>'")
        seen = self._seen.get(token)
        if seen is None:
            seen = self._read(token)
            if len(self._seen) > _SEEN_LIMIT:
                self._seen.clear()
            self._seen[token] = seen
        if now_s >= seen[0]:
            raise Refused(errors.TOKEN_EXPIRED)
        return seen[1]

    def _mac(self, text: str) -> str:
        return _b64(hmac.digest(self._key, text.encode(), "sha256"))

    def _read(self, token: str) -> tuple[float, str | None]:
        text, _, mac = token.rpartition(".")
        if not hmac.compare_digest(self._mac(text).encode(), mac.encode()):
            raise Refused(errors.OAUTH_INVALID_TOKEN)
        claims = text.partition(".")[2]
        found = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        return float(found["exp"]), found.get("sub")
