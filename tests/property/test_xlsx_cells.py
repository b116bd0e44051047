"""Whatever a text is, the workbook has it as text, whole, and no cell is a formula."""

import io
import re
import zipfile
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from usecases import sheets

_NS = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
_STARTS = st.sampled_from(
    [
        "",
        "=",
        "+",
        "-",
        "@",
        "\t",
        "\r",
        "\n",
        "\0",
        "＝",
        "＋",
        "－",
        "＠",
        " =",
        "{=",
        "http://",
        "_x0041_",
        "'",
        "<f>",
        "1e5",
    ]
)


def read_cells(workbook: bytes, sheet: int = 1) -> list[list[str]]:
    """The texts of a sheet, row by row, as the format says they are read. Asserts that each cell is text."""
    with zipfile.ZipFile(io.BytesIO(workbook)) as book:
        root = ElementTree.fromstring(book.read(f"xl/worksheets/sheet{sheet}.xml"))
    found = []
    for row in root.iter(f"{_NS}row"):
        cells = list(row.iter(f"{_NS}c"))
        assert all(cell.get("t") == "inlineStr" and cell.find(f"{_NS}f") is None for cell in cells)
        found.append([_plain("".join(part.text or "" for part in cell.iter(f"{_NS}t"))) for cell in cells])
    return found


def _plain(text: str) -> str:
    """ECMA-376, 22.9.2.19: a character that XML cannot hold is written _xHHHH_."""
    return re.sub(r"_x([0-9A-Fa-f]{4})_", lambda code: chr(int(code[1], 16)), text)


@settings(max_examples=40)
@given(rows=st.lists(st.lists(st.tuples(_STARTS, _TEXT), min_size=1, max_size=4), min_size=1, max_size=5))
def test_each_text_is_read_back_and_none_is_a_formula(rows: list[list[tuple[str, str]]]) -> None:
    """A name is what somebody typed into a form; the registrar opens it."""
    said = [[start + text for start, text in row] for row in rows]
    file = io.BytesIO()
    sheets.write(file, ("学号",), said, called="attendance")
    head, *read = read_cells(file.getvalue())
    assert head == ["学号"]
    lost = {ord(one): "\ufffd" for one in "\ufffe\uffff"}
    assert read == [[text.translate(lost) for text in row] for row in said]
