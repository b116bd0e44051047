"""Timetables of the ITC-2019 competition: what their XML says in our columns, and what is said when it cannot be read."""

import csv
import gzip
from pathlib import Path

import pytest

from domain.terms import PeriodTable, Term
from domain.timetable import Calendar, Refused, read_meeting
from remote.sources.base import BadSource, TimetableSource, pages
from remote.sources.registry import open_source
from tests.unit.test_aggregation import ZONE

PROBLEM = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE problem PUBLIC "-//ITC 2019//DTD Problem Format/EN" "http://www.itc2019.org/competition-format.dtd">
<problem name="tiny-fal20" nrDays="7" nrWeeks="3" slotsPerDay="288">
  <rooms><room id="1" capacity="9"><unavailable days="1000000" start="0" length="9" weeks="111"/></room></rooms>
  <courses>
    <course id="c1"><config id="1"><subpart id="1">
      <class id="k1" limit="5">
        <room id="1" penalty="0"/><room id="2" penalty="0"/>
        <time days="1010000" start="96" length="10" weeks="101" penalty="0"/>
        <time days="0100000" start="96" length="20" weeks="111" penalty="0"/>
      </class>
      <class id="k2" limit="5" room="false"><time days="0000001" start="204" length="12" weeks="010" penalty="0"/></class>
    </subpart></config></course>
    <course id="c2"><config id="2"><subpart id="2">
      <class id="k3"><time days="1000000" start="96" length="10" weeks="111" penalty="0"/>
        <time days="0100000" start="96" length="10" weeks="111" penalty="0"/></class>
    </subpart></config></course>
  </courses>
  <distributions><distribution type="SameStart"><class id="k1"/><class id="k2"/></distribution></distributions>
  <students><student id="s1"><course id="c1"/></student><student id="s2"><course id="c2"/></student></students>
</problem>
"""
SOLUTION = """<solution name="tiny-fal20" runtime="1" technique="t" author="a" institution="i" country="c">
  <class id="k3" days="0100000" start="96" weeks="111"><student id="s2"/></class>
  <class id="k1" days="1010000" start="96" weeks="101" room="2"><student id="s1"/><student id="s2"/></class>
  <class id="k2" days="0000001" start="204" weeks="010"/>
</solution>
"""


def place(where: Path, problem: str = PROBLEM, solution: str | None = SOLUTION) -> Path:
    """A folder with a problem and its solution; the problem's path."""
    (where / "tiny.xml").write_text(problem, encoding="utf-8")
    if solution is not None:
        (where / "solution.xml.gz").write_bytes(gzip.compress(solution.encode()))
    return where / "tiny.xml"


def read(source: TimetableSource, part: str) -> list[dict[str, str | None]]:
    return [dict(row.values) for page in pages(source, part, size=3) for row in page]


def spans(source: TimetableSource) -> list[tuple[str | None, ...]]:
    columns = ("kkh", "kcbh", "jxz", "zc", "st", "ed", "room")
    return [tuple(row.get(column) for column in columns) for row in read(source, "meetings")]


def refusal(source: TimetableSource) -> BadSource:
    with pytest.raises(BadSource) as bad:
        source.check()
        source.fingerprint()
        for part in source.parts():
            read(source, part)
    return bad.value


def test_each_week_and_day_of_a_decided_class_is_a_row(tmp_path: Path) -> None:
    """The length comes from the time that the solution chose; slots are five minutes, the first day is Monday."""
    source = open_source(place(tmp_path))
    source.check()
    assert source.parts() == ("students", "meetings", "enrolments")
    assert spans(source) == [
        ("k1", "c1", "1", "1", "08:00", "08:50", "2"),
        ("k1", "c1", "1", "3", "08:00", "08:50", "2"),
        ("k1", "c1", "3", "1", "08:00", "08:50", "2"),
        ("k1", "c1", "3", "3", "08:00", "08:50", "2"),
        ("k2", "c1", "2", "7", "17:00", "18:00", ""),
        ("k3", "c2", "1", "2", "08:00", "08:50", ""),
        ("k3", "c2", "2", "2", "08:00", "08:50", ""),
        ("k3", "c2", "3", "2", "08:00", "08:50", ""),
    ]


