"""`obsync runs pause`, `resume`, `cancel`, `confirm`, `drop`, `undo`, `redo`: what a person says to a run."""

import secrets
import time
from contextlib import suppress
from typing import Any

import click

from db import sync_runs
from db.clock import now_ms
from db.engine import reading
from domain.runs import ASKS, Command
from usecases import tasks
from usecases.deps import Deps
from usecases.sync import run_commands, undoing
from usecases.sync import runs as run_cases
from workers.cli import questions
from workers.cli.console import (
    FAILED,
    PARTIAL,
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
)
from workers.cli.progress import RunScreen
from workers.cli.questions import commands

_PATIENCE_S = 60.0
_SAID = {
    Command.PAUSE: "paused: nothing more of it is sent",
    Command.RESUME: "goes on",
    Command.CANCEL: "cancelled: what was created stays, and the next run goes on from there",
    Command.CONFIRM: "goes on",
    Command.DROP: "dropped: WPS is as it was, and the next run asks again",
}


def run_of(deps: Deps, run_id: str, *, as_json: bool = False) -> dict[str, Any]:
    """A run as people and programs read it. Ends the command when there is none."""
    with reading(deps.engine) as tx:
        row = sync_runs.get(tx, run_id, tenant=deps.tenant)
        found = None if row is None else sync_runs.as_dict(tx, row, now=now_ms(tx))
    if found is None:
        fail(f"there is no run {run_id}", "`obsync runs` lists them.", as_json=as_json, code=2)
    return found


@click.command()
@click.argument("run_id")
@json_option
@command
def pause(run_id: str, as_json: bool) -> None:
    """Send nothing more of a run until it is resumed. Calls under way end first."""
    _tell(run_id, Command.PAUSE, as_json=as_json)


@click.command()
@click.argument("run_id")
@json_option
@command
def resume(run_id: str, as_json: bool) -> None:
    """Go on with a run that was paused."""
    _tell(run_id, Command.RESUME, as_json=as_json)


@click.command()
@click.argument("run_id")
@json_option
@command
def cancel(run_id: str, as_json: bool) -> None:
    """End a run. What it created stays; what it had not sent yet is asked for again by the next run."""
    _tell(run_id, Command.CANCEL, as_json=as_json)


@click.command()
@click.argument("run_id")
@json_option
@command
def confirm(run_id: str, as_json: bool) -> None:
    """Answer a run that asks: it is meant, go on. Should the numbers have grown meanwhile, it asks again."""
    _tell(run_id, Command.CONFIRM, as_json=as_json)


@click.command()
@click.argument("run_id")
@json_option
@command
def drop(run_id: str, as_json: bool) -> None:
    """Answer a run that asks: it is not meant, end it. WPS stays as it is."""
    _tell(run_id, Command.DROP, as_json=as_json)


@click.command()
@click.argument("run_id")
@click.option("--dry-run", is_flag=True, help="Only show what would be taken back.")
@click.option("--yes", is_flag=True, help="Do not ask before starting.")
@click.option("--limit", type=click.IntRange(0, 100_000), default=20, show_default=True, help="Rows to list.")
@json_option
@command
def undo(run_id: str, dry_run: bool, yes: bool, limit: int, as_json: bool) -> None:
    """Take back what a run did at WPS: what it created goes, what it changed or deleted is as before.

    It stays so until the source says something else, or until `obsync runs redo`. What a later run changed is left alone.
    """
    _, wired = open_product(need_redis=not dry_run)
    deps = wired.deps
    try:
        shown = undoing.shown(deps, run_id, limit=limit)
        if not as_json or dry_run:
            answer(as_json, {**shown, "dry_run": dry_run}, lambda: _show_undo(shown))
        if dry_run:
            return
        if not confirmed(f"Take back {shown['targets']:,} targets?", yes=yes, as_json=as_json):
            return
        undo_id, new = run_cases.begin_undo(deps, run_id, actor=actor())
    except run_commands.UnknownRun as unknown:
        fail(str(unknown), "`obsync runs` lists them.", as_json=as_json, code=2)
    except run_commands.Refused as refused:
        fail(str(refused), refused.remedy, as_json=as_json)
    if not new and not as_json:
        out.print(f"run {run_id} was taken back by run {undo_id} already", soft_wrap=True)
    with RunScreen(err, quiet=as_json) as screen:
        run = run_cases.wait(deps, undo_id, show=screen)
    answer(as_json, {**shown, "undo": run}, lambda: _end_undo(run))
    raise SystemExit({"succeeded": 0, "partially_succeeded": PARTIAL, ASKS: PARTIAL}.get(run["state"], FAILED))


