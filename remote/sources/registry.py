"""From an address to the adapter that reads it. A new kind of source is one file and one line here."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from remote.sources.base import BadSource, TimetableSource
from remote.sources.csv_folder import CsvFolder
from remote.sources.itc2019 import ENDINGS, SCHEME, Itc2019, holds_xml
from remote.sources.mapping import ColumnMapping, read_mapping

_REMEDY: Final = (
    f"Give a folder with meetings.csv, an ITC-2019 problem ({SCHEME}:PATH), or mysql://user:password@host/db"
)
_QUERY_PASSWORD: Final = re.compile(r"(?i)\b(password|passwd|pwd)=[^&]*")


def _path(address: str, mapping: ColumnMapping) -> TimetableSource:
    """A folder of CSV files, or an ITC-2019 timetable, by what is there."""
    parts = urlsplit(address)
    path = Path(unquote(parts.path)) if parts.scheme == "file" else Path(address).expanduser()
    has_csv = path.is_dir() and any(path.glob("meetings.csv*"))
    if path.name.endswith(ENDINGS) or (not has_csv and holds_xml(path)):
        return Itc2019(str(path), mapping)
    return CsvFolder(path, mapping)


_ADAPTERS: Final[dict[str, Callable[[str, ColumnMapping], TimetableSource]]] = {
    "": _path,
    "file": _path,
    SCHEME: Itc2019,
}
"""By the scheme of the address; a path has none."""


def open_source(address: str | Path, mapping: Mapping[str, Any] | None = None) -> TimetableSource:
    """The source at a path or address, its columns read as `mapping` says. No row is read yet.

    Raises BadSource for an unknown kind, and for a mapping or an address that cannot be used.
    """
    text = str(address)
    adapter = _ADAPTERS.get(_scheme(text))
    if adapter is None:
        raise BadSource(shown(text), f"no source speaks {_scheme(text)}://", _REMEDY)
    return adapter(text, read_mapping(mapping))


def absolute(address: str | Path) -> str:
    """The address as it means the same in every process: paths from the root, all others as they are."""
    text = str(address)
    scheme = _scheme(text)
    if scheme == "":
        return str(Path(text).expanduser().resolve())
    if scheme == SCHEME:
        path, mark, query = text.partition(":")[2].removeprefix("//").partition("?")
        return f"{SCHEME}:{Path(path).expanduser().resolve()}{mark}{query}"
    return text


def shown(address: str | Path) -> str:
    """The address as people may see it: without its password."""
    text = str(address)
    before, mark, rest = text.partition("://")
    if not mark:
        return text
    # The last @: a password may hold one, or a slash, that nobody encoded.
    user, at, place = rest.rpartition("@")
    name, colon, _ = user.partition(":")
    hidden = _QUERY_PASSWORD.sub(lambda found: f"{found[1]}=***", place)
    return f"{before}://{name}{':***' if colon and at else ''}{at}{hidden}"


def has_password(address: str | Path) -> bool:
    """Whether `shown` leaves something out."""
    return shown(address) != str(address)


def _scheme(text: str) -> str:
    found = re.match(rf"([A-Za-z][A-Za-z0-9+.-]*)://|({SCHEME}):", text)
    return (found[1] or found[2]).lower() if found else ""
