"""`obsync audit`: what people did, who and when."""

from typing import Any

import click

from db import audit as acts
from db.engine import reading
from workers.cli.console import answer, command, json_option, open_product, table, when


@click.command()
@click.option("--thing", help="Only what was done to this: the id of a family, a job, a run …")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@json_option
@command
def audit(thing: str | None, limit: int, as_json: bool) -> None:
    """What people did, newest first."""
    _, wired = open_product()
    with reading(wired.deps.engine) as tx:
        items = acts.listing(tx, tenant=wired.deps.tenant, thing=thing, limit=limit)
    zone = wired.deps.zone
    rows = [
        (
            when(one["at_ms"], zone),
            one["actor"],
            one["action"],
            one["thing"],
            _short(one["before"]),
            _short(one["after"]),
        )
        for one in items
    ]
    columns = ("when", "who", "did", "to", "before", "after")
    answer(as_json, {"items": items}, lambda: table("audit", columns, rows, empty="nobody has done anything yet"))


def _short(value: Any) -> str:
    """Enough to recognise it; `--json` has the whole."""
    if not isinstance(value, dict):
        return "" if value is None else str(value)
    text = ", ".join(f"{name}: {part}" for name, part in value.items())
    return text if len(text) <= 80 else text[:79] + "…"
