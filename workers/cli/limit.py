"""`obsync limit`: the limiter that all workers share."""

from dataclasses import asdict

import click

from db.engine import in_unit
from ratelimit.limiter import LimiterAway, Limits
from usecases import limits
from workers.cli.console import answer, command, fail, json_option, open_product, table


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
@command
def limit(context: click.Context, as_json: bool) -> None:
    """Show the limiter: its rate now and at most, tokens, calls in flight, and any block by WPS."""
    if context.invoked_subcommand is None:
        _show(as_json)


def _show(as_json: bool) -> None:
    _, wired = open_product(need_redis=True)
    remote = wired.deps.remote
    try:
        state = asdict(remote.limiter.state(remote.limiter_key))
    except LimiterAway as error:
        fail(f"the limiter's Redis is away: {error}", "No call is made meanwhile.", as_json=as_json)
    rows = [(name, f"{value:g}") for name, value in state.items()]
    answer(as_json, state, lambda: table("limiter", ("what", "value"), rows, empty=""))


@limit.command("set")
@click.option("--rate", type=click.FloatRange(0.1, 10_000), help="Calls per second.")
@click.option("--burst", type=click.FloatRange(1, 10_000), help="Calls at once after a pause.")
@click.option("--in-flight", type=click.IntRange(1, 10_000), help="Calls under way at the same time.")
@json_option
@command
def set_(rate: float | None, burst: float | None, in_flight: int | None, as_json: bool) -> None:
    """Change the limits for all workers at once; they stay until changed again."""
    settings, wired = open_product(need_redis=True)
    deps = wired.deps
    default = Limits(settings.wps_rate, settings.wps_burst, settings.wps_max_in_flight)

    def work(tx: limits.Connection) -> Limits:
        now = limits.stored(tx, tenant=deps.tenant, default=default)
        wanted = Limits(rate or now.rate_per_s, burst or now.burst, in_flight or now.max_in_flight)
        limits.store(tx, tenant=deps.tenant, limits=wanted)
        return wanted

    wanted = in_unit(deps.engine, work)
    deps.remote.limiter.configure(deps.remote.limiter_key, wanted)
    _show(as_json)
