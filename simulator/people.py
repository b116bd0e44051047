"""The directory of the pretended company: who has an account, and under which opaque id.

Read from a campus folder: `students.csv` (`xh`, `xm`) and `teachers.csv` (`gh`, `xm`), each also as `.csv.gz`, UTF-8
with or without byte order mark. A folder or file that is not there is an empty directory, not an error. The student or
staff number becomes `ex_user_id`; the internal id follows from seed and number alone, the same after every restart.
"""

import csv
import gzip
import hashlib
import io
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

STATUSES = ("active", "notactive", "disabled", "dimission")
_FILES = (("students", "xh"), ("teachers", "gh"))


class UnreadableDirectory(Exception):
    """A people file is there but is not what it should be; the message names the file and what is wrong."""


@dataclass(slots=True)
class Person:
    """One account."""

    id: str
    ex_user_id: str
    user_name: str
    status: str = "active"


class People:
    """Accounts by internal and by external id, in the order they were first heard of."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.by_id: dict[str, Person] = {}
        self.by_ex: dict[str, Person] = {}
        self.listed: list[Person] = []

    def __len__(self) -> int:
        return len(self.listed)

    def put(self, ex_user_id: str, user_name: str, status: str | None = None) -> Person:
        """Adds the account, or renames it; a status of None leaves the status as it is."""
        person = self.by_ex.get(ex_user_id)
        if person is None:
            person = Person(self._internal_id(ex_user_id), ex_user_id, user_name, status or "active")
            self.by_ex[ex_user_id] = person
            self.by_id[person.id] = person
            self.listed.append(person)
        else:
            person.user_name = user_name
            person.status = status or person.status
        return person

    def load(self, folder: Path) -> int:
        """Reads the people of a campus folder and returns how many the directory has now.

        Raises UnreadableDirectory on a missing column, bad encoding or broken archive.
        """
        for number, name in read_folder(folder):
            self.put(number, name)
        return len(self)

    def _internal_id(self, ex_user_id: str) -> str:
        return hashlib.blake2b(f"{self.seed}\x00{ex_user_id}".encode(), digest_size=10, person=b"user").hexdigest()


def read_folder(folder: Path) -> Iterator[tuple[str, str]]:
    """(number, name) of every student, then of every teacher; blank numbers are skipped."""
    for stem, column in _FILES:
        for suffix in (".csv", ".csv.gz"):
            path = folder / f"{stem}{suffix}"
            if path.is_file():
                yield from _read_file(path, column)
                break


def _read_file(path: Path, column: str) -> Iterator[tuple[str, str]]:
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        with io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8-sig", newline="") as text:
            yield from _rows(csv.DictReader(text), path, column)
    except (UnicodeDecodeError, csv.Error, EOFError, OSError) as problem:
        raise UnreadableDirectory(f"{path}: {problem}") from problem


def _rows(reader: Iterable[dict[str, str | None]], path: Path, column: str) -> Iterator[tuple[str, str]]:
    for row in reader:
        if column not in row:
            raise UnreadableDirectory(f"{path}: no column {column}; it has {', '.join(map(str, row))}")
        number = _clean(row[column])
        if number:
            yield number, _clean(row.get("xm")) or number


def _clean(text: str | None) -> str:
    return unicodedata.normalize("NFC", text or "").strip()
