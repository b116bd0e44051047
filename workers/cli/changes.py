"""`obsync changes`: what people decide about single classes."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import click

from domain.alterations import CHINESE, TYPES
from domain.teaching_changes import STATES
from domain.timetable import read_clock
from usecases import teaching_changes as cases
from usecases.change_checks import ChangeRefused, InTheWay, Said, Time, UnknownClass
from usecases.deps import Deps
from usecases.sync import runs as run_cases
from workers.cli.console import (
    FAILED,
    USAGE,
    actor,
    answer,
    command,
    err,
    fail,
    json_option,
    open_product,
    out,
    table,
    when,
)  # fmt: skip
from workers.cli.progress import RunScreen
from workers.cli.runs import end_with, show_end, watch

limit_option = click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
term_option = click.option("--term", metavar="TERM", help="Only of this term.")
reason_option = click.option("--reason", default="", help="Why: people read it in the event.")
confirm_option = click.option("--confirm", is_flag=True, help="Do it although something is in the way.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Only show what it would mean.")
wait_option = click.option("--wait/--no-wait", default=True, help="Follow it to WPS (default), or only start it.")
_session = click.argument("session")


class _Clock(click.ParamType[int]):
    name = "HH:MM"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        second = value if isinstance(value, int) else read_clock(str(value))
        if second is None:
            self.fail(f"{value!r} is no time as 14:00", param, ctx)
        return second


class _Periods(click.ParamType[tuple[int, ...]]):
    name = "N[-N]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        first, _, last = str(value).partition("-")
        if not first.isdigit() or not (last or first).isdigit() or int(last or first) < int(first):
            self.fail(f"{value!r} are no periods as 3 or 3-4", param, ctx)
        return tuple(range(int(first), int(last or first) + 1))


_DATE = click.DateTime(["%Y-%m-%d"])
_start = click.option("--start", type=_Clock(), help="When it begins; else as before.")
_end = click.option("--end", type=_Clock(), help="When it ends; else it lasts as long as before.")
_periods = click.option("--periods", type=_Periods(), default=None, help="By the period table, instead of times.")
_room = click.option("--room", metavar="ROOM", help="Building and number, as 一教202, or anything people understand.")


def _day(given: datetime | None) -> date | None:
    return given.date() if given is not None else None


def decided(as_json: bool, wait: bool, decide: Callable[[Deps], dict[str, Any]]) -> None:
    """Carry a decision out, or say why not; then follow its run."""
    _, wired = open_product()
    deps = wired.deps
    try:
        found = decide(deps)
    except InTheWay as error:
        if as_json:
            payload = {"error": error.problem, "remedy": error.remedy, "conflicts": error.conflicts}
            answer(True, payload, lambda: None)
            raise SystemExit(FAILED) from None
        fail(error.problem, f"{error.remedy}.")
    except UnknownClass as error:
        fail(error.problem, f"{error.remedy}.", as_json=as_json, code=USAGE)
    except ChangeRefused as error:
        fail(error.problem, f"{error.remedy}.", as_json=as_json)
    if "run" not in found:
        answer(as_json, found, lambda: _show_preview(found, deps.zone))
        return
    if not wait:
        answer(as_json, found, lambda: _show(found["items"], deps.zone))
        return
    with RunScreen(err, quiet=as_json) as screen:
        run = run_cases.wait(deps, found["run"], show=watch(screen))
    _show_if(not as_json, found["items"], deps.zone)
    answer(as_json, {**found, "state": run["state"]}, lambda: show_end(run))
    end_with(run)


def _show_preview(found: dict[str, Any], zone: ZoneInfo) -> None:
    rows = [(f"{CHINESE[one['type']]} {one['type']}", one["session"], _values(one, zone)) for one in found["items"]]
    table("would be decided 预览", ("type 类型", "class 课次", "to be 变更为"), rows, empty="")
    people = found["people"]
    out.print(
        f"{people['students']} 名学生 students, {people['teachers']} 位教师 teachers; nothing was changed 未作更改"
    )
    for one in found["conflicts"]:
        out.print(f"冲突 in the way: {one['sentence']}", soft_wrap=True)


def _show_if(wanted: bool, items: list[dict[str, Any]], zone: ZoneInfo) -> None:
    if wanted:
        _show(items, zone)


@click.group(invoke_without_command=True)
@term_option
@click.option("--type", "kinds", type=click.Choice(TYPES), multiple=True, help="Only of this type.")
@click.option("--state", "states", type=click.Choice(STATES), multiple=True, help="Only in this state.")
@click.option("--course", metavar="COURSE", help="Only of a course: its number, code, or part of its name.")
@limit_option
@json_option
@click.pass_context
@command
def changes(
    context: click.Context,
    term: str | None,
    kinds: tuple[str, ...],
    states: tuple[str, ...],
    course: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List what people decided about classes, newest first."""
    if context.invoked_subcommand is None:
        _, wired = open_product()
        found = cases.listing(wired.deps, term=term, kinds=kinds, states=states, course=course, limit=limit)
        answer(as_json, found, lambda: _show(found["items"], wired.deps.zone))


