"""`obsync import`, `obsync sync`, `obsync runs`: start runs and look at them."""

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from db import sync_runs
from db.clock import now_ms
from db.engine import reading
from domain.aggregation import RULES
from usecases import failures, tasks
from usecases.deps import Deps
from usecases.sync import runs as run_cases
from usecases.sync import sources
from workers.cli.console import FAILED, PARTIAL, answer, command, err, fail, json_option, open_product, out, table
from workers.cli.progress import RunScreen, tree

_PATIENCE_S = 10.0
_EXIT = {"succeeded": 0, "partially_succeeded": PARTIAL, "failed": FAILED, "cancelled": FAILED}


mapping_option = click.option(
    "--mapping", "mapping_file", type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="JSON file: which columns of the source are read under which names.",
)  # fmt: skip
_rule = click.option("--rule", type=click.Choice(RULES), help="How periods become classes; stays until changed.")


def mapping_in(file: Path | None) -> Mapping[str, Any] | None:
    """What a mapping file says; None without one. Raises BadSource."""
    return None if file is None else sources.read_mapping_file(file.read_bytes(), file=str(file))


def source_of(deps: Deps, said: str | None) -> str:
    """The source given, or the one that was synced last. Ends the command when there is neither."""
    if said is not None:
        return said
    known = sources.last(deps)
    if known is None:
        fail("no source was ever given", "Name the campus folder: `obsync sync SOURCE`.", code=2)
    return known.address


def do_here(deps: Deps, run_id: str, task_id: str, *, quiet: bool) -> dict[str, Any]:
    """Carry a run out in this process (a worker that is quicker may take it) and show it."""

    def work() -> None:
        task = tasks.claim(deps, task_id, claim=secrets.token_hex(16))
        if task is not None:
            run_cases.advance(deps, task)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    with RunScreen(err, quiet=quiet) as screen:
        return run_cases.wait(deps, run_id, show=screen)


def show_end(run: dict[str, Any]) -> None:
    """How it ended, in words."""
    took = (run["took_ms"] or 0) / 1000
    if run["state"] == "succeeded":
        out.print(f"[green]✓[/] run {run['id']} succeeded in {took:.1f} s", soft_wrap=True)
    elif run["state"] == "partially_succeeded":
        failed = sum(one["failed"] for one in run["counts"].values())
        out.print(
            f"[yellow]![/] run {run['id']} partially succeeded in {took:.1f} s: {failed:,} failed"
            f" ({failures.cause_of(run)}); see `obsync failures --run {run['id']}`",
            soft_wrap=True,
        )
    else:
        out.print(f"[red]✗[/] run {run['id']} {run['state']}: {run['error'] or 'no reason was stored'}", soft_wrap=True)


@click.command("import")
@click.argument("source")
@mapping_option
@_rule
@json_option
@command
def import_(source: str, mapping_file: Path | None, rule: str | None, as_json: bool) -> None:
    """Read SOURCE (a campus folder, or an address) into sessions, without sending anything to WPS."""
    _, wired = open_product()
    run_id, task_id = run_cases.begin(
        wired.deps, kind="import", source=source, mapping=mapping_in(mapping_file), settings=_changed(rule)
    )
    run = do_here(wired.deps, run_id, task_id, quiet=as_json)
    answer(as_json, run, lambda: show_end(run))
    raise SystemExit(_EXIT[run["state"]])


def _changed(rule: str | None) -> dict[str, Any]:
    return {} if rule is None else {"rule": rule}


@click.command()
@click.argument("source", required=False)
@mapping_option
@_rule
@click.option("--wait/--no-wait", default=True, help="Follow the run to its end (default), or only start it.")
@json_option
@command
def sync(source: str | None, mapping_file: Path | None, rule: str | None, wait: bool, as_json: bool) -> None:
    """Make WPS what the source says: a full run over SOURCE (a campus folder, or an address), or the one synced last."""
    _, wired = open_product(need_redis=True)
    deps = wired.deps
    run_id, _ = run_cases.begin(
        deps,
        kind="full",
        source=source_of(deps, source),
        mapping=mapping_in(mapping_file),
        remember=True,
        settings=_changed(rule),
    )
    if not wait:
        answer(
            as_json, {"id": run_id}, lambda: out.print(f"run {run_id} started; `obsync runs show {run_id} --follow`")
        )
        return
    with RunScreen(err, quiet=as_json) as screen:
        run = run_cases.wait(deps, run_id, show=watch(screen))
    answer(as_json, run, lambda: show_end(run))
    raise SystemExit(_EXIT[run["state"]])


