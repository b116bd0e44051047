"""`obsync offpeak`: when classes that are far away may be sent."""

from typing import Any
from zoneinfo import ZoneInfo

import click

from domain.off_peak import TIERS, BadHours
from usecases import off_peak as cases
from workers.cli.console import USAGE, actor, answer, command, fail, json_option, open_product, out, when


@click.command("offpeak")
@click.option("--from", "since", metavar="HH:MM", help="From when far classes may be sent, by the school's clock.")
@click.option("--until", metavar="HH:MM", help="Until when; may be past midnight.")
@click.option(
    "--tier", type=click.Choice(sorted(TIERS)), help="Which classes wait: from week 4 on (middle), or 12 (far)."
)
@click.option("--off", is_flag=True, help="Nothing waits any more.")
@json_option
@command
def off_peak(since: str | None, until: str | None, tier: str | None, off: bool, as_json: bool) -> None:
    """Show or set the off-peak hours 闲时: by day the near weeks go first, and far classes wait for these hours."""
    given = {"from": since, "until": until, "tier": tier}
    if off and any(given.values()):
        fail("--off goes alone", "Leave out --from, --until and --tier.", as_json=as_json, code=USAGE)
    _, wired = open_product()
    deps = wired.deps
    if off or any(given.values()):
        known = cases.shown(deps)["hours"] or {"tier": "middle"}
        wanted = {**known, **{name: value for name, value in given.items() if value}}
        try:
            cases.change(deps, None if off else wanted, actor=actor())
        except BadHours as error:
            fail(error.problem, f"{error.remedy}.", as_json=as_json, code=USAGE)
    found = cases.shown(deps)
    answer(as_json, found, lambda: _print(found))


def _print(found: dict[str, Any]) -> None:
    hours = found["hours"]
    if hours is None:
        out.print("no off-peak hours: everything is sent as soon as it can be 未设闲时")
        return
    zone = ZoneInfo(found["zone"])
    out.print(
        f"off-peak 闲时 {hours['from']} to {hours['until']} ({found['zone']}), classes of tier {hours['tier']} on"
    )
    now = "they last now" if found["off_peak_now"] else f"next at {when(found['next_ms'], zone)}"
    out.print(f"{now}; {found['held']:,} operations held")
