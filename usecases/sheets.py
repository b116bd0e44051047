"""Tables as XLSX: every cell is text, so that none is a formula, a link or somebody's idea of a number."""

from collections.abc import Iterable, Sequence
from typing import IO, Any, Final

from xlsxwriter import Workbook

SHEET_ROWS: Final = 1_000_000
"""Rows of a sheet, its head not counted; longer tables go on in the next one. The format ends at 1,048,576."""

_CELL_CHARS: Final = 32_767
_OPTIONS: Final[dict[str, Any]] = {
    "constant_memory": True, "strings_to_formulas": False, "strings_to_numbers": False, "strings_to_urls": False,
}  # fmt: skip


class TooLong(Exception):
    """The table has more than `most` rows."""

    def __init__(self, most: int) -> None:
        super().__init__(f"more than {most:,} rows")
        self.most = most


def write(
    file: IO[bytes], head: Sequence[str], rows: Iterable[Sequence[object]], *, called: str, most: int | None = None
) -> None:
    """Write a workbook into the file, a row at a time. Raises `TooLong` beyond `most` rows; the file is worth nothing then."""
    book = Workbook(file, _OPTIONS)
    try:
        sheet = None
        for number, row in enumerate(rows):
            if most is not None and number >= most:
                raise TooLong(most)
            if number % SHEET_ROWS == 0:
                sheet = _sheet(book, head, called, number // SHEET_ROWS)
            _row(sheet, number % SHEET_ROWS + 1, row)
        if sheet is None:
            _sheet(book, head, called, 0)
    finally:
        book.close()


def _sheet(book: Any, head: Sequence[str], called: str, number: int) -> Any:
    sheet = book.add_worksheet(called if number == 0 else f"{called} {number + 1}")
    _row(sheet, 0, head)
    return sheet


def _row(sheet: Any, number: int, cells: Sequence[object]) -> None:
    for column, value in enumerate(cells):
        if value is not None and value != "":
            sheet.write_string(number, column, _fit(str(value)))


def _fit(text: str) -> str:
    """What a cell can hold. XML has no word for these two, and no way to spell them."""
    return text.replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd")[:_CELL_CHARS]
