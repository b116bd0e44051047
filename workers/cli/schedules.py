"""`obsync schedules`: what starts by itself, and when."""

import time
from datetime import datetime
from typing import Any, NoReturn

import click

from domain.schedules import POLICIES, SIGNS, BadWindow
from usecases import schedules as cases
from usecases.cron import BadCron
from usecases.deps import Deps
from usecases.schedules import ZONES, UnknownSchedule
from workers.cli.console import FAILED, USAGE, answer, command, err, fail, json_option, open_product, out, table

_PATIENCE_S = 10.0
_POLL_S = 0.2


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
@command
def schedules(context: click.Context, as_json: bool) -> None:
    """List what starts by itself: when next, and what became of the last time."""
    if context.invoked_subcommand is None:
        _, wired = open_product()
        found = cases.listing(wired.deps)
        answer(as_json, found, lambda: _list(wired.deps, found))


def _list(deps: Deps, found: dict[str, Any]) -> None:
    rows = [
        (
            one["name"],
            "; ".join([*(said.replace("=", " every ") + " min" for said in one["windows"]), one["cron"]]).strip("; "),
            one["zone"],
            one["policy"],
            _next(deps, one),
            _told(deps, one["last_slot"]),
        )
        for one in found["items"]
    ]
    table("schedules", ("schedule", "times", "zone", "policy", "next", "last"), rows, empty="no schedules")
    newest = found["newest_tick"]
    if newest is not None and not found["tick_is_late"]:
        out.print(f"looked at {newest['age_ms'] / 1000:.0f} s ago by the {newest['ran_by']}")
        return
    since = "yet" if newest is None else f"since {_clock(deps, newest['at_ms'])}"
    err.print(f"[yellow]![/] nobody has looked at the schedules {since}: is `obsync worker scheduler` running?")


def _next(deps: Deps, one: dict[str, Any]) -> str:
    if one["next_slot_ms"] is None:
        return str(one["why"])
    held = f"; now it would be left out: {one['held_back']}" if one["held_back"] else ""
    return f"{_clock(deps, one['next_slot_ms'])} ({one['why']}){held}"


def _told(deps: Deps, slot: dict[str, Any] | None) -> str:
    if slot is None:
        return ""
    why = f" ({slot['reason']})" if slot["reason"] else ""
    return f"{_clock(deps, slot['slot_ms'])} {slot['state']}{why}"


def _clock(deps: Deps, instant_ms: int | None) -> str:
    """As on the wall of the tenant."""
    return "" if instant_ms is None else datetime.fromtimestamp(instant_ms / 1000, deps.zone).strftime("%m-%d %H:%M")


@schedules.command("show")
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True)
@json_option
@command
def show(name: str, limit: int, as_json: bool) -> None:
    """The newest slots of a schedule: what each started, or why not."""
    _, wired = open_product()
    try:
        found = cases.one(wired.deps, name, limit=limit)
    except UnknownSchedule as error:
        _unknown(error, as_json=as_json)
    rows = [(_clock(wired.deps, one["slot_ms"]), one["state"], one["run_id"], one["reason"]) for one in found["slots"]]
    answer(as_json, found, lambda: table(name, ("due", "state", "run", "reason"), rows, empty="no slot was due yet"))


