"""`obsync plan`: what a sync would send, without sending it."""

from pathlib import Path

import click

from usecases.sync import dry_runs
from workers.cli import dry_run
from workers.cli.console import command, json_option, open_product
from workers.cli.runs import mapping_in, mapping_option


@click.command()
@click.argument("source", required=False)
@mapping_option
@click.option("--limit", type=click.IntRange(0, 100_000), default=50, show_default=True, help="Operations to list.")
@json_option
@command
def plan(source: str | None, mapping_file: Path | None, limit: int, as_json: bool) -> None:
    """Compare what should be with what WPS has. With SOURCE, a campus folder or an address, compare that: as by a dry run."""
    _, wired = open_product()
    deps = wired.deps
    if source is None:
        found = dry_runs.of_timetable(deps, limit=limit)
    else:
        found = dry_runs.of_source(deps, source, mapping=mapping_in(mapping_file), limit=limit, say=dry_run.say)
    dry_run.end(deps, found, as_json=as_json, whole=False)
