"""`obsync people`: who wants no calendar in a term."""

from typing import Any, NoReturn

import click

from usecases import opt_outs as cases
from usecases.opt_outs import OptOutRefused, UnknownPerson
from workers.cli.console import USAGE, actor, answer, command, fail, json_option, open_product, out, table

_term = click.option("--term", required=True, help="The term (学年学期), such as 2024-2025-1.")


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
@command
def people(context: click.Context, as_json: bool) -> None:
    """List who has opted out of a calendar, newest first."""
    if context.invoked_subcommand is None:
        _, wired = open_product()
        found = cases.listing(wired.deps, term=None)
        rows = [(one["code"], one["term"], one["since"], one["by"]) for one in found]
        columns = ("person", "term", "since", "asked by")
        answer(as_json, {"items": found}, lambda: table("opted out", columns, rows, empty="nobody has opted out"))


@people.command("opt-out")
@click.argument("user")
@_term
@json_option
@command
def opt_out(user: str, term: str, as_json: bool) -> None:
    """Withdraw the calendars of USER (学号 or 工号) for a term; they stay away until opt-in, or the end of the term."""
    _, wired = open_product()
    try:
        found = cases.opt_out(wired.deps, user, term=term, actor=actor())
    except (UnknownPerson, OptOutRefused) as error:
        _refuse(error, as_json=as_json)
    answer(as_json, found, lambda: _told(found, "opted out of"))


@people.command("opt-in")
@click.argument("user")
@_term
@json_option
@command
def opt_in(user: str, term: str, as_json: bool) -> None:
    """Give USER (学号 or 工号) the calendars of a term back."""
    _, wired = open_product()
    try:
        found = cases.opt_in(wired.deps, user, term=term, actor=actor())
    except (UnknownPerson, OptOutRefused) as error:
        _refuse(error, as_json=as_json)
    answer(as_json, found, lambda: _told(found, "is back in"))


def _told(found: dict[str, Any], words: str) -> None:
    was = "" if found["changed"] else " already"
    out.print(f"{found['code']} {words} {found['term']}{was}; {found['calendars']} calendars follow")


def _refuse(error: Exception, *, as_json: bool) -> NoReturn:
    remedy = "Check the number (学号 or 工号); people come with a sync."
    if isinstance(error, OptOutRefused):
        remedy = "A teacher who should not write a course leaves its rows in the timetable."
    fail(str(error), remedy, as_json=as_json, code=USAGE)
