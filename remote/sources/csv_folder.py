"""A folder of CSV files, plain or gzipped, one per part: `meetings.csv`, `students.csv.gz`, …"""

import csv
import gzip
import hashlib
import zlib
from collections.abc import Iterable, Iterator
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import IO, Final, cast

from domain.text import clean
from domain.timetable import SURPLUS
from remote.sources.base import PARTS, BadSource, ChangeSet, SourceRow, check_columns
from remote.sources.mapping import NOTHING, ColumnMapping

_ENDINGS: Final = (".csv", ".csv.gz")
_CHUNK_BYTES: Final = 1 << 20
_PAGE: Final = 500
_AS_UTF8: Final = "Save it as CSV UTF-8 (from GBK: `iconv -f GB18030 -t UTF-8`)"
_WHOLE_AGAIN: Final = "Write the file again in full"


class CsvFolder:
    """The adapter. Keeps one file open between pages, so that reading on does not begin at the top."""

    def __init__(self, folder: Path, mapping: ColumnMapping = NOTHING, *, name: str | None = None) -> None:
        """`name`: what people know the folder by, where that is not its path."""
        self._folder = folder
        self._name = str(folder) if name is None else name
        self._mapping = mapping
        self._open: OpenCsv | None = None

    @property
    def name(self) -> str:
        """The folder's path."""
        return self._name

    def parts(self) -> tuple[str, ...]:
        """The parts whose file is there. Raises BadSource without a folder or without meetings."""
        if not self._folder.is_dir():
            problem = "it is not a folder" if self._folder.exists() else "there is no such folder"
            raise BadSource(self.name, problem, "Give the path of a folder with meetings.csv or meetings.csv.gz")
        found = tuple(part for part in PARTS if self._files(part))
        if "meetings" not in found:
            there = ", ".join(sorted(entry.name for entry in self._folder.iterdir())[:12]) or "nothing"
            raise BadSource(self.name, f"there is no meetings.csv or meetings.csv.gz in it, but {there}", "Add it")
        return found

    def file_of(self, part: str) -> str:
        """The file's name; `part` itself where there is none."""
        files = self._files(part)
        return files[0].name if files else part

    def check(self) -> None:
        """Open every part and look at its header. Raises BadSource."""
        self.close()
        for part in self.parts():
            with OpenCsv(part, self._path(part), self._mapping):
                pass

    def fingerprint(self) -> str:
        """A hash of the names and bytes of all parts, and of the mapping."""
        total = hashlib.sha256(self._mapping.described().encode())
        for part in self.parts():
            path = self._path(part)
            total.update(f"{path.name}\0".encode())
            try:
                with path.open("rb") as file:
                    while chunk := file.read(_CHUNK_BYTES):
                        total.update(chunk)
            except OSError as error:
                raise _unreadable(path, error) from error
            total.update(b"\0")
        return total.hexdigest()

    def rows(self, part: str, *, after: int, limit: int) -> list[SourceRow]:
        """Up to `limit` rows after the first `after`; fewer only at the end. Raises BadSource."""
        try:
            file = self._open
            if file is None or file.part != part or file.position != after:
                self.close()
                file = self._open = OpenCsv(part, self._path(part), self._mapping)
                file.skip(after)
            return file.read(limit)
        except BadSource:
            self.close()  # asked again, a reader that failed would say that the file ends here
            raise

    @property
    def live(self) -> bool:
        """False: files are written as a whole."""
        return False

    def watermark(self) -> str | None:
        """The newest `sj` of the meetings; None where the column is missing or blank."""
        with OpenCsv("meetings", self._path("meetings"), self._mapping) as file:
            return file.newest("sj")

    def changes(self, *, since: str | None) -> ChangeSet | None:  # noqa: ARG002 (a file is a set)
        """The file `changes.csv` or `changes.csv.gz`, where it is there."""
        if not self._files("changes"):
            return None
        return ChangesFile(self._path("changes"), self._mapping)

    def close(self) -> None:
        """Close the file that is open, if one is."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _files(self, part: str) -> list[Path]:
        return [path for ending in _ENDINGS if (path := self._folder / f"{part}{ending}").is_file()]

    def _path(self, part: str) -> Path:
        files = self._files(part)
        if len(files) > 1:
            names = " and ".join(path.name for path in files)
            raise BadSource(self.name, f"{names} are both there", "Remove the one that is out of date")
        if not files:
            raise BadSource(f"{self._name}/{part}.csv", "it is no longer there", "Put it back and import again")
        return files[0]


def rows_of_file(part: str, path: Path) -> Iterator[SourceRow]:
    """The rows of a single file that holds one part. Raises BadSource."""
    with OpenCsv(part, path, NOTHING) as file:
        while rows := file.read(_PAGE):
            yield from rows


class ChangesFile:
    """A file with the columns of the meetings, whose `zt` says what becomes of each row: add, update or delete."""

    def __init__(self, path: Path, mapping: ColumnMapping = NOTHING) -> None:
        self._path = path
        self._mapping = mapping
        self._open: OpenCsv | None = None

    @property
    def name(self) -> str:
        """The file's path."""
        return str(self._path)

    @property
    def whole(self) -> bool:
        """False: each slot stands for itself."""
        return False

    def parts(self) -> tuple[str, ...]:
        """Changes of meetings, and nothing else."""
        return ("meetings",)

    def file_of(self, part: str) -> str:  # noqa: ARG002 (there is one part)
        """The file's name."""
        return self._path.name

    def check(self) -> None:
        """Open it and look at its header. Raises BadSource."""
        self.close()
        with OpenCsv("meetings", self._path, self._mapping):
            pass

    def fingerprint(self) -> str:
        """A hash of its bytes and of the mapping, whatever the file is called."""
        total = hashlib.sha256(self._mapping.described().encode())
        try:
            with self._path.open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    total.update(chunk)
        except OSError as error:
            raise _unreadable(self._path, error) from error
        return total.hexdigest()

    def rows(self, part: str, *, after: int, limit: int) -> list[SourceRow]:
        """Up to `limit` rows after the first `after`; fewer only at the end. Raises BadSource."""
        try:
            file = self._open
            if file is None or file.position != after:
                self.close()
                file = self._open = OpenCsv(part, self._path, self._mapping)
                file.skip(after)
            return file.read(limit)
        except BadSource:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        if self._open is not None:
            self._open.close()
            self._open = None


