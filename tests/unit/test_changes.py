"""One slot: the rows that are there, the changes in their order, and what comes of them."""

from typing import Any

import pytest

from domain.changes import ADD, DELETE, UPDATE, WHOLE, Change, merge, read_line, slot_of, staged_line

ROW: dict[str, Any] = {
    "offering_id": "o", "term": "t", "kkh": "k", "kcbh": "c", "kcmc": "n", "kkxy": "", "xq": "", "lq": "", "room": "1",
    "ghs": "", "xms": "", "jxz": 1, "zc": 1, "jc": 1, "date": "2024-09-02", "start_ms": 1, "end_ms": 2, "sfdk": "",
    "held": None,
}  # fmt: skip


def row(room: str, line: int = 0, **said: Any) -> dict[str, Any]:
    return {**ROW, "room": room, "line": line, "row_hash": f"h{room}{said}", **said}


def after(there: list[dict[str, Any]], *changes: tuple[str, str]) -> list[str]:
    """The rooms of the slot in the end."""
    merged = merge(there, [Change(op, row(room, 100 + n)) for n, (op, room) in enumerate(changes)])
    kept = [one for one in there if one not in merged.gone]
    return sorted(one["room"] for one in [*kept, *merged.fresh])


@pytest.mark.parametrize(
    ("there", "changes", "end"),
    [
        ("1", [(UPDATE, "2")], "2"),
        ("12", [(UPDATE, "2"), (UPDATE, "3")], "23"),
        ("1", [(ADD, "2")], "12"),
        ("1", [(ADD, "1")], "1"),
        ("12", [(DELETE, "2")], "1"),
        ("12", [(DELETE, "9")], ""),
        ("1", [(DELETE, "1"), (ADD, "2")], "2"),
        ("1", [(ADD, "2"), (DELETE, "2")], "1"),
        ("1", [(ADD, "2"), (UPDATE, "3")], "3"),
        ("12", [(WHOLE, "3"), (WHOLE, "1")], "13"),
        ("", [(UPDATE, "1")], "1"),
        ("12", [], "12"),
    ],
)
def test_changes_of_a_slot_count_in_their_order(there: str, changes: list[tuple[str, str]], end: str) -> None:
    """The registry writes down what it did, one thing after the other."""
    assert after([row(room, line) for line, room in enumerate(there)], *changes) == list(end)


def test_a_row_that_is_there_is_left_alone() -> None:
    """What did not change must not look as if it had: its offering would be planned for nothing."""
    merged = merge([row("1", 1)], [Change(UPDATE, row("1", 99))])
    assert (merged.gone, merged.fresh) == ([], [])


def test_the_slot_of_a_row_is_its_place_in_the_term_or_else_its_date() -> None:
    """Timetables without weeks and periods change too."""
    assert slot_of(row("1")) == slot_of(row("2", date="2024-09-09", start_ms=7))
    loose = row("1", jxz=None, jc=None)
    assert slot_of(loose) == slot_of({**loose, "room": "2"}) != slot_of({**loose, "start_ms": 9})
    assert slot_of(row("1")) != slot_of(row("1", kcbh="d"))


def test_a_changed_row_keeps_its_line_in_its_own_file() -> None:
    """A person has to find it; the staging has another row on that line."""
    assert read_line(staged_line(7, 123)) == (7, 123)
    assert read_line(123) == (0, 123)
