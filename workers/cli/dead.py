"""`obsync dead`: jobs that gave up and wait for a person."""

from typing import Any

import click

from db.engine import in_unit, reading
from usecases import dead_letters
from workers.cli.console import answer, command, fail, json_option, open_product, out, table


@click.group(invoke_without_command=True)
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@json_option
@click.pass_context
@command
def dead(context: click.Context, limit: int, as_json: bool) -> None:
    """List dead letters, newest first."""
    if context.invoked_subcommand is not None:
        return
    _, wired = open_product()
    with reading(wired.deps.engine) as tx:
        items = dead_letters.listing(tx, tenant=wired.deps.tenant, limit=limit)
    rows = [(one["id"], one["lane"], one["kind"], one["error_code"], one["last_error"]) for one in items]
    columns = ("job", "lane", "kind", "error", "message")
    answer(as_json, {"items": items}, lambda: table("dead letters", columns, rows, empty="no dead letters"))


@dead.command()
@click.argument("job_ids", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All dead letters.")
@json_option
@command
def requeue(job_ids: tuple[str, ...], every: bool, as_json: bool) -> None:
    """Try dead letters again. Twice is once."""
    _act(job_ids, every=every, as_json=as_json, word="requeued")


@dead.command()
@click.argument("job_ids", nargs=-1)
@json_option
@command
def discard(job_ids: tuple[str, ...], as_json: bool) -> None:
    """Give dead letters up; the next plan asks for what is still wanted."""
    _act(job_ids, every=False, as_json=as_json, word="discarded")


def _act(job_ids: tuple[str, ...], *, every: bool, as_json: bool, word: str) -> None:
    if bool(job_ids) == every:
        fail("name dead letters, or give --all", "`obsync dead` lists them.", as_json=as_json, code=2)
    _, wired = open_product()
    deps = wired.deps
    chosen = None if every else list(job_ids)

    def work(tx: Any) -> int:
        if word == "requeued":
            return dead_letters.requeue(tx, tenant=deps.tenant, job_ids=chosen, new_id=deps.new_id)
        return dead_letters.discard(tx, tenant=deps.tenant, job_ids=chosen or [])

    count = in_unit(deps.engine, work)
    answer(as_json, {word: count}, lambda: out.print(f"{count} {word}"))
