"""An academic MySQL or MariaDB database with the tables of the schools: timetable, students, teachers, enrolments.

It is only read: the session is read-only, and the columns in which other programs note what they have processed are
neither used nor written.

The timetable has no primary key, and a row may even be there twice. So a part is read in *chunks*: all rows whose key
(`kkh`, `xh` or `gh`, for which the schools have an index) lies in a range of about a thousand rows. Within a chunk the
order is total: by key, and in the end by a hash of everything that is read, so that only rows that are equal in every
column could change places. A chunk that is greater than a fetch, because one key has very many rows, is read in pieces.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.dialects.mysql import INTEGER
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from remote.sources.academic_changes import AcademicChanges
from remote.sources.academic_parts import Part, text_of
from remote.sources.address import shown
from remote.sources.base import MARK, PARTS, READ_COLUMNS, BadSource, ChangeSet, SourceRow, check_columns
from remote.sources.mapping import NOTHING, ColumnMapping

T = TypeVar("T")

SCHEMES: Final = ("mysql", "mysql+pymysql", "mariadb", "mariadb+pymysql")

_TABLES: Final = {
    "students": ("out_xsxx", "xh"),
    "teachers": ("out_jsxx", "gh"),
    "meetings": ("u_jw_kcb_cur", "kkh"),
    "enrolments": ("out_jw_kcb_xs", "kkh"),
}
"""By part: the table, and the column of ours that it is read in the order of."""

_OWN_OPTIONS: Final = ("xnxq", "without")
_DRIVER_OPTIONS: Final = ("unix_socket", "charset", "ssl_ca", "ssl_cert", "ssl_key")
_CHUNK_ROWS: Final = 1000
_FETCH_ROWS: Final = 4000
_CONNECT_S: Final = 5
_READ_S: Final = 120
_LOST: Final = (0, 2006, 2013, 2014, 2055, 4031)
_REFUSED: Final = (1045, 1698, 1251, 2059)
_FORBIDDEN: Final = (1044, 1142, 1143)
_NO_DATABASE: Final = 1049
_AWAY: Final = (2002, 2003, 2005)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """The rows without a key, or those with a key from `low` to `high`, which is in it; None is the end of the table."""

    nulls: bool = False
    low: Any = None
    with_low: bool = False
    high: Any = None


class AcademicMysql:
    """The adapter. Keeps one connection and the place in one part between pages."""

    def __init__(self, address: str, mapping: ColumnMapping = NOTHING) -> None:
        """`address` is `mysql://user:password@host/db`, options after a `?`. Nothing is connected. Raises BadSource."""
        self._name = shown(address)
        self._mapping = mapping
        self._url, options = _parsed(address, self._name)
        self.term = options.get("xnxq", "")
        self._without = {part for part in options.get("without", "").split(",") if part}
        if unknown := sorted(self._without - (set(_TABLES) - {"meetings"})):
            raise BadSource(
                self._name, f"without={','.join(unknown)} is not possible", "Name students, teachers, enrolments"
            )
        self._connection: sa.Connection | None = None
        self._parts: dict[str, Part] | None = None
        self._open: _Reader | None = None

    @property
    def name(self) -> str:
        """The address without its password."""
        return self._name

    def parts(self) -> tuple[str, ...]:
        """Students, teachers, meetings and enrolments, but those that the address leaves out."""
        return tuple(part for part in PARTS if part in _TABLES and part not in self._without)

    def file_of(self, part: str) -> str:
        """The name of the table."""
        return _TABLES[part][0]

    def check(self) -> None:
        """Connect, and look for every table and column. Raises BadSource."""
        self.close()
        self._parts = None
        self.described()

    def fingerprint(self) -> str:
        """A hash of how many rows there are and of two checksums of them, by part: one pass over each table."""
        total = hashlib.sha256(f"{self._mapping.described()}{self.term}".encode())
        for part in self.parts():
            described = self.described()[part]
            half = sa.func.conv(sa.func.left(sa.func.md5(described.content), 16), 16, 10)
            sums = (
                sa.func.count(),
                sa.func.bit_xor(sa.cast(half, INTEGER(unsigned=True))),
                sa.func.coalesce(sa.func.sum(sa.func.crc32(described.content)), 0),
            )
            statement = sa.select(*sums).select_from(described.source).where(*described.where)
            found = self.all(statement, table=described.table)[0]
            total.update(f"{part}{sorted(described.columns)}{tuple(map(str, found))}".encode())
        return total.hexdigest()

    def rows(self, part: str, *, after: int, limit: int) -> list[SourceRow]:
        """Up to `limit` rows after the first `after`; a row's line is its number in the order of reading."""
        reader = self._open
        if reader is None or reader.part != part or reader.position != after:
            reader = self._open = _Reader(part, self.described()[part], self.all, after)
        try:
            return reader.read(limit)
        except BadSource:
            self._open = None  # asked again, a reader that failed would say that the table ends here
            raise

    @property
    def live(self) -> bool:
        """Whether its tables say when a row was changed: then nobody has to keep still while it is read."""
        return self.watermark() is not None

    def watermark(self) -> str | None:
        """The newest `sj` of meetings and enrolments, with a hash of the rows that have it: within that time more may come."""
        found = []
        for part in ("meetings", "enrolments"):
            described = self.described().get(part)
            if described is None or described.changed is None:
                continue
            newest = sa.select(sa.func.max(sa.func.trim(described.changed))).select_from(described.source)
            moment = text_of(self.all(newest, table=described.table)[0][0])
            if moment:
                found.append((moment, part))
            elif part == "meetings":
                return None
        if not found or found[0][1] != "meetings":
            return None
        newest_moment = max(moment for moment, _ in found)
        return f"{newest_moment[:30]}{MARK}{self._of_moment(newest_moment)}"

    def _of_moment(self, moment: str) -> str:
        """A hash of all rows that were changed at this time or say a later one."""
        total = hashlib.sha256()
        for part in ("meetings", "enrolments"):
            described = self.described().get(part)
            if described is not None and described.changed is not None:
                sums = sa.func.count(), sa.func.coalesce(sa.func.sum(sa.func.crc32(described.content)), 0)
                statement = sa.select(*sums).select_from(described.source).where(described.changed >= moment)
                total.update(f"{part}{tuple(map(str, self.all(statement, table=described.table)[0]))}".encode())
        return total.hexdigest()[:16]

    def changes(self, *, since: str | None) -> ChangeSet | None:
        """Everything of the numbers that were changed since; None where the tables do not say when."""
        if since is None or self.watermark() is None:
            return None
        return AcademicChanges(self, since.partition(MARK)[0])

    def close(self) -> None:
        """Close the connection."""
        self._open = None
        if self._connection is not None:
            with suppress(DBAPIError):
                self._connection.close()
            self._connection = None

    # --- the database -------------------------------------------------------------------------------------------------

    def all(self, statement: sa.Executable, *, table: str) -> Sequence[sa.Row[Any]]:
        """The rows of a query; a lost connection is made again, once. Raises BadSource."""
        for last in (False, True):
            try:
                return self._connected().execute(statement).all()
            except DBAPIError as error:
                code = error.orig.args[0] if error.orig is not None and error.orig.args else 0
                reader = self._open
                self.close()
                self._open = reader
                if last or code not in _LOST:
                    raise self._bad(error, code, table) from error
        raise AssertionError("unreachable")

    def _connected(self) -> sa.Connection:
        if self._connection is None:
            engine = sa.create_engine(
                self._url,
                poolclass=sa.NullPool,
                pool_reset_on_return=None,
                isolation_level="AUTOCOMMIT",
                hide_parameters=True,
                connect_args={
                    "ssl_disabled": _on_a_file(self._url),
                    "connect_timeout": _CONNECT_S,
                    "read_timeout": _READ_S,
                    "init_command": "SET SESSION TRANSACTION READ ONLY",
                },
            )
            self._connection = engine.connect()
        return self._connection

    def _bad(self, error: DBAPIError, code: int, table: str) -> BadSource:
        said = str(error.orig.args[1]) if error.orig is not None and len(error.orig.args) > 1 else str(error.orig)
        if code in _REFUSED:
            return BadSource(self._name, f"it refuses the user or the password ({said})", "Mend them in the address")
        if code in _FORBIDDEN:
            return BadSource(self._name, f"the user may not read it ({said})", self._grant(table))
        if code == _NO_DATABASE:
            return BadSource(self._name, f"it has no such database ({said})", "Mend the name after the host")
        if code in _AWAY or code in _LOST:
            remedy = "Check host and port, that the server runs, and that this machine may reach it"
            return BadSource(self._name, f"the database cannot be reached ({said})", remedy)
        return BadSource(f"{self._name} {table}", f"it refused a query ({said})", "Check the table and its columns")

    def _grant(self, table: str) -> str:
        return f"Let an administrator run: GRANT SELECT ON {self._url.database}.{table} TO '{self._url.username or ''}'"

    # --- tables and columns -------------------------------------------------------------------------------------------

    def described(self) -> dict[str, Part]:
        """How each part is read. Raises BadSource."""
        if self._parts is None:
            there = self._columns()
            self._parts = {part: self._describe(part, there) for part in self.parts()}
            enrolments = self._parts.get("enrolments")
            meetings = self._parts["meetings"]
            if enrolments is not None and "kcbh" not in (*meetings.columns, *meetings.constants):
                # The offerings have no course code then, and none must be asked of those who take them.
                enrolments.columns.pop("kcbh", None)
                enrolments.constants.pop("kcbh", None)
        return self._parts

    def _columns(self) -> dict[str, list[str]]:
        """The columns of each table in their order, by its name in small letters."""
        listed = sa.table(
            "COLUMNS", sa.column("TABLE_SCHEMA"), sa.column("TABLE_NAME"), sa.column("COLUMN_NAME"),
            sa.column("ORDINAL_POSITION"), schema="information_schema",
        )  # fmt: skip
        statement = (
            sa.select(listed.c.TABLE_NAME, listed.c.COLUMN_NAME)
            .where(sa.func.database() == listed.c.TABLE_SCHEMA)
            .where(listed.c.TABLE_NAME.in_([table for table, _ in _TABLES.values()]))
            .order_by(listed.c.TABLE_NAME, listed.c.ORDINAL_POSITION)
        )
        found: dict[str, list[str]] = {}
        for table, column in map(tuple, self.all(statement, table="*")):
            found.setdefault(str(table).lower(), []).append(str(column))
        return found

    def _describe(self, part: str, there: dict[str, list[str]]) -> Part:
        table, key = _TABLES[part]
        columns = there.get(table)
        if columns is None:
            problem = f"table {table} is missing in {self._url.database}, or the user may not read it"
            instead = "" if part == "meetings" else f"; or go without {part}, by without={part} in the address"
            raise BadSource(self._name, problem, f"{self._grant(table)}{instead}")
        picks = self._mapping.picks(part, columns, file=table)
        constants = dict(self._mapping.constants(part))
        names = [name for name, _ in picks]
        remedy = f"Name the column that stands for it in the mapping of {part}"
        check_columns(part, [*names, *constants], file=table, remedy=remedy)
        source = sa.table(table, *(sa.column(name) for name in columns))
        read = {name: source.c[columns[place]] for name, place in picks if name in READ_COLUMNS[part]}
        if not read:
            raise BadSource(table, "the mapping leaves none of its columns to read", remedy)
        where = list[sa.ColumnElement[bool]]()
        state = next((name for name in columns if name.lower() == "zt"), None)
        if state is not None and part != "meetings":  # meetings that are marked as deleted are held, for all to see
            kept = sa.func.lower(sa.func.trim(sa.func.coalesce(source.c[state], "")))
            where.append(kept != "delete")
        if self.term and "xnxq" in read:
            where.append(read["xnxq"] == self.term)
        ordered = read.get(key, next(iter(read.values())))
        moment = next((name for name in columns if name.lower() == "sj"), None)
        changed = read["sj"] if "sj" in read else None if moment is None else source.c[moment]
        return Part(table, cast(Any, read), constants, ordered, tuple(where), source, changed)


