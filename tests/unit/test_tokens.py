"""Tokens that nobody of ours has made are refused, whatever they look like; so are those that say something else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any, cast

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from flask import Flask
from flask_jwt_extended import JWTManager, decode_token
from hypothesis import given
from hypothesis import strategies as st

from domain.tokens import AUDIENCE, ISSUER, BadToken, TokenKind, body_of
from tests.integration.identity_rig import KEY, OTHER_KEY, deps_of
from usecases import tokens

NOW = 1_725_000_000_000
DEPS = deps_of(cast(Any, None))
SIGNING = next(iter(tokens.signing_keys(DEPS.encryption_keys, DEPS.secret).values()))


def body(kind: TokenKind = TokenKind.ACCESS, **more: Any) -> dict[str, Any]:
    """The claims of Mei's token."""
    made = body_of(kind, tenant="main", subject="mei", jti="j", family="f", epoch=1, now_ms=NOW, roles=("student",))
    return {**made, **more}


GOOD = tokens.encode(DEPS, body())


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def made(header: Any, claims: Any, *, key: bytes = SIGNING, signature: str | None = None) -> str:
    """A token as somebody with patience writes it; texts are taken as they are."""
    parts = [b64((one if isinstance(one, str) else json.dumps(one)).encode()) for one in (header, claims)]
    text = ".".join(parts)
    return f"{text}.{b64(hmac.digest(key, text.encode(), 'sha256')) if signature is None else signature}"


def refusal(token: str, kind: TokenKind = TokenKind.ACCESS, *, at: int = NOW, deps: Any = DEPS) -> str:
    with pytest.raises(BadToken) as told:
        tokens.decode(deps, token, kind, now_ms=at)
    return told.value.reason


