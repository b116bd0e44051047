"""Ids are opaque, sort where they should, and do not collide by accident."""

from __future__ import annotations

import re
import uuid

import pytest

from domain.ids import calendar_tag, key_of, marker_of, uuid7

SECRET = b"secret"
BITS = (1 << 74) - 1


def test_a_uuid7_is_what_the_standard_says() -> None:
    """Other tools read the version and the time out of it."""
    found = uuid.UUID(uuid7(1_725_235_200_000, 12345))
    assert (found.version, found.variant) == (7, uuid.RFC_4122)
    assert found.int >> 80 == 1_725_235_200_000


@pytest.mark.parametrize("bits", [0, 1, 1 << 61, 1 << 62, 1 << 73, BITS])
def test_every_random_bit_is_kept(bits: int) -> None:
    """Two ids of one millisecond differ by these bits alone."""
    value = uuid.UUID(uuid7(0, bits)).int
    assert ((value >> 64) & 0xFFF) << 62 | value & ((1 << 62) - 1) == bits


def test_uuid7s_sort_by_creation() -> None:
    """Jobs of the same urgency go in the order in which they were asked for."""
    ids = [uuid7(at, BITS - at) for at in (1, 2, 1000, 1_725_235_200_000)]
    assert ids == sorted(ids)


def test_keys_do_not_collide_by_concatenation() -> None:
    """(term, course) 1|23 and 12|3 are two courses."""
    keys = {key_of("1", "23"), key_of("12", "3"), key_of("123"), key_of("123", ""), key_of("", "123"), key_of()}
    assert len(keys) == 6


@pytest.mark.parametrize("parts", [("a",), ("数学", "🍣"), ("x" * 10_000,), ("",)])
def test_a_key_has_twenty_characters_whatever_it_stands_for(parts: tuple[str, ...]) -> None:
    """It is part of primary keys and targets."""
    assert re.fullmatch(r"[a-z2-7]{20}", key_of(*parts))
    assert key_of(*parts) == key_of(*parts)


def test_a_marker_belongs_to_one_tenant_target_and_generation() -> None:
    """An event of another tenant, or of an earlier life of the session, must not be taken for ours."""
    base = {"tenant": "t1", "target": "evt:1", "generation": 0}
    markers = {
        marker_of(secret, **{**base, **change})  # type: ignore[arg-type]
        for secret in (SECRET, b"another")
        for change in ({}, {"tenant": "t2"}, {"target": "evt:2"}, {"generation": 1})
    }
    assert len(markers) == 8
    assert all(re.fullmatch(r"[a-z2-7]{20}", marker) for marker in markers)
    assert marker_of(SECRET, tenant="t1", target="evt:1", generation=0) in markers


def test_a_calendars_tag_can_be_drawn_again_when_it_is_taken() -> None:
    """Seven characters are few: a clash takes the next."""
    tags = [calendar_tag(SECRET, tenant="t1", offering_id="o1", attempt=n) for n in range(50)]
    assert len(set(tags)) == 50
    assert all(re.fullmatch(r"[a-z2-7]{7}", tag) for tag in tags)
