"""What a run asks, in words: which guard, the numbers, a row for each lane, some of the things, and the two answers."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.table import Table

from domain.runs import ASKS, PAUSED

_PARTS = {"meetings": "课表 meetings", "enrolments": "选课 enrolments"}
_LANES = 12  # rows of the table of lanes
_DEFAULT_ZONE = ZoneInfo("Asia/Shanghai")


def open_of(run: dict[str, Any]) -> dict[str, Any] | None:
    """What the run asks now, if it asks."""
    return run["questions"][0] if run["state"] == ASKS and run["questions"] else None


def sentence(one: dict[str, Any]) -> str:
    """A question in one line."""
    count, of, limit, subject = one["count"], one["of"], one["limit"], one["subject"]
    share = f"{count * 100 / of:.0f} %" if of else "all"
    if one["guard"] == "rows":
        part = _PARTS.get(subject, subject)
        return f"{part}: {count:,} of {of:,} rows of the last complete import are missing ({share}; up to {limit:,} is usual)"
    if one["guard"] == "college":
        return f"学院 college {subject}: all of its {of:,} classes would be deleted 将全部删除"
    if one["guard"] == "lane":
        return f"学院 college {subject}: {count:,} of {of:,} classes would be deleted ({share}; the limit is {limit:,})"
    if one["guard"] == "run":
        return f"in all, {count:,} of {of:,} classes would be deleted ({share}; the limit of a run is {limit:,})"
    where = f"学院 college {subject}" if subject else "in all"
    return (
        f"{where}: a repair would create again or delete {count:,} of {of:,} classes ({share}; the limit is {limit:,})"
    )


def sentences(run: dict[str, Any]) -> list[str]:
    """Everything that the run asks now, a line each."""
    asked = open_of(run)
    return [sentence(one) for one in asked["questions"]] if asked else []


def waits_for(run: dict[str, Any]) -> str:
    """What a run that rests waits for, in one line; blank for one that does not rest."""
    if run["state"] == ASKS:
        return "waits for an answer 待确认: " + "; ".join(sentences(run))
    return "paused by a person 已暂停" if run["state"] == PAUSED else ""


def commands(run: dict[str, Any]) -> list[str]:
    """What to type about a run that rests."""
    if run["state"] == ASKS:
        return [f"obsync runs confirm {run['id']}", f"obsync runs drop {run['id']}"]
    if run["state"] == PAUSED:
        return [f"obsync runs resume {run['id']}", f"obsync runs cancel {run['id']}"]
    return []


def show(run: dict[str, Any], console: Console, *, zone: ZoneInfo = _DEFAULT_ZONE) -> None:
    """The whole question on the screen."""
    asked = open_of(run)
    if asked is None:
        return
    console.print(f"[yellow]?[/] run {run['id']} waits for an answer 待确认; nothing has been sent", soft_wrap=True)
    for one in asked["questions"]:
        console.print(f"  · {sentence(one)}", highlight=False, soft_wrap=True)
    _print(console, "by college 各学院", _lane_rows(asked["lanes"]))
    _print(console, "some of it 示例", _sample_rows(asked["sample"], zone))
    yes, no = commands(run)
    console.print(f"It is meant 确认:      [bold]{yes}[/]", highlight=False, soft_wrap=True)
    console.print(f"It is not 放弃:        [bold]{no}[/]", highlight=False, soft_wrap=True)
    if "source" in run["scope"]:
        console.print("Mended the source meanwhile: `obsync sync` replaces this run.", highlight=False, soft_wrap=True)


def _lane_rows(lanes: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    if not lanes:
        return
    has_rows = "before" in lanes[0]
    yield (
        ("college 学院", "before 原有", "now 现有") if has_rows else ("college 学院", "at WPS 现有", "would go 将删除")
    )
    for one in lanes[:_LANES]:
        name = one["lane"] or "_"
        yield (
            (name, f"{one['before']:,}", f"{one['now']:,}")
            if has_rows
            else (
                name,
                f"{one['live']:,}",
                f"{one['going']:,}",
            )
        )
    if len(lanes) > _LANES:
        yield (f"… {len(lanes) - _LANES} more", "", "")


def _sample_rows(sample: list[dict[str, Any]], zone: ZoneInfo) -> Iterator[tuple[str, ...]]:
    if not sample:
        return
    yield ("college 学院", "course 课程", "time 时间", "place 地点")
    for one in sample:
        yield (one["lane"] or "_", one["course"], when(one["start_ms"], one["end_ms"], zone), one["place"])


def when(start_ms: int | None, end_ms: int | None, zone: ZoneInfo) -> str:
    """A time of a class as people write it, local to the tenant."""
    if start_ms is None or end_ms is None:
        return ""
    start, end = (datetime.fromtimestamp(ms / 1000, zone) for ms in (start_ms, end_ms))
    return f"{start:%Y-%m-%d %H:%M}–{end:%H:%M}"


def _print(console: Console, title: str, rows: Iterator[tuple[str, ...]]) -> None:
    header = next(rows, None)
    if header is None:
        return
    made = Table(title=title, title_justify="left", header_style="bold")
    for name in header:
        made.add_column(name, overflow="fold")
    for row in rows:
        made.add_row(*row)
    console.print(made)
