"""How every bench ends: a table for people on stderr, one JSON object as the last line of stdout."""

import json
import os
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

Figure = float | int | str | bool | None


def machine() -> dict[str, Figure]:
    """What the figures depend on: the cores this process may use, which in a container are fewer than the machine's."""
    return {"cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()}


def report(
    name: str, figures: Mapping[str, Figure], parameters: Mapping[str, Figure], *, json_only: bool
) -> dict[str, object]:
    """Prints both forms and returns the object printed; `json_only` leaves the table out.

    Figures stand at the top level beside `bench`, `machine`, `parameters`: raises ValueError for one of that name.
    """
    reserved = {"bench", "machine", "parameters"} & set(figures)
    if reserved:
        raise ValueError(f"figures must not be named {sorted(reserved)}")
    result: dict[str, object] = {
        "bench": name,
        **figures,
        "machine": machine(),
        "parameters": dict(parameters),
    }
    if not json_only:
        _print_table(name, figures, parameters)
    print(json.dumps(result, ensure_ascii=False), flush=True)
    return result


def _print_table(name: str, figures: Mapping[str, Figure], parameters: Mapping[str, Figure]) -> None:
    table = Table(title=name, title_justify="left", caption=_in_one_line(parameters), caption_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for figure, value in figures.items():
        table.add_row(figure, _readable(value))
    Console(stderr=True).print(table)


def _in_one_line(parameters: Mapping[str, Figure]) -> str:
    return ", ".join(f"{name}={_readable(value)}" for name, value in {**parameters, **machine()}.items())


def _readable(value: Figure) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
