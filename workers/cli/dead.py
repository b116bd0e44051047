"""`obsync dead`: jobs that gave up and wait for a person."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from db.failure_lists import EVERYTHING, Which
from usecases import dead_letters, failures
from usecases.deps import Deps
from workers.cli.console import actor, answer, command, confirmed, fail, json_option, open_product, out, table, when
from workers.cli.which import which_options

_YES = click.option("--yes", is_flag=True, help="Do not ask.")
_EVERY = click.option("--all", "every", is_flag=True, help="All dead letters that the filters leave.")


@click.group(invoke_without_command=True)
@click.option("--after", help="Go on behind this dead letter.")
@click.option("--limit", type=click.IntRange(1, failures.PAGE), default=50, show_default=True)
@json_option
@click.pass_context
@command
@which_options
def dead(context: click.Context, which: Which, after: str | None, limit: int, as_json: bool) -> None:
    """List dead letters, newest first. `obsync failures` has the same by their causes."""
    if context.invoked_subcommand is not None:
        return
    _, wired = open_product()
    items, following = failures.records(wired.deps, which, after=after, limit=limit)
    answer(
        as_json, {"items": items, "next": following}, lambda: show_records(wired.deps, items, following, "obsync dead")
    )


def show_records(deps: Deps, items: list[dict[str, Any]], following: str | None, called: str) -> None:
    """A page of failures, and how to see the next."""
    rows = [
        (one["id"], when(one["died_ms"], deps.zone), one["lane"], one["thing"], one["attempts"], one["error"])
        for one in items
    ]
    columns = ("job", "died", "lane", "what", "tries", "error")
    table("dead letters", columns, rows, empty="no dead letters")
    if following is not None:
        out.print(f"more: `{called} --after {following}`", soft_wrap=True)


@dead.command()
@click.argument("job_ids", nargs=-1)
@_EVERY
@_YES
@json_option
@command
@which_options
def requeue(job_ids: tuple[str, ...], every: bool, which: Which, yes: bool, as_json: bool) -> None:
    """Try dead letters again: those named, or --all that the filters leave. Twice is once."""
    _, wired = open_product()
    meant = _meant(job_ids, every=every, which=which, as_json=as_json)
    count = dead_letters.count(wired.deps, meant)
    if count and not confirmed(f"{count:,} dead letters will be put again.", yes=yes, as_json=as_json):
        return
    done = dead_letters.put_again(wired.deps, meant, actor=actor())
    answer(as_json, {"count": count, "requeued": done}, lambda: out.print(f"{done:,} of {count:,} requeued"))


@dead.command()
@click.argument("job_ids", nargs=-1)
@_EVERY
@_YES
@json_option
@command
@which_options
def discard(job_ids: tuple[str, ...], every: bool, which: Which, yes: bool, as_json: bool) -> None:
    """Give dead letters up; the next plan asks for what is still wanted."""
    _, wired = open_product()
    meant = _meant(job_ids, every=every, which=which, as_json=as_json)
    count = dead_letters.count(wired.deps, meant)
    if count and not confirmed(f"{count:,} dead letters will be given up.", yes=yes, as_json=as_json):
        return
    done = dead_letters.discard(wired.deps, meant, actor=actor())
    answer(as_json, {"count": count, "discarded": done}, lambda: out.print(f"{done:,} of {count:,} discarded"))


def _meant(job_ids: tuple[str, ...], *, every: bool, which: Which, as_json: bool) -> Which:
    if bool(job_ids) == every or (job_ids and which != EVERYTHING):
        remedy = "`obsync dead` lists them; the filters go with --all."
        fail("name dead letters, or give --all", remedy, as_json=as_json, code=2)
    return which if every else replace(which, job_ids=job_ids)


@dead.command()
@click.argument("job_id")
@click.option(
    "--payload", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="JSON file: the whole new payload."
)
@click.option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change one key; the value is JSON, or a text."
)
@json_option
@command
def edit(job_id: str, payload: Path | None, changes: tuple[str, ...], as_json: bool) -> None:
    """Change what a dead letter asks for; then requeue it. The next sync sends what the source says: mend that too."""
    if (payload is None) == (not changes):
        fail("nothing to change", "Give --payload FILE, or --set KEY=VALUE.", as_json=as_json, code=2)
    wanted = _file(payload, as_json=as_json) if payload is not None else _pairs(changes, as_json=as_json)
    _, wired = open_product()
    try:
        done = dead_letters.edit(wired.deps, job_id, wanted, whole=payload is not None, actor=actor())
    except dead_letters.NotEditable as refused:
        fail(f"{refused}", "Nothing was changed. `obsync dead --json` shows payloads.", as_json=as_json, code=2)
    remedy = f"changed; try it with `obsync dead requeue {job_id}`"
    answer(as_json, done, lambda: out.print(remedy, soft_wrap=True))


def _file(path: Path, *, as_json: bool) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        fail(f"{path}: {error}", "The file has to be JSON in UTF-8.", as_json=as_json, code=2)


def _pairs(changes: tuple[str, ...], *, as_json: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in changes:
        key, equals, value = one.partition("=")
        if not equals or not key:
            fail(f"{one} is not KEY=VALUE", "For example: --set summary=代数.", as_json=as_json, code=2)
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found
