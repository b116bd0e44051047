"""What all commands share: how they reach the product, how they answer, how they fail."""

import functools
import json
import os
import pwd
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NoReturn, TypeVar
from zoneinfo import ZoneInfo

import click
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import DBAPIError

from bootstrap.settings import BadSetting, Settings
from bootstrap.wiring import RedisUnreachable, Wired, wire
from db.engine import DatabaseUnreachable, make_engine
from db.migrate import current, newest
from db.sync_runs import RunActive
from domain.runs import ASKS, PAUSED
from domain.scopes import BadScope
from observability.log import configure
from observability.redaction import scrubbed
from remote.sources.base import BadSource
from usecases.sealing import CannotDecrypt
from usecases.tenants import UnknownTenant
from usecases.terms import TermRefused, UnknownTerm

F = TypeVar("F", bound=Callable[..., Any])

FAILED, USAGE, PARTIAL = 1, 2, 3

_LONGEST_NAME = 40

err = Console(stderr=True)
_UNWATCHED_COLUMNS = 200
"""How wide a table is that goes into a file or to another program: there a narrow column only loses what it says."""

out = Console(width=None if sys.stdout.isatty() else _UNWATCHED_COLUMNS)


class NotMigrated(Exception):
    """The database has no tables, or those of another version."""


def fail(problem: str, remedy: str, *, as_json: bool = False, code: int = FAILED) -> NoReturn:
    """Say what is wrong and what to do, once, and end with `code`. What looks like a secret is not said."""
    problem, remedy = scrubbed(problem), scrubbed(remedy)
    if as_json:
        click.echo(json.dumps({"error": problem, "remedy": remedy}, ensure_ascii=False))
    err.print(f"[bold red]✗[/] {problem}", highlight=False, markup=True, soft_wrap=True)
    if remedy:
        err.print(f"  {remedy}", highlight=False, soft_wrap=True)
    sys.exit(code)


class Discreet(click.Group):
    """A group whose complaints about what was typed, its subcommands' too, repeat no secret."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read what was typed."""
        with _discreetly():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Read the rest of it, and do it."""
        with _discreetly():
            return super().invoke(ctx)


@contextmanager
def _discreetly() -> Iterator[None]:
    try:
        yield
    except click.ClickException as error:
        vars(error)["message"] = scrubbed(error.message)
        raise


_REMEDY: dict[str, str] = defaultdict(
    lambda: "Follow it with `obsync runs show {0} --follow`; it ends by itself.",
    {
        ASKS: "See `obsync runs show {0}`, then `obsync runs confirm {0}` or `obsync runs drop {0}`.",
        PAUSED: "`obsync runs resume {0}` goes on with it, `obsync runs cancel {0}` ends it.",
    },
)
_HELD = "Wait for the hours (`obsync offpeak`), or give up what is left: `obsync runs cancel {0}`."


def command(function: F) -> F:
    """Turn the failures that people can mend into one clear message and exit code 1."""

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        as_json = bool(kwargs.get("as_json"))
        try:
            return function(*args, **kwargs)
        except BadSetting as error:
            fail(str(error), "Mend the setting and run the command again.", as_json=as_json)
        except DatabaseUnreachable as error:
            remedy = "Check OBSYNC_DATABASE_URL and that the server runs; with embedded defaults run `obsync up` first."
            fail(str(error), remedy, as_json=as_json)
        except RedisUnreachable as error:
            remedy = "Check OBSYNC_BROKER_URL and that the server runs; with embedded defaults run `obsync up` first."
            fail(str(error), remedy, as_json=as_json)
        except NotMigrated as error:
            fail(str(error), "Run `obsync migrate` (or `obsync up`, which does it).", as_json=as_json)
        except (UnknownTenant, CannotDecrypt) as error:
            fail(str(error), "Check OBSYNC_TENANT and OBSYNC_ENCRYPTION_KEYS.", as_json=as_json)
        except BadSource as error:
            fail(f"{error.file}: {error.problem}", error.remedy, as_json=as_json)
        except BadScope as error:
            fail(error.problem, f"{error.remedy}.", as_json=as_json, code=USAGE)
        except RunActive as error:
            remedy = _HELD if error.held else _REMEDY[error.state]
            fail(f"{error}", remedy.format(error.run_id), as_json=as_json)
        except TermRefused as error:
            fail(error.problem, f"{error.remedy}.", as_json=as_json)
        except UnknownTerm as error:
            there = f"There are: {', '.join(error.known)}." if error.known else "There are none yet."
            remedy = f"{there} `obsync terms set {error.code} --first-monday DATE` makes it."
            fail(str(error), remedy, as_json=as_json, code=USAGE)
        except DBAPIError as error:
            fail(f"the database refused: {error.orig}", "Nothing was changed by the failed step.", as_json=as_json)

    return guarded  # type: ignore[return-value]


def open_product(*, need_redis: bool = False) -> tuple[Settings, Wired]:
    """Settings and everything a use case needs; the messages of `command` are for what this raises."""
    settings = Settings.from_env()
    # The command's own words say what went wrong; a log is for who asks for one.
    configure(settings.log_level if settings.log_level != "INFO" else "CRITICAL")
    engine = make_engine(settings.database_url)
    if settings.is_sqlite and not settings.data_dir.exists():
        raise DatabaseUnreachable(settings.database_url, "its folder does not exist")
    try:
        found = current(engine)
    except DBAPIError as error:
        raise DatabaseUnreachable(engine.url.render_as_string(hide_password=True), str(error.orig)) from error
    finally:
        engine.dispose()
    if found != newest():
        raise NotMigrated(
            "the database has no tables yet" if found is None else f"the database is at {found}, not at {newest()}"
        )
    return settings, wire(settings, ring=_ring(), need_redis=need_redis)


def _ring() -> Callable[[str], None]:
    """Doorbells are optional for a command: the keeper of any worker rings for what is due within a second."""
    return lambda _what: None


def actor() -> str:
    """Who types: the name of the machine's user, as acts are signed in the audit."""
    try:
        return f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:  # a container may run under a number that has no name
        return f"cli:{os.getuid()}"


def confirmed(sentence: str, *, yes: bool, as_json: bool) -> bool:
    """Say what is about to happen and ask, if somebody is there to answer: with --yes, --json or in a script nobody is."""
    if yes or as_json or not sys.stdin.isatty():
        return True
    err.print(sentence, highlight=False, soft_wrap=True)
    return click.confirm("Go on?", err=True)


def when(ms: int, zone: ZoneInfo) -> str:
    """An instant as people write it, in the tenant's zone."""
    return datetime.fromtimestamp(ms / 1000, zone).strftime("%Y-%m-%d %H:%M")


def answer(as_json: bool, payload: dict[str, Any], show: Callable[[], None]) -> None:
    """One JSON object on standard output, or something for people."""
    if as_json:
        click.echo(json.dumps(payload, ensure_ascii=False))
    else:
        show()


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """A table, or a sentence when there is nothing in it."""
    if not rows:
        out.print(empty)
        return
    made = Table(title=title, title_justify="left", header_style="bold")
    for place, column in enumerate(columns):
        # What people copy into the next command stays in one piece, however narrow the window.
        whole = place == 0 and all(_is_name(str(row[0])) for row in rows)
        made.add_column(column, overflow="fold", no_wrap=whole)
    for row in rows:
        made.add_row(*("" if cell is None else str(cell) for cell in row))
    out.print(made)


def _is_name(cell: str) -> bool:
    return len(cell) <= _LONGEST_NAME and " " not in cell


def json_option(function: F) -> F:
    """`--json`, the same everywhere."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")(function)
