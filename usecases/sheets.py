"""Tables as XLSX: every cell is text, so that none is a formula, a link or somebody's idea of a number."""

from collections.abc import Iterable, Sequence
from typing import IO, Any, Final

from xlsxwriter import Workbook

MOST_ROWS: Final = 50_000
"""What is written while somebody waits; longer tables go as CSV, which is sent while it is read."""

_CELL_CHARS: Final = 32_767
_OPTIONS: Final[dict[str, Any]] = {
    "constant_memory": True, "strings_to_formulas": False, "strings_to_numbers": False, "strings_to_urls": False,
}  # fmt: skip


class TooLong(Exception):
    """The table has more than `MOST_ROWS` rows."""


def write(file: IO[bytes], head: Sequence[str], rows: Iterable[Sequence[object]], *, called: str) -> None:
    """Write a workbook of one sheet into the file, a row at a time. Raises `TooLong`; the file is worth nothing then."""
    book = Workbook(file, _OPTIONS)
    try:
        sheet = book.add_worksheet(called)
        _row(sheet, 0, head)
        for number, row in enumerate(rows, 1):
            if number > MOST_ROWS:
                raise TooLong
            _row(sheet, number, row)
    finally:
        book.close()


def _row(sheet: Any, number: int, cells: Sequence[object]) -> None:
    for column, value in enumerate(cells):
        if value is not None and value != "":
            sheet.write_string(number, column, str(value)[:_CELL_CHARS])
