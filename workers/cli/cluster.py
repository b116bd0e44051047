"""`obsync cluster`: processes, queues and lanes of the whole installation."""

from typing import Any
from zoneinfo import ZoneInfo

import click

from actors import queues
from usecases import cluster as cases
from workers.cli.console import actor, answer, command, fail, json_option, open_product, out, table, when


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
@command
def cluster(context: click.Context, as_json: bool) -> None:
    """Show processes with what they do, queues with what waits, and lanes with when they are through."""
    if context.invoked_subcommand is not None:
        return
    settings, wired = open_product()
    found = cases.view(wired.deps, queues=queues.ALL)
    items = [{name: value for name, value in one.items() if name != "lanes_per_min"} for one in found["processes"]]
    payload = {**found, "items": items}
    del payload["processes"]

    def show() -> None:
        _show_processes(items, settings.zone)
        _show_queues(found["queues"])
        _show_lanes(found["lanes"])

    answer(as_json, payload, show)


def _show_processes(items: list[dict[str, Any]], zone: ZoneInfo) -> None:
    columns = ("id", "process", "state", "beat_s", "doing")
    rows = [
        [one["id"], f"{one['kind']} {one['host']}:{one['pid']}\n{one['version']}, {when(one['since_ms'], zone)}", one["state"],
         one["beat_age_ms"] // 1000, _doing(one)]
        for one in items
    ]  # fmt: skip
    table("processes 进程", columns, rows, empty="no process has told of itself yet")


def _show_queues(found: list[dict[str, Any]]) -> None:
    columns = ("queue", "waiting", "oldest_s", "per_min", "paused")
    rows = [[one["queue"], one["waiting"], one["oldest_ms"] // 1000, one["per_min"], one["paused_by"]] for one in found]
    table("queues 队列", columns, rows, empty="no queues")


def _show_lanes(found: list[dict[str, Any]]) -> None:
    columns = ("lane", "state", "owner", "pending", "held", "per_min", "through in")
    rows = [
        [f"{one['tenant']}/{one['lane']}", one["state"], one["owner"], one["pending"], one["held"], one["per_min"],
         _range(one["eta_ms"])]
        for one in found
    ]  # fmt: skip
    table("lanes 通道", columns, rows, empty="no lane has anything to do")


def _doing(one: dict[str, Any]) -> str:
    return ", ".join([f"{at['what']} {at['id'][:8]}" for at in one["doing"]] + [str(lane) for lane in one["holds"]])


def _range(eta_ms: list[int] | None) -> str | None:
    if eta_ms is None:
        return None
    soonest, latest = (f"{ms // 60_000} min" if ms >= 60_000 else f"{-(-ms // 1000)} s" for ms in eta_ms)
    return soonest if soonest == latest else f"{soonest} – {latest}"


@cluster.command()
@click.argument("process_id")
@json_option
@command
def drain(process_id: str, as_json: bool) -> None:
    """Let a process begin nothing more, finish what it has, and end with exit code 0."""
    _, wired = open_product()
    try:
        already = cases.drain(wired.deps, process_id, actor=actor())
    except cases.UnknownProcess:
        fail(f"there is no process {process_id}", "`obsync cluster` lists them.", as_json=as_json, code=2)
    except cases.CannotDrain as error:
        fail(str(error), "", as_json=as_json)
    word = "was asked before" if already else "will finish and end"
    answer(as_json, {"id": process_id, "already": already}, lambda: out.print(f"{process_id} {word}"))


def _set(queue: str, *, paused: bool, as_json: bool) -> None:
    _, wired = open_product()
    try:
        already = cases.set_paused(wired.deps, queue, paused=paused, actor=actor(), known=queues.ALL)
    except cases.UnknownQueue as error:
        fail(str(error), "", as_json=as_json, code=2)
    word = ("was" if already else "is now") + (" paused" if paused else " going on")
    answer(as_json, {"queue": queue, "paused": paused, "already": already}, lambda: out.print(f"{queue} {word}"))


@cluster.command()
@click.argument("queue")
@json_option
@command
def pause(queue: str, as_json: bool) -> None:
    """Begin no task of a queue any more, in all processes; `resume` lets it go on."""
    _set(queue, paused=True, as_json=as_json)


@cluster.command()
@click.argument("queue")
@json_option
@command
def resume(queue: str, as_json: bool) -> None:
    """Go on with a queue."""
    _set(queue, paused=False, as_json=as_json)
