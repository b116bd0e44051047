"""Two sources that name the same offering: the first in the order of the tenant's sources has it, and people are told."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Engine

from db import changes, imports, quarantine, source_rows, sources
from db.engine import in_unit, reading
from db.quarantine import FINDING, Entry
from domain.changes import line_in_source, read_line
from domain.precedence import first_of
from usecases.sync import findings
from usecases.sync.bulk import Fence

_PAGE = 200


def settle(
    engine: Engine, *, tenant: str, import_no: int, staging_no: int, files: Mapping[str, str], fence: Fence
) -> None:
    """Let each offering be that of one source. Where that changes rows of a staging that counts, its offerings are touched.

    Doing it again changes nothing. Raises what `fence` raises.
    """
    with reading(engine) as connection:
        if len(sources.parts_of(connection, tenant=tenant, import_no=staging_no)) < 2:
            return
        ordered = [row.source_no for row in sources.all_of(connection, tenant=tenant)]
        names = {one.source_no: one.name for one in sources.parts_of(connection, tenant=tenant, import_no=staging_no)}
        ids = source_rows.contested(connection, tenant=tenant, import_no=staging_no)
    for start in range(0, len(ids), _PAGE):
        page = ids[start : start + _PAGE]

        def work(connection: Connection, page: list[str] = page) -> None:
            fence(connection)
            touched, told = set(), []
            present = source_rows.sources_of(connection, offering_ids=page, tenant=tenant, import_no=staging_no)
            for offering_id in page:
                winner = first_of(ordered, present[offering_id])
                changed = source_rows.let_stand(
                    connection, offering_id=offering_id, source_no=winner, tenant=tenant, import_no=staging_no
                )
                row = source_rows.first_row(
                    connection, offering_id=offering_id, source_no=winner, tenant=tenant, import_no=staging_no
                )
                if changed:
                    touched.add((row.term, offering_id))
                others = [names.get(one, str(one)) for one in sorted(present[offering_id]) if one != winner]
                if others:
                    told.append(_finding(row, names.get(winner, str(winner)), others, files))
            if staging_no != import_no:
                changes.touch(connection, touched, tenant=tenant, import_no=import_no)
            quarantine.put(connection, told, tenant=tenant, import_no=import_no)

        in_unit(engine, work)


def _finding(row: Any, winner: str, others: list[str], files: Mapping[str, str]) -> Entry:
    listed = "、".join(others)
    sentence = (
        f"{row.kcmc or row.kkh}：数据源 {winner} 和 {listed} 都有此开课，课次以 {winner} 为准，名单取全部 · "
        f"{row.kkh}: {winner} and {', '.join(others)} both name it; its classes are those of {winner}, "
        "its people those of all; change the order by `obsync sources add NAME --rank N`"
    )
    _, line = read_line(row.line)
    file = imports.file_named(files, "meetings", row.source_no) or imports.file_named(files, "meetings")
    return Entry(
        FINDING,
        findings.TWO_SOURCES,
        file,
        line_in_source(line),
        findings.row_json(row),
        sentence,
        (row.offering_id,),
    )