class _Reader:
    """One part being read; `position` counts the rows behind it."""

    def __init__(self, part: str, described: Part, ask: Callable[..., Sequence[sa.Row[Any]]], after: int) -> None:
        self.part = part
        self.position = after
        self._described = described
        self._ask = ask
        self._rows = self._from(after)

    def read(self, limit: int) -> list[SourceRow]:
        """The next rows, at most `limit`."""
        names, constants = list(self._described.columns), self._described.constants
        rows = []
        for line, row in enumerate(islice(self._rows, limit), self.position + 1):
            values = dict(zip(names, map(text_of, row), strict=True))
            values.update(constants)
            rows.append(SourceRow(line, values))
        self.position += len(rows)
        return rows

    def _from(self, after: int) -> Iterator[sa.Row[Any]]:
        """The rows after the first `after`, fetched as they are asked for."""
        chunk, offset = self._place(after)
        while chunk is not None:
            rows = self._fetch(chunk, offset)
            yield from rows
            offset += len(rows)
            if len(rows) < _FETCH_ROWS:
                chunk, offset = self._following(chunk), 0

    def _place(self, after: int) -> tuple[_Chunk | None, int]:
        """The chunk that the row after the first `after` is in, and how many of its rows come before."""
        if after == 0:
            return _Chunk(nulls=True), 0
        key = self._described.key
        without = self._count(key.is_(None))
        if after < without:
            return _Chunk(nulls=True), after
        found = self._key_at(after - without)
        if found is None:
            return None, 0
        before = self._count(key < found)
        high = self._key_at(_CHUNK_ROWS, key >= found)
        return _Chunk(low=found, with_low=True, high=high), after - without - before

    def _following(self, chunk: _Chunk) -> _Chunk | None:
        if chunk.nulls:
            return _Chunk(high=self._key_at(_CHUNK_ROWS))
        if chunk.high is None:
            return None
        return _Chunk(low=chunk.high, high=self._key_at(_CHUNK_ROWS, self._described.key > chunk.high))

    def _fetch(self, chunk: _Chunk, offset: int) -> Sequence[sa.Row[Any]]:
        key = self._described.key
        within: list[sa.ColumnElement[bool]] = [key.is_(None) if chunk.nulls else key.is_not(None)]
        if chunk.low is not None:
            within.append(key >= chunk.low if chunk.with_low else key > chunk.low)
        if chunk.high is not None:
            within.append(key <= chunk.high)
        order = sa.func.md5(self._described.content)
        statement = self._select(*self._described.columns.values()).where(*within).order_by(key, order)
        return self._ask(statement.limit(_FETCH_ROWS).offset(offset), table=self._described.table)

    def _key_at(self, place: int, *within: sa.ColumnElement[bool]) -> Any:
        """The key of the row at `place` in the order of keys; None beyond the end."""
        key = self._described.key
        statement = self._select(key).where(key.is_not(None), *within).order_by(key).limit(1).offset(place)
        found = self._ask(statement, table=self._described.table)
        return found[0][0] if found else None

    def _count(self, within: sa.ColumnElement[bool]) -> int:
        statement = self._select(sa.func.count()).where(within)
        return int(self._ask(statement, table=self._described.table)[0][0])

    def _select(self, *columns: Any) -> sa.Select[Any]:
        return sa.select(*columns).select_from(self._described.source).where(*self._described.where)


