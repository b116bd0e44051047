"""`obsync attendance`: counting attendance again, and what was found to be wrong."""

import json
import time
from typing import Any

import click

from db import recounts as rows_db
from db.engine import reading
from db.timetable import load_terms
from usecases import recounts as work
from workers.cli.console import (
    FAILED,
    PARTIAL,
    USAGE,
    actor,
    answer,
    command,
    fail,
    json_option,
    open_product,
    out,
    table,
    when,
)

_SHOWN = (
    "id",
    "state",
    "asked_by",
    "mends",
    "compared",
    "expected",
    "differing",
    "mended",
    "created_ms",
    "finished_ms",
)
_LOOK_S = 0.5
_NO_SUCH = "`obsync attendance` lists the recounts."


@click.group("attendance", invoke_without_command=True)
@json_option
@click.pass_context
@command
def attendance(context: click.Context, as_json: bool) -> None:
    """List the recounts of attendance 重算, newest first: how far, and how many counters and sums were wrong."""
    if context.invoked_subcommand is not None:
        return
    _, wired = open_product()
    with reading(wired.deps.engine) as tx:
        items = [_said(row) for row in rows_db.listing(tx, tenant=wired.deps.tenant, limit=30)]
    shown = [
        [
            one["id"],
            one["state"],
            when(one["created_ms"], wired.deps.zone),
            one["asked_by"],
            _far(one),
            one["differing"],
        ]
        for one in items
    ]
    columns = ("recount", "state", "asked", "by", "compared", "wrong")
    answer(as_json, {"items": items}, lambda: table("recounts", columns, shown, empty="there was no recount yet"))


def _said(row: Any) -> dict[str, Any]:
    return {**{name: getattr(row, name) for name in _SHOWN}, "terms": json.loads(row.terms)}


def _far(one: dict[str, Any]) -> str:
    return f"{one['compared']} of about {max(one['expected'], one['compared'])}"


@attendance.command()
@click.option("--term", "terms", multiple=True, help="A term; all open ones by default.")
@click.option("--dry-run", is_flag=True, help="Report only.")
@click.option("--wait", is_flag=True, help="Wait for its end. Exit code 3 where something was wrong.")
@json_option
@command
def recount(terms: tuple[str, ...], dry_run: bool, wait: bool, as_json: bool) -> None:
    """Have a worker count counters and statistics again, and mend what is wrong. Each night does so by itself."""
    _, wired = open_product()
    with reading(wired.deps.engine) as tx:
        unknown = sorted(set(terms) - load_terms(tx, wired.deps.tenant).keys())
    if unknown:
        fail(f"there is no term {', '.join(unknown)}", "`obsync terms` lists them.", as_json=as_json, code=USAGE)
    recount_id = work.begin(wired.deps, actor=actor(), terms=terms, mends=not dry_run)
    while True:
        with reading(wired.deps.engine) as tx:
            row = rows_db.get(tx, recount_id, tenant=wired.deps.tenant)
        if not wait or row is None or row.state != rows_db.WORKING:
            break
        time.sleep(_LOOK_S)
    said = {} if row is None else _said(row)
    follow = "" if wait else "; `obsync attendance` shows how far it is"
    answer(as_json, said, lambda: out.print(f"{recount_id}: {_told(said)}{follow}", soft_wrap=True))
    if wait and said.get("differing"):
        raise SystemExit(PARTIAL)


def _told(said: dict[str, Any]) -> str:
    return f"{said['state']}, {said['compared']} compared, {said['differing']} wrong, {said['mended']} mended"


@attendance.command()
@click.argument("recount_id", metavar="[RECOUNT]", required=False)
@click.option("--limit", type=click.IntRange(1, work.MOST_KEPT), default=100, show_default=True)
@json_option
@command
def drift(recount_id: str | None, limit: int, as_json: bool) -> None:
    """Show what a recount found to be wrong, the last one's by default: of what, what it was and what it is."""
    _, wired = open_product()
    newest = work.newest(wired.deps)
    chosen = recount_id or (newest.id if newest is not None else "")
    with reading(wired.deps.engine) as tx:
        row = rows_db.get(tx, chosen, tenant=wired.deps.tenant)
        found = rows_db.drift_of(tx, chosen, tenant=wired.deps.tenant, colleges=None, limit=limit)
    if row is None and recount_id is not None:
        fail(f"there is no recount {recount_id}", _NO_SUCH, as_json=as_json, code=USAGE)
    names = ("kind", "term", "subject", "course_id", "period", "college")
    items = [
        {**{name: getattr(one, name) for name in names}, "was": json.loads(one.was), "now": json.loads(one.now)}
        for one in found
    ]
    shown = [[one["kind"], one["subject"], one["course_id"], one["period"], _differences(one)] for one in items]
    total = 0 if row is None else row.differing
    columns = ("of", "subject", "course", "period", "counters")
    answer(
        as_json, {"recount": chosen or None, "differing": total, "items": items},
        lambda: table(f"{total} wrong, {len(items)} shown", columns, shown, empty="all counters are right"),
    )  # fmt: skip


def _differences(one: dict[str, Any]) -> str:
    changed = [name for name in one["now"] if one["was"][name] != one["now"][name]]
    return ", ".join(f"{name} {one['was'][name]} → {one['now'][name]}" for name in changed)


@attendance.command()
@click.argument("recount_id", metavar="RECOUNT")
@json_option
@command
def cancel(recount_id: str, as_json: bool) -> None:
    """Let a recount go no further. What it has mended stays."""
    _, wired = open_product()
    try:
        work.cancel(wired.deps, recount_id, actor=actor())
    except work.UnknownRecount:
        fail(f"there is no recount {recount_id}", _NO_SUCH, as_json=as_json, code=USAGE)
    except work.NotWorking as ended:
        fail(f"the recount is {ended.state}", "Nothing was changed.", as_json=as_json, code=FAILED)
    answer(as_json, {"id": recount_id, "state": rows_db.CANCELLED}, lambda: out.print(f"{recount_id} goes no further"))
