"""Names as people type them."""

from __future__ import annotations

import pytest

from domain.pinyin import found, sound, typed

NAMES = [typed(one) for one in ("线性代数", "高等数学（上）", "大学物理实验", "女性学", "王小明", "Python 程序设计")]


@pytest.mark.parametrize(
    ("character", "typed_as"),
    [("啊", "a"), ("线", "xian"), ("性", "xing"), ("代", "dai"), ("数", "shu"), ("女", "nv"), ("略", "lve"), ("绿", "lv"),
     ("座", "zuo"), ("王", "wang"), ("A", "a"), ("（", "（"), ("囧", "囧"), ("钰", "钰")],
)  # fmt: skip
def test_a_character_is_typed_by_its_sound(character: str, typed_as: str) -> None:
    """The first and the last of the table, some between, and what is not in it."""
    assert sound(character) == typed_as


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("xxds", ["线性代数"]),
        ("xianxing", ["线性代数"]),
        ("daishu", ["线性代数"]),
        ("Dai Shu", ["线性代数"]),
        ("线代", ["线性代数"]),
        ("大物实验", ["大学物理实验"]),
        ("wxm", ["王小明"]),
        ("pythoncx", ["Python 程序设计"]),
        ("nvxing", ["女性学"]),
        ("gdsx", ["高等数学（上）"]),
        ("ianxing", []),
        ("代线", []),
        ("x", []),
    ],
)
def test_what_is_typed_finds_what_is_meant(said: str, meant: list[str]) -> None:
    """First letters, sounds from the beginning of a character on, or characters of the name in their order."""
    assert found(NAMES, said, limit=9) == meant


def test_no_more_than_are_wanted_are_found() -> None:
    """A letter or two fit many names."""
    assert len(found([typed(f"线性代数{number}") for number in range(50)], "xx", limit=5)) == 5
