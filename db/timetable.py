"""Terms, clocks and rooms, and what the newest complete import makes of them: offerings, sessions and rolls.

Offerings, sessions and rolls carry the number of the import that last wrote them; what an import did not write again is
removed at its end. Frozen and archived terms are never touched.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Table, delete, func, select, tuple_, update

from db.tables import offerings, periods, rolls, rooms, sessions, tenants, terms
from db.upsert import insert_missing, update_rows, upsert
from domain.aggregation import CONSECUTIVE, RULES, SCATTERED_CHARS, Rules, Session
from domain.layouts import COURSE, LAYOUTS
from domain.plans import SessionView, course_title, event_hash
from domain.terms import OPEN, PeriodRow, PeriodTable, Term, later_status
from domain.timetable import Calendar, Room, read_clock

_MINUTE_S: Final = 60
_IDS_A_QUESTION: Final = 500


def load_zone(connection: Connection, tenant: str) -> ZoneInfo:
    """The zone that the tenant's local times are in."""
    return ZoneInfo(connection.execute(select(tenants.c.zone).where(tenants.c.id == tenant)).scalar_one())


class UnknownRule(Exception):
    """The tenant's setting `rule` names none that there is."""


class UnknownLayout(Exception):
    """The tenant's setting `layout` names none that there is."""


def load_layout(connection: Connection, *, tenant: str) -> str:
    """How the tenant's calendars are laid out: setting `layout`, `course` by default. Raises UnknownLayout."""
    said = connection.execute(select(tenants.c.settings).where(tenants.c.id == tenant)).scalar_one_or_none()
    layout: str = json.loads(said or "{}").get("layout", COURSE)
    if layout not in LAYOUTS:
        raise UnknownLayout(f"the setting layout is {layout!r}; it may be {' or '.join(LAYOUTS)}")
    return layout


def load_rules(connection: Connection, *, tenant: str, zone: ZoneInfo) -> Rules:
    """How the tenant wants its sessions made: settings `rule` and `lunch`, a time as HH:MM, none by default.

    Raises UnknownRule.
    """
    said = connection.execute(select(tenants.c.settings).where(tenants.c.id == tenant)).scalar_one_or_none()
    settings = json.loads(said or "{}")
    lunch, rule = settings.get("lunch"), settings.get("rule", CONSECUTIVE)
    if rule not in RULES:
        raise UnknownRule(f"the setting rule is {rule!r}; it may be {' or '.join(RULES)}")
    return Rules(zone=zone, lunch_s=read_clock(str(lunch)) if lunch else None, rule=rule)


def load_terms(connection: Connection, tenant: str) -> dict[str, Term]:
    """All terms of the tenant by code."""
    rows = connection.execute(select(terms).where(terms.c.tenant_id == tenant))
    return {
        row.xnxq: Term(
            code=row.xnxq,
            first_monday=date.fromisoformat(row.first_monday) if row.first_monday else None,
            weeks=row.weeks,
            status=row.status,
            made_up={
                date.fromisoformat(day): date.fromisoformat(held) for held, day in json.loads(row.exchange).items()
            },
        )
        for row in rows
    }


def load_calendar(connection: Connection, *, tenant: str, zone: ZoneInfo) -> Calendar:
    """What meetings of the tenant are read against."""
    rows = connection.execute(select(periods).where(periods.c.tenant_id == tenant))
    table = PeriodTable(
        PeriodRow(row.xnxq, row.xq, row.since, row.jc, _seconds(row.st), _seconds(row.ed)) for row in rows
    )
    return Calendar(zone=zone, terms=load_terms(connection, tenant), periods=table)


