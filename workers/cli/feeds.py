"""`obsync feeds`: calendar feeds that people subscribe to."""

from typing import NoReturn

import click

from db.engine import reading
from usecases import feeds as cases
from usecases.change_checks import UnknownClass, offering_named
from usecases.feeds import FeedRefused, UnknownFeed, UnknownSubject
from workers.cli.console import USAGE, actor, answer, command, fail, json_option, open_product, out, table, when

_columns = ("id", "of", "whose", "state", "made by", "last read")


@click.group(invoke_without_command=True)
@click.option("--user", help="Only those of one person.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@json_option
@click.pass_context
@command
def feeds(context: click.Context, user: str | None, limit: int, as_json: bool) -> None:
    """List calendar feeds, newest first. Their addresses are told only once."""
    if context.invoked_subcommand is not None:
        return
    _, wired = open_product()
    deps = wired.deps
    found = cases.listing(deps, owner=user, limit=limit)
    rows = [
        (
            one["id"],
            f"{one['kind']} {one['subject']}",
            one["owner"],
            "active" if one["revoked_ms"] is None else "revoked",
            one["made_by"],
            when(one["read_ms"], deps.zone) if one["read_ms"] else "never",
        )
        for one in found
    ]
    answer(
        as_json, {"items": found}, lambda: table("feeds 订阅", _columns, rows, empty="no feeds; `obsync feeds give`")
    )


@feeds.command()
@click.argument("user")
@click.option("--course", metavar="KKH[,KCBH]", help="Of a course instead of the person's own classes.")
@click.option("--term", help="The term of the course, such as 2024-2025-1.")
@json_option
@command
def give(user: str, course: str | None, term: str | None, as_json: bool) -> None:
    """Make a feed for USER (学号 or 工号); its address is shown once."""
    if (course is None) is not (term is None):
        fail("--course and --term go together", "Give both, or neither.", as_json=as_json, code=USAGE)
    _, wired = open_product()
    deps = wired.deps
    try:
        kind, subject = cases.USER, user
        if course is not None and term is not None:
            kkh, _, kcbh = course.partition(",")
            with reading(deps.engine) as tx:
                kind, subject = cases.COURSE, offering_named(tx, deps, term, (kkh, kcbh or None)).id
        given = cases.give(deps, kind=kind, subject=subject, owner=user, actor=actor())
    except UnknownClass as error:
        fail(error.problem, error.remedy, as_json=as_json, code=USAGE)
    except UnknownSubject:
        fail(
            f"没有编号为 {user} 的师生 · nobody has the number {user}",
            "Import the people first.",
            as_json=as_json,
            code=USAGE,
        )
    except FeedRefused as error:
        fail(str(error), error.remedy, as_json=as_json, code=USAGE)
    told = {"id": given.id, "path": given.path}
    sentence = f"{given.path}   (shown once; put webcal:// and the address of the web process before it)"
    answer(as_json, told, lambda: out.print(sentence, highlight=False, soft_wrap=True))


@feeds.command()
@click.argument("feed_id", metavar="ID")
@json_option
@command
def revoke(feed_id: str, as_json: bool) -> None:
    """End a feed now. Twice is once."""
    _, wired = open_product()
    try:
        done = cases.revoke(wired.deps, feed_id, actor=actor())
    except UnknownFeed:
        _unknown(feed_id, as_json=as_json)
    answer(
        as_json,
        {"id": feed_id, "revoked": done},
        lambda: out.print(f"{feed_id} {'is revoked' if done else 'was revoked before'}"),
    )


def _unknown(feed_id: str, *, as_json: bool) -> NoReturn:
    fail(f"there is no feed {feed_id}", "`obsync feeds` lists them.", as_json=as_json, code=USAGE)
