"""`obsync lanes`: the college lanes, and pausing them."""

import click

from db import lanes as rows_db
from db.engine import in_unit, reading
from workers.cli.console import answer, command, fail, json_option, open_product, out, table


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
@command
def lanes(context: click.Context, as_json: bool) -> None:
    """List lanes: who works them, what waits, and what they wait for."""
    if context.invoked_subcommand is not None:
        return
    _, wired = open_product()
    with reading(wired.deps.engine) as tx:
        items = rows_db.listing(tx, tenant=wired.deps.tenant)
    columns = ("lane", "state", "queued", "held", "unsettled", "dead", "fence", "rests_ms", "note")
    rows = [[one[column] for column in columns] for one in items]
    answer(as_json, {"items": items}, lambda: table("lanes", columns, rows, empty="no lanes yet"))


def _change(names: tuple[str, ...], *, every: bool, paused: bool, as_json: bool) -> None:
    if bool(names) == every:
        fail("name lanes, or give --all", "`obsync lanes` lists them.", as_json=as_json, code=2)
    _, wired = open_product()
    chosen = None if every else list(names)
    tenant = wired.deps.tenant
    hit = in_unit(wired.deps.engine, lambda tx: rows_db.set_paused(tx, tenant=tenant, names=chosen, paused=paused))
    if hit == 0:
        fail("no such lane", "`obsync lanes` lists them.", as_json=as_json, code=2)
    word = "paused" if paused else "resumed"
    answer(as_json, {word: hit}, lambda: out.print(f"{hit} lane(s) {word}"))


@lanes.command()
@click.argument("names", nargs=-1)
@click.option("--all", "every", is_flag=True)
@json_option
@command
def pause(names: tuple[str, ...], every: bool, as_json: bool) -> None:
    """Stop sending for the named lanes; a call in flight ends first."""
    _change(names, every=every, paused=True, as_json=as_json)


@lanes.command()
@click.argument("names", nargs=-1)
@click.option("--all", "every", is_flag=True)
@json_option
@command
def resume(names: tuple[str, ...], every: bool, as_json: bool) -> None:
    """Go on with the named lanes."""
    _change(names, every=every, paused=False, as_json=as_json)
