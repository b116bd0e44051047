"""`obsync sources`: where timetables come from, whether each answers, and what alarms there are."""

from pathlib import Path
from typing import Any, NoReturn

import click

from usecases import alarms as alarm_cases
from usecases import named_sources as cases
from usecases.deps import Deps
from usecases.named_sources import UnknownSource, Wanted
from workers.cli.console import (
    PARTIAL,
    USAGE,
    actor,
    answer,
    command,
    confirmed,
    err,
    fail,
    json_option,
    open_product,
    out,
    table,
    when,
)
from workers.cli.runs import mapping_in, mapping_option


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
@command
def sources(context: click.Context, as_json: bool) -> None:
    """List the sources of the timetable in the order of precedence, and their alarms."""
    if context.invoked_subcommand is None:
        _list(as_json=as_json)


@sources.command("list")
@json_option
@command
def list_(as_json: bool) -> None:
    """List the sources, as `obsync sources` does."""
    _list(as_json=as_json)


def _list(*, as_json: bool) -> None:
    _, wired = open_product()
    found = cases.listing(wired.deps)
    answer(as_json, found, lambda: _show_all(wired.deps, found))


def _show_all(deps: Deps, found: dict[str, Any]) -> None:
    rows = [
        (
            one["name"],
            one["kind"],
            one["address"],
            "on" if one["enabled"] else "off",
            _clock(deps, one["answered_ms"]),
            _clock(deps, one["changed_ms"]),
            one["error"] or "",
        )
        for one in found["items"]
    ]
    columns = ("source", "kind", "address", "", "answered", "changed", "why not")
    table("sources", columns, rows, empty="no sources; `obsync sync SOURCE`, or `obsync sources add NAME ADDRESS`")
    _show_alarms(found["alarms"])


def _show_alarms(found: list[dict[str, Any]]) -> None:
    for one in found:
        mark = "[bold red]![/]" if one["open"] else "[green]✓[/]"
        err.print(f"{mark} {one['sentence']}", soft_wrap=True)
        if one["open"]:
            err.print(f"  {one['remedy']}", soft_wrap=True, highlight=False)


def _clock(deps: Deps, instant_ms: int | None) -> str:
    return "never" if instant_ms is None else when(instant_ms, deps.zone)


@sources.command("add")
@click.argument("name")
@click.argument("address", required=False)
@mapping_option
@click.option("--rank", type=click.IntRange(0, 1_000), help="Of two that name the same offering the lower one has it.")
@click.option("--silent-hours", type=click.IntRange(0), help="Alarm after so long without an answer; 0: never.")
@click.option("--unchanged-hours", type=click.IntRange(0), help="Alarm after so long without a change; 0: never.")
@json_option
@command
def add(
    name: str,
    address: str | None,
    mapping_file: Path | None,
    rank: int | None,
    silent_hours: int | None,
    unchanged_hours: int | None,
    as_json: bool,
) -> None:
    """Make a source at ADDRESS (a campus folder or zip, an ITC-2019 file, mysql://…), or change the one of that NAME."""
    _, wired = open_product()
    wanted = Wanted(address, mapping_in(mapping_file), rank, silent_hours, unchanged_hours)
    found = cases.add(wired.deps, name, wanted, actor=actor())
    told = f"{name} is a source; `obsync sources test {name}` looks whether it can be read, `obsync sync` reads all"
    answer(as_json, found, lambda: out.print(told, soft_wrap=True))


@sources.command("show")
@click.argument("name")
@json_option
@command
def show(name: str, as_json: bool) -> None:
    """One source, with its mapping."""
    _, wired = open_product()
    try:
        found = cases.one(wired.deps, name)
    except UnknownSource as error:
        _unknown(error, as_json=as_json)
    answer(as_json, found, lambda: out.print_json(data=found))


@sources.command("test")
@click.argument("name")
@json_option
@command
def test(name: str, as_json: bool) -> None:
    """Look at a source now: whether it can be read, and what it has."""
    _, wired = open_product()
    try:
        found = cases.test(wired.deps, name)
    except UnknownSource as error:
        _unknown(error, as_json=as_json)
    answer(as_json, found, lambda: out.print(f"[green]✓[/] {name} answers; it has {', '.join(found['parts'])}"))


@sources.command("enable")
@click.argument("name")
@json_option
@command
def enable(name: str, as_json: bool) -> None:
    """Read it again with the others."""
    _switch(name, on=True, as_json=as_json)


@sources.command("disable")
@click.argument("name")
@json_option
@command
def disable(name: str, as_json: bool) -> None:
    """Read it no more: with the next sync its classes go, if a person confirms that."""
    _switch(name, on=False, as_json=as_json)


def _switch(name: str, *, on: bool, as_json: bool) -> None:
    _, wired = open_product()
    try:
        found = cases.switch(wired.deps, name, on=on, actor=actor())
    except UnknownSource as error:
        _unknown(error, as_json=as_json)
    answer(as_json, found, lambda: out.print(f"{name} is {'on' if on else 'off'}"))


@sources.command("remove")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@command
def remove(name: str, yes: bool, as_json: bool) -> None:
    """Forget a source: with the next sync its classes go, if a person confirms that."""
    _, wired = open_product()
    if not confirmed(f"Forget source {name}, its address and its mapping?", yes=yes, as_json=as_json):
        raise SystemExit(PARTIAL)
    try:
        cases.remove(wired.deps, name, actor=actor())
    except UnknownSource as error:
        _unknown(error, as_json=as_json)
    answer(as_json, {"name": name, "removed": True}, lambda: out.print(f"{name} is no source any more"))


@sources.command("alarms")
@click.option("--all", "everything", is_flag=True, help="Also those that are over.")
@json_option
@command
def alarms(everything: bool, as_json: bool) -> None:
    """Alarms, newest first; the command ends with 3 while one is open."""
    _, wired = open_product()
    found = alarm_cases.listing(wired.deps, cleared=everything)
    answer(as_json, {"items": found}, lambda: _show_alarms(found) if found else out.print("no alarms"))
    if any(one["open"] for one in found):
        raise SystemExit(PARTIAL)


def _unknown(error: UnknownSource, *, as_json: bool) -> NoReturn:
    remedy = f"There are: {', '.join(error.known) or 'none'}. `obsync sources add NAME ADDRESS` makes one."
    fail(str(error), remedy, as_json=as_json, code=USAGE)
