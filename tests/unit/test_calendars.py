"""How our objects are recognised in somebody else's calendar."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from domain.calendars import EventBody, calendar_name, find_marker, marker_line, with_marker, without_marker

MARKER = "abcdefghij234567klmn"
BODY = EventBody(
    "高等数学", with_marker("教师：王老师、李老师", MARKER), 1_709_510_400_000, 1_709_516_100_000, "东上院101"
)


@pytest.mark.parametrize(
    "description",
    [
        marker_line(MARKER),
        f"教师：王老师\n{marker_line(MARKER)}",
        f"教师：王老师\r\n  {marker_line(MARKER)}  \r\n",
        f"{marker_line(MARKER)}\n请带教材",
        f"⟦ob:{'z' * 20}⟧\n{marker_line(MARKER)}",
    ],
)
def test_the_last_marker_line_counts(description: str) -> None:
    """A teacher may add lines, and the service may trim them: the event must stay ours."""
    assert find_marker(description) == MARKER


@pytest.mark.parametrize(
    "description",
    ["", "教师：王老师", "⟦ob:short⟧", f"⟦ob:{MARKER}", f"见 {marker_line(MARKER)} 处", "⟦ob:abcdefghij234567klm1⟧"],
)
def test_what_is_not_a_whole_line_is_no_marker(description: str) -> None:
    """An event of somebody else must not be adopted or deleted because its text looks a little like ours."""
    assert find_marker(description) is None


def test_the_marker_comes_and_goes_without_a_trace() -> None:
    """What a person reads is the same before and after."""
    assert without_marker(with_marker("a\nb", MARKER)) == "a\nb"
    assert with_marker(with_marker("a", "z" * 20), MARKER) == f"a\n{marker_line(MARKER)}"
    assert with_marker("", MARKER) == marker_line(MARKER)
    assert without_marker(marker_line(MARKER)) == ""


def test_the_hash_is_of_what_a_person_sees() -> None:
    """A new marker is no change of the event; anything readable is."""
    same = [
        replace(BODY, description=with_marker(BODY.description, "z" * 20)),
        replace(BODY, description=BODY.description.replace("\n", "\r\n") + "\n"),
    ]
    assert {each.content_hash() for each in same} == {BODY.content_hash()}
    assert replace(BODY, location=None).content_hash() == replace(BODY, location="").content_hash()
    different = [
        replace(BODY, summary="线性代数"),
        replace(BODY, description=with_marker("教师：王老师", MARKER)),
        replace(BODY, start_ms=BODY.start_ms + 1),
        replace(BODY, end_ms=BODY.end_ms + 1),
        replace(BODY, location=None),
        replace(BODY, summary=BODY.summary + "教", description=without_marker(BODY.description)[1:]),
    ]
    hashes = {each.content_hash() for each in [BODY, *different]}
    assert len(hashes) == 7
    assert all(len(each) == 32 for each in hashes)


def test_the_hash_is_the_same_in_every_process() -> None:
    """It is stored, and compared by other workers on other days."""
    values = tuple(getattr(BODY, name) for name in BODY.__slots__)
    code = f"from domain.calendars import EventBody; print(EventBody{values!r}.content_hash())"
    for seed in ("1", "2"):
        printed = subprocess.run(
            [sys.executable, "-X", "utf8", "-c", code],
            cwd=Path(__file__).resolve().parents[2],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert printed.stdout.strip() == BODY.content_hash()


def test_a_calendar_is_named_by_course_and_tag_within_forty_characters() -> None:
    """The service cuts nothing, it refuses; and the tag is how the calendar is found again."""
    assert calendar_name("  高等数学 ", "abcdefg") == "高等数学 ·abcdefg"
    long = calendar_name("毛泽东思想和中国特色社会主义理论体系概论" * 3, "abcdefg")
    assert len(long) == 40
    assert long.endswith(" ·abcdefg")
    assert calendar_name("x" * 30 + "  y", "abcdefg") == "x" * 30 + " ·abcdefg"


@pytest.mark.parametrize(("name", "tag"), [("", "abcdefg"), ("  ", "abcdefg"), ("x", "abc"), ("x", "abcdefgh")])
def test_a_name_without_a_course_or_a_whole_tag_is_refused(name: str, tag: str) -> None:
    """A calendar that could not be recognised later must not be created."""
    with pytest.raises(ValueError, match="calendar"):
        calendar_name(name, tag)
