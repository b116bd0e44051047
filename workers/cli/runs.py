"""`obsync import`, `obsync sync`, `obsync runs`: start runs and look at them."""

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from db import sync_runs
from db.clock import now_ms
from db.engine import reading
from domain.aggregation import RULES
from domain.layouts import LAYOUTS, PERSONAL
from domain.runs import ASKS
from domain.scopes import of_dict
from usecases import failures, freshness, tasks
from usecases.deps import Deps
from usecases.sync import dry_runs, layout, scoping, sources
from usecases.sync import runs as run_cases
from workers.cli import dry_run as dry_run_screen
from workers.cli import questions, run_commands
from workers.cli.console import (
    FAILED,
    PARTIAL,
    actor,
    answer,
    command,
    err,
    fail,
    json_option,
    open_product,
    out,
    table,
)
from workers.cli.freshness import promise
from workers.cli.progress import RunScreen, tree

_PATIENCE_S = 10.0
_EXIT = {"succeeded": 0, "partially_succeeded": PARTIAL, ASKS: PARTIAL, "failed": FAILED, "cancelled": FAILED}
_EXIT["running"] = PARTIAL  # what is left of it waits for off-peak hours


mapping_option = click.option(
    "--mapping", "mapping_file", type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="JSON file: which columns of the source are read under which names.",
)  # fmt: skip
_rule = click.option("--rule", type=click.Choice(RULES), help="How periods become classes; stays until changed.")


_layout = click.option(
    "--layout", "layout_", type=click.Choice(LAYOUTS),
    help="One calendar for each course, or for each person; stays until changed.",
)  # fmt: skip
_replace = click.option(
    "--replace-calendars", is_flag=True, help="With --layout: the calendars of the other layout may go."
)


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
            # A person may take the run out of our hands, by `obsync runs pause` for one.
            with suppress(tasks.ClaimLost):
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
    elif run["state"] == ASKS:
        questions.show(run, out)
    elif run["held_until_ms"] is not None:
        held = run["stages"][-1]["note"]
        out.print(f"[yellow]◷[/] run {run['id']} has sent what is near; {held} 其余待闲时", soft_wrap=True)
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
        wired.deps,
        kind="import",
        source=source,
        mapping=mapping_in(mapping_file),
        settings=_changed(rule),
        actor=actor(),
        may_wait=False,
    )
    say_what_it_replaces(wired.deps, run_id)
    run = do_here(wired.deps, run_id, task_id, quiet=as_json)
    answer(as_json, run, lambda: show_end(run))
    raise SystemExit(_EXIT[run["state"]])


def _changed(rule: str | None) -> dict[str, Any]:
    return {} if rule is None else {"rule": rule}


