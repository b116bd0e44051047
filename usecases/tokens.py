"""Tokens as text: signing and reading JWTs, strictly.

The signing keys are derived from the encryption keys (by HKDF, salted with the secret key), so that rotating those rotates
these: the first signs, all verify, and the id of a key is its `kid`. One algorithm, and a text has one spelling: what PyJWT
would overlook (a second claim of the same name, another spelling of the same base64, more in the header) is refused before
it is asked.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from domain.tokens import AUDIENCE, ISSUER, BadToken, Claims, TokenKind, read
from usecases.deps import Deps
from usecases.sealing import keys

ALGORITHM: Final = "HS256"
LONGEST: Final = 8_192
"""Characters of the longest token that is looked at."""
_HEADER: Final = frozenset({"alg", "kid", "typ"})
_HEADER_LONGEST: Final = 200


@lru_cache(maxsize=8)
def signing_keys(encryption_keys: str, secret: bytes) -> Mapping[str, bytes]:
    """Key id → 256 bits, the one that signs first."""
    return {name: _derived(key, secret, name) for name, key in keys(encryption_keys)}


def _derived(key: bytes, secret: bytes, name: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=secret, info=f"obsync jwt {name}".encode()).derive(key)


def encode(deps: Deps, claims: Mapping[str, Any]) -> str:
    """The signed text of `claims`."""
    kid, key = next(iter(signing_keys(deps.encryption_keys, deps.secret).items()))
    return jwt.encode(dict(claims), key, algorithm=ALGORITHM, headers={"kid": kid, "typ": "JWT"})


def decode(deps: Deps, token: str, kind: TokenKind, *, now_ms: int) -> Claims:
    """The claims of a token of that kind. Raises `BadToken`, and nothing else whatever `token` is."""
    header = _parts(token)
    key = signing_keys(deps.encryption_keys, deps.secret).get(str(header["kid"]))
    if key is None:
        raise BadToken("unknown_key")
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=ISSUER,
            # Times are judged by `read`, against the caller's clock.
            options={
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
                "require": ["exp", "nbf", "iat", "sub"],
            },
        )
    except jwt.PyJWTError as error:
        raise BadToken(type(error).__name__) from None
    return read(claims, kind, now_ms=now_ms)


def _parts(token: str) -> Mapping[str, Any]:
    """The header, if the whole token is spelled as we spell them. Raises `BadToken`."""
    if len(token) > LONGEST or not token.isascii():
        raise BadToken("too_long")
    parts = token.split(".")
    if len(parts) != 3 or len(parts[0]) > _HEADER_LONGEST:
        raise BadToken("not_three_parts")
    header, _, signature = (_canonical(part) for part in parts)
    if len(signature) != 32:
        raise BadToken("no_signature")
    found = _object(header)
    _object(_canonical(parts[1]))
    if set(found) != _HEADER or found["alg"] != ALGORITHM or found["typ"] != "JWT" or not isinstance(found["kid"], str):
        raise BadToken("header")
    return found


def _canonical(part: str) -> bytes:
    """The bytes of a part: base64 leaves up to four spellings of the same bytes, and one of them is ours."""
    try:
        raw = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise BadToken("base64") from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != part:
        raise BadToken("base64")
    return raw


def _object(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw.decode(), object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise BadToken("json") from None
    if not isinstance(found, dict):
        raise BadToken("json")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found