class OpenCsv:
    """One file being read; `position` counts the rows behind it. Every failure becomes a BadSource."""

    def __init__(self, part: str, path: Path, mapping: ColumnMapping) -> None:
        self.part = part
        self._mapping = mapping
        self.position = 0
        self._path = path
        self._line = 1
        try:
            raw = path.open("rb")
        except OSError as error:
            raise _unreadable(path, error) from error
        self._raw = raw
        unpacked = cast(IO[bytes], gzip.GzipFile(fileobj=raw, mode="rb")) if path.name.endswith(".gz") else raw
        self._text = TextIOWrapper(unpacked, encoding="utf-8-sig", newline="")
        # Strict: an opening quote that is never closed would otherwise swallow the rest of the file in silence.
        self._reader = csv.reader(_without_nul(self._text), strict=True)
        try:
            self._columns = self._header()
            self._picks = self._picked()
        except BadSource:
            self.close()
            raise

    def __enter__(self) -> "OpenCsv":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._text.close()
        self._raw.close()  # a GzipFile leaves the file it was given open

    def skip(self, rows: int) -> None:
        """Go past `rows` rows."""
        self.position += sum(1 for _ in islice(self._records(), rows))

    def read(self, limit: int) -> list[SourceRow]:
        """The next rows, at most `limit`."""
        rows = [SourceRow(line, self._values(record)) for line, record in islice(self._records(), limit)]
        self.position += len(rows)
        return rows

    def newest(self, column: str) -> str | None:
        """The greatest value of a column from here on; None where it is missing or blank."""
        place = dict(self._picks).get(column)
        if place is None:
            return None
        values = (clean(record[place]) for _, record in self._records() if place < len(record))
        return max(values, default="") or None

    def _header(self) -> list[str]:
        first = next(self._records(), None)
        if first is None:
            raise BadSource(self._path.name, "it is empty", "Write the column names in the first row")
        return [clean(name).lower() for name in first[1]]

    def _picked(self) -> list[tuple[str, int]]:
        picks = self._mapping.picks(self.part, self._columns, file=self._path.name)
        names = [*(name for name, _ in picks), *self._mapping.constants(self.part)]
        check_columns(self.part, names, file=self._path.name)
        return picks

    def _values(self, record: list[str]) -> dict[str, str | None]:
        values: dict[str, str | None] = {name: record[place] for name, place in self._picks if place < len(record)}
        values.update(self._mapping.constants(self.part))
        if len(record) > len(self._columns) and (surplus := ",".join(record[len(self._columns) :])).strip(", "):
            values[SURPLUS] = surplus
        return values

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """(line it begins on, fields) of each record that is not an empty line."""
        while True:
            begins = self._line
            try:
                record = next(self._reader)
            except StopIteration:
                return
            except UnicodeDecodeError as error:
                raise BadSource(self._path.name, f"it is not UTF-8 (after line {begins})", _AS_UTF8) from error
            except csv.Error as error:
                raise self._malformed(error, begins) from error
            except (EOFError, zlib.error) as error:
                raise BadSource(self._path.name, f"the gzip data is broken ({error})", _WHOLE_AGAIN) from error
            except OSError as error:
                raise _unreadable(self._path, error) from error
            self._line = self._reader.line_num + 1
            if record:
                yield begins, record

    def _malformed(self, error: csv.Error, line: int) -> BadSource:
        if "NUL" in str(error):
            return BadSource(self._path.name, f"it holds NUL bytes (line {line}): it is not text", _AS_UTF8)
        remedy = "Close the quotes, double those inside a field, and import again"
        return BadSource(self._path.name, f"the row on line {line} is not CSV ({error})", remedy)


def _without_nul(lines: Iterable[str]) -> Iterator[str]:
    """The lines; raises csv.Error at a NUL, which the csv module lets through since Python 3.11."""
    for line in lines:
        if "\0" in line:
            raise csv.Error("NUL")
        yield line


def _unreadable(path: Path, error: OSError) -> BadSource:
    if isinstance(error, gzip.BadGzipFile):
        return BadSource(path.name, "it is not a gzip file or is damaged", _WHOLE_AGAIN)
    return BadSource(path.name, f"it cannot be read ({error.strerror or error})", "Check the file and its permissions")
