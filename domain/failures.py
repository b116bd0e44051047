"""One fault, one family: what a failed job says, without what is different for each target.

A family is known by its operation (kind and verb), the class and the remote code of the error, and its message with every
number, id, date, name and quoted text replaced by a placeholder. Twenty thousand dead letters of one cause are one line.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from domain.ids import key_of

PATTERN_CHARS: Final = 200
"""Longest normalised message, in characters; what follows tells faults apart no better."""

FAMILY_CHARS: Final = 10
_READ_CHARS: Final = 2_000
_NAME_CHARS: Final = 2  # a shorter one is in half of all words

# The sentence of an error: "call: kind (status 400, code 400411301): the service's own words".
_ENVELOPE: Final = re.compile(
    r"[\w.]+: [\w ]+ \(status (?P<status>\d+), code (?P<code>-?\d+|None)\): ?(?P<text>.*)", re.S
)
_GAVE_UP: Final = re.compile(r"gave up after \d+ attempts; last: ")

_ID: Final = r"(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[A-Za-z0-9_-]{6,}"
_VARIES: Final = re.compile(
    "|".join(
        (
            r"(?P<keep>‹[a-z]+›)",
            r"(?P<address>\b[a-z][a-z0-9+.-]*://[^\s‹›]+|\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+)",
            r'(?P<text>"[^"]*"|“[^”]*”|‘[^’]*’|「[^」]*」|『[^』]*』|《[^》]*》|`[^`]*`|(?<!\w)\'[^\']*\'(?!\w))',
            r"(?P<date>\d{4}[-/.年]\d{1,2}[-/.月]\d{1,2}日?(?:[T ]?\d{1,2}:\d{2}(?::\d{2})?(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?"
            r"|\b\d{1,2}:\d{2}(?::\d{2})?\b)",
            r"(?P<target>\b(?:cal|mem|evt|sur|usr|ver|walk):[\w-]+)",
            rf"(?P<id>(?<![A-Za-z0-9_-]){_ID}(?![A-Za-z0-9_-]))",
            r"(?P<n>[+-]?\d+(?:[.,]\d+)*)",
        )
    )
)
_LIST: Final = re.compile(r"(‹[a-z]+›)(?:[\s,，、;；/|]*(?:and |和)?\1)+")
_PLACEHOLDER: Final = {"target": "id"}


@dataclass(frozen=True, slots=True)
class Fault:
    """What an error says: the code of the service (None where there was none), and its message normalised."""

    code: int | None
    pattern: str


def fault_of(message: str, *, names: Collection[str] = ()) -> Fault:
    """Read the stored sentence of an error. `names` are the target's own words: its title, its place, its people."""
    said = _GAVE_UP.sub("", message, count=1)
    found = _ENVELOPE.fullmatch(said)
    if found is None:
        return Fault(None, normalised(said, names=names))
    if found["code"] != "None":
        return Fault(int(found["code"]), normalised(found["text"], names=names))
    if found["status"] != "0":
        return Fault(None, f"HTTP {found['status']}")  # a proxy's page has no words worth comparing
    return Fault(None, normalised(found["text"], names=names))


def normalised(message: str, *, names: Collection[str] = ()) -> str:
    """The message without what varies from target to target. Normalising twice is normalising once."""
    known = sorted({one.strip() for one in names if len(one.strip()) >= _NAME_CHARS}, key=lambda one: (-len(one), one))
    own = re.compile("|".join((r"‹[a-z]+›", *map(re.escape, known))))
    text = message[:_READ_CHARS]
    while (shorter := _once(text, own)) != text:
        text = shorter
    return text


def _once(text: str, own: re.Pattern[str]) -> str:
    """One pass. Each replacement leaves fewer characters that can vary, so repeating it comes to an end."""
    text = own.sub(lambda found: found[0] if found[0].startswith("‹") else "‹name›", text)
    text = " ".join(_VARIES.sub(_placeholder, text).split())
    return _LIST.sub(r"\1", text)[:PATTERN_CHARS].rstrip()


def _placeholder(found: re.Match[str]) -> str:
    group = found.lastgroup or ""
    return found[0] if group == "keep" else f"‹{_PLACEHOLDER.get(group, group)}›"


def family_of(*, kind: str, verb: str, error_class: str, fault: Fault) -> str:
    """The id of the family: ten characters that a person can type."""
    return key_of(kind, verb, error_class, str(fault.code), fault.pattern)[:FAMILY_CHARS]
