"""The address of a source: where it leads, and how it may be shown."""

import re
from pathlib import Path
from typing import Final

from observability.redaction import scrubbed

_NO_SLASHES: Final = "itc2019"
_QUERY_PASSWORD: Final = re.compile(r"(?i)\b(password|passwd|pwd)=[^&]*")


def absolute(address: str | Path) -> str:
    """The address as it means the same in every process: paths from the root, all others as they are."""
    text = str(address)
    scheme = scheme_of(text)
    if scheme == "":
        return str(Path(text).expanduser().resolve())
    if scheme == _NO_SLASHES:
        path, mark, query = text.partition(":")[2].removeprefix("//").partition("?")
        return f"{_NO_SLASHES}:{Path(path).expanduser().resolve()}{mark}{query}"
    return text


def shown(address: str | Path) -> str:
    """The address as people may see it: without its password."""
    text = str(address)
    before, mark, rest = text.partition("://")
    if not mark:
        return scrubbed(text)  # mysql:/user:password@host is a path to us, and a password to who typed it
    # The last @: a password may hold one, or a slash, that nobody encoded.
    user, at, place = rest.rpartition("@")
    name, colon, _ = user.partition(":")
    hidden = _QUERY_PASSWORD.sub(lambda found: f"{found[1]}=***", place)
    return f"{before}://{name}{':***' if colon and at else ''}{at}{hidden}"


def has_password(address: str | Path) -> bool:
    """Whether `shown` leaves something out."""
    return shown(address) != str(address)


def scheme_of(text: str) -> str:
    """What stands before `://`, in small letters; blank for a path."""
    found = re.match(rf"([A-Za-z][A-Za-z0-9+.-]*)://|({_NO_SLASHES}):", text)
    return (found[1] or found[2]).lower() if found else ""
