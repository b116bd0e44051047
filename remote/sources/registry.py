"""From an address to the adapter that reads it. A new kind of source is one file and one line here."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from remote.sources.academic_mysql import SCHEMES, AcademicMysql
from remote.sources.address import scheme_of, shown
from remote.sources.base import BadSource, TimetableSource
from remote.sources.csv_folder import CsvFolder
from remote.sources.itc2019 import ENDINGS, SCHEME, Itc2019, holds_xml
from remote.sources.mapping import ColumnMapping, read_mapping
from remote.sources.rules import transformed
from remote.sources.zipped import ENDING, folder_in

_REMEDY: Final = (
    f"Give a folder with meetings.csv, an ITC-2019 problem ({SCHEME}:PATH), or mysql://user:password@host/db"
)


def _path(address: str, mapping: ColumnMapping) -> TimetableSource:
    """A folder or zip of CSV files, or an ITC-2019 timetable, by what is there."""
    parts = urlsplit(address)
    path = Path(unquote(parts.path)) if parts.scheme == "file" else Path(address).expanduser()
    if path.suffix.lower() == ENDING:
        return CsvFolder(folder_in(path), mapping, name=str(path))
    has_csv = path.is_dir() and any(path.glob("meetings.csv*"))
    if path.name.endswith(ENDINGS) or (not has_csv and holds_xml(path)):
        return Itc2019(str(path), mapping)
    return CsvFolder(path, mapping)


_ADAPTERS: Final[dict[str, Callable[[str, ColumnMapping], TimetableSource]]] = {
    "": _path,
    "file": _path,
    SCHEME: Itc2019,
    **dict.fromkeys(SCHEMES, AcademicMysql),
}
"""By the scheme of the address; a path has none."""


def open_source(address: str | Path, mapping: Mapping[str, Any] | None = None) -> TimetableSource:
    """The source at a path or address, its columns read as `mapping` says. No row is read yet.

    Raises BadSource for an unknown kind, and for a mapping or an address that cannot be used.
    """
    text = str(address)
    adapter = _ADAPTERS.get(scheme_of(text))
    if adapter is None:
        raise BadSource(shown(text), f"no source speaks {scheme_of(text)}://", _REMEDY)
    said = read_mapping(mapping)
    return transformed(adapter(text, said), said.rules)


KINDS = ACADEMIC, CSV, ITC2019 = ("academic", "csv", "itc2019")
"""What kinds of adapters there are, as people name them."""


def kind_of(address: str) -> str:
    """Which of KINDS reads the address. Raises BadSource for an unknown one."""
    scheme = scheme_of(address)
    if scheme in SCHEMES:
        return ACADEMIC
    if scheme not in _ADAPTERS:
        raise BadSource(shown(address), f"no source speaks {scheme}://", _REMEDY)
    path = Path(unquote(urlsplit(address).path)) if scheme == "file" else Path(address).expanduser()
    named = scheme == SCHEME or path.name.endswith(ENDINGS)
    return ITC2019 if named or (not any(path.glob("meetings.csv*")) and holds_xml(path)) else CSV