@click.command()
@click.argument("source", required=False)
@mapping_option
@_rule
@click.option(
    "--kind",
    type=click.Choice(("full", "incremental", "users")),
    default=None,
    help="Read everything (default), only what has changed, or only people and what depends on them.",
)
@click.option(
    "--changes",
    "changes_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A file of changes (columns of meetings, zt = add, update or delete): an incremental run over it.",
)
@click.option(
    "--scope",
    "scope_texts",
    multiple=True,
    metavar="NAME=VALUE,…",
    help="Only this part: term=CODE, college=NAME, course=KKH[,KCBH], user=CODE. May be given several times.",
)
@click.option(
    "--priority",
    type=click.Choice((sync_runs.NORMAL, sync_runs.URGENT)),
    default=sync_runs.NORMAL,
    show_default=True,
    help="Urgent changes go before everything else in their lanes.",
)
@_layout
@_replace
@click.option("--wait/--no-wait", default=True, help="Follow the run to its end (default), or only start it.")
@click.option(
    "--confirm-deletes",
    type=click.IntRange(0),
    metavar="N",
    help="Delete up to N classes without asking; else it asks.",
)
@click.option("--dry-run", is_flag=True, help="Show row by row what would be sent; change nothing.")
@click.option("--limit", type=click.IntRange(0, 100_000), default=50, show_default=True, help="Rows of a dry run.")
@json_option
@command
def sync(
    source: str | None,
    mapping_file: Path | None,
    rule: str | None,
    kind: str | None,
    changes_file: Path | None,
    scope_texts: tuple[str, ...],
    priority: str,
    layout_: str | None,
    replace_calendars: bool,
    wait: bool,
    confirm_deletes: int | None,
    dry_run: bool,
    limit: int,
    as_json: bool,
) -> None:
    """Make WPS what SOURCE (a campus folder, or an address) says, or the source synced last: all of it, or what changed."""
    chosen = kind or ("full" if changes_file is None else "incremental")
    if changes_file is not None and chosen != "incremental":
        problem = f"--changes is read by an incremental run, not by a {kind} one"
        fail(problem, "Leave --kind out.", as_json=as_json, code=2)
    if dry_run and chosen != "full":
        problem = "a dry run shows what a full run would send"
        fail(problem, "Leave out --kind and --changes.", as_json=as_json, code=2)
    if replace_calendars and layout_ is None:
        raise click.UsageError("--replace-calendars goes with --layout")
    _, wired = open_product(need_redis=not dry_run)
    deps = wired.deps
    address, mapping = source_of(deps, source), mapping_in(mapping_file)
    changed = _changed(rule) | ({} if layout_ is None else {"layout": layout_})
    if dry_run:
        found = dry_runs.of_source(
            deps,
            address,
            mapping=mapping,
            settings=changed,
            only=scoping.checked(deps, scope_texts, kind=chosen),
            limit=limit,
            say=dry_run_screen.say,
        )
        dry_run_screen.end(deps, found, as_json=as_json, whole=True)
        return
    if layout_ is not None:
        _check_layout(deps, layout_, replacing=replace_calendars, as_json=as_json)
    run_id, _ = run_cases.begin(
        deps,
        kind=chosen,
        source=address,
        mapping=mapping,
        remember=chosen == "full",
        settings=changed,
        actor=actor(),
        confirm_deletes=confirm_deletes,
        only=scoping.checked(deps, scope_texts, kind=chosen),
        priority=priority,
        changes=changes_file,
    )
    say_what_it_replaces(deps, run_id)
    if not wait:
        answer(
            as_json, {"id": run_id}, lambda: out.print(f"run {run_id} started; `obsync runs show {run_id} --follow`")
        )
        return
    with RunScreen(err, quiet=as_json) as screen:
        run = run_cases.wait(deps, run_id, show=watch(screen))
    answer(as_json, run, lambda: show_end(run))
    raise SystemExit(_EXIT[run["state"]])


def end_with(run: dict[str, Any]) -> None:
    """End the command as the run has ended."""
    raise SystemExit(_EXIT[run["state"]])


def say_what_it_replaces(deps: Deps, run_id: str) -> None:
    """A run that waited for an answer has ended with the start of this one."""
    replaced = run_commands.run_of(deps, run_id)["scope"].get("replaces")
    if replaced:
        err.print(f"replaces run {replaced}, which waited for an answer", soft_wrap=True)


def _check_layout(deps: Deps, to: str, *, replacing: bool, as_json: bool) -> None:
    """Ends the command where the change of layout would delete calendars and nobody has said that it may."""
    try:
        with reading(deps.engine) as tx:
            layout.may_change(tx, tenant=deps.tenant, to=to, replacing=replacing)
    except layout.LayoutInUse as error:
        remedy = f"To change to one calendar per {'person' if to == PERSONAL else 'course'}, add --replace-calendars."
        fail(str(error), remedy, as_json=as_json, code=2)


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
        if waits := waiting(run):
            if not self._told:
                err.print(waits, soft_wrap=True)
            self._told = True
            self._since = time.monotonic()
        elif run["state"] == "queued" and not self._told and time.monotonic() - self._since > _PATIENCE_S:
            self._told = True
            err.print("no worker has taken the run yet: is `obsync up` or `obsync worker jobs` running?")


def waiting(run: dict[str, Any]) -> str:
    """Which run goes first, as a sentence; blank when none does."""
    before = run["waits_for"]
    if before is None:
        return ""
    return f"it waits for run {before['id']} ({before['kind']}, {before['state']}), which works on the same timetable"


