"""Retry-After as servers really write it."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from ratelimit.retry_after import parse_retry_after

NOW = datetime(2026, 3, 2, 8, 0, 0, tzinfo=UTC)


def http_date(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)


@pytest.mark.parametrize(
    ("value", "wait_ms"),
    [
        ("3", 3_000),
        (" 120 ", 120_000),
        ("0", 1_000),
        ("86400", 900_000),
        ("9" * 5_000, 900_000),
        (http_date(NOW + timedelta(seconds=42)), 42_000),
        (http_date(NOW - timedelta(hours=1)), 1_000),
        ("Monday, 02-Mar-26 08:00:42 GMT", 42_000),
        ("Mon Mar  2 08:00:42 2026", 42_000),
    ],
)
def test_retry_after_is_read_in_every_form_the_standard_allows(value: str, wait_ms: int) -> None:
    """Seconds or one of three kinds of date; never below a second, never above a quarter of an hour."""
    assert parse_retry_after(value, now=NOW, date_header=None) == wait_ms


@pytest.mark.parametrize("value", [None, "", "  ", "soon", "-5", "1.5", "٣", "Mon, 99 Foo 2026", "\x00", "2026-03-02"])
def test_a_retry_after_that_means_nothing_is_none(value: str | None) -> None:
    """The caller then has its own back-off; an exception would turn a throttle into a crash."""
    assert parse_retry_after(value, now=NOW, date_header=None) is None


def test_a_date_is_measured_against_the_clock_that_wrote_it() -> None:
    """Their clock is ten minutes ahead of ours: the wait is thirty seconds all the same."""
    theirs = NOW + timedelta(minutes=10)
    value = http_date(theirs + timedelta(seconds=30))
    assert parse_retry_after(value, now=NOW, date_header=http_date(theirs)) == 30_000
    assert parse_retry_after(value, now=NOW, date_header="nonsense") == 630_000
