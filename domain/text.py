"""Text as it comes from a source: trimmed, in one Unicode form, of bounded length; blank means missing."""

import re
import unicodedata
from typing import Final

IDENTIFIER_CHARS: Final = 60
"""Longest identifier (offering, course, college, campus, person) that the tables and WPS names can carry."""

_SEPARATORS: Final = re.compile("[,，、;]")


def clean(text: str | None) -> str:
    """`text` trimmed and in Unicode form NFC; None is blank."""
    if not text:
        return ""
    return text.strip() if text.isascii() else unicodedata.normalize("NFC", text).strip()


def split_list(text: str) -> tuple[str, ...]:
    """The entries of a list written with , ， 、 or ; in the order given: trimmed, none blank, none twice."""
    if not text:
        return ()
    return tuple(dict.fromkeys(entry for part in _SEPARATORS.split(text) if (entry := part.strip())))