def _on_a_file(url: sa.URL) -> bool:
    """Whether it is about a socket file, and says nothing of TLS: preparing that takes 25 ms of each connection."""
    return "unix_socket" in url.query and not any(option.startswith("ssl") for option in url.query)


def _parsed(address: str, name: str) -> tuple[sa.URL, dict[str, str]]:
    """What the driver connects to, and our own options. Raises BadSource, which never says the address as it is."""
    remedy = "Write it as mysql://user:password@host:3306/database, with %40 for an @ in the password"
    try:
        url = make_url(address)
    except (ArgumentError, ValueError) as error:
        raise BadSource(name, "it is not the address of a database", remedy) from error
    if not url.database or not (url.host or "unix_socket" in url.query):
        raise BadSource(name, "it names no host or no database", remedy)
    said = {option: value if isinstance(value, str) else value[-1] for option, value in url.query.items()}
    if unknown := sorted(set(said) - {*_OWN_OPTIONS, *_DRIVER_OPTIONS}):
        options = ", ".join((*_OWN_OPTIONS, *_DRIVER_OPTIONS))
        raise BadSource(name, f"it has no option {', '.join(unknown)}", f"There are {options}")
    driver = {option: value for option, value in said.items() if option in _DRIVER_OPTIONS} | {"charset": "utf8mb4"}
    return url.set(drivername="mysql+pymysql", query=driver), said
