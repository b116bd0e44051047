"""`obsync terms`: the school's terms, their clocks, and putting past ones away."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

import click

from domain.terms import ARCHIVED, STATUSES
from usecases import archive as archives
from usecases import terms as cases
from workers.cli.console import FAILED, answer, command, json_option, open_product, out, table
from workers.cli.runs import do_here, show_end

_MISSING = {"first_monday": "first Monday 首周星期一", "periods": "period table 节次表"}


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
@command
def terms(context: click.Context, as_json: bool) -> None:
    """List terms, newest first: what there is of each, and what it lacks."""
    if context.invoked_subcommand is None:
        _, wired = open_product()
        found = cases.listing(wired.deps)
        answer(as_json, found, lambda: _list(found["items"]))


def _list(items: list[dict[str, Any]]) -> None:
    rows = [
        (
            one["code"],
            one["first_monday"] or "",
            one["weeks"] or "",
            _status(one),
            ", ".join(f"{day['date']}={day['teaching_day_of']}" for day in one["exchange_days"]),
            f"{one['offerings']:,}",
            f"{one['sessions']:,}",
            one["periods"],
            "\n".join(_lacks(lack) for lack in one["missing"]),
        )
        for one in items
    ]
    columns = (
        "term 学期",
        "first Monday",
        "weeks",
        "status",
        "exchange 调休",
        "offerings",
        "sessions",
        "periods",
        "missing",
    )
    table("terms", columns, rows, empty="no terms yet: a source brings them, or `obsync terms set`")
    for lack in (lack for one in items for lack in one["missing"] if lack["rows_waiting"]):
        out.print(f"{lack['rows_waiting']:,} rows wait 暂缓: `{lack['command']}`, then sync again", soft_wrap=True)


def _status(one: dict[str, Any]) -> str:
    if one["status"] == ARCHIVED and one["archived_ms"] is None:
        return f"{ARCHIVED}, its work is still there: obsync terms archive {one['code']}"
    return str(one["status"])


def _lacks(lack: dict[str, Any]) -> str:
    rows = lack["rows_waiting"]
    return _MISSING[lack["what"]] + (f" ({rows:,} rows wait)" if rows else "")


@terms.command("set")
@click.argument("term")
@click.option("--first-monday", type=click.DateTime(["%Y-%m-%d"]), help="The Monday of week 1, as 2024-09-02.")
@click.option("--weeks", type=click.IntRange(1, 60), help="How many weeks it has.")
@click.option("--status", type=click.Choice(STATUSES), help="open: synced; frozen: left as it is; archived: over.")
@json_option
@command
def set_(term: str, first_monday: datetime | None, weeks: int | None, status: str | None, as_json: bool) -> None:
    """Set what is given of TERM; one that nobody knows yet is made. The next sync uses it."""
    if first_monday is None and weeks is None and status is None:
        raise click.UsageError("nothing to change: see --help")
    _, wired = open_product()
    monday: date | None = first_monday.date() if first_monday else None
    found = cases.change(wired.deps, term, first_monday=monday, weeks=weeks, status=status)
    answer(as_json, found, lambda: _list([found]))


@terms.command()
@click.argument("term")
@click.option(
    "--load", "file", type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="CSV file with jc, st, ed; xq where campuses differ, from where a clock begins later.",
)  # fmt: skip
@json_option
@command
def periods(term: str, file: Path | None, as_json: bool) -> None:
    """List the hours of TERM's periods; with --load the rows of a file take their place. The next sync uses them."""
    _, wired = open_product()
    if file is not None:
        loaded = cases.load_periods(wired.deps, term, file)
        answer(as_json, {"term": term, "loaded": loaded}, lambda: out.print(f"{term}: {loaded} periods"))
        return
    items = cases.periods(wired.deps, term)
    rows = [
        (one["period"], one["start"], one["end"], one["campus"] or "any", one["since"], one["term"] or "any term")
        for one in items
    ]
    columns = ("period 节次", "start", "end", "campus 校区", "from", "term")
    remedy = f"no periods: `obsync terms periods {term} --load FILE.csv`"
    answer(as_json, {"items": items}, lambda: table(term, columns, rows, empty=remedy))


@terms.command()
@click.argument("term")
@json_option
@command
def archive(term: str, as_json: bool) -> None:
    """Put a frozen TERM away for good: classes, rolls and calendars stay readable, the work on them is removed."""
    _, wired = open_product()
    run_id, task_id = archives.begin(wired.deps, term)
    run = do_here(wired.deps, run_id, task_id, quiet=as_json)
    found = cases.one(wired.deps, term)
    answer(as_json, {"run": run["id"], "state": run["state"], "term": found}, lambda: _end(run, found))
    if run["state"] != "succeeded":
        raise SystemExit(FAILED)


def _end(run: dict[str, Any], found: dict[str, Any]) -> None:
    show_end(run)
    _list([found])