def watch(screen: RunScreen) -> Callable[[dict[str, Any]], None]:
    """Shows a run on the screen each time it is given one."""
    return _Watch(screen)


class _Watch:
    """Shows a run, and says once when no worker seems to take it."""

    def __init__(self, screen: RunScreen) -> None:
        self._screen = screen
        self._since = time.monotonic()
        self._told = False

    def __call__(self, run: dict[str, Any]) -> None:
        self._screen(run)
        if run["state"] == "queued" and not self._told and time.monotonic() - self._since > _PATIENCE_S:
            self._told = True
            err.print("no worker has taken the run yet: is `obsync up` or `obsync worker jobs` running?")


@click.group(invoke_without_command=True)
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True)
@json_option
@click.pass_context
@command
def runs(context: click.Context, limit: int, as_json: bool) -> None:
    """List runs, newest first."""
    if context.invoked_subcommand is not None:
        return
    _, wired = open_product()
    with reading(wired.deps.engine) as tx:
        now = now_ms(tx)
        rows = sync_runs.newest(tx, tenant=wired.deps.tenant, limit=limit)
        found = [sync_runs.as_dict(tx, row, now=now) for row in rows]
    for one in found:
        one["cause"] = failures.cause_of(one)
    lines = [
        (one["id"], one["kind"], one["state"], one["stage"], _seconds(one["took_ms"]), one["scope"].get("source"),
         one["cause"])
        for one in found
    ]  # fmt: skip
    columns = ("run", "kind", "state", "stage", "took", "source", "why not green")
    answer(as_json, {"items": found}, lambda: table("runs", columns, lines, empty="no runs yet"))


@runs.command("show")
@click.argument("run_id")
@click.option("--follow", is_flag=True, help="Stay until it ends.")
@json_option
@command
def show(run_id: str, follow: bool, as_json: bool) -> None:
    """One run: its stages, counts and report."""
    _, wired = open_product()
    with reading(wired.deps.engine) as tx:
        row = sync_runs.get(tx, run_id)
        run = None if row is None else sync_runs.as_dict(tx, row, now=now_ms(tx))
    if run is None:
        fail(f"there is no run {run_id}", "`obsync runs` lists them.", as_json=as_json, code=2)
    if follow:
        with RunScreen(err, quiet=as_json) as screen:
            run = run_cases.wait(wired.deps, run_id, show=screen)
    with reading(wired.deps.engine) as tx:
        # As it is now: what the report names may have been put again since.
        run |= {"cause": failures.cause_of(run), "failures": failures.of_run(tx, wired.deps, run_id)}
    answer(as_json, run, lambda: _print(run))
    raise SystemExit(_EXIT.get(run["state"], 0))


def _print(run: dict[str, Any]) -> None:
    out.print(tree(run))
    rows = [(kind, *counts.values()) for kind, counts in sorted(run["counts"].items())]
    table("objects", ("kind", "planned", "done", "failed", "superseded"), rows, empty="nothing had to be sent")
    _print_failures(run["failures"])
    if run["state"] in sync_runs.ENDED:
        show_end(run)


def _print_failures(found: list[dict[str, Any]]) -> None:
    """What died in the run, by cause, and what to do about what still is dead."""
    rows = [
        (one["id"], one["cause"], f"{one['total']:,}", f"{one['left']:,}", one["remedy"], one["command"])
        for one in found
    ]
    if rows:
        table("failures", ("family", "cause", "failed", "still", "what to do", "command"), rows, empty="")


def _seconds(ms: int | None) -> str:
    return "" if ms is None else f"{ms / 1000:.1f} s"
