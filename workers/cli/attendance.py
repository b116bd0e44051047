"""`obsync rosters` and `obsync checkins`: who is expected and who came, and what waits to be written."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import redis

from bootstrap.broker import stream_client
from bootstrap.settings import Settings
from db import check_in_refusals
from db import rosters as rows_db
from db.check_in_stream import CheckInStream
from db.courses import ALL
from db.engine import reading
from db.failure_lists import Which
from domain.attendance import COUNTERS
from domain.check_in_words import CAUSES
from domain.receipts import BadReceipt
from usecases import dead_letters
from usecases import rosters as work
from usecases.check_in import Desk
from workers.cli.console import (
    FAILED,
    PARTIAL,
    USAGE,
    answer,
    command,
    fail,
    json_option,
    open_product,
    out,
    table,
    when,
)

_DAY = click.option("--date", "day", help="The day, as 2024-09-02; today by default.")


def _span(day: str | None, days: int, settings: Settings, *, as_json: bool) -> tuple[int, int]:
    """From the first midnight to the last, ms UTC."""
    try:
        first = datetime.fromisoformat(day) if day else datetime.now(UTC).astimezone(settings.zone)
    except ValueError:
        fail(f"--date {day} is no day", "Give it as 2024-09-02.", as_json=as_json, code=USAGE)
    begins = first.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=settings.zone)
    return round(begins.timestamp() * 1000), round((begins + timedelta(days=days)).timestamp() * 1000)


@click.group("rosters", invoke_without_command=True)
@_DAY
@json_option
@click.pass_context
@command
def rosters(context: click.Context, day: str | None, as_json: bool) -> None:
    """List the rosters of a day 花名册: how many are expected, came, are absent, on leave, to be looked at."""
    if context.invoked_subcommand is not None:
        return
    settings, wired = open_product()
    from_ms, until_ms = _span(day, 1, settings, as_json=as_json)
    with reading(wired.deps.engine) as tx:
        found = rows_db.between(tx, from_ms, until_ms, tenant=wired.deps.tenant)
    names = ("session_id", "course_id", "term", "start_ms", "status", *COUNTERS)
    items = [{name: getattr(row, name) for name in names} for row in reversed(found)]
    shown = [
        [one["session_id"], when(one["start_ms"], wired.deps.zone), one["status"], *(one[name] for name in COUNTERS)]
        for one in items
    ]
    columns = ["session", "starts", "status", *(name.split("_")[0] for name in COUNTERS)]
    answer(as_json, {"items": items}, lambda: table("rosters", columns, shown, empty="no rosters on that day"))


@rosters.command()
@_DAY
@click.option("--days", type=click.IntRange(1, 31), default=1, show_default=True)
@json_option
@command
def make(day: str | None, days: int, as_json: bool) -> None:
    """Make the rosters of some days now, or bring them up to date. The process `checkins` does so by itself."""
    settings, wired = open_product()
    from_ms, until_ms = _span(day, days, settings, as_json=as_json)
    done = work.make_ahead(wired.deps.engine, tenant=wired.deps.tenant, from_ms=from_ms, until_ms=until_ms)
    changed = done.pop("changed")
    try:
        CheckInStream(stream_client(settings)).forget(wired.deps.tenant, changed)
        done["loaded"] = True
    except redis.RedisError:
        done["loaded"] = False
    words = ", ".join(f"{name} {many}" for name, many in done.items() if name != "loaded")
    answer(as_json, done, lambda: out.print(words))
    if not done["loaded"]:
        fail("the stream's server is away, it may know older rosters", "Run it again when it is back.", code=PARTIAL)


@rosters.command()
@_DAY
@click.option("--days", type=click.IntRange(1, 400), default=1, show_default=True)
@click.option("--dry-run", is_flag=True, help="Report only.")
@json_option
@command
def recount(day: str | None, days: int, dry_run: bool, as_json: bool) -> None:
    """Count the details of rosters again, and mend counters that say something else. Exit code 3 where there were any."""
    settings, wired = open_product()
    from_ms, until_ms = _span(day, days, settings, as_json=as_json)
    tenant = wired.deps.tenant
    items = work.recount(wired.deps.engine, tenant=tenant, from_ms=from_ms, until_ms=until_ms, mend=not dry_run)
    rows = [(one["session_id"], _differences(one)) for one in items]
    answer(
        as_json, {"items": items}, lambda: table("drift", ("session", "counters"), rows, empty="all counters are right")
    )
    if items:
        raise SystemExit(PARTIAL)


def _differences(one: dict[str, Any]) -> str:
    changed = [name for name in COUNTERS if one["was"][name] != one["is"][name]]
    return ", ".join(f"{name} {one['was'][name]} → {one['is'][name]}" for name in changed)


@click.group("checkins", invoke_without_command=True)
@json_option
@click.pass_context
@command
def checkins(context: click.Context, as_json: bool) -> None:
    """What waits to be written 签到: how many, how long the oldest has waited, and how many the database refused."""
    if context.invoked_subcommand is not None:
        return
    settings, wired = open_product()
    stream = CheckInStream(stream_client(settings))
    try:
        waiting, oldest, kept = stream.length(), stream.oldest_of_all_ms(), stream.keeps_every_write()
    except redis.RedisError as error:
        remedy = "Check OBSYNC_STREAM_URL and that the server runs; meanwhile check-ins are written to the database."
        fail(f"the check-in stream cannot be reached: {error}", remedy, as_json=as_json)
    oldest_s = 0.0 if oldest is None else round(max(0.0, time.time() - oldest / 1000), 1)
    dead = dead_letters.count(wired.deps, Which(kind=dead_letters.CHECK_INS))
    said = {
        "waiting": waiting,
        "oldest_s": oldest_s,
        "dead": dead,
        "durability": settings.checkin_durability,
        "on_disk": kept,
    }
    words = f"{waiting} waiting, the oldest for {oldest_s:g} s; {dead} dead letters (`obsync dead --kind checkin`)"
    answer(as_json, said, lambda: out.print(words, soft_wrap=True))


@checkins.command()
@_DAY
@json_option
@command
def refused(day: str | None, as_json: bool) -> None:
    """Whom the desk turned away in the classes of a day 被拒: how many students, how often, why, and how many never came in."""
    settings, wired = open_product()
    began = _span(day, 1, settings, as_json=as_json)
    with reading(wired.deps.engine) as tx:
        found = check_in_refusals.by_college(tx, began, tenant=wired.deps.tenant, within=ALL)
    names = ("college", "cause", "students", "attempts", "out")
    items = [dict(zip(names, row, strict=True)) for row in found]
    rows = [
        (college or "-", cause, " ".join(CAUSES.get(cause, ())), students, attempts, still)
        for college, cause, students, attempts, still in found
    ]
    columns = (
        "college 学院",
        "cause",
        "what they were told 原因",
        "students 学生",
        "attempts 次数",
        "never came in 未签到",
    )
    answer(
        as_json,
        {"items": items},
        lambda: table("turned away 被拒", columns, rows, empty="nobody was turned away 无人被拒"),
    )


@checkins.command()
@click.argument("receipt")
@json_option
@command
def verify(receipt: str, as_json: bool) -> None:
    """Say what a receipt 回执 says, if it is one of ours."""
    settings, wired = open_product()
    stream = CheckInStream(stream_client(settings))
    desk = Desk(wired.deps.engine, stream, tenant=wired.deps.tenant, secret=wired.deps.secret)
    try:
        said = desk.verify(receipt)
    except BadReceipt as error:
        fail(str(error), "Ask for the whole text of it, as the student's page shows it.", as_json=as_json, code=FAILED)
    shown = {name: getattr(said, name) for name in said.__slots__}
    shown["reasons"] = list(said.reasons)
    words = f"{said.number}: student {said.code}, session {said.session_id}, {when(said.at_ms, wired.deps.zone)}, {said.decision}"
    answer(as_json, shown, lambda: out.print(words, soft_wrap=True))