def test_students_are_those_of_the_problem_and_rosters_those_of_the_solution(tmp_path: Path) -> None:
    """A student asks for courses; only the solution says which class."""
    source = open_source(tmp_path if place(tmp_path) else "")
    assert [row["xh"] for row in read(source, "students")] == ["s1", "s2"]
    rosters = [(row["kkh"], row["xh"]) for row in read(source, "enrolments")]
    assert rosters == [("k3", "s2"), ("k1", "s1"), ("k1", "s2")]
    assert (source.file_of("meetings"), source.file_of("enrolments")) == ("tiny.xml", "solution.xml.gz")


def test_without_a_solution_only_what_has_one_choice_is_decided(tmp_path: Path) -> None:
    """A class that nobody decided is one row for the quarantine, not nothing."""
    source = open_source(place(tmp_path, solution=None))
    assert source.parts() == ("students", "meetings")
    calendar = Calendar(zone=ZONE, terms={}, periods=PeriodTable([]))
    refused = []
    for row in read(source, "meetings"):
        try:
            assert read_meeting(row, calendar).kkh == "k2"
        except Refused as reason:
            refused.append((row["kkh"], reason.reason))
    assert refused == [("k1", "unreadable_date"), ("k3", "unreadable_date")]


def test_a_solution_may_stand_inside_the_problem(tmp_path: Path) -> None:
    """The published format allows it."""
    inside = open_source(place(tmp_path, PROBLEM.replace("</problem>", SOLUTION + "</problem>"), None))
    assert len(spans(inside)) == 8
    assert len(read(inside, "enrolments")) == 3


def test_term_and_first_monday_are_given_in_the_address(tmp_path: Path) -> None:
    """The competition has neither; the problem's name stands for the term where nobody says it."""
    path = place(tmp_path)
    assert {row["xnxq"] for row in read(open_source(path), "enrolments")} == {"tiny-fal20"}
    source = open_source(f"itc2019:{path}?term=2020-2021-1&monday=2020-09-07")
    source.check()
    assert read(source, "terms") == [{"xnxq": "2020-2021-1", "first_monday": "2020-09-07", "weeks": "3"}]
    (first, *_) = read(source, "meetings")
    calendar = Calendar(
        zone=ZONE, terms={"2020-2021-1": Term("2020-2021-1", first_monday=None)}, periods=PeriodTable([])
    )
    assert read_meeting(first, calendar).held == "no_first_monday"
    with pytest.raises(BadSource, match="not a Monday"):
        open_source(f"itc2019:{path}?monday=2020-09-08")
    with pytest.raises(BadSource, match="no option week"):
        open_source(f"itc2019:{path}?week=1")


def test_reading_goes_on_after_any_row(tmp_path: Path) -> None:
    """A crash resumes in the middle, with a source opened anew."""
    path = place(tmp_path)
    whole = [row for page in pages(open_source(path), "meetings", size=100) for row in page]
    assert [row.line for row in whole] == list(range(1, 9))
    for after in range(9):
        assert open_source(path).rows("meetings", after=after, limit=2) == whole[after : after + 2]


def test_the_fingerprint_changes_with_either_file_and_with_the_address(tmp_path: Path) -> None:
    """Otherwise an import would go on over other rows."""
    path = place(tmp_path)
    seen = {open_source(path).fingerprint(), open_source(f"itc2019:{path}?term=a").fingerprint()}
    seen.add(open_source(place(tmp_path, solution=SOLUTION.replace('"s1"', '"s2"'))).fingerprint())
    seen.add(open_source(place(tmp_path, PROBLEM.replace('"s1"', '"s9"'))).fingerprint())
    assert len(seen) == 4


