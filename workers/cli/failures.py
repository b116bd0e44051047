"""`obsync failures`: what has failed, by cause: how many, whom it hits, what to do."""

from typing import Any

import click

from db.failure_lists import Which
from usecases import dead_letters, failures
from usecases.deps import Deps
from workers.cli.console import actor, answer, command, confirmed, fail, json_option, open_product, out, table, when
from workers.cli.dead import show_records
from workers.cli.which import which_options

_LANES = 3  # named in a row of the table


@click.group("failures", invoke_without_command=True)
@click.option("--all", "every", is_flag=True, help="Also families that are resolved or gone.")
@json_option
@click.pass_context
@command
@which_options
def failures_(context: click.Context, which: Which, every: bool, as_json: bool) -> None:
    """Families of failures, those that hit most people first (--json: the newest first)."""
    if context.invoked_subcommand is not None:
        return
    _, wired = open_product()
    states = (failures.OPEN, failures.RESOLVED, failures.GONE) if every else (failures.OPEN,)
    items = failures.families(wired.deps, which, states=states)
    answer(as_json, {"items": items}, lambda: _show_families(wired.deps, items))


def _show_families(deps: Deps, items: list[dict[str, Any]]) -> None:
    rows = [
        (one["id"], one["state"], one["operation"], one["cause"], _counted(one), f"{one['people']:,}", _lanes(one),
         when(one["last_ms"], deps.zone), f"{one['remedy']}\n{one['command']}")
        for one in failures.worst_first(items)
    ]  # fmt: skip
    columns = ("family", "state", "tried", "cause", "failed", "people", "lanes", "last", "what to do")
    table("failures", columns, rows, empty="[green]✓[/] nothing waits for a person")
    if items:
        out.print("each of them: `obsync failures show FAMILY`", soft_wrap=True)


def _counted(one: dict[str, Any]) -> str:
    count = f"{one['left']:,} of {one['total']:,}" if one["left"] != one["total"] else f"{one['left']:,}"
    return count + (f" (+{one['waiting']:,} that wait for them)" if one["waiting"] else "")


def _lanes(one: dict[str, Any]) -> str:
    names = [f"{each['lane']} {each['count']:,}" for each in one["lanes"][:_LANES]]
    more = len(one["lanes"]) - _LANES
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")


@failures_.command("show")
@click.argument("family")
@click.option("--all", "every", is_flag=True, help="Also those that are no dead letters any more.")
@click.option("--after", help="Go on behind this failure.")
@click.option("--limit", type=click.IntRange(1, failures.PAGE), default=50, show_default=True)
@json_option
@command
@which_options
def show(family: str, which: Which, every: bool, after: str | None, limit: int, as_json: bool) -> None:
    """One family: its cause, what to do, and its failures, newest first."""
    _, wired = open_product()
    try:
        one = failures.one_family(wired.deps, family)
    except failures.UnknownFamily:
        _unknown(family, as_json=as_json)
    meant = Which(**{**which.as_dict(), "family": family})
    items, following = failures.records(wired.deps, meant, after=after, limit=limit, dead_only=not every)
    payload = {"family": one, "items": items, "next": following}
    answer(as_json, payload, lambda: _show_one(wired.deps, one, items, following))


def _show_one(deps: Deps, one: dict[str, Any], items: list[dict[str, Any]], following: str | None) -> None:
    code = f" {one['code']}" if one["code"] is not None else ""
    lines = [
        ("cause", one["cause"]),
        ("tried", one["operation"]),
        ("answer", f"{one['class']}{code}: {one['message']}"),
        ("state", one["state"] + (f" by {one['resolved_by']}: {one['note']}" if one["note"] else "")),
        ("failed", _counted(one)),
        ("people", f"{one['people']:,}"),
        ("lanes", _lanes(one)),
        ("from", f"{when(one['first_ms'], deps.zone)} to {when(one['last_ms'], deps.zone)}"),
        ("what to do", one["remedy"]),
        ("command", one["command"]),
    ]
    table(f"family {one['id']}", ("", ""), lines, empty="")
    show_records(deps, items, following, f"obsync failures show {one['id']}")


def _unknown(name: str, *, as_json: bool) -> Any:
    fail(f"there is no failure or family {name}", "`obsync failures --all` lists them.", as_json=as_json, code=2)


@failures_.command()
@click.argument("names", nargs=-1, metavar="[FAMILY|JOB]...")
@click.option("--all", "every", is_flag=True, help="All that the filters leave.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@command
@which_options
def retry(names: tuple[str, ...], every: bool, which: Which, yes: bool, as_json: bool) -> None:
    """Put what failed again: whole families, single jobs, or --all. Twice is once."""
    if bool(names) == every:
        fail("name families or jobs, or give --all", "`obsync failures` lists them.", as_json=as_json, code=2)
    _, wired = open_product()
    try:
        meant = [which] if every else failures.named(wired.deps, names, which)
    except failures.UnknownFamily as unknown:
        _unknown(str(unknown), as_json=as_json)
    count = sum(dead_letters.count(wired.deps, one) for one in meant)
    if count and not confirmed(f"{count:,} failures will be put again.", yes=yes, as_json=as_json):
        return
    done = sum(dead_letters.put_again(wired.deps, one, actor=actor()) for one in meant)
    answer(as_json, {"count": count, "put_again": done}, lambda: out.print(f"{done:,} of {count:,} put again"))


@failures_.command()
@click.argument("family")
@click.option("--note", required=True, help="What was done about it, for whoever comes next.")
@json_option
@command
def resolve(family: str, note: str, as_json: bool) -> None:
    """A person has seen to it: the family leaves the list until something of it fails anew."""
    if not note.strip():
        fail("the note is blank", "Say what was done about it: --note TEXT.", as_json=as_json, code=2)
    _, wired = open_product()
    try:
        done = failures.resolve(wired.deps, family, note=note.strip(), actor=actor())
    except failures.UnknownFamily:
        _unknown(family, as_json=as_json)
    payload = {"family": family, "resolved": done, "note": note.strip()}
    answer(as_json, payload, lambda: out.print(f"{done:,} failures of family {family} are resolved"))
