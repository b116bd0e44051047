"""A run on the screen: its stages with bars, live on a terminal and line by line elsewhere."""

from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

_MARKS = {
    "waiting": "·", "running": "[yellow]▶[/]", "done": "[green]✓[/]", "failed": "[red]✗[/]", "cancelled": "[yellow]■[/]",
}  # fmt: skip
_RESTS = {"needs_confirmation": "[yellow]?[/]", "paused": "[yellow]‖[/]"}
_STEPS = {
    "import": "read 读取数据",
    "sessions": "sessions 聚合课次",
    "changes": "changes 读取变更",
    "apply": "apply 应用变更",
    "touched": "touched 受影响课程",
    "people": "people 读取人员",
    "accounts": "accounts 匹配账号",
    "compare": "compare 比较差异",
    "deletions": "delete 删除",
    "updates": "update 更新",
    "additions": "add 新增",
    "judge": "findings 核查问题",
    "permissions": "permissions 权限",
    "plan": "plan 计算差异",
    "calendars": "calendars 日历",
    "members": "members 成员",
    "events": "events 日程",
    "choose": "choose 选择日历",
    "verify": "verify 核对",
    "guard": "guard 删除防护",
    "damage": "guard 修复防护",
    "undo_guard": "guard 撤销防护",
    "undo_put": "take back 撤销",
    "suspects": "suspects 存疑日历",
    "repair": "repair 修复",
    "again": "again 复核",
    "report": "report 报告",
}
_BAR = 28


def tree(run: dict[str, Any]) -> Table:
    """The stages of a run as a table: a bar while a stage works, a note when it is over."""
    made = Table.grid(padding=(0, 1))
    made.add_column(width=1)
    made.add_column(min_width=18, no_wrap=True)
    made.add_column(min_width=_BAR, max_width=44, no_wrap=True)
    made.add_column(justify="right", no_wrap=True)
    made.add_column(justify="right", no_wrap=True, style="dim")
    for stage in run["stages"]:
        total, done = stage["total"], stage["done"]
        rests = _RESTS.get(run.get("state", "")) if stage["state"] == "running" else None
        running = stage["state"] == "running" and rests is None
        middle: ProgressBar | Text = Text(stage["note"] or "", style="red" if stage["state"] == "failed" else "dim")
        if running:
            middle = ProgressBar(total=max(total, 1), completed=done if total else 0, width=_BAR)
        count = f"{done:,}/{total:,}" if total and running else f"{total:,}" if total else ""
        took = "" if stage["took_ms"] is None else f"{stage['took_ms'] / 1000:.1f} s"
        made.add_row(rests or _MARKS[stage["state"]], _STEPS.get(stage["step"], stage["step"]), middle, count, took)
    return made


class RunScreen:
    """Shows a run each time it is given one; use as a context manager."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console = console
        self._quiet = quiet
        self._live = Live(console=console, refresh_per_second=6) if console.is_terminal and not quiet else None
        self._said: dict[str, tuple[str, int]] = {}

    def __enter__(self) -> "RunScreen":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, run: dict[str, Any]) -> None:
        if self._live is not None:
            self._live.update(tree(run))
        elif not self._quiet:
            self._lines(run)

    def _lines(self, run: dict[str, Any]) -> None:
        """A line when a stage begins, at each tenth of it, and when it ends: readable in a log file."""
        if run["state"] in _RESTS and self._said.get("run") != (run["state"], 0):
            self._console.print(f"run {run['id']}: {run['state']}", highlight=False)
        self._said["run"] = (run["state"], 0)
        for stage in run["stages"]:
            tenth = stage["done"] * 10 // stage["total"] if stage["total"] else 0
            now = (stage["state"], tenth if stage["state"] == "running" else 10)
            if stage["state"] != "waiting" and self._said.get(stage["step"]) != now:
                self._said[stage["step"]] = now
                count = f" {stage['done']:,}/{stage['total']:,}" if stage["total"] else ""
                self._console.print(f"{stage['stage']}/{stage['step']}: {stage['state']}{count}", highlight=False)


def outcome(run: dict[str, Any]) -> str:
    """How the first sync ended, or that only what waits for off-peak hours is left of it, with the colours of the console."""
    if run["held_until_ms"] is not None:
        return f"[yellow]◷[/] run {run['id']} has sent what is near; {run['stages'][-1]['note']} 其余待闲时"
    took = (run["took_ms"] or 0) / 1000
    colour = {"succeeded": "green", "partially_succeeded": "yellow"}.get(run["state"], "red")
    return f"[{colour}]{run['state']}[/] in {took:.1f} s {run['error'] or ''}"
