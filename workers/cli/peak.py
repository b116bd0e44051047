"""`obsync peak`: what the next hours bring."""

from typing import Any
from zoneinfo import ZoneInfo

import click
import redis

from bootstrap.broker import stream_client
from db.check_in_stream import CheckInStream
from usecases import peaks
from workers.cli.console import answer, command, json_option, open_product, out, table, when

_BUSIEST = 15


@click.command("peak")
@click.option("--hours", type=click.IntRange(1, 24), default=peaks.HOURS, show_default=True)
@json_option
@command
def peak(hours: int, as_json: bool) -> None:
    """Predict the next peak of check-ins 签到高峰 from timetable and rosters, and how many processes it takes."""
    settings, wired = open_product()
    try:
        waiting: int | None = CheckInStream(stream_client(settings)).length()
    except redis.RedisError:
        waiting = None
    found = peaks.forecast(wired.deps, waiting=waiting, hours=hours)
    answer(as_json, found, lambda: _show(found, wired.deps.zone))


def _show(found: dict[str, Any], zone: ZoneInfo) -> None:
    busiest = sorted(sorted(found["items"], key=lambda one: -one["check_ins"])[:_BUSIEST], key=lambda one: one["at_ms"])
    rows = [[when(one["at_ms"], zone), f"{one['check_ins']:.0f}"] for one in busiest]
    table("busiest minutes 高峰", ("minute", "check-ins"), rows, empty=f"no class in the next {found['hours']} hours")
    words = ", ".join(f"{many} {kind}" for kind, many in found["suggested"].items())
    waits = "?" if found["waiting"] is None else found["waiting"]
    out.print(f"suggested processes: {words} ({waits} check-ins wait, {found['lanes_due']} lanes are due)")
