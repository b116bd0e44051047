"""`obsync verify` and `obsync repair`: is WPS what we sent, and put right what is not."""

from collections import Counter
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import click

from db.discrepancies import HEALED, NOT_HEALED
from db.engine import reading
from domain.runs import ASKS
from usecases import discrepancies
from usecases.deps import Deps
from usecases.sync import dry_runs
from usecases.sync import runs as run_cases
from workers.cli.console import FAILED, PARTIAL, answer, command, err, fail, json_option, open_product, out, table
from workers.cli.dry_run import guards_of
from workers.cli.progress import RunScreen
from workers.cli.runs import show_end, watch

_MOST = 100_000  # rows read for the counts; only `--limit` of them are listed
_limit = click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="Rows to list.")


@click.command()
@click.option(
    "--sample", type=click.IntRange(1, 100_000), help="Only so many calendars: those not looked at for longest."
)
@click.option("--all", "every", is_flag=True, help="All calendars (the default).")
@_limit
@json_option
@command
def verify(sample: int | None, every: bool, limit: int, as_json: bool) -> None:
    """Read calendars in WPS and list what is not as it was sent. Changes nothing. Exit code 3: something was found."""
    if sample is not None and every:
        fail("--sample and --all exclude each other", "Give one of them.", as_json=as_json, code=2)
    _, wired = open_product(need_redis=True)
    run = _follow(wired.deps, "verify", sample=sample, as_json=as_json)
    _end(wired.deps, run, limit=limit, as_json=as_json)


@click.command()
@click.option("--dry-run", is_flag=True, help="Only list what would be done about each discrepancy.")
@_limit
@json_option
@command
def repair(dry_run: bool, limit: int, as_json: bool) -> None:
    """Look again at calendars in which `verify` found something, put right what is simple, and look once more.

    Exit code 3: something is left, for a person or for another look.
    """
    _, wired = open_product(need_redis=not dry_run)
    if dry_run:
        with reading(wired.deps.engine) as tx:
            items = discrepancies.listing(tx, wired.deps, states=NOT_HEALED, limit=_MOST)
        asked, lanes = dry_runs.of_repair(wired.deps)
        payload = {"discrepancies": len(items), "counts": _counts(items), "items": items[:limit]}
        payload |= {"guards": guards_of(asked), "lanes": lanes}

        def show() -> None:
            _show(wired.deps, items, limit, "would be done")
            for one in guards_of(asked):
                out.print(f"[yellow]?[/] it would ask first: {one['sentence']}", highlight=False, soft_wrap=True)

        answer(as_json, payload, show)
        return
    run = _follow(wired.deps, "repair", sample=None, as_json=as_json)
    if run["state"] == ASKS:
        answer(as_json, run, lambda: show_end(run))
        raise SystemExit(PARTIAL)
    _end(wired.deps, run, limit=limit, as_json=as_json)


def _follow(deps: Deps, kind: str, *, sample: int | None, as_json: bool) -> dict[str, Any]:
    run_id = run_cases.begin_look(deps, kind=kind, sample=sample)
    with RunScreen(err, quiet=as_json) as screen:
        return run_cases.wait(deps, run_id, show=watch(screen))


def _end(deps: Deps, run: dict[str, Any], *, limit: int, as_json: bool) -> None:
    """Show what the run has to say and end with its exit code."""
    report = run["report"] or {}
    with reading(deps.engine) as tx:
        items = discrepancies.listing(tx, deps, run_id=run["id"], states=NOT_HEALED, limit=_MOST)
        healed = discrepancies.listing(tx, deps, run_id=run["id"], states=(HEALED,), limit=limit)
    totals = {name: report.get(name, 0) for name in ("calendars", "events", "members", "strangers", "discrepancies")}
    payload = {"run": run["id"], "state": run["state"], "error": run["error"], **totals}
    payload |= {"healed": report.get("healed", 0), "counts": _counts(items), "items": items[:limit]}
    if run["kind"] == "repair":
        payload["repaired"] = healed

    def show() -> None:
        show_end(run)
        if run["state"] in ("failed", "cancelled"):
            return
        out.print(
            f"looked at {totals['calendars']:,} calendars, {totals['events']:,} events, {totals['members']:,} members"
            f" ({totals['strangers']:,} events of other people: left alone)"
        )
        if healed:
            out.print(f"[green]✓[/] {payload['healed']:,} as they should be again")
        _show(deps, items, limit, "to do")

    answer(as_json, payload, show)
    if run["state"] in ("failed", "cancelled"):
        raise SystemExit(FAILED)
    raise SystemExit(PARTIAL if totals["discrepancies"] or run["state"] != "succeeded" else 0)


def _counts(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each cause and what is to be done about it, the most frequent first."""
    counted = Counter((one["what"], one["cause"], one["action"], one["remedy"], one["command"]) for one in items)
    names = ("what", "cause", "action", "remedy", "command")
    return [{**dict(zip(names, key, strict=True)), "count": count} for key, count in counted.most_common()]


def _show(deps: Deps, items: list[dict[str, Any]], limit: int, what_to_do: str) -> None:
    if not items:
        out.print("[green]✓[/] nothing differs from what was sent")
        return
    rows = [(one["cause"], one["count"], one["remedy"], one["command"]) for one in _counts(items)]
    table("discrepancies", ("cause", "count", what_to_do, "command"), rows, empty="")
    listed = [
        (one["calendar_name"], one["what"], _whose(one) + _side(one["ours"], deps), _side(one["theirs"], deps))
        for one in items[:limit]
    ]
    title = f"the last {len(listed)} of {len(items):,}"
    table(title, ("calendar", "what", "sent", "in WPS"), listed, empty="")


def _whose(one: dict[str, Any]) -> str:
    person = one.get("person")
    return f"{person['name']} {person['code']} " if person else ""


def _side(side: dict[str, Any], deps: Deps) -> str:
    """One side of a discrepancy in a few words."""
    words = [str(side[name]) for name in ("name", "summary", "role") if side.get(name)]
    if side.get("start_ms"):
        words.append(_clock(side["start_ms"], deps.zone))
    if side.get("location"):
        words.append(str(side["location"]))
    return " ".join(words) or "–"


def _clock(ms: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(ms / 1000, zone).strftime("%Y-%m-%d %H:%M")
