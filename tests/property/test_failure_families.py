"""Any message: normalising is settled after one time, and the same fault is one family whatever it hit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from domain.failures import PATTERN_CHARS, normalised

texts = st.text(alphabet="abZ19é线 \t\n\"'“”「」‹›:-_/.,@+年月日evt", max_size=300)


@given(texts, st.lists(st.text(alphabet="ab线1‹n› ", max_size=4), max_size=3))
def test_normalising_twice_is_normalising_once(message: str, names: list[str]) -> None:
    """The pattern of a family is looked up by normalising again; it must find itself."""
    pattern = normalised(message, names=names)
    assert normalised(pattern, names=names) == pattern
    assert len(pattern) <= PATTERN_CHARS


NUMBERS = st.integers(0, 10**12).map(str)
IDS = st.uuids().map(str) | st.text(alphabet="abcz27", min_size=20, max_size=20).map(lambda one: f"evt:{one}")
DATES = st.dates().map(str) | st.datetimes().map(lambda one: one.isoformat(timespec="seconds"))
QUOTED = st.text(alphabet="线性代数 abc 12", max_size=12).map(lambda one: f'"{one}"')
SLOTS = {"{n}": NUMBERS, "{id}": IDS, "{date}": DATES, "{quoted}": QUOTED}
WORDS = st.lists(st.sampled_from(["event", "is", "locked", "标题过长", "for", *SLOTS]), min_size=1, max_size=8)


@given(WORDS, st.data())
def test_the_same_fault_on_different_targets_is_one_family(words: list[str], data: st.DataObject) -> None:
    """Otherwise the list of families is the list of dead letters."""

    def said() -> str:
        return " ".join(data.draw(SLOTS[word]) if word in SLOTS else word for word in words)

    assert normalised(said()) == normalised(said())