HEADER = {"alg": "HS256", "kid": "k1", "typ": "JWT"}
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
CLAIMS = json.dumps(body())
FORGED = {
    **{f"alg {alg}": made({**HEADER, "alg": alg}, body(), signature="") for alg in ("none", "None", "NONE", "nOnE", "")},
    **{f"alg {alg}, signed": made({**HEADER, "alg": alg}, body()) for alg in ("none", "nOnE", "HS384", "HS512", "hs256")},
    "no alg": made({"kid": "k1", "typ": "JWT"}, body()),
    "alg is a list": made({**HEADER, "alg": ["HS256"]}, body()),
    "RS256 by a key of their own": jwt.encode(body(), RSA, algorithm="RS256", headers={"kid": "k1"}),
    "HS256 by a public key": made({**HEADER, "kid": "k1"}, body(), key=PUBLIC),
    "no signature": GOOD.rpartition(".")[0] + ".",
    "no third part": GOOD.rpartition(".")[0],
    "a fourth part": GOOD + ".x",
    "another's signature": made(HEADER, body(), key=b"x" * 32),
    "the secret itself as key": made(HEADER, body(), key=DEPS.secret),
    "the encryption key as key": made(HEADER, body(), key=base64.b64decode(KEY)),
    "an empty key": made(HEADER, body(), key=b""),
    **{f"kid {kid!r}": made({**HEADER, "kid": kid}, body()) for kid in (
        "../../dev/null", "/dev/null", "k1'; DROP TABLE logins; --", "' UNION SELECT 'x", "", "K1", "k1\x00", 7, None, ["k1"])},
    "no kid": made({"alg": "HS256", "typ": "JWT"}, body()),
    **{name: made({**HEADER, name: "https://evil.example/keys"}, body()) for name in ("jku", "x5u", "jwk", "x5c", "crit", "b64")},
    "typ at+jwt": made({**HEADER, "typ": "at+jwt"}, body()),
    "a claim twice": made(HEADER, CLAIMS[:-1] + ', "sub": "ada"}'),
    "the type twice": made(HEADER, '{"type": "refresh", ' + CLAIMS[1:]),
    "alg twice": made('{"alg": "none", "alg": "HS256", "kid": "k1", "typ": "JWT"}', body()),
    "a header of 10 KB": made({**HEADER, "kid": "k" * 10_000}, body()),
    "a body of 10 KB": made(HEADER, body(more="x" * 10_000)),
    "claims that are a list": made(HEADER, [body()]),
    "claims that are no JSON": made(HEADER, "sub=mei"),
    "deep nesting": made(HEADER, "[" * 3000),
    "no text": "", "dots": "..", "blanks": " . . ", "not ASCII": GOOD + "é", "padded": GOOD + "=",
    "a JWE": "e30.e30.e30.e30.e30",
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_token_is_refused(name: str) -> None:
    """Each has opened somebody's API once."""
    assert refusal(FORGED[name])


def test_the_token_they_were_made_from_is_good() -> None:
    """The corpus is worth what this shows: by the same means a good token is made."""
    for token in (GOOD, made(HEADER, body())):
        assert tokens.decode(DEPS, token, TokenKind.ACCESS, now_ms=NOW).subject == "mei"


def test_a_bit_flipped_anywhere_is_noticed() -> None:
    """Also in the last character, whose lowest bits mean nothing to a reader that is not strict."""
    for position, letter in enumerate(GOOD):
        for bit in range(7):
            other = chr(ord(letter) ^ (1 << bit))
            assert refusal(GOOD[:position] + other + GOOD[position + 1 :])


@given(st.text(max_size=300))
def test_no_text_does_worse_than_be_refused(text: str) -> None:
    """What comes from outside never ends in an exception that nobody expects."""
    assert refusal(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)
    )
)
def test_signed_nonsense_is_refused(claims: Any) -> None:
    """Even what our own key has signed is looked at."""
    assert refusal(made(HEADER, claims))


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        (body(iss="other"), "InvalidIssuerError"), (body(aud="other"), "InvalidAudienceError"),
        (body(aud=[AUDIENCE]), "wrong_issuer_or_audience"),
        ({k: v for k, v in body().items() if k != "aud"}, "MissingRequiredClaimError"),
        ({k: v for k, v in body().items() if k != "exp"}, "MissingRequiredClaimError"),
        (body(exp="never"), "claims_missing"), (body(epoch=True), "claims_missing"), (body(tenantId=""), "claims_missing"),
        (body(exp=NOW // 1000), "expired"), (body(nbf=NOW // 1000 + 60), "not_yet"), (body(iat=NOW // 1000 + 60), "not_yet"),
    ],
)  # fmt: skip
def test_claims_are_asked_for(claims: dict[str, Any], reason: str) -> None:
    """The extension leaves issuer and audience alone unless told; here both are always asked."""
    assert refusal(made(HEADER, claims)) == reason


def test_kinds_exclude_each_other() -> None:
    """All pairs."""
    for kind in TokenKind:
        token = tokens.encode(DEPS, body(kind))
        assert tokens.decode(DEPS, token, kind, now_ms=NOW).kind is kind
        for other in set(TokenKind) - {kind}:
            assert refusal(token, other) == "wrong_type"


def test_another_secret_or_another_key_is_another_installation() -> None:
    """Both secrets of an installation are needed to make its tokens."""
    assert refusal(GOOD, deps=replace(DEPS, secret=b"t" * 32)) == "InvalidSignatureError"
    assert refusal(GOOD, deps=replace(DEPS, encryption_keys=f"k1:{OTHER_KEY}")) == "InvalidSignatureError"


def test_the_web_frameworks_extension_reads_our_access_tokens() -> None:
    """Claims and signature are those that flask-jwt-extended expects: a service that uses it needs the key and nothing else."""
    app = Flask("reader")
    app.config.update(
        JWT_SECRET_KEY=SIGNING, JWT_ALGORITHM="HS256", JWT_DECODE_AUDIENCE=AUDIENCE, JWT_DECODE_ISSUER=ISSUER
    )
    JWTManager(app)
    with app.app_context():
        found = decode_token(GOOD, allow_expired=True)
    assert (found["sub"], found["tenantId"], found["roles"], found["type"]) == ("mei", "main", ["student"], "access")
    assert hashlib.sha256(SIGNING).digest() and len(SIGNING) * 8 >= 256
