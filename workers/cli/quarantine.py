"""`obsync quarantine`: source rows that were not used, or that look odd."""

from typing import Any

import click

from db import accounts
from db import quarantine as rows_db
from db.engine import reading
from workers.cli.console import answer, command, json_option, open_product, table


@click.group(invoke_without_command=True)
@click.option("--kind", type=click.Choice(["reject", "finding", "held"]), help="Only these.")
@click.option("--reason", help="Only this reason, as shown by the summary.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@json_option
@click.pass_context
@command
def quarantine(context: click.Context, kind: str | None, reason: str | None, limit: int, as_json: bool) -> None:
    """Rows that could not be used (reject), wait for something (held) or went on with something odd (finding)."""
    if context.invoked_subcommand is not None:
        return
    _, wired = open_product()
    with reading(wired.deps.engine) as tx:
        summary = rows_db.summary(tx, tenant=wired.deps.tenant)
        items = rows_db.listing(tx, tenant=wired.deps.tenant, kind=kind, reason=reason, limit=limit)
    payload = {"summary": summary, "items": items}
    answer(as_json, payload, lambda: _show(summary, items))


def _show(summary: list[dict[str, Any]], items: list[dict[str, Any]]) -> None:
    counted = [(one["kind"], one["reason"], one["count"]) for one in summary]
    table("quarantine", ("kind", "reason", "rows"), counted, empty="every row is clean")
    listed = [(one["kind"], one["reason"], one["file"], one["line"], one["sentence"]) for one in items]
    if listed:
        table(f"the last {len(items)}", ("kind", "reason", "file", "line", "what"), listed, empty="")


@quarantine.command()
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
@json_option
@command
def people(limit: int, as_json: bool) -> None:
    """People without a WPS account; each full run looks them up again."""
    _, wired = open_product()
    tenant = wired.deps.tenant
    with reading(wired.deps.engine) as tx:
        total = accounts.unmapped_count(tx, tenant=tenant)
        items = accounts.unmapped(tx, tenant=tenant, limit=limit)
    rows = [
        (one["kind"], one["code"], one["name"], "" if one["listed"] else "not in the people files") for one in items
    ]
    columns = ("kind", "number", "name", "")
    title = f"{total} people without a WPS account"
    answer(as_json, {"count": total, "items": items}, lambda: table(title, columns, rows, empty="everybody has one"))
