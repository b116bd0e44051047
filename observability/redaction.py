"""What must not be read in a log: by the name it stands under, and by what it looks like wherever it stands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

REDACTED: Final = "[redacted]"

_SECRET_WORDS: Final = (
    "token", "secret", "authorization", "password", "passwd", "cookie", "credential", "signature", "verifier", "api_key",
    "latitude", "longitude", "coordinate", "phone", "mobile", "ticket",
)  # fmt: skip
_SECRET_ENDINGS: Final = ("_key", "_keys", "apikey", "appkey", "_otp")
_SECRET_NAMES: Final = frozenset(
    {"key", "keys", "dsn", "sentry_dsn", "lat", "lng", "lon", "sjh", "sfzh", "nonce", "pwd", "otp"}
)
# Names that sound secret and hold none of it; the sync cursor is an opaque page mark, the open key a job's target.
_HARMLESS: Final = frozenset(
    {"open_key", "session_key", "config_key", "token_expires_at_ms", "token_age_ms", "token_epoch"}
)
_DEEPEST: Final = 6

_NAMED: Final = (
    r"(?:\w+[-_])?(?:(?:access|refresh|id)?[-_]?token|client_?secret|(?:api|app|access|secret)[-_]?key|app_?secret|secret"
    r"|password|passwd|pwd|authorization|code_verifier|verifier|nonce|cookie|signature|phone|mobile|sjh|sfzh|lat(?:itude)?"
    r"|lng|lon(?:gitude)?)"
)
_VALUES: Final = (
    # a header to its end: a scheme nobody knows, a cookie behind another
    (re.compile(r"(?i)\b(authorization|cookie)(\s*:\s*)(?!\[redacted\])[^\r\n\"'<]+"), r"\1\2" + REDACTED),
    (re.compile(r"(?i)\b(bearer|basic|digest|kso-1)\s+[^\s\"',;]+"), r"\1 " + REDACTED),
    (re.compile(r"(?i)\beyJ[\w-]{5,}(?:\.[\w-]*)*"), REDACTED),
    (re.compile(r"\bob_[\w.%-]+_[0-9a-f]{6,}_[0-9a-f]{16,}"), REDACTED),
    (re.compile(r"(/feeds/[^/\s\"']+/)[\w-]{16,}"), r"\1" + REDACTED),
    (re.compile(r"\$argon2[a-z]*\$[^\s\"',;]+"), REDACTED),
    # up to the last @: a password may hold one, or a slash, that nobody encoded; and one slash is missing soon
    (
        re.compile(
            r"(?i)\b((?:[a-z][a-z0-9+.-]*:/{1,3}|(?:mysql|mariadb|redis)(?:\+\w+)?:)[^\s/:@\"']*):(?!\[redacted\])[^\s\"']+@"
        ),
        r"\1:" + REDACTED + "@",
    ),
    # a name and its value, as in a form, a query, JSON (in JSON), a Python dict, XML, or a field of a page
    (
        re.compile(
            rf"(?i)(?<!\w)({_NAMED})(\\*[\"']?(?:\s*(?:[=:]|%3[ad])\s*\\*|\s+value=|>)[\"']?)(?!\[redacted\])"
            r"[^\s\"'&,;})\]<\\]+"
        ),
        r"\1\2" + REDACTED,
    ),
    (re.compile(r"(?<![\w.-])(?:\+?86[ -]?)?1[3-9]\d{9}(?![\w.-])"), REDACTED),
    (re.compile(r"(?<!\w)[1-9]\d{5}(?:19|20)\d{9}[\dXx](?!\w)"), REDACTED),
)


# None of the above can match these, and most values of a log are such: a word, or the id of a request or of a trace.
_PLAIN: Final = re.compile(r"(?!.*eyj)[a-z_.-]{0,16}|[0-9a-f]{16}|[0-9a-f]{32}", re.IGNORECASE | re.ASCII)
_SHORT_NAME: Final = 24


def is_secret_name(name: str) -> bool:
    """Whether a field called `name` is taken to hold a secret."""
    plain = name.lower().replace("-", "_")
    if plain in _HARMLESS:
        return False
    return plain in _SECRET_NAMES or plain.endswith(_SECRET_ENDINGS) or any(word in plain for word in _SECRET_WORDS)


def scrubbed(text: str) -> str:
    """The text without what looks like a token, a key, a password in an address, a telephone or an identity number."""
    if _PLAIN.fullmatch(text) is not None:
        return text
    for pattern, instead in _VALUES:
        text = pattern.sub(instead, text)
    return text


def _of_name(name: str) -> tuple[str, bool]:
    """A name as it is shown, and whether what stands under it is not."""
    return scrubbed(name), is_secret_name(name)


_of_short_name = lru_cache(maxsize=1_024)(_of_name)  # our own are short; a longer one may be anything


def redacted(value: object, *, depth: int = 0) -> object:
    """The value without secrets, at any depth."""
    if depth > _DEEPEST:
        return "[too deep]"
    if isinstance(value, str):
        return scrubbed(value)
    if isinstance(value, bytes):
        return scrubbed(value.decode("utf-8", "replace"))
    if isinstance(value, BaseException):
        return scrubbed(f"{type(value).__name__}: {value}")
    if isinstance(value, Mapping):
        return dict(_entry(str(name), inner, depth + 1) for name, inner in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted(inner, depth=depth + 1) for inner in value]
    return value


def _entry(name: str, inner: object, depth: int) -> tuple[str, object]:
    shown, is_secret = (_of_short_name if len(name) <= _SHORT_NAME else _of_name)(name)
    return shown, REDACTED if is_secret and inner else redacted(inner, depth=depth)