def _seconds(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 3600 + int(minutes) * _MINUTE_S


def _clock(seconds: int) -> str:
    minutes = seconds // _MINUTE_S
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def save_terms(connection: Connection, said: Iterable[Term], *, tenant: str) -> None:
    """Write what a source says of terms. It may freeze or archive a term, and never reopens one."""
    known = load_terms(connection, tenant)
    rows = []
    for term in {term.code: term for term in said}.values():
        before = known.get(term.code, Term(term.code))
        # What the source leaves blank may have been set by a person.
        term = replace(term, first_monday=term.first_monday or before.first_monday, weeks=term.weeks or before.weeks)
        rows.append(_term_row(tenant, term, later_status(before.status, term.status)))
    rows.sort(key=lambda row: str(row["xnxq"]))
    upsert(connection, terms, rows, update=("first_monday", "weeks", "status", "exchange"))


def add_terms(connection: Connection, codes: Iterable[str], *, tenant: str) -> None:
    """Make terms that only rows name: open, without a first Monday. Known ones stay as they are."""
    insert_missing(connection, terms, [_term_row(tenant, Term(code), OPEN) for code in sorted(codes)])


def _term_row(tenant: str, term: Term, status: str) -> dict[str, object]:
    exchange = {held.isoformat(): day.isoformat() for day, held in sorted(term.made_up.items())}
    return {
        "tenant_id": tenant,
        "xnxq": term.code,
        "first_monday": term.first_monday.isoformat() if term.first_monday else None,
        "weeks": term.weeks,
        "status": status,
        "exchange": json.dumps(exchange),
    }


def save_periods(connection: Connection, said: Iterable[PeriodRow], *, tenant: str) -> None:
    """Write period rows, at most 500; the last row of a (term, campus, clock, period) wins."""
    latest = {(row.term, row.campus, row.since, row.period): row for row in said}
    rows = [
        {
            "tenant_id": tenant,
            "xnxq": row.term,
            "xq": row.campus,
            "since": row.since,
            "jc": row.period,
            "st": _clock(row.start_s),
            "ed": _clock(row.end_s),
        }
        for _, row in sorted(latest.items())
    ]
    upsert(connection, periods, rows, update=("st", "ed"))


def save_rooms(connection: Connection, said: Iterable[Room], *, tenant: str) -> None:
    """Write rooms, at most 500; the last row of a room wins."""
    latest = {(room.xq, room.lq, room.room): room for room in said}
    rows = [
        {"tenant_id": tenant, "xq": room.xq, "lq": room.lq, "room": room.room, "lat": room.lat, "lon": room.lon}
        for _, room in sorted(latest.items())
    ]
    upsert(connection, rooms, rows, update=("lat", "lon"))


@dataclass(frozen=True, slots=True)
class Offering:
    """A course as offered in a term, as its rows have it; `college` is blank where nothing says it."""

    id: str
    term: str
    kkh: str
    kcbh: str
    name: str
    college: str

    @property
    def title(self) -> str:
        """What people call it."""
        return course_title(name=self.name, kcbh=self.kcbh, kkh=self.kkh)


def save_offerings(connection: Connection, made: Iterable[Offering], *, tenant: str, import_no: int) -> None:
    """Write offerings, at most 500. The lane of one that is there stays: it is kept for the term."""
    rows = [
        {
            "tenant_id": tenant,
            "term": offering.term,
            "id": offering.id,
            "kkh": offering.kkh,
            "kcbh": offering.kcbh,
            "name": offering.name,
            "college": offering.college,
            "lane": None,
            "import_no": import_no,
        }
        for offering in sorted(made, key=lambda offering: (offering.term, offering.id))
    ]
    upsert(connection, offerings, rows, update=("name", "college", "import_no"))


def keep_lanes(connection: Connection, lanes: Mapping[str, str], *, tenant: str, term: str) -> None:
    """Give offerings (id → lane) their lane; one that has a lane keeps it for the term."""
    rows = [{"id": offering_id, "lane": lane} for offering_id, lane in sorted(lanes.items())]
    update_rows(connection, offerings, rows, same={"tenant_id": tenant, "term": term}, key="id", missing="lane")


SessionOf = tuple[str, str, Session]
"""Term, offering, session."""


def save_sessions(
    connection: Connection,
    made: Sequence[SessionOf],
    *,
    tenant: str,
    import_no: int,
    titles: Mapping[str, str] | None = None,
) -> None:
    """Write sessions, at most 500. With the title of its offering (id → title) a session keeps what its event will say."""
    titles = titles or {}
    rows = [
        {
            "tenant_id": tenant,
            "term": term,
            "id": session.id,
            "offering_id": offering_id,
            "jxz": session.jxz,
            "zc": session.zc,
            "jc_s": session.jc_s[:200],
            "date": session.date,
            "start_ms": session.start_ms,
            "end_ms": session.end_ms,
            "rooms": json.dumps(session.rooms, ensure_ascii=False),
            "teachers": json.dumps(session.teachers, ensure_ascii=False),
            "source_rows": len(session.lines),
            "import_no": import_no,
            "event_hash": _event_hash(session, titles.get(offering_id)),
            "altered": session.alteration.as_json() if session.alteration is not None else None,
            "cancelled": session.alteration is not None and session.alteration.cancelled,
            "source_date": session.source_date or None,
        }
        for term, offering_id, session in sorted(made, key=lambda one: (one[0], one[2].id))
    ]
    changing = [column.name for column in sessions.columns if not column.primary_key]
    upsert(connection, sessions, rows, update=changing)


def scattered(connection: Connection, offerings_of: Iterable[tuple[str, str]], *, tenant: str) -> set[str]:
    """Those of the offerings (term, id) whose sessions have ids as they were made once: they keep them."""
    by_term: dict[str, list[str]] = {}
    for term, offering_id in offerings_of:
        by_term.setdefault(term, []).append(offering_id)
    found: set[str] = set()
    for term, ids in sorted(by_term.items()):
        for at in range(0, len(ids), _IDS_A_QUESTION):
            mine = (sessions.c.tenant_id == tenant, sessions.c.term == term)
            some = sessions.c.offering_id.in_(sorted(ids)[at : at + _IDS_A_QUESTION])
            short = func.length(sessions.c.id) <= SCATTERED_CHARS
            found |= set(
                connection.execute(select(sessions.c.offering_id).where(*mine, some, short).distinct()).scalars()
            )
    return found


def _event_hash(session: Session, title: str | None) -> str | None:
    if title is None:
        return None
    shown = SessionView(
        session.id, session.date, session.start_ms, session.end_ms, session.rooms, session.teachers, session.alteration
    )  # fmt: skip
    return event_hash(shown, summary=title)


RollEntry = tuple[str, str, str, str]
"""Term, offering, kind of person, code."""


def save_rolls(connection: Connection, entries: Iterable[RollEntry], *, tenant: str, import_no: int) -> None:
    """Write who belongs to which offering, at most 500."""
    rows = [
        {"tenant_id": tenant, "term": term, "offering_id": offering, "kind": kind, "code": code, "import_no": import_no}
        for term, offering, kind, code in sorted(entries)
    ]
    upsert(connection, rolls, rows, update=("import_no",))


_WRITTEN_AGAIN: Final[Mapping[Table, str]] = {rolls: "offering_id", sessions: "id", offerings: "id"}
"""What an import writes anew, with the key column that follows the term."""


def remove_unwritten(
    connection: Connection, table: Table, *, tenant: str, term: str, import_no: int, since: str, limit: int = 500
) -> tuple[int, str]:
    """Remove up to `limit` rows of a term that older imports wrote; returns how many and where to go on from."""
    keys = list(table.primary_key.columns)
    second = table.c[_WRITTEN_AGAIN[table]]
    rows = connection.execute(
        select(*keys)
        .where(table.c.tenant_id == tenant, table.c.term == term, second >= since, table.c.import_no < import_no)
        .order_by(*keys)
        .limit(limit)
    ).all()
    if not rows:
        return 0, since
    connection.execute(delete(table).where(tuple_(*keys).in_([tuple(row) for row in rows])))
    last: Any = rows[-1]._mapping[second.name]
    return len(rows), str(last)


def remove_unwritten_of(
    connection: Connection, table: Table, *, tenant: str, term: str, offering_ids: Sequence[str], import_no: int
) -> None:
    """Remove the rows of these offerings, a page of them, that older imports wrote."""
    of = table.c.id if table is offerings else table.c.offering_id
    mine = (table.c.tenant_id == tenant, table.c.term == term, of.in_(offering_ids))
    connection.execute(delete(table).where(*mine, table.c.import_no < import_no))


def age(connection: Connection, keys: Sequence[tuple[str, str]], *, tenant: str, import_no: int) -> None:
    """What an import wrote of these offerings (term, id), a page, is from now on older than it: it is about to write them again,
    and what it does not write again has to be seen to be gone."""
    for table in (sessions, rolls):
        for term in sorted({one for one, _ in keys}):
            ids = [one for of, one in keys if of == term]
            mine = (table.c.tenant_id == tenant, table.c.term == term, table.c.offering_id.in_(ids))
            connection.execute(
                update(table).where(*mine, table.c.import_no == import_no).values(import_no=import_no - 1)
            )


def tables_written_again() -> tuple[Table, ...]:
    """The tables that `remove_unwritten` knows, in the order in which their rows are to go."""
    return tuple(_WRITTEN_AGAIN)


def sessions_of(connection: Connection, *, tenant: str, import_no: int) -> int:
    """How many sessions an import wrote."""
    count: int = connection.execute(
        select(func.count())
        .select_from(sessions)
        .where(sessions.c.tenant_id == tenant, sessions.c.import_no == import_no)
    ).scalar_one()
    return count


def college_of(connection: Connection, *, tenant: str, offering_id: str) -> str | None:
    """The college of an offering, blank where it is unknown; None: there is no such offering."""
    statement = select(offerings.c.college).where(offerings.c.tenant_id == tenant, offerings.c.id == offering_id)
    return connection.execute(statement.limit(1)).scalar()
