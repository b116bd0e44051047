"""Rules for values, zips, precedence and alarms of sources: values in, values out."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from domain.alarms import HOUR_MS, SILENT, UNCHANGED, Watched, of_sources
from domain.precedence import first_of
from remote.sources.base import BadSource
from remote.sources.registry import kind_of, open_source

HEADER = "COURSE_NO,xnxq,rq,st,ed,xq\n"


def folder(home: Path, *lines: str) -> Path:
    (home / "campus").mkdir()
    (home / "campus" / "meetings.csv").write_text(HEADER + "".join(f"{one}\n" for one in lines), encoding="utf-8")
    return home / "campus"


@pytest.mark.parametrize(
    ("rules", "value", "read"),
    [
        ([{"prefix": "PG-"}], "12", "PG-12"),
        ([{"strip_prefix": "X"}, {"suffix": "-1"}], "X12", "12-1"),
        ([{"upper": True}, {"replace": ["A", "B"]}], "a1", "B1"),
        ([{"match": [r"(\d+)-.*", r"K\1"]}], "12-x", "K12"),
        ([{"match": [r"(\d+)-.*", r"K\1"]}], "other", "other"),
        ([{"map": {"12": "21"}}], "12", "21"),
        ([{"default": "none"}], "", "none"),
        ([{"prefix": "PG-"}], "", ""),
    ],
)
def test_a_rule_makes_a_value_another(tmp_path: Path, rules: list[Any], value: str, read: str) -> None:
    """Two offices that count from one must not name each other's offerings."""
    where = folder(tmp_path, f"{value},2024-2025-1,2024-09-02,08:00,08:45,")
    source = open_source(where, {"meetings": {"kkh": {"column": "COURSE_NO", "rules": rules}}})
    (row,) = source.rows("meetings", after=0, limit=9)
    assert row.values["kkh"] == read


def test_other_rules_are_another_timetable(tmp_path: Path) -> None:
    """Otherwise a rule that was mended would wait for the next change of the file."""
    where = folder(tmp_path, "1,2024-2025-1,2024-09-02,08:00,08:45,")
    said = [{"prefix": "A"}], [{"prefix": "B"}]
    prints = {
        open_source(where, {"meetings": {"kkh": {"column": "COURSE_NO", "rules": one}}}).fingerprint() for one in said
    }
    assert len(prints) == 2


@pytest.mark.parametrize("rule", [{"prefix": 1}, {"shout": True}, {"replace": ["a"]}, {"match": ["(", ""]}, "upper"])
def test_a_rule_that_is_none_is_refused(tmp_path: Path, rule: Any) -> None:
    """Before anything is read by it."""
    with pytest.raises(BadSource, match="mapping"):
        open_source(tmp_path, {"meetings": {"kkh": {"rules": [rule]}}})


@pytest.mark.parametrize("inside", ["", "2024/"])
def test_a_zip_is_the_folder_that_is_in_it(tmp_path: Path, inside: str) -> None:
    """Registries mail zips, with a folder in them or without."""
    with zipfile.ZipFile(tmp_path / "campus.zip", "w") as made:
        made.writestr(f"{inside}meetings.csv", "kkh,xnxq,rq,st,ed\nA,2024-2025-1,2024-09-02,08:00,08:45\n")
    source = open_source(tmp_path / "campus.zip")
    source.check()
    (row,) = source.rows("meetings", after=0, limit=9)
    assert row.values["kkh"] == "A" and source.name.endswith("campus.zip")
    source.close()


def test_a_broken_zip_is_named(tmp_path: Path) -> None:
    """A mail that was cut short is no empty timetable."""
    (tmp_path / "campus.zip").write_bytes(b"PK\3\4 cut short")
    with pytest.raises(BadSource, match=r"campus\.zip"):
        open_source(tmp_path / "campus.zip")


@pytest.mark.parametrize(
    ("address", "kind"), [("mysql://u@h/d", "academic"), ("itc2019:a.xml", "itc2019"), ("/data/one.zip", "csv")]
)
def test_an_address_says_what_reads_it(address: str, kind: str) -> None:
    """What is listed beside the name."""
    assert kind_of(address) == kind


@pytest.mark.parametrize(
    ("order", "present", "first"), [([1, 2], {1, 2}, 1), ([2, 1], {1, 2}, 2), ([3], {1, 2}, 1), ([2], {1, 2}, 2)]
)
def test_the_first_in_order_has_an_offering(order: list[int], present: set[int], first: int) -> None:
    """A source that was removed comes after all that are there."""
    assert first_of(order, present) == first


@pytest.mark.parametrize(
    ("answered_h", "changed_h", "causes"),
    [(1, 1, []), (24, 1, []), (25, 1, [SILENT]), (25, 500, [SILENT]), (1, 337, [UNCHANGED]), (None, None, [SILENT])],
)
def test_an_alarm_is_for_what_lasts_too_long(answered_h: int | None, changed_h: int | None, causes: list[str]) -> None:
    """One that never answered is counted from when it was named; a silent one is not blamed for not changing, too."""
    now = 1_000 * HOUR_MS
    ago = [None if hours is None else now - hours * HOUR_MS for hours in (answered_h, changed_h)]
    found = of_sources([Watched("ug", 0, *ago, silent_h=24, unchanged_h=336)], now_ms=now)
    assert [one.cause for one in found] == causes
    assert of_sources([Watched("ug", 0, *ago, silent_h=None, unchanged_h=None)], now_ms=now) == []
