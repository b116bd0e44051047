"""Draws `run.svg`, the screen of a run, with the code that draws it on a terminal.

Run `python docs/pictures/make.py` after a change of that screen; a test compares the file with what this makes. The other
pictures of this folder are drawn by hand.
"""

import io
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from workers.cli.progress import tree

PICTURE: Final = Path(__file__).parent / "run.svg"
_COLUMNS: Final = 74

# rich's own frame, without its fonts from the network: a picture in a repository must not call anybody.
_FRAME: Final = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<title>A run in progress, as obsync shows it on a terminal</title>
<style>
.{unique_id}-matrix {{ font-family: "Noto Sans Mono CJK SC", "Sarasa Mono SC", Menlo, Consolas, monospace;
  font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def _stage(
    step: str, state: str, done: int, total: int, took_ms: int | None, note: str | None = None
) -> dict[str, Any]:
    return {"stage": step, "step": step, "state": state, "done": done, "total": total, "took_ms": took_ms, "note": note}


RUN: Final[dict[str, Any]] = {
    "stages": [
        _stage("import", "done", 42_615, 42_615, 8_080, "42615 rows, 50 rejected, 20 held"),
        _stage("sessions", "done", 1_000, 1_000, 3_898),
        _stage("accounts", "done", 54, 54, 5_704),
        _stage("plan", "done", 21_836, 21_836, 8_048, "21836 operations"),
        _stage("calendars", "done", 1_000, 1_000, 44_528),
        _stage("members", "running", 640, 1_000, 4_474),
        _stage("events", "waiting", 0, 0, None),
        _stage("report", "waiting", 0, 0, None),
    ]
}
"""A first sync of the generated campus."""


def render() -> str:
    """The picture as SVG; the same on every machine."""
    console = Console(
        file=io.StringIO(),
        record=True,
        width=_COLUMNS,
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
        _environ={},
    )
    console.print(Text.from_markup("[dim]$[/] obsync sync"))
    console.print(tree(RUN))
    drawn = console.export_svg(title="obsync sync", code_format=_FRAME)
    return "\n".join(line.rstrip() for line in drawn.splitlines() if line.strip()) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(render(), encoding="utf-8")
