"""`--lane --kind --code --run --since`: which failures are meant, the same on every command about them."""

import functools
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

from db.failure_lists import Which

F = TypeVar("F", bound=Callable[..., Any])

_AGO = re.compile(r"(\d{1,6})([smhdw])")
_UNIT = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Since(click.ParamType):  # type: ignore[type-arg]  # generic in the stubs only
    """A time in the past: a date, a time of the machine's zone, or how long ago ("90m", "2h", "3d")."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Milliseconds UTC."""
        if isinstance(value, int):
            return value
        if ago := _AGO.fullmatch(value):
            then = datetime.now(UTC) - timedelta(**{_UNIT[ago[2]]: int(ago[1])})
            return int(then.timestamp() * 1000)
        try:
            return int(datetime.fromisoformat(value).timestamp() * 1000)
        except ValueError:
            self.fail(
                f"{value} is no time: give a date (2024-09-02), a time (2024-09-02T03:00) or 90m, 2h, 3d", param, ctx
            )


_OPTIONS = (
    click.option("--lane", help="Only this lane (a college)."),
    click.option("--kind", help="Only this kind: calendar, members, event, users, verify, run.advance …"),
    click.option("--code", help="Only this class (bad_request …) or code of WPS (400411301)."),
    click.option("--run", "run_id", help="Only what died in this run."),
    click.option("--since", "since_ms", type=Since(), help="Only what died since: 2024-09-02, 2h, 3d."),
)


def which_options(function: F) -> F:
    """Adds the options and hands them to the command as one `which`."""

    @functools.wraps(function)
    def gathered(
        *args: Any,
        lane: str | None,
        kind: str | None,
        code: str | None,
        run_id: str | None,
        since_ms: int | None,
        **kwargs: Any,
    ) -> Any:
        which = Which(lane=lane, kind=kind, code=code, run_id=run_id, since_ms=since_ms)
        return function(*args, which=which, **kwargs)

    for option in reversed(_OPTIONS):
        gathered = option(gathered)
    return gathered  # type: ignore[return-value]
