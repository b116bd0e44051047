"""`obsync switches`: what is made simpler or closed while the product runs."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import click

from domain.switches import WORDS, Switch
from usecases import switches as cases
from workers.cli.console import USAGE, actor, answer, command, fail, json_option, open_product, out, table, when

_NAME = click.argument("name", type=click.Choice(sorted(WORDS)))
_NOTE = click.option("--note", default="", help="For people: why.")


@click.group("switches", invoke_without_command=True)
@json_option
@click.pass_context
@command
def switches(context: click.Context, as_json: bool) -> None:
    """List the switches 开关: statistics, simple check-in, read-only, maintenance; who turned which, and until when."""
    if context.invoked_subcommand is not None:
        return
    _, wired = open_product()
    found, zone = cases.shown(wired.deps), wired.deps.zone
    rows = [
        [
            one.name, "on" if one.is_on else "off", " ".join(WORDS[one.name]), _at(one.until_ms, zone),
            "taken" if one.check_ins else "refused", one.actor, _at(one.at_ms or None, zone), one.note,
        ]
        for one in found
    ]  # fmt: skip
    columns = ("switch", "", "while it is on", "until", "check-ins", "who", "when", "note")
    answer(as_json, {"items": [_said(one) for one in found]}, lambda: table("switches", columns, rows, empty=""))


@switches.command("on")
@_NAME
@click.option(
    "--until", help="When the end is expected, as 2024-09-02T18:00 by the school's clock. Nothing ends by itself."
)
@click.option("--check-ins/--no-check-ins", default=None, help="Whether check-ins are taken all the same.")
@_NOTE
@json_option
@command
def turn_on(name: str, until: str | None, check_ins: bool | None, note: str, as_json: bool) -> None:
    """Turn a switch on. Every process knows of it within two seconds."""
    _, wired = open_product()
    until_ms = None if until is None else _ms(until, wired.deps.zone, as_json=as_json)
    made = cases.turn(wired.deps, name, True, actor=actor(), until_ms=until_ms, note=note, check_ins=check_ins)
    _tell(made, as_json)


@switches.command("off")
@_NAME
@_NOTE
@json_option
@command
def turn_off(name: str, note: str, as_json: bool) -> None:
    """Turn a switch off. Statistics that were spared are counted then."""
    _, wired = open_product()
    _tell(cases.turn(wired.deps, name, False, actor=actor(), note=note), as_json)


def _tell(made: Switch, as_json: bool) -> None:
    state = "on" if made.is_on else "off"
    answer(as_json, _said(made), lambda: out.print(f"{made.name} is {state} ({' '.join(WORDS[made.name])})"))


def _said(one: Switch) -> dict[str, Any]:
    return {
        "name": one.name, "on": one.is_on, "check_ins": one.check_ins, "until_ms": one.until_ms, "note": one.note,
        "actor": one.actor or None, "at_ms": one.at_ms or None,
    }  # fmt: skip


def _at(ms: int | None, zone: ZoneInfo) -> str:
    return "" if ms is None else when(ms, zone)


def _ms(text: str, zone: ZoneInfo, *, as_json: bool) -> int:
    try:
        said = datetime.fromisoformat(text)
    except ValueError:
        fail(f"--until {text} is no time", "Give it as 2024-09-02T18:00.", as_json=as_json, code=USAGE)
    return round((said if said.tzinfo else said.replace(tzinfo=zone)).timestamp() * 1000)