def _show(items: list[dict[str, Any]], zone: ZoneInfo) -> None:
    rows = [
        (
            one["id"],
            f"{CHINESE[one['type']]} {one['type']}",
            one["state"],
            one.get("course") or one["session"] or one.get("teaching_day"),
            _values(one, zone),
            one["reason"],
            f"{one['actor']} {when(one['at_ms'], zone)}",
        )
        for one in items
    ]
    columns = ("id", "type 类型", "state", "class 课次", "now 变更为", "reason 原因", "who 登记人")
    table("teaching changes 教学变动", columns, rows, empty="no teaching changes 没有教学变动")


def _values(one: dict[str, Any], zone: ZoneInfo) -> str:
    said = []
    if one["start_ms"]:
        said.append(when(one["start_ms"], zone))
    elif one["date"]:
        said.append(one["date"])
    said += ["".join(room[1:]) for room in one["rooms"] or []]
    said += [name or code for code, name in one["teachers"] or []]
    return " ".join(said)


@changes.command("list")
@term_option
@limit_option
@json_option
@click.pass_context
def list_(context: click.Context, term: str | None, limit: int, as_json: bool) -> None:
    """The same as `obsync changes`."""
    context.invoke(changes, term=term, kinds=(), states=(), course=None, limit=limit, as_json=as_json)


@changes.command()
@_session
@click.option("--to", "day", type=_DATE, help="Its new date; else as before.")
@_start
@_end
@_periods
@_room
@reason_option
@confirm_option
@dry_run_option
@wait_option
@json_option
@command
def move(
    session: str,
    day: datetime | None,
    start: int | None,
    end: int | None,
    periods: tuple[int, ...] | None,
    room: str | None,
    reason: str,
    confirm: bool,
    dry_run: bool,
    wait: bool,
    as_json: bool,
) -> None:
    """Hold the class SESSION at another time 调课. It stays the same event."""
    to, said = Time(_day(day), start, end, periods or ()), Said(actor(), reason, confirm, dry_run)
    decided(as_json, wait, lambda deps: cases.move(deps, session, to, said, room=room))


@changes.command()
@_session
@reason_option
@dry_run_option
@wait_option
@json_option
@command
def cancel(session: str, reason: str, dry_run: bool, wait: bool, as_json: bool) -> None:
    """Do not hold the class SESSION 停课. Its event stays and says so."""
    decided(as_json, wait, lambda deps: cases.cancel(deps, session, Said(actor(), reason, preview=dry_run)))


@changes.command()
@_session
@reason_option
@confirm_option
@dry_run_option
@wait_option
@json_option
@command
def restore(session: str, reason: str, confirm: bool, dry_run: bool, wait: bool, as_json: bool) -> None:
    """Hold the cancelled class SESSION after all 恢复上课."""
    decided(as_json, wait, lambda deps: cases.restore(deps, session, Said(actor(), reason, confirm, dry_run)))


@changes.command("make-up")
@click.argument("term")
@click.argument("course")
@click.option("--on", "day", type=_DATE, required=True, help="Its date.")
@click.option("--start", type=_Clock(), help="When it begins.")
@click.option("--end", type=_Clock(), help="When it ends.")
@_periods
@_room
@click.option(
    "--teacher", "teachers", multiple=True, metavar="CODE", help="Who teaches, by code or name; may be repeated."
)
@reason_option
@confirm_option
@dry_run_option
@wait_option
@json_option
@command
def make_up(
    term: str,
    course: str,
    day: datetime,
    start: int | None,
    end: int | None,
    periods: tuple[int, ...] | None,
    room: str | None,
    teachers: tuple[str, ...],
    reason: str,
    confirm: bool,
    dry_run: bool,
    wait: bool,
    as_json: bool,
) -> None:
    """Hold one class more of COURSE (KKH or KKH,KCBH) in TERM 补课."""
    kkh, comma, kcbh = course.partition(",")
    named, at = (kkh, kcbh if comma else None), Time(_day(day), start, end, periods or ())
    said = Said(actor(), reason, confirm, dry_run)
    decided(
        as_json, wait, lambda deps: cases.make_up(deps, term, named, at, said, room=room, teachers=teachers)
    )  # fmt: skip


@changes.command()
@_session
@click.option(
    "--teacher", "teachers", multiple=True, required=True, metavar="CODE", help="By code or name; may be repeated."
)
@reason_option
@confirm_option
@dry_run_option
@wait_option
@json_option
@command
def substitute(
    session: str, teachers: tuple[str, ...], reason: str, confirm: bool, dry_run: bool, wait: bool, as_json: bool
) -> None:
    """Let others teach the class SESSION 代课. Who should have taught it stays written."""
    decided(
        as_json, wait, lambda deps: cases.substitute(deps, session, teachers, Said(actor(), reason, confirm, dry_run))
    )


@changes.command()
@_session
@click.argument("name", metavar="ROOM")
@reason_option
@confirm_option
@dry_run_option
@wait_option
@json_option
@command
def room(session: str, name: str, reason: str, confirm: bool, dry_run: bool, wait: bool, as_json: bool) -> None:
    """Hold the class SESSION in ROOM 换教室."""
    decided(as_json, wait, lambda deps: cases.room(deps, session, name, Said(actor(), reason, confirm, dry_run)))


@changes.command()
@click.argument("change")
@reason_option
@wait_option
@json_option
@command
def withdraw(change: str, reason: str, wait: bool, as_json: bool) -> None:
    """Take CHANGE back, or all of a batch 撤回: what was before it comes back."""
    decided(as_json, wait, lambda deps: cases.withdraw(deps, change, Said(actor(), reason)))