@click.command()
@click.argument("run_id")
@json_option
@command
def redo(run_id: str, as_json: bool) -> None:
    """Lift what `undo` of a run holds fast: the next sync asks again for what the source says."""
    _, wired = open_product()
    try:
        count = undoing.redo(wired.deps, run_id, actor=actor())
    except run_commands.UnknownRun as unknown:
        fail(str(unknown), "`obsync runs` lists them.", as_json=as_json, code=2)
    said = (
        f"{count:,} targets follow the source again; `obsync sync` sends it" if count else "nothing of it is held fast"
    )
    answer(as_json, {"run": run_id, "targets": count}, lambda: out.print(said))


def _show_undo(shown: dict[str, Any]) -> None:
    counted = [(one["kind"], one["does"], f"{one['count']:,}") for one in shown["counts"]]
    table(f"taking back run {shown['run']} 撤销", ("kind", "what", "count"), counted, empty="nothing to take back")
    for one in shown["skipped"]:
        out.print(f"{one['count']:,} are left as they are: {one['reason']}")
    rows = [
        (one["lane"], one["kind"], one["calendar"], one["does"], one.get("reason") or _words(one["becomes"]))
        for one in shown["items"]
    ]
    table(f"the first {len(rows)}", ("lane", "kind", "calendar", "what", ""), rows, empty="")


def _words(becomes: dict[str, Any] | None) -> str:
    """The content of before, as short as it can be."""
    if not becomes:
        return ""
    if "people" in becomes:
        return f"{becomes['people']} people"
    return str(becomes.get("summary") or becomes.get("name") or "")


def _end_undo(run: dict[str, Any]) -> None:
    if run["state"] == ASKS:
        questions.show(run, out)
        return
    mark = "[green]✓[/]" if run["state"] == "succeeded" else "[yellow]![/]"
    out.print(f"{mark} undo {run['id']} {run['state']} {run['error'] or ''}", soft_wrap=True)
    out.print(f"It stays so until the source changes, or `obsync runs redo {run['scope']['undoes']}`.", soft_wrap=True)


def _tell(run_id: str, said: Command, *, as_json: bool) -> None:
    _, wired = open_product()
    deps = wired.deps
    run_of(deps, run_id, as_json=as_json)
    try:
        task_id = run_commands.tell(deps, run_id, said, actor=actor())
    except run_commands.Refused as refused:
        fail(str(refused), refused.remedy, as_json=as_json)
    ends = said in (Command.PAUSE, Command.CANCEL, Command.DROP)
    run = _carried_out(deps, run_id, task_id, as_json=as_json) if ends and task_id else run_of(deps, run_id)
    known = "" if task_id else " (it was so already)"
    answer(
        as_json,
        {"id": run_id, "command": said.value, "state": run["state"], "changed": task_id is not None},
        lambda: _say(run, said, known),
    )


def _say(run: dict[str, Any], said: Command, known: str) -> None:
    out.print(f"[green]✓[/] run {run['id']} {_SAID[said]}{known}", soft_wrap=True)
    for one in commands(run):
        out.print(f"  `{one}`", soft_wrap=True)
    if said in (Command.RESUME, Command.CONFIRM):
        out.print(f"  `obsync runs show {run['id']} --follow`", soft_wrap=True)


def _carried_out(deps: Deps, run_id: str, task_id: str, *, as_json: bool) -> dict[str, Any]:
    """Do here what was asked of the run, or wait for the worker that was quicker."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        task = tasks.claim(deps, task_id, claim=secrets.token_hex(16))
        if task is not None:
            with suppress(tasks.ClaimLost):
                run_cases.advance(deps, task)
        run = run_of(deps, run_id)
        if run["asked"] is None:
            return run
        if time.monotonic() > until:
            fail(
                f"run {run_id} has not been stopped yet",
                f"It is written down and goes on by itself; see `obsync runs show {run_id}`.",
                as_json=as_json,
                code=FAILED,
            )
        time.sleep(0.1)
