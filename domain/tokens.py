"""What a token says, for how long, and when it is refused. Signatures and storage are elsewhere.

The four kinds exclude each other: a token is good only where its own kind is asked for. Times in claims are whole seconds,
as JWT wants them; everywhere else milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

ISSUER: Final = "obsync"
AUDIENCE: Final = "obsync-api"

ACCESS_MS: Final = 30 * 60_000
REFRESH_MS: Final = 7 * 86_400_000
FAMILY_MS: Final = 30 * 86_400_000
"""A sign-in ends after this, however often its token was exchanged."""
TICKET_MS: Final = 30_000
CALLBACK_MS: Final = 10 * 60_000
_SKEW_S: Final = 30
"""Machines whose clocks differ by less understand each other."""


class TokenKind(StrEnum):
    """What a token is for."""

    ACCESS = "access"
    REFRESH = "refresh"
    WS_TICKET = "ws_ticket"
    CALLBACK = "callback"


LIFETIME_MS: Final[Mapping[TokenKind, int]] = {
    TokenKind.ACCESS: ACCESS_MS,
    TokenKind.REFRESH: REFRESH_MS,
    TokenKind.WS_TICKET: TICKET_MS,
    TokenKind.CALLBACK: CALLBACK_MS,
}


class BadToken(Exception):
    """The token is refused; `reason` is a word for logs, never for whoever sent it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims we rely on. `family` is the sign-in that the token belongs to; blank for a callback."""

    kind: TokenKind
    tenant: str
    subject: str
    jti: str
    family: str
    epoch: int
    ends_ms: int


def body_of(
    kind: TokenKind,
    *,
    tenant: str,
    subject: str,
    jti: str,
    family: str,
    epoch: int,
    now_ms: int,
    ends_ms: int | None = None,
    roles: tuple[str, ...] = (),
    permissions: tuple[str, ...] = (),
) -> dict[str, Any]:
    """The claims of a new token; `ends_ms` shortens its life. Roles and permissions are for readers elsewhere: what holds
    here is in the database."""
    ends = min(now_ms + LIFETIME_MS[kind], ends_ms if ends_ms is not None else now_ms + LIFETIME_MS[kind])
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": subject,
        "tenantId": tenant,
        "type": str(kind),
        "jti": jti,
        "sid": family,
        "epoch": epoch,
        "iat": now_ms // 1000,
        "nbf": now_ms // 1000,
        "exp": ends // 1000,
    }
    if kind is TokenKind.ACCESS:
        claims |= {"fresh": False, "roles": list(roles), "permissions": list(permissions)}
    return claims


def read(claims: Mapping[str, Any], kind: TokenKind, *, now_ms: int) -> Claims:
    """The claims of a token whose signature is good. Raises `BadToken`."""
    if claims.get("type") != str(kind):
        raise BadToken("wrong_type")
    if claims.get("iss") != ISSUER or claims.get("aud") != AUDIENCE:
        raise BadToken("wrong_issuer_or_audience")
    texts = [claims.get(name) for name in ("tenantId", "sub", "jti", "sid")]
    numbers = [claims.get(name) for name in ("epoch", "iat", "nbf", "exp")]
    if not all(isinstance(one, str) for one in texts) or not all(type(one) is int for one in numbers):
        raise BadToken("claims_missing")
    tenant, subject, jti, family = (str(one) for one in texts)
    epoch, issued_s, from_s, ends_s = (int(str(one)) for one in numbers)
    if not tenant or not subject or not jti:
        raise BadToken("claims_missing")
    now_s = now_ms // 1000
    if now_s >= ends_s:
        raise BadToken("expired")
    if from_s > now_s + _SKEW_S or issued_s > now_s + _SKEW_S:
        raise BadToken("not_yet")
    return Claims(kind, tenant, subject, jti, family, epoch, ends_s * 1000)