def about(run: dict[str, Any]) -> str:
    """The part of the timetable that a run is about, and its file of changes."""
    only = of_dict(run["scope"].get("only", {}))
    said = [
        run["scope"].get("source") or "",
        "" if only.is_everything else str(only),
        run["scope"].get("changes") or "",
        run["scope"].get("what") or "",
    ]
    return " ".join(filter(None, said))


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
    tiers = _tiers(wired.deps, found)
    for one in found:
        one["cause"], one["commands"] = _cause(one), questions.commands(one)
        one["tiers"] = tiers.get(one["id"], [])
    lines = [
        (one["id"], one["kind"], _state(one), one["stage"], _seconds(one["took_ms"]), _rest(one, wired.deps.zone),
         about(one), one["cause"])
        for one in found
    ]  # fmt: skip
    columns = ("run", "kind", "state", "stage", "took", "the rest in", "of", "why not green")
    answer(as_json, {"items": found}, lambda: _list(columns, lines, found))


def _list(columns: tuple[str, ...], lines: list[tuple[Any, ...]], found: list[dict[str, Any]]) -> None:
    table("runs", columns, lines, empty="no runs yet")
    for one in found:
        for line in one["commands"]:
            out.print(f"  [bold]{line}[/]", highlight=False, soft_wrap=True)


def _tiers(deps: Deps, found: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """What is left of each run that goes on, tier by tier, and when it will be through."""
    return freshness.of_runs(deps, [one["id"] for one in found if one["state"] in ("running", "paused")])


def _rest(run: dict[str, Any], zone: ZoneInfo) -> str:
    return "\n".join(f"{one['tier']}: {promise(one, zone)}" for one in run["tiers"])


def _state(run: dict[str, Any]) -> str:
    if run["waits_for"] is not None:
        return f"{run['state']} behind {run['waits_for']['id']}"
    return f"{run['state']}, to {run['asked']}" if run["asked"] else str(run["state"])


def _cause(run: dict[str, Any]) -> str | None:
    """Why the run is not green, in one line."""
    return questions.waits_for(run) or failures.cause_of(run)


@runs.command("show")
@click.argument("run_id")
@click.option("--follow", is_flag=True, help="Stay until it ends.")
@json_option
@command
def show(run_id: str, follow: bool, as_json: bool) -> None:
    """One run: its stages, counts and report."""
    _, wired = open_product()
    run = run_commands.run_of(wired.deps, run_id, as_json=as_json)
    if follow:
        with RunScreen(err, quiet=as_json) as screen:
            run = run_cases.wait(wired.deps, run_id, show=screen)
    with reading(wired.deps.engine) as tx:
        # As it is now: what the report names may have been put again since.
        tiers = _tiers(wired.deps, [run]).get(run_id, [])
        run |= {"tiers": tiers, "rest": _rest({"tiers": tiers}, wired.deps.zone)}
        run |= {"cause": _cause(run), "failures": failures.of_run(tx, wired.deps, run_id)}
    answer(as_json, run, lambda: _print(run))
    raise SystemExit(_EXIT.get(run["state"], 0))


def _print(run: dict[str, Any]) -> None:
    out.print(tree(run))
    if waits := waiting(run):
        out.print(waits, soft_wrap=True)
    rows = [(kind, *counts.values()) for kind, counts in sorted(run["counts"].items())]
    table("objects", ("kind", "planned", "done", "failed", "superseded"), rows, empty="nothing had to be sent")
    if run["rest"]:
        out.print(run["rest"], soft_wrap=True)
    _print_failures(run["failures"])
    if run["state"] in (*sync_runs.ENDED, ASKS) or run["held_until_ms"] is not None:
        show_end(run)
    elif questions.waits_for(run):
        out.print(questions.waits_for(run), highlight=False, soft_wrap=True)
        for line in questions.commands(run):
            out.print(f"  [bold]{line}[/]", highlight=False, soft_wrap=True)


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


for _one in (
    run_commands.pause,
    run_commands.resume,
    run_commands.cancel,
    run_commands.confirm,
    run_commands.drop,
    run_commands.undo,
    run_commands.redo,
):
    runs.add_command(_one)
