"""A folder of CSV files: what is read, and what is said when it cannot be."""

import gzip
from pathlib import Path

import pytest

from domain.timetable import SURPLUS
from remote.sources.base import BadSource, pages
from remote.sources.csv_folder import CsvFolder
from remote.sources.registry import open_source

HEADER = "kkh,kcbh,xnxq,jxz,zc,jc,st,ed,rq\n"
LINE = "A-1,A,2024-2025-1,1,1,3,10:00,10:45,2024-09-02\n"


def folder(where: Path, text: str | bytes = HEADER + LINE, name: str = "meetings.csv") -> CsvFolder:
    raw = text.encode() if isinstance(text, str) else text
    (where / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return CsvFolder(where)


def refusal(source: CsvFolder) -> BadSource:
    with pytest.raises(BadSource) as bad:
        source.check()
        list(pages(source, "meetings", size=100))
    source.close()
    assert bad.value.remedy in str(bad.value) and bad.value.problem in str(bad.value)
    return bad.value


@pytest.mark.parametrize("name", ["meetings.csv", "meetings.csv.gz"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_plain_and_packed_files_with_or_without_bom_read_alike(tmp_path: Path, name: str, mark: str) -> None:
    """Spreadsheets write a BOM; exports are gzipped."""
    (row,) = folder(tmp_path, mark + HEADER + LINE, name).rows("meetings", after=0, limit=9)
    assert (row.line, row.values["kkh"], row.values["rq"]) == (2, "A-1", "2024-09-02")


def test_lines_are_those_a_person_sees(tmp_path: Path) -> None:
    """Empty lines and line ends inside quotes count: the editor counts them too."""
    text = HEADER + "\n" + '"A\n1",A,t,1,1,1,8:00,8:45,\n' + LINE
    found = folder(tmp_path, text).rows("meetings", after=0, limit=9)
    assert [(row.line, row.values["kkh"]) for row in found] == [(3, "A\n1"), (5, "A-1")]


def test_reading_goes_on_after_any_row(tmp_path: Path) -> None:
    """A crash resumes in the middle, with a source opened anew."""
    lines = [f"A-{number},A,t,1,1,3,8:00,8:45,\n" for number in range(25)]
    source = folder(tmp_path, HEADER + "".join(lines))
    whole = [row for page in pages(source, "meetings", size=7) for row in page]
    assert len(whole) == 25
    for after in range(26):
        assert CsvFolder(tmp_path).rows("meetings", after=after, limit=4) == whole[after : after + 4]
    assert source.rows("meetings", after=3, limit=1) == whole[3:4]


def test_columns_are_found_by_name_in_any_order_and_case(tmp_path: Path) -> None:
    """Other columns are nobody's business, but stay part of the row."""
    (row,) = folder(tmp_path, " RQ ,note,XNXQ,Kkh,JC\n2024-09-02,x,t,A-1,3\n").rows("meetings", after=0, limit=9)
    assert row.values == {"rq": "2024-09-02", "note": "x", "xnxq": "t", "kkh": "A-1", "jc": "3"}


def test_a_row_with_too_many_fields_says_so_and_a_short_one_is_blank(tmp_path: Path) -> None:
    """An unquoted comma shifts columns; trailing commas shift nothing."""
    rows = folder(tmp_path, "kkh,xnxq,rq,jc\nA,t,d,1,x,y\nA,t,d,1,,\nA,t\n").rows("meetings", after=0, limit=9)
    assert [row.values.get(SURPLUS) for row in rows] == ["x,y", None, None]
    assert rows[2].values.get("rq") is None


@pytest.mark.parametrize(
    ("header", "missing"),
    [
        ("kcbh,xnxq,rq,jc", "kkh"),
        ("kkh,rq,jc", "xnxq"),
        ("kkh,xnxq,jxz,jc", "rq or jxz and zc"),
        ("kkh,xnxq,rq,st", "jc or st and ed"),
    ],
)
def test_a_missing_column_is_named_with_the_columns_that_are_there(tmp_path: Path, header: str, missing: str) -> None:
    """One message from which a person can mend the file."""
    bad = refusal(folder(tmp_path, header + "\n"))
    assert bad.file == "meetings.csv"
    assert f"column {missing} is missing" in bad.problem
    assert header.replace(",", ", ") in bad.problem


@pytest.mark.parametrize(("part", "header"), [("students", "xm"), ("enrolments", "xh,kkh"), ("periods", "jc,st")])
def test_every_file_is_looked_at_before_anything_is_written(tmp_path: Path, part: str, header: str) -> None:
    """A wrong enrolment file is told at once, not after the meetings were imported."""
    source = folder(tmp_path)
    (tmp_path / f"{part}.csv").write_text(header + "\n")
    assert refusal(source).file == f"{part}.csv"


def test_a_column_twice_is_ambiguous(tmp_path: Path) -> None:
    """Which of the two would be right?"""
    assert "more than once" in refusal(folder(tmp_path, "kkh,xnxq,rq,jc,kkh\n")).problem


def test_no_folder_no_meetings_and_two_of_them_are_told_apart(tmp_path: Path) -> None:
    """The commonest mistakes are a mistyped path and a file left over."""
    assert "no such folder" in refusal(CsvFolder(tmp_path / "absent")).problem
    (tmp_path / "timetable.xlsx").write_bytes(b"")
    assert "timetable.xlsx" in refusal(CsvFolder(tmp_path)).problem
    assert "not a folder" in refusal(CsvFolder(tmp_path / "timetable.xlsx")).problem
    folder(tmp_path)
    assert "both there" in refusal(folder(tmp_path, name="meetings.csv.gz")).problem


def test_an_empty_file_is_told(tmp_path: Path) -> None:
    """An export that failed leaves nothing behind."""
    assert "empty" in refusal(folder(tmp_path, "")).problem


def test_bytes_that_are_not_utf8_are_told_with_the_way_out(tmp_path: Path) -> None:
    """Spreadsheets in China save GBK."""
    bad = refusal(folder(tmp_path, (HEADER + "课,A,t,1,1,3,8:00,8:45,\n").encode("gbk")))
    assert "UTF-8" in bad.problem and "GB18030" in bad.remedy


def test_nul_bytes_are_told(tmp_path: Path) -> None:
    """A half-written disk block, or UTF-16."""
    assert "NUL" in refusal(folder(tmp_path, HEADER + "A\0,A,t,1,1,3,8:00,8:45,\n")).problem


def test_a_failed_read_fails_again(tmp_path: Path) -> None:
    """Asked once more, a reader that broke must not say that the file simply ends there."""
    source = folder(tmp_path, HEADER + LINE + "A\0\n" + LINE)
    for _ in range(2):
        with pytest.raises(BadSource):
            source.rows("meetings", after=0, limit=9)


def test_a_quote_that_is_never_closed_does_not_swallow_the_rest(tmp_path: Path) -> None:
    """Otherwise half a university would be one field, in silence."""
    bad = refusal(folder(tmp_path, HEADER + LINE + '"A-2,A,t,1,1,3,8:00,8:45,\n' + LINE * 3))
    assert "line 3" in bad.problem


def test_broken_gzip_is_told_whether_cut_corrupt_or_none(tmp_path: Path) -> None:
    """A copy that was interrupted must not count as a small timetable."""
    whole = gzip.compress((HEADER + LINE * 5000).encode())
    path = tmp_path / "meetings.csv.gz"
    for broken in (whole[:-20], whole[:40] + b"\xff" * 60 + whole[100:], b"kkh,xnxq"):
        path.write_bytes(broken)
        assert "gzip" in refusal(CsvFolder(tmp_path)).problem


def test_the_fingerprint_follows_the_bytes_of_the_parts_only(tmp_path: Path) -> None:
    """A resumed import goes on only with the very same files."""
    source = folder(tmp_path)
    before = source.fingerprint()
    (tmp_path / "notes.txt").write_text("x")
    assert CsvFolder(tmp_path).fingerprint() == before
    folder(tmp_path, HEADER + LINE + LINE)
    assert source.fingerprint() != before


def test_parts_come_in_reading_order(tmp_path: Path) -> None:
    """Meetings are read against terms and periods, rolls against both."""
    source = folder(tmp_path)
    for part in ("enrolments", "periods", "terms"):
        (tmp_path / f"{part}.csv").write_text("")
    assert source.parts() == ("terms", "periods", "meetings", "enrolments")


def test_an_address_finds_its_adapter(tmp_path: Path) -> None:
    """A path and a file address are the same folder; an unknown kind is told."""
    folder(tmp_path)
    assert open_source(tmp_path).fingerprint() == open_source(tmp_path.as_uri()).fingerprint()
    with pytest.raises(BadSource, match="ftp"):
        open_source("ftp://campus/x")
