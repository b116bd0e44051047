"""`obsync days`: the exchange-day desk."""

from typing import Any

import click

from usecases import exchange_days
from usecases.change_checks import ChangeRefused, Said
from workers.cli.changes import confirm_option, decided, limit_option, reason_option, term_option, wait_option
from workers.cli.console import actor, answer, command, fail, json_option, open_product, out, table


@click.group(invoke_without_command=True)
@term_option
@limit_option
@json_option
@click.pass_context
@command
def days(context: click.Context, term: str | None, limit: int, as_json: bool) -> None:
    """List exchange days, newest first: the desk's, and those that the source says itself."""
    if context.invoked_subcommand is None:
        _, wired = open_product()
        found = exchange_days.listing(wired.deps, term=term, limit=limit)
        answer(as_json, found, lambda: _days(found["items"]))


def _days(items: list[dict[str, Any]]) -> None:
    rows = [
        (
            one["batch"] or "",
            one["term"],
            f"{one['teaching_day']} {one['teaching_day_is']}",
            f"{one['held_on'] or ''} {one['held_on_is']}".strip(),
            one["by"],
            one["state"],
        )
        for one in items
    ]
    columns = ("batch", "term 学期", "classes of 上课内容", "held on 上课日", "by", "state")
    table("exchange days 调休", columns, rows, empty="no exchange days 没有调休")


@days.command("list")
@term_option
@limit_option
@json_option
@click.pass_context
def list_days(context: click.Context, term: str | None, limit: int, as_json: bool) -> None:
    """The same as `obsync days`."""
    context.invoke(days, term=term, limit=limit, as_json=as_json)


_pairs = click.argument("pairs", nargs=-1, metavar="[HELD=TEACHING]...")
_off = click.option("--off", multiple=True, metavar="DATE", help="A day without classes; may be repeated.")


@days.command()
@click.argument("term")
@_pairs
@_off
@json_option
@command
def preview(term: str, pairs: tuple[str, ...], off: tuple[str, ...], as_json: bool) -> None:
    """Show what exchanging days would mean: classes, people, what is in the way. HELD is a date, TEACHING a date or W5-5."""
    _, wired = open_product()
    try:
        found = exchange_days.preview(wired.deps, term, pairs, off)
    except ChangeRefused as error:
        fail(error.problem, f"{error.remedy}.", as_json=as_json)
    answer(as_json, found, lambda: _preview(found))


def _preview(found: dict[str, Any]) -> None:
    rows = [
        (
            f"{one['teaching_day']} {one['teaching_day_is']}",
            f"{one['held_on'] or ''} {one['held_on_is']}".strip(),
            f"{one['sessions']:,}",
            f"{one['people']['students']:,}",
            f"{one['people']['teachers']:,}",
            one["staying"],
            one["conflicts"],
        )
        for one in found["items"]
    ]
    columns = (
        "classes of 上课内容",
        "held on 上课日",
        "classes 课次",
        "students",
        "teachers",
        "staying",
        "conflicts 冲突",
    )
    table(f"exchange days of {found['term']} 调休", columns, rows, empty="nothing to do")
    for one in found["conflicts"]:
        out.print(f"[yellow]![/] {one['course']} — {one['sentence']}", soft_wrap=True)
    if found["conflicts_total"] > len(found["conflicts"]):
        out.print(f"… and {found['conflicts_total'] - len(found['conflicts'])} more")


@days.command("apply")
@click.argument("term")
@_pairs
@_off
@reason_option
@confirm_option
@wait_option
@json_option
@command
def apply_days(
    term: str, pairs: tuple[str, ...], off: tuple[str, ...], reason: str, confirm: bool, wait: bool, as_json: bool
) -> None:
    """Exchange days of TERM, all at once; `obsync days undo BATCH` takes them back."""
    said = Said(actor(), reason, confirm)
    decided(as_json, wait, lambda deps: exchange_days.apply(deps, term, pairs, off, said))


@days.command()
@click.argument("batch")
@reason_option
@wait_option
@json_option
@command
def undo(batch: str, reason: str, wait: bool, as_json: bool) -> None:
    """Take a batch of exchange days back, all at once."""
    decided(as_json, wait, lambda deps: exchange_days.undo(deps, batch, Said(actor(), reason)))
