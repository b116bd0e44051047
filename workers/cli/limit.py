"""`obsync limit`: the limiter that all workers share, and the circuit breaker in front of it."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import click

from ratelimit.breaker import BreakerState
from ratelimit.limiter import LimiterAway, LimiterState, Limits
from usecases import limits
from workers.cli.console import actor, answer, command, fail, json_option, open_product, out, table


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
@command
def limit(context: click.Context, as_json: bool) -> None:
    """Show the limiter: its rate, tokens, calls in flight, any block by WPS, and the circuit breaker."""
    if context.invoked_subcommand is None:
        _show(as_json)


def _show(as_json: bool) -> None:
    _, wired = open_product(need_redis=True)
    remote = wired.deps.remote
    try:
        state = remote.limiter.state(remote.limiter_key)
        breaker = remote.limiter.breaker(remote.limiter_key)
    except LimiterAway as error:
        _away(error, as_json)
    told = {**asdict(state), "breaker": {**asdict(breaker), "since": _since(breaker)}}
    answer(as_json, told, lambda: _print(state, breaker))


def _away(error: LimiterAway, as_json: bool) -> NoReturn:
    fail(f"the limiter's Redis is away: {error}", "No call is made meanwhile.", as_json=as_json)


def _print(state: LimiterState, breaker: BreakerState) -> None:
    rows = [(name, f"{value:g}") for name, value in asdict(state).items()]
    table("limiter", ("what", "value"), [*rows, ("breaker", breaker.state.replace("_", "-"))], empty="")
    out.print(_sentence(breaker), highlight=False)


def _since(breaker: BreakerState) -> str | None:
    """By this machine's clock; None when it was never otherwise."""
    if not breaker.for_ms:
        return None
    return (datetime.now(UTC) - timedelta(milliseconds=breaker.for_ms)).isoformat(timespec="seconds")


def _sentence(breaker: BreakerState) -> str:
    """What the breaker does, why, and what to do."""
    if breaker.state == "closed":
        doubt = f" The last {breaker.failures} calls failed: {breaker.why}." if breaker.failures else ""
        return f"WPS is called.{doubt}"
    since = f"since {_since(breaker) or 'just now'}"
    if breaker.held:
        return f"No call to WPS {since}: {breaker.why}. `obsync limit breaker close` ends that."
    when = "a probe is under way" if breaker.probing else f"next probe in {breaker.next_probe_ms / 1000:.0f} s"
    return (
        f"WPS is down {since}, after {breaker.failures} failed calls; {when}. The newest failure: {breaker.why}. "
        "Work waits in the database and goes on by itself; `obsync limit breaker close` lets all lanes try now."
    )


@limit.command("breaker")
@click.argument("wanted", metavar="close|open", type=click.Choice(["close", "open"]))
@click.option("--why", default="kept open by an admin", help="Shown to whoever asks why nothing is sent.")
@json_option
@command
def breaker_(wanted: str, why: str, as_json: bool) -> None:
    """Stop all calls to WPS until told otherwise (open), or let lanes call again now (close)."""
    _, wired = open_product(need_redis=True)
    try:
        limits.hold(wired.deps, why if wanted == "open" else None, actor=actor())
    except LimiterAway as error:
        _away(error, as_json)
    _show(as_json)


@limit.command("set")
@click.option("--rate", type=click.FloatRange(0.1, 10_000), help="Calls per second.")
@click.option("--burst", type=click.FloatRange(1, 10_000), help="Calls at once after a pause.")
@click.option("--in-flight", type=click.IntRange(1, 10_000), help="Calls under way at the same time.")
@json_option
@command
def set_(rate: float | None, burst: float | None, in_flight: int | None, as_json: bool) -> None:
    """Change the limits for all workers at once; they stay until changed again."""
    settings, wired = open_product(need_redis=True)
    default = Limits(settings.wps_rate, settings.wps_burst, settings.wps_max_in_flight)
    limits.change(wired.deps, default=default, actor=actor(), rate_per_s=rate, burst=burst, max_in_flight=in_flight)
    _show(as_json)
