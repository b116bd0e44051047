"""What would be sent, on the screen and as JSON: shared by `obsync plan` and `obsync sync --dry-run`."""

from dataclasses import asdict
from typing import Any

from domain.guards import Question
from usecases.deps import Deps
from usecases.sync.dry_runs import Shown
from workers.cli import questions
from workers.cli.console import answer, err, out, table

_MARKS = {"missing": "[green]+[/]", "extra": "[red]−[/]", "changed": "[yellow]~[/]"}


def payload_of(found: Shown) -> dict[str, Any]:
    """Totals and rows, as programs read them; guards only where one would ask."""
    counts = [{"kind": kind, "verb": verb, "count": count} for (kind, verb), count in sorted(found.counts.items())]
    payload: dict[str, Any] = {"operations": found.operations, "counts": counts, "items": found.rows}
    if found.questions:
        payload["guards"] = guards_of(found.questions)
    return payload


def guards_of(asked: list[Question]) -> list[dict[str, Any]]:
    """Questions with their sentences."""
    return [{**asdict(one), "sentence": questions.sentence(asdict(one))} for one in asked]


def end(deps: Deps, found: Shown, *, as_json: bool, whole: bool) -> None:
    """Show it all. `whole`: of a dry run, with what was read for it."""
    payload = payload_of(found)
    if whole:
        payload |= {"dry_run": True, "guards": guards_of(found.questions), "unmapped_people": found.unmapped_people}
        if found.read is not None:
            read = found.read
            payload["read"] = {"rows": read.rows_in, "used": read.staged, "rejected": read.rejected, "held": read.held}
    answer(as_json, payload, lambda: _show(deps, found, whole=whole))


def say(sentence: str) -> None:
    """How far it is, beside the answer."""
    err.print(f"[dim]{sentence} …[/]")


def _show(deps: Deps, found: Shown, *, whole: bool) -> None:
    if found.operations == 0:
        out.print("[green]✓[/] nothing to do: WPS has what it should have")
    else:
        counted = [(*key, f"{count:,}") for key, count in sorted(found.counts.items())]
        table(f"{found.operations:,} operations", ("kind", "verb", "count"), counted, empty="")
        rows = [
            (_MARKS[one["what"]], one["lane"], one["kind"], one["label"], _difference(deps, one)) for one in found.rows
        ]
        table(f"the first {len(rows)}", ("", "lane", "kind", "what", "theirs → ours"), rows, empty="")
    if whole and found.unmapped_people:
        out.print(
            f"{found.unmapped_people:,} people have no account yet; a run looks them up first, and adds whom it finds"
        )
    for one in found.questions:
        out.print(f"[yellow]?[/] a run would ask: {questions.sentence(asdict(one))}", highlight=False, soft_wrap=True)
    if whole:
        out.print("[dim]nothing was changed 试运行：未作任何更改[/]")


def _difference(deps: Deps, row: dict[str, Any]) -> str:
    """The two sides of a row in words, as short as they can be."""
    ours, theirs = row["ours"], row["theirs"]
    if row["kind"] == "members":
        return f"+{row['add_count']} −{row['remove_count']} people"
    if row["kind"] == "calendar":
        return f"with {row['events']} events" if "events" in row else ""
    if ours is None or theirs is None:
        side = ours or theirs or {}
        when = questions.when(side.get("start_ms"), side.get("end_ms"), deps.zone)
        return f"{when} {side.get('location') or ''}".strip()
    parts = []
    times = {"start_ms", "end_ms"} & set(row["changed"])
    if times:
        was, is_ = (questions.when(side["start_ms"], side["end_ms"], deps.zone) for side in (theirs, ours))
        parts.append(f"{was} → {is_}")
    named = [name for name in row["changed"] if name not in ("start_ms", "end_ms")]
    parts += [f"{theirs[name] or '–'} → {ours[name] or '–'}" for name in named]
    return "; ".join(parts) or "sent again"
