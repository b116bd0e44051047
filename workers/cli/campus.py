"""`obsync campus`: generate a university as a folder of CSV files."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from simulator.campus import CampusSummary, generate, is_generated

_COUNTED = ("colleges", "offerings", "sections", "meetings", "students", "teachers", "enrolments", "rooms")
_WORDS = {
    "deleted": "marked as deleted",
    "duplicate": "exact duplicates",
    "no_kkh": "without an offering number",
    "end_before_start": "ending before they start",
    "unreadable_date": "with an unreadable date",
    "unreadable_time": "with an unreadable time",
}


class _Usage(click.ClickException):
    """A request that cannot be carried out as it was put; its message names the remedy."""

    exit_code = 2


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same files.")
@click.option("--colleges", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--offerings", type=click.IntRange(min=1), default=1000, show_default=True)
@click.option("--students", type=click.IntRange(min=0), default=5000, show_default=True)
@click.option("--teachers", type=click.IntRange(min=0), default=None, help="Default: one for three offerings.")
@click.option("--weeks", type=click.IntRange(min=1, max=52), default=18, show_default=True)
@click.option("--gz", is_flag=True, help="Write .csv.gz files.")
@click.option("--force", is_flag=True, help="Write into a folder that holds other files.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
def campus(
    directory: Path,
    *,
    seed: int,
    colleges: int,
    offerings: int,
    students: int,
    teachers: int | None,
    weeks: int,
    gz: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Generate a university of any size in DIRECTORY, with everything that real timetables have.

    A folder that an earlier call made is written anew.
    """
    _refuse_foreign(directory, force=force)
    messages = Console(stderr=True)
    try:
        with _shown(messages) as progress:
            summary = generate(
                directory,
                seed=seed,
                colleges=colleges,
                offerings=offerings,
                students=students,
                teachers=teachers,
                weeks=weeks,
                gz=gz,
                progress=progress,
            )
    except OSError as error:
        raise click.ClickException(
            f"Cannot write {directory}: {error.strerror or error}. Choose a folder that you may write to."
        ) from error
    if as_json:
        click.echo(json.dumps({"directory": str(directory), **asdict(summary)}, ensure_ascii=False))
    else:
        _print(summary, directory)


def _refuse_foreign(directory: Path, *, force: bool) -> None:
    """Never mix a campus into somebody's own files unasked."""
    if directory.exists() and not directory.is_dir():
        raise _Usage(f"{directory} is a file. Name a folder that is empty or does not exist.")
    try:
        foreign = directory.is_dir() and not is_generated(directory) and any(directory.iterdir())
    except OSError as error:
        raise click.ClickException(
            f"Cannot read {directory}: {error.strerror or error}. Choose a folder that you may read."
        ) from error
    if foreign and not force:
        raise _Usage(
            f"{directory} holds files that `obsync campus` did not write. "
            "Name an empty folder, or add --force to replace the campus files in it."
        )


@contextmanager
def _shown(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar for each large file, on standard error."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        tasks = {name: bar.add_task(name, total=None) for name in ("meetings", "enrolments")}

        def progress(file: str, done: int, total: int) -> None:
            bar.update(tasks[file], completed=done, total=total)

        yield progress


def _print(summary: CampusSummary, directory: Path) -> None:
    table = Table(title=f"Campus in {directory}", title_justify="left")
    table.add_column("what")
    table.add_column("count", justify="right")
    for name in _COUNTED:
        table.add_row(name, f"{getattr(summary, name):,}")
    for kind, count in summary.dirt.items():
        table.add_row(f"rows {_WORDS[kind]}", f"{count:,}")
    Console().print(table)
