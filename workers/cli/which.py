"""`--lane --kind --code --run --since`: which failures are meant, the same on every command about them."""

import functools
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import click

from bootstrap.settings import Settings
from db.failure_lists import Which
from workers.cli.console import fail

F = TypeVar("F", bound=Callable[..., Any])

_AGO = re.compile(r"(\d{1,6})([smhdw])")
_UNIT = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def since(text: str, *, zone: ZoneInfo, now_ms: int) -> int:
    """Milliseconds UTC of a date or time in the tenant's zone, or of how long ago ("90m", "2h", "3d"). Raises `ValueError`."""
    if ago := _AGO.fullmatch(text):
        return now_ms - int(timedelta(**{_UNIT[ago[2]]: int(ago[1])}) / timedelta(milliseconds=1))
    then = datetime.fromisoformat(text)
    return int((then if then.tzinfo else then.replace(tzinfo=zone)).timestamp() * 1000)


def _since_ms(text: str | None, *, as_json: bool) -> int | None:
    if text is None:
        return None
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    try:
        return since(text, zone=Settings.from_env().zone, now_ms=now_ms)
    except (ValueError, OverflowError):
        remedy = "Give a date (2024-09-02), a time (2024-09-02T03:00), or 90m, 2h, 3d."
        fail(f"--since {text} is no time", remedy, as_json=as_json, code=2)


_OPTIONS = (
    click.option("--lane", help="Only this lane (a college)."),
    click.option("--kind", help="Only this kind: calendar, members, event, users, verify, run.advance …"),
    click.option("--code", help="Only this class (bad_request …) or code of WPS (400411301)."),
    click.option("--run", "run_id", help="Only what died in this run."),
    click.option("--since", "since_", help="Only what died since: 2024-09-02, 2024-09-02T03:00, 2h, 3d."),
)


def which_options(function: F) -> F:
    """Adds the options and hands them to the command as one `which`. Goes below `command`, which tells bad settings."""

    @functools.wraps(function)
    def gathered(
        *args: Any,
        lane: str | None,
        kind: str | None,
        code: str | None,
        run_id: str | None,
        since_: str | None,
        **kwargs: Any,
    ) -> Any:
        since_ms = _since_ms(since_, as_json=bool(kwargs.get("as_json")))
        which = Which(lane=lane, kind=kind, code=code, run_id=run_id, since_ms=since_ms)
        return function(*args, which=which, **kwargs)

    for option in reversed(_OPTIONS):
        gathered = option(gathered)
    return gathered  # type: ignore[return-value]
