"""Whatever a name is, a spreadsheet opens it as text and nothing of it is lost."""

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from domain import csv_cells

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_STARTS = st.sampled_from(["", "=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠", " =", "'"])


@given(rows=st.lists(st.tuples(_STARTS, _TEXT), min_size=1, max_size=4))
def test_no_cell_is_a_formula_and_each_reads_back(rows: list[tuple[str, str]]) -> None:
    """What got an apostrophe is the same behind it."""
    said = [start + text for start, text in rows]
    (read,) = csv.reader(io.StringIO(csv_cells.lines([said]), newline=""))
    assert len(read) == len(said)
    for cell, text in zip(read, said, strict=True):
        assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠"))
        assert cell in (text, f"'{text}")
