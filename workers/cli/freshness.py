"""`obsync freshness`: how fresh the timetable is at WPS, and when the rest will be."""

from typing import Any
from zoneinfo import ZoneInfo

import click

from usecases import freshness as cases
from workers.cli.console import USAGE, answer, command, fail, json_option, open_product, table, when

_TIERS = {"today": "today 今明两天", "near": "weeks 1-3 近三周", "middle": "weeks 4-11 中期", "far": "the rest 其余"}


@click.command("freshness")
@click.option("--user", metavar="ID", help="Of the calendars of one person (学号 or 工号).")
@json_option
@command
def freshness(user: str | None, as_json: bool) -> None:
    """For each tier: when it was synced, how much of it is at WPS, and when the rest will be 更新程度."""
    _, wired = open_product()
    try:
        found = cases.shown(wired.deps, user=user)
    except cases.UnknownPerson as error:
        fail(str(error), "Give a number of the people that were read.", as_json=as_json, code=USAGE)
    answer(as_json, found, lambda: _print(found))


def _print(found: dict[str, Any]) -> None:
    zone = ZoneInfo(found["zone"])
    rows = [
        (
            _TIERS[one["tier"]],
            f"{one['classes']:,}",
            f"{one['percent']} %",
            "never" if one["synced_ms"] is None else when(one["synced_ms"], zone),
            promise(one, zone),
            "" if one["next_ms"] is None else when(one["next_ms"], zone),
        )
        for one in found["items"]
    ]
    columns = ("classes of 层级", "count", "synced", "synced at 同步于", "the rest in 剩余", "next run 下次")
    table(f"freshness, term {found['term_percent']} %", columns, rows, empty="")


def promise(one: dict[str, Any], zone: ZoneInfo) -> str:
    """When the rest of a tier will be there, as people write it."""
    if one["eta_ms"] is not None and one["eta_ms"][1] == 0:
        return "-"
    held = "" if one["held_until_ms"] is None else f", {one['held']:,} held until {when(one['held_until_ms'], zone)}"
    if one["eta_ms"] is None:
        return "unknown: nothing was sent of late" + held
    return " to ".join(_span(ms) for ms in one["eta_ms"]) + held


def _span(ms: int) -> str:
    minutes = ms / 60_000
    if minutes < 1:
        return f"{ms / 1000:.0f} s"
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
