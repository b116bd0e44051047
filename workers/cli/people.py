"""`obsync people`: who wants no calendar in a term, and what is kept about somebody."""

from typing import Any, NoReturn

import click

from usecases import opt_outs as cases
from usecases import personal_data
from usecases.opt_outs import OptOutRefused, UnknownPerson
from workers.cli.console import USAGE, actor, answer, command, confirmed, fail, json_option, open_product, out, table

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


@people.command()
@click.argument("user")
@json_option
@command
def export(user: str, as_json: bool) -> None:
    """Give out all that is kept about the attendance of USER (学号): standings, check-ins with their evidence, facts, sums."""
    _, wired = open_product()
    found = {name: rows for name, rows in personal_data.export(wired.deps, user).items() if name != "student"}
    if as_json:
        answer(as_json, found, lambda: None)
        return
    rows = [(name, len(many)) for name, many in found.items()]
    table(f"kept about {user}", ("what", "rows"), rows, empty="nothing")
    out.print("--json gives out the rows themselves", soft_wrap=True)


@people.command()
@click.argument("user")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@command
def erase(user: str, yes: bool, as_json: bool) -> None:
    """Erase where and with what USER (学号) checked in, and what was written about them; that they attended stays."""
    _, wired = open_product()
    kept = personal_data.export(wired.deps, user)
    if not confirmed(f"evidence of {len(kept['check_ins'])} check-ins of {user}", yes=yes, as_json=as_json):
        return
    done = personal_data.erase(wired.deps, user, actor=actor())
    words = f"{done['check_ins']} check-ins without evidence, {done['notes']} notes without words"
    answer(as_json, done, lambda: out.print(words))


def _told(found: dict[str, Any], words: str) -> None:
    was = "" if found["changed"] else " already"
    out.print(f"{found['code']} {words} {found['term']}{was}; {found['calendars']} calendars follow")


def _refuse(error: Exception, *, as_json: bool) -> NoReturn:
    remedy = "Check the number (学号 or 工号); people come with a sync."
    if isinstance(error, OptOutRefused):
        remedy = "A teacher who should not write a course leaves its rows in the timetable."
    fail(str(error), remedy, as_json=as_json, code=USAGE)
