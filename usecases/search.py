"""Finding names by how they are typed: a process keeps the names of a school until an import may have changed them."""

import threading
from dataclasses import dataclass
from typing import Final

from cachetools import TTLCache
from sqlalchemy import Connection

from db import courses, imports
from domain.pinyin import Typed, found, typed

_MOST_NAMES: Final = 50_000
_MOST_FOUND: Final = 100
_SCHOOLS: Final = 16
_KEPT_S: Final = 3_600


@dataclass(frozen=True, slots=True)
class Called:
    """Names that somebody may mean."""

    courses: tuple[str, ...] = ()
    teachers: tuple[str, ...] = ()
    buildings: tuple[str, ...] = ()


class Names:
    """The names of one process, of all tenants."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: TTLCache[tuple[str, int], dict[str, list[Typed]]] = TTLCache(_SCHOOLS, _KEPT_S)

    def meant(self, tx: Connection, text: str, *, tenant: str) -> Called:
        """Names of courses, teachers and buildings that may be meant by first letters, sounds or some characters of them."""
        if len(text) < 2:
            return Called()
        index = self._index(tx, tenant)
        return Called(**{what: tuple(found(names, text, limit=_MOST_FOUND)) for what, names in index.items()})

    def _index(self, tx: Connection, tenant: str) -> dict[str, list[Typed]]:
        version = imports.version(tx, tenant=tenant)
        if version is None:
            return _read(tx, tenant)
        with self._lock:
            kept = self._kept.get((tenant, version))
        if kept is None:
            # Two that come at once both read the names, and keep the same.
            kept = _read(tx, tenant)
            with self._lock:
                self._kept[tenant, version] = kept
        return kept


def _read(tx: Connection, tenant: str) -> dict[str, list[Typed]]:
    names = courses.names(tx, tenant=tenant, limit=_MOST_NAMES)
    return {what: [typed(one) for one in some] for what, some in names.items()}
