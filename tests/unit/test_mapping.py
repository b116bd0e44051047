"""Columns under other names, and values that every row has."""

from pathlib import Path
from typing import Any

import pytest

from remote.sources.address import absolute, has_password, shown
from remote.sources.base import BadSource, TimetableSource, pages
from remote.sources.registry import open_source
from tests.unit.test_itc2019 import place

HEADER = "COURSE_NO,Teacher,xnxq,rq,jc,st\n"
LINE = "A-1,t1,old,2024-09-02,3,8:00\n"
MAPPING = {"meetings": {"kkh": "course_no", "ghs": "TEACHER", "xnxq": {"value": "2024-2025-1"}}}


def source(where: Path, mapping: dict[str, Any] | None = None, text: str = HEADER + LINE) -> TimetableSource:
    (where / "meetings.csv").write_text(text)
    return open_source(where, mapping)


def refused(where: Path, mapping: Any, text: str = HEADER + LINE) -> BadSource:
    with pytest.raises(BadSource) as bad:
        source(where, mapping, text).check()
    return bad.value


def test_a_column_is_read_under_the_name_that_the_mapping_gives(tmp_path: Path) -> None:
    """No registry exports our names; case is nobody's concern."""
    (page,) = pages(source(tmp_path, MAPPING), "meetings", size=9)
    expected = {"kkh": "A-1", "ghs": "t1", "xnxq": "2024-2025-1", "rq": "2024-09-02", "jc": "3", "st": "8:00"}
    assert page[0].values == expected
    assert "column kkh is missing" in refused(tmp_path, None).problem


def test_one_column_may_be_read_twice_and_replaces_one_of_the_same_name(tmp_path: Path) -> None:
    """A number that is course and offering in one; a `kkh` in the file that means something else."""
    mapping = {"meetings": {"kkh": "no", "kcbh": "no"}}
    text = "kkh,no,xnxq,rq,jc\nwrong,A-1,t,2024-09-02,3\nwrong,A-2\n"
    (page,) = pages(source(tmp_path, mapping, text), "meetings", size=9)
    assert (page[0].values["kkh"], page[0].values["kcbh"]) == ("A-1", "A-1")
    assert (page[1].values["kkh"], page[1].values.get("xnxq")) == ("A-2", None)


def test_a_mapped_column_that_is_missing_is_named_with_what_reads_it(tmp_path: Path) -> None:
    """The export changed; nobody should have to compare two lists by eye."""
    bad = refused(tmp_path, {"meetings": {"kkh": "course"}})
    assert (bad.file, "column course, which the mapping reads as kkh, is missing" in bad.problem) == (
        "meetings.csv",
        True,
    )
    assert "COURSE_NO".lower() in bad.problem
    assert "more than once" in refused(tmp_path, {"meetings": {"kkh": "a"}}, "a,A,xnxq,rq,jc\n").problem


@pytest.mark.parametrize(
    ("mapping", "told"),
    [
        ({"lessons": {}}, "lessons is no part"),
        ({"meetings": {"kkhh": "x"}}, "nothing reads a column kkhh of meetings"),
        ({"meetings": {"kkh": ["x"]}}, "column kkh of meetings is neither"),
        ({"meetings": {"kkh": " "}}, "column kkh of meetings is neither"),
        ({"meetings": {"kkh": {"constant": "x"}}}, "column kkh of meetings is neither"),
        ({"meetings": "kkh"}, "what it says of meetings is not an object"),
        (["meetings"], "it is not an object"),
    ],
)
def test_a_mapping_that_cannot_be_used_is_refused_in_words(tmp_path: Path, mapping: Any, told: str) -> None:
    """A slip in it must not read a whole term as blank."""
    bad = refused(tmp_path, mapping)
    assert told in bad.problem
    assert bad.remedy


def test_another_mapping_is_another_fingerprint(tmp_path: Path) -> None:
    """The same bytes read otherwise are other rows."""
    plain = source(tmp_path).fingerprint()
    assert plain == source(tmp_path, {}).fingerprint() != source(tmp_path, MAPPING).fingerprint()


def test_a_competition_term_gets_its_first_monday_from_a_mapping(tmp_path: Path) -> None:
    """Every kind of source takes the same mapping."""
    mapping = {"terms": {"first_monday": {"value": "2020-09-07"}}, "meetings": {"kcmc": "kcbh"}}
    itc = open_source(place(tmp_path), mapping)
    itc.check()
    assert itc.rows("terms", after=0, limit=9)[0].values["first_monday"] == "2020-09-07"
    values = itc.rows("meetings", after=0, limit=1)[0].values
    assert (values["kcmc"], values["kcbh"]) == ("c1", "c1")
    with pytest.raises(BadSource, match="column name, which the mapping reads as kcmc, is missing"):
        open_source(tmp_path / "tiny.xml", {"meetings": {"kcmc": "name"}}).check()


@pytest.mark.parametrize(
    ("address", "seen"),
    [
        ("mysql://reader:s3cret@db:3306/jw", "mysql://reader:***@db:3306/jw"),
        ("mysql://reader:s3/c@re?t@db/jw?xnxq=2024-2025-1", "mysql://reader:***@db/jw?xnxq=2024-2025-1"),
        ("mysql://db/jw?password=s3cret&user=x", "mysql://db/jw?password=***&user=x"),
        ("mysql://reader@db/jw", "mysql://reader@db/jw"),
        ("/data/campus@2024:autumn", "/data/campus@2024:autumn"),
    ],
)
def test_a_password_is_never_shown(address: str, seen: str) -> None:
    """Addresses stand in lists of runs, in logs and on screens."""
    assert shown(address) == seen
    assert has_password(address) == (address != seen)


def test_an_unknown_kind_of_source_is_refused_without_its_password() -> None:
    """A mistyped scheme must not print what follows it."""
    with pytest.raises(BadSource, match="no source speaks oracle://") as bad:
        open_source("oracle://u:s3cret@h/db")
    assert "s3cret" not in str(bad.value)


def test_paths_mean_the_same_in_every_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker starts in another folder than the command."""
    monkeypatch.chdir(tmp_path)
    assert absolute("campus") == str(tmp_path / "campus")
    assert absolute("itc2019:tiny.xml?term=t") == f"itc2019:{tmp_path}/tiny.xml?term=t"
    assert absolute("mysql://u@h/db") == "mysql://u@h/db"