@schedules.command("set")
@click.argument("name")
@click.option("--cron", help="Five fields; several expressions are joined by `;`.")
@click.option("--zone", type=click.Choice(ZONES), help="Whose clock the cron means.")
@click.option("--policy", type=click.Choice(POLICIES), help="What becomes of slots that were missed.")
@click.option("--enable/--disable", "enabled", default=None, help="Switch it on or off.")
@click.option("--max-queued", type=click.IntRange(0), help="Skip a slot while more jobs wait in the lanes.")
@click.option(
    "--window", "windows", multiple=True, metavar="07:00-22:00=15",
    help="In these hours every so many minutes, in place of the cron. May be given several times.",
)  # fmt: skip
@click.option("--no-windows", is_flag=True, help="Only the cron, at every hour of the day.")
@click.option(
    "--back-off", "backs_off", multiple=True, type=click.Choice((*SIGNS, "none")), help="Mind these signs of load."
)
@click.option(
    "--busy-every", type=click.IntRange(0, 10_080), help="Minutes between two starts under load; 0: none then."
)
@click.option("--any-load", is_flag=True, help="Never skip a slot for what waits in the lanes.")
@json_option
@command
def set_(
    name: str,
    cron: str | None,
    zone: str | None,
    policy: str | None,
    enabled: bool | None,
    max_queued: int | None,
    windows: tuple[str, ...],
    no_windows: bool,
    backs_off: tuple[str, ...],
    busy_every: int | None,
    any_load: bool,
    as_json: bool,
) -> None:
    """Change a schedule. New times count from now on; nothing is caught up for them."""
    given = {"cron": cron, "zone": zone, "policy": policy, "enabled": enabled, "max_queued": max_queued}
    wanted: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if any_load:
        if max_queued is not None:
            raise click.UsageError("--max-queued and --any-load exclude each other")
        wanted["max_queued"] = None
    if windows and no_windows:
        raise click.UsageError("--window and --no-windows exclude each other")
    if windows or no_windows:
        wanted["windows"] = windows
    if backs_off:
        wanted["backs_off"] = [one for one in dict.fromkeys(backs_off) if one != "none"]
    if busy_every is not None:
        wanted["busy_every_min"] = busy_every or None
    if not wanted:
        raise click.UsageError("nothing to change: see --help")
    _, wired = open_product()
    try:
        cases.change(wired.deps, name, **wanted)
    except UnknownSchedule as error:
        _unknown(error, as_json=as_json)
    except BadCron as error:
        remedy = 'Five fields: minute, hour, day, month, day of week; for example "*/30 7-22 * * *".'
        fail(str(error), remedy, as_json=as_json, code=USAGE)
    except BadWindow as error:
        fail(str(error), "Write it as --window 07:00-22:00=15; windows must not overlap.", as_json=as_json, code=USAGE)
    found = cases.one(wired.deps, name, limit=1)
    when = _clock(wired.deps, found["next_slot_ms"])
    answer(as_json, found, lambda: out.print(f"{name}: next at {when}" if when else f"{name} is disabled"))


@schedules.command("run")
@click.argument("name")
@json_option
@command
def run(name: str, as_json: bool) -> None:
    """Start what the schedule starts, now, whatever its times say."""
    _, wired = open_product()
    try:
        slot_ms = cases.run_now(wired.deps, name)
    except UnknownSchedule as error:
        _unknown(error, as_json=as_json)
    slot = _await(wired.deps, name, slot_ms)
    answer(as_json, slot, lambda: _print(slot))
    if slot["state"] in ("skipped", "failed"):
        raise SystemExit(FAILED)


def _await(deps: Deps, name: str, slot_ms: int) -> dict[str, Any]:
    """What became of the slot, as far as that is known soon."""
    give_up = time.monotonic() + _PATIENCE_S
    while True:
        slot = cases.slot_now(deps, name, slot_ms)
        if slot["state"] != "waiting" or time.monotonic() > give_up:
            return slot
        time.sleep(_POLL_S)


def _print(slot: dict[str, Any]) -> None:
    if slot["state"] == "started" and slot["run_id"] is None:
        out.print(f"done: {slot['reason']}")
    elif slot["state"] == "started":
        out.print(f"run {slot['run_id']} started; `obsync runs show {slot['run_id']} --follow`")
    elif slot["state"] == "waiting":
        out.print("no worker has taken it yet; it stays: see `obsync schedules show`")
    else:
        err.print(f"[bold red]✗[/] {slot['state']}: {slot['reason']}")


def _unknown(error: UnknownSchedule, *, as_json: bool) -> NoReturn:
    remedy = f"There are: {', '.join(error.known) or 'none; run `obsync migrate`'}."
    fail(str(error), remedy, as_json=as_json, code=USAGE)
