"""An identity provider that speaks the protocol: discovery, authorization with PKCE, tokens, keys that rotate. In a thread."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

CLIENT, SECRET = "obsync-client", "client secret &:/"


@dataclass
class Idp:
    """A provider, and the knobs of a test: who is signed in there, and what is wrong with its tokens."""

    address: str = ""
    user: dict[str, Any] = field(default_factory=lambda: {"sub": "sub-1", "preferred_username": "s1"})
    spoil: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    keys: list[Any] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)
    token_headers: dict[str, str] = field(default_factory=dict)
    signer: Any = None

    def rotate(self, algorithm: str = "RS256", *, keep_old: bool = False) -> None:
        """Sign with a new key from now on."""
        kid = secrets.token_hex(4)
        made: Any = (
            RSAKey.generate_key(2048, {"kid": kid, "alg": "RS256"})
            if algorithm == "RS256"
            else ECKey.generate_key("P-256", {"kid": kid, "alg": "ES256"})
        )
        self.keys = [*(self.keys if keep_old else []), made]
        self.signer = (algorithm, made)

    @property
    def place(self) -> str:
        """host:port."""
        return urlsplit(self.address).netloc

    def discovery(self) -> dict[str, Any]:
        """What it says of itself."""
        at = self.address
        return {
            "issuer": at,
            "authorization_endpoint": f"{at}/authorize",
            "token_endpoint": f"{at}/token",
            "jwks_uri": f"{at}/jwks",
            "code_challenge_methods_supported": ["S256"],
            **self.metadata,
        }

    def authorize(self, query: dict[str, str]) -> str:
        """Where it sends the browser back to, with a code."""
        assert (
            query["client_id"] == CLIENT
            and query["response_type"] == "code"
            and query["code_challenge_method"] == "S256"
        )
        assert "openid" in query["scope"].split()
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """The ID token for a code: once, for the same client and address, and for who knows the verifier."""
        begun = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        user, _, password = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        if (user, password) != (CLIENT, SECRET):
            return 401, {"error": "invalid_client"}
        if begun is None or begun["code_challenge"] != challenge or begun["redirect_uri"] != form.get("redirect_uri"):
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {
            "iss": self.address,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "nonce": begun["nonce"],
            **self.user,
        }
        return 200, {"access_token": "at", "token_type": "Bearer", "id_token": self.sign({**claims, **self.spoil})}

    def sign(self, claims: dict[str, Any]) -> str:
        """A token by its current key."""
        algorithm, key = self.signer
        kept = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode({"alg": algorithm, "kid": key.kid}, kept, key, algorithms=[algorithm])


class _Handler(BaseHTTPRequestHandler):
    idp: Idp

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.idp.paths.append(url.path)
        if url.path == "/.well-known/openid-configuration":
            self._say(200, self.idp.discovery())
        elif url.path == "/jwks":
            self._say(200, KeySet(self.idp.keys).as_dict(private=False))
        elif url.path == "/authorize":
            self.send_response(302)
            self.send_header("Location", self.idp.authorize({k: v[0] for k, v in parse_qs(url.query).items()}))
            self.end_headers()
        else:
            self._say(404, {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.idp.paths.append(self.path)
        form = {k: v[0] for k, v in parse_qs(body).items()}
        if self.idp.token_headers:
            self.send_response(302)
            for name, value in self.idp.token_headers.items():
                self.send_header(name, value)
            self.end_headers()
            return
        self._say(*self.idp.token(form, self.headers.get("Authorization", "")))

    def _say(self, status: int, body: dict[str, Any]) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: Any) -> None:
        return


@contextmanager
def running() -> Iterator[Idp]:
    """A provider on a free port of this machine."""
    idp = Idp()
    idp.rotate()
    handler = type("Handler", (_Handler,), {"idp": idp})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    idp.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield idp
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def browse(url: str) -> dict[str, str]:
    """What a browser brings back from the provider's page: code and state."""
    answer = httpx.get(url, follow_redirects=False, trust_env=False)
    assert answer.status_code == 302, answer.text
    return {k: v[0] for k, v in parse_qs(urlsplit(answer.headers["location"]).query).items()}
