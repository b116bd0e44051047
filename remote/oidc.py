"""OpenID Connect, as a client: discovery, the page to send somebody to, the code that comes back, and what it is worth.

Authorization code with PKCE (S256), state and nonce. An ID token counts only when it is signed by a key of the provider's
own list with an algorithm we name, and says this issuer, this client, this nonce and a time that has not passed. Keys are
asked for anew when a token names one that is not known, as it happens after the provider has rotated them.
"""

from __future__ import annotations

import hmac
import threading
import time
import warnings
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
from authlib.deprecate import AuthlibDeprecationWarning
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from remote.guarded import AddressRefused, AnswerTooLarge, Guard, GuardedTransport, guarded_client

with warnings.catch_warnings():
    warnings.simplefilter(
        "ignore", AuthlibDeprecationWarning
    )  # it announces its move to another HTTP library at import
    from authlib.integrations.base_client import OAuthError
    from authlib.integrations.httpx_client import OAuth2Client

ALGORITHMS: Final = ("RS256", "ES256", "PS256")
_KEPT_S: Final = 3600.0
_ANEW_S: Final = 5.0
"""Unknown keys make us ask for the list at most this often."""
_SKEW_S: Final = 60
_OLDEST_S: Final = 600


class ProviderAway(Exception):
    """The identity provider does not answer, or not with what it should."""


class ProviderRefused(Exception):
    """The provider, or we, do not accept what came back; `reason` is a word for logs."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Provider:
    """An identity provider as a tenant has it configured."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    scopes: str = "openid profile"


@dataclass(slots=True)
class _Known:
    metadata: dict[str, Any]
    until_s: float
    keys: KeySet | None = None
    keys_until_s: float = 0.0
    asked_s: float = 0.0


class OidcClient:
    """What is known of providers, shared by the threads of a process."""

    def __init__(self, guard: Guard | None = None) -> None:
        self.guard = guard if guard is not None else Guard()
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()

    def authorize_url(self, provider: Provider, *, redirect_uri: str, state: str, nonce: str, verifier: str) -> str:
        """Where to send somebody. Raises `ProviderAway`, `AddressRefused`."""
        metadata = self._discover(provider.issuer).metadata
        with self._oauth(provider, redirect_uri) as client:
            url, _ = client.create_authorization_url(
                metadata["authorization_endpoint"], state=state, nonce=nonce, code_verifier=verifier
            )
        return str(url)

    def redeem(
        self, provider: Provider, *, redirect_uri: str, code: str, verifier: str, nonce: str, now_s: int
    ) -> dict[str, Any]:
        """The claims of who came back with `code`. Raises `ProviderAway`, `ProviderRefused`, `AddressRefused`."""
        metadata = self._discover(provider.issuer).metadata
        try:
            with self._oauth(provider, redirect_uri) as client:
                answer = client.fetch_token(metadata["token_endpoint"], code=code, code_verifier=verifier)
        except OAuthError as error:
            raise ProviderRefused(f"token:{str(error.error)[:40]}") from None
        except (httpx.HTTPError, AnswerTooLarge, ValueError) as error:
            raise ProviderAway(type(error).__name__) from None
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise ProviderRefused("no_id_token")
        return self.verify(provider, token, nonce=nonce, now_s=now_s)

    def verify(self, provider: Provider, token: str, *, nonce: str, now_s: int) -> dict[str, Any]:
        """The claims of an ID token. Raises `ProviderRefused`, `ProviderAway`, `AddressRefused`."""
        claims = self._signed(provider, token)
        audience = claims.get("aud")
        audiences = [audience] if isinstance(audience, str) else audience if isinstance(audience, list) else []
        times = [claims.get(name) for name in ("exp", "iat")]
        if claims.get("iss") != provider.issuer:
            raise ProviderRefused("issuer")
        if provider.client_id not in audiences or (len(audiences) > 1 and claims.get("azp") != provider.client_id):
            raise ProviderRefused("audience")
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise ProviderRefused("nonce")
        if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in times):
            raise ProviderRefused("times")
        ends_s, made_s = (float(str(one)) for one in times)
        if now_s >= ends_s + _SKEW_S or made_s > now_s + _SKEW_S or made_s < now_s - _OLDEST_S:
            raise ProviderRefused("times")
        if not isinstance(claims.get("sub"), str) or not 1 <= len(claims["sub"]) <= 200:
            raise ProviderRefused("subject")
        return claims

    def _signed(self, provider: Provider, token: str) -> dict[str, Any]:
        reason = "signature"
        for again in (False, True):
            keys = self._keys(provider.issuer, anew=again)
            if keys is None:
                break
            try:
                return dict(jwt.decode(token, keys, algorithms=list(ALGORITHMS)).claims)
            except (JoseError, ValueError, TypeError, KeyError) as error:
                reason = f"signature:{type(error).__name__}"
        raise ProviderRefused(reason)

    def _oauth(self, provider: Provider, redirect_uri: str) -> Any:
        method = "client_secret_basic" if provider.client_secret else "none"
        return OAuth2Client(
            client_id=provider.client_id,
            client_secret=provider.client_secret or None,
            token_endpoint_auth_method=method,
            redirect_uri=redirect_uri,
            scope=provider.scopes,
            code_challenge_method="S256",
            transport=GuardedTransport(self.guard),
            trust_env=False,
            follow_redirects=False,
        )

    def _discover(self, issuer: str) -> _Known:
        with self._lock:
            known = self._known.get(issuer)
        if known is not None and time.monotonic() < known.until_s:
            return known
        self.guard.check_url(issuer)
        metadata = self._get(issuer.rstrip("/") + "/.well-known/openid-configuration")
        if metadata.get("issuer") != issuer:
            raise ProviderAway("its discovery names another issuer")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if not isinstance(metadata.get(name), str):
                raise ProviderAway(f"its discovery has no {name}")
            self.guard.check_url(metadata[name])
        methods = metadata.get("code_challenge_methods_supported")
        if isinstance(methods, list) and "S256" not in methods:
            raise ProviderAway("it does not know PKCE with S256")
        known = _Known(metadata, time.monotonic() + _KEPT_S)
        with self._lock:
            self._known[issuer] = known
        return known

    def _keys(self, issuer: str, *, anew: bool) -> KeySet | None:
        """The provider's keys; with `anew` as they are now, or None where they have just been asked for."""
        known = self._discover(issuer)
        now_s = time.monotonic()
        with self._lock:
            if known.keys is not None and not anew and now_s < known.keys_until_s:
                return known.keys
            if anew and known.keys is not None and now_s - known.asked_s < _ANEW_S and known.asked_s != 0.0:
                return None
            if anew:
                known.asked_s = now_s
        try:
            keys = KeySet.import_key_set(self._get(known.metadata["jwks_uri"]))  # type: ignore[arg-type]
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise ProviderAway(f"its keys: {type(error).__name__}") from None
        with self._lock:
            known.keys, known.keys_until_s = keys, now_s + _KEPT_S
        return keys

    def _get(self, url: str) -> dict[str, Any]:
        try:
            with guarded_client(self.guard) as client:
                answer = client.get(url)
                found = answer.json() if answer.status_code == 200 else None
        except (httpx.HTTPError, AnswerTooLarge, ValueError) as error:
            raise ProviderAway(type(error).__name__) from None
        if not isinstance(found, dict):
            raise ProviderAway(f"answered {answer.status_code}")
        return found


__all__ = ["ALGORITHMS", "AddressRefused", "OidcClient", "Provider", "ProviderAway", "ProviderRefused"]
