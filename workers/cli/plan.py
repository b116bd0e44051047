"""`obsync plan`: what a sync would send, without sending it."""

from collections import Counter
from pathlib import Path
from typing import Any

import click

from usecases.sync import runs as run_cases
from usecases.sync.planning import Planner, tally
from workers.cli.console import FAILED, answer, command, json_option, open_product, out, table
from workers.cli.runs import do_here, mapping_in, mapping_option, show_end


@click.command()
@click.argument("source", required=False)
@mapping_option
@click.option("--limit", type=click.IntRange(0, 100_000), default=50, show_default=True, help="Operations to list.")
@json_option
@command
def plan(source: str | None, mapping_file: Path | None, limit: int, as_json: bool) -> None:
    """Compare what should be with what WPS has. With SOURCE, a campus folder or an address, read that first."""
    _, wired = open_product()
    deps = wired.deps
    if source is not None:
        run_id, task_id = run_cases.begin(deps, kind="import", source=source, mapping=mapping_in(mapping_file))
        run = do_here(deps, run_id, task_id, quiet=as_json)
        if run["state"] != "succeeded":
            answer(as_json, {"error": run["error"], "run": run["id"]}, lambda: show_end(run))
            raise SystemExit(FAILED)
    counts: Counter[tuple[str, str]] = Counter()
    items: list[dict[str, Any]] = []
    for _, plans in Planner(deps.engine, deps.tenant, deps.secret).pages():
        counts += tally(plans)
        for one in plans:
            for operation in one.operations[: max(0, limit - len(items))]:
                items.append(
                    {
                        "kind": operation.kind,
                        "verb": operation.verb.value,
                        "target": operation.target,
                        "lane": one.lane,
                        "term": one.term,
                        "label": operation.label,
                    }
                )
    total = sum(counts.values())
    payload = {
        "operations": total,
        "counts": [{"kind": kind, "verb": verb, "count": count} for (kind, verb), count in sorted(counts.items())],
        "items": items,
    }
    answer(as_json, payload, lambda: _show(total, counts, items))


def _show(total: int, counts: Counter[tuple[str, str]], items: list[dict[str, Any]]) -> None:
    if total == 0:
        out.print("[green]✓[/] nothing to do: WPS has what it should have")
        return
    table(
        f"{total:,} operations", ("kind", "verb", "count"), [(*key, n) for key, n in sorted(counts.items())], empty=""
    )
    rows = [(one["lane"], one["kind"], one["verb"], one["label"]) for one in items]
    table(f"the first {len(items)}", ("lane", "kind", "verb", "what"), rows, empty="")