def test_the_wrong_files_are_told_apart(tmp_path: Path) -> None:
    """Each message names the file and the way out."""
    path = place(tmp_path)
    assert "no such file" in refusal(open_source(tmp_path / "absent.xml")).problem
    assert "outermost element is solution" in refusal(open_source(tmp_path / "solution.xml.gz")).problem
    (tmp_path / "again.xml").write_text(SOLUTION)
    both = refusal(open_source(path))
    assert "again.xml and solution.xml.gz" in both.problem and "?solution=again.xml" in both.remedy
    open_source(f"itc2019:{path}?solution=again.xml").check()
    (tmp_path / "other.xml").write_text(PROBLEM)
    assert "other.xml, tiny.xml" in refusal(open_source(tmp_path)).problem


def test_a_solution_of_another_problem_is_refused(tmp_path: Path) -> None:
    """Otherwise its rosters would lead nowhere, in silence."""
    path = place(tmp_path, solution=SOLUTION.replace('"k3"', '"k9"'))
    assert "1 classes that tiny.xml does not have (k9)" in refusal(open_source(path)).problem


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (PROBLEM[:900], "ends too early"),
        ("", "it is not XML or ends too early"),
        (PROBLEM.replace('slotsPerDay="288"', 'slotsPerDay="many"'), "slotsPerDay is 'many'"),
        (PROBLEM.replace('nrDays="7"', 'nrDays="8"'), "8 days"),
        (PROBLEM.replace('name="tiny-fal20"', 'name="a name with blanks"'), "cannot be the term"),
        (PROBLEM.replace('.dtd">', ".dtd\" [<!ENTITY a 'aaaa'>]>"), "declares XML entities"),
    ],
    ids=["cut", "empty", "slots", "days", "term", "entities"],
)
def test_what_cannot_be_read_is_told(tmp_path: Path, text: str, told: str) -> None:
    """A cut download is the commonest."""
    bad = refusal(open_source(place(tmp_path, text, None)))
    assert told in bad.problem
    assert bad.remedy


# --- the published files ------------------------------------------------------------------------------------------------


def rows_of(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_whole_competition_term_has_the_same_classes_as_its_table(shared_data: Path) -> None:
    """The table was made by other people from the same two files, cut at period boundaries."""
    source = open_source(shared_data / "itc2019-raw" / "mary-fal18.xml.gz")
    source.check()
    table: dict[tuple[str, ...], tuple[str, str]] = {}
    for row in rows_of(shared_data / "mary-fal18" / "meetings.csv.gz"):
        key = (row["kkh"], row["kcbh"], row["jxz"], row["zc"], row["room"])
        start, end = table.get(key, (row["st"], row["ed"]))
        table[key] = (min(start, row["st"]), max(end, row["ed"]))
    ours = {(k, c, j, z, room): (st, ed) for k, c, j, z, st, ed, room in spans(source)}
    assert ours == table
    assert len({key[0] for key in table}) == 951
    enrolled = {(row["xh"], row["kkh"]) for row in rows_of(shared_data / "mary-fal18" / "enrolments.csv.gz")}
    found = [(row["xh"], row["kkh"]) for row in read(source, "enrolments")]
    assert set(found) == enrolled
    assert len(found) == 21_072
    assert len(read(source, "students")) == 5_051


def test_a_department_with_its_students(shared_data: Path) -> None:
    """174 sections, 2,002 students, 3,141 enrolments are published of it."""
    source = open_source(shared_data / "itc2019-raw" / "pu-cs-fal07.xml.gz")
    source.check()
    assert len({row["kkh"] for row in read(source, "meetings")}) == 174
    assert len(read(source, "students")) == 2_002
    assert len(read(source, "enrolments")) == 3_141
    assert all(None not in span for span in spans(source))
    assert "mary-fal18.xml.gz, pu-cs-fal07.xml.gz" in refusal(open_source(shared_data / "itc2019-raw")).problem
