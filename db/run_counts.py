"""Counters of a run, one row per lane and kind of object, summed on reading."""

from collections import Counter
from collections.abc import Mapping

from sqlalchemy import Connection, bindparam, delete, func, select, update

from db.spelled import Spelled
from db.tables import run_counts
from db.upsert import insert_missing, insert_rows

ALL_LANES = "*"  # of runs long over
FIELDS = ("planned", "done", "failed", "superseded")
_ADD = Spelled(
    update(run_counts)
    .where(
        run_counts.c.run_id == bindparam("b_run"),
        run_counts.c.lane == bindparam("b_lane"),
        run_counts.c.kind == bindparam("b_kind"),
    )
    .values({name: run_counts.c[name] + bindparam(f"b_{name}") for name in FIELDS})
)


def add(connection: Connection, *, run_id: str, lane: str, kind: str, **by: int) -> None:
    """Add to the counters of one lane; the row is made at its first count."""
    if not any(by.values()):
        return
    counts = {f"b_{name}": by.get(name, 0) for name in FIELDS}
    values = {"b_run": run_id, "b_lane": lane, "b_kind": kind, **counts}
    if _ADD.run(connection, values).rowcount == 1:
        return
    zero = dict.fromkeys(FIELDS, 0)
    insert_missing(connection, run_counts, [{"run_id": run_id, "lane": lane, "kind": kind, **zero}])
    _ADD.run(connection, values)


def add_planned(connection: Connection, *, run_id: str, planned: Mapping[tuple[str, str], int]) -> None:
    """Add what was planned for each (lane, kind), all in one go."""
    rows = [(lane, kind, count) for (lane, kind), count in sorted(planned.items())]
    same = {"run_id": run_id, "done": 0, "failed": 0, "superseded": 0}
    insert_rows(connection, run_counts, ("lane", "kind", "planned"), rows, same=same, adding=("planned",))


def fold(connection: Connection, *, run_id: str) -> int:
    """Make one row for each kind of a run that is over, under no lane's name. Returns how many rows that saved."""
    mine = run_counts.c.run_id == run_id
    rows = connection.execute(select(run_counts).where(mine).with_for_update()).all()
    sums: dict[str, Counter[str]] = {}
    for row in rows:
        sums.setdefault(row.kind, Counter()).update({name: getattr(row, name) for name in FIELDS})
    if len(rows) == len(sums):
        return 0
    connection.execute(delete(run_counts).where(mine))
    folded = [(kind, *(found[name] for name in FIELDS)) for kind, found in sorted(sums.items())]
    insert_rows(connection, run_counts, ("kind", *FIELDS), folded, same={"run_id": run_id, "lane": ALL_LANES})
    return len(rows) - len(folded)


def totals(connection: Connection, *, run_id: str) -> dict[str, dict[str, int]]:
    """kind → planned, done, failed, superseded of the whole run."""
    sums = [func.sum(run_counts.c[name]).label(name) for name in FIELDS]
    rows = connection.execute(
        select(run_counts.c.kind, *sums).where(run_counts.c.run_id == run_id).group_by(run_counts.c.kind)
    )
    return {row.kind: {name: int(getattr(row, name) or 0) for name in FIELDS} for row in rows}
