"""From an address to the adapter that reads it. A new kind of source is one file and one line here."""

from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from remote.sources.base import BadSource, TimetableSource
from remote.sources.csv_folder import CsvFolder


def _folder(address: str) -> TimetableSource:
    parts = urlsplit(address)
    return CsvFolder(Path(unquote(parts.path)) if parts.scheme == "file" else Path(address).expanduser())


_ADAPTERS: Final[dict[str, Callable[[str], TimetableSource]]] = {"": _folder, "file": _folder}
"""By the scheme of the address; a path has none."""


def open_source(address: str | Path) -> TimetableSource:
    """The source at a path or `file://` address. Nothing is read yet. Raises BadSource for an unknown kind."""
    text = str(address)
    scheme = text.partition("://")[0] if "://" in text else ""
    adapter = _ADAPTERS.get(scheme)
    if adapter is None:
        raise BadSource(text, f"no source speaks {scheme}://", "Give the path of a folder with meetings.csv")
    return adapter(text)
