"""Ids: opaque to everyone who carries them."""

import hashlib
import struct
from base64 import b32encode
from functools import lru_cache
from hmac import digest as hmac_digest

_MARKER_CHARS = 20
_TAG_CHARS = 7


def uuid7(now_ms: int, random_bits: int) -> str:
    """A UUIDv7 (RFC 9562 §5.7) of a time in milliseconds UTC and at least 74 random bits: sorts by creation."""
    value = (now_ms & ((1 << 48) - 1)) << 80
    value |= 0x7 << 76 | ((random_bits >> 62) & 0xFFF) << 64
    value |= 0b10 << 62 | random_bits & ((1 << 62) - 1)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def key_of(*parts: str) -> str:
    """Twenty base32 characters (100 bits of SHA-256) for a natural key of any length; no two lists of parts collide by
    concatenation because each part carries its length."""
    packed = _packed(parts)
    return b32encode(hashlib.sha256(packed).digest()[:13]).decode()[:_MARKER_CHARS].lower()


def _packed(parts: tuple[str, ...]) -> bytes:
    return b"".join([_LENGTH(len(raw)) + raw for raw in map(str.encode, parts)])


_LENGTH = struct.Struct(">I").pack
_packed_once = lru_cache(maxsize=64)(_packed)


def secret_key(secret: bytes, *parts: str) -> str:
    """Twenty-four base32 characters that only who has the secret can make of these parts."""
    return _keyed(secret, _packed(parts))


def _keyed(secret: bytes, packed: bytes) -> str:
    # Fifteen bytes are twenty-four characters, more than anybody takes; the encoder's time goes with the length.
    return b32encode(hmac_digest(secret, packed, "sha256")[:15]).decode().lower()


def marker_of(secret: bytes, *, tenant: str, target: str, generation: int) -> str:
    """The marker of an event: stable over retries, unguessable, new for each generation of the remote object."""
    # Half a million of them in a plan: what is the same in all is packed once.
    return _keyed(secret, _packed_once(("marker", tenant)) + _packed((target, str(generation))))[:_MARKER_CHARS]


def calendar_tag(secret: bytes, *, tenant: str, offering_id: str, attempt: int) -> str:
    """Seven characters that make the name of an offering's calendar unique; `attempt` grows when one is taken."""
    return secret_key(secret, "calendar", tenant, offering_id, str(attempt))[:_TAG_CHARS]
