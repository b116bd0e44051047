"""Lines that are written without the way of all others say the same, and hide the same."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from observability.log import bound, configure, get_logger, lines


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What a process writes into its log."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    out = io.StringIO()
    configure("INFO", pretty=False, out=out, service="web")
    yield out
    root.handlers[:], root.level = before


def read(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_of_an_answer_is_the_one_that_the_log_would_write(written: io.StringIO) -> None:
    """Who greps by request or counts by status must not need to know which way a line went."""
    direct = lines()
    assert direct is not None
    said: dict[str, Any] = {"method": "GET", "route": "/api/v1/users/<code>", "status": 200, "took_ms": 1.5}
    with bound(request_id="eyJhbGciOiJIUzI1NiJ9.e30.secret", user="13800138000", tenant="北院", trace_id="a" * 32):
        get_logger("web").info("request", **said)
        direct.write("web", "request", **said)
    one, other = read(written)
    assert one.pop("ts")[-1] == other.pop("ts")[-1] == "Z"
    assert one == other
    assert "eyJ" not in written.getvalue() and "13800138000" not in written.getvalue()


def test_nothing_is_written_that_the_level_does_not_ask_for() -> None:
    """An operator who wants warnings only gets no line for each request."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        configure("WARNING", pretty=False, out=io.StringIO())
        assert lines() is None
    finally:
        root.handlers[:], root.level = before


def test_what_waits_is_written_at_the_end(written: io.StringIO) -> None:
    """The last lines before a stop are those that somebody will look for."""
    direct = lines()
    assert direct is not None
    direct.write_behind()
    for number in range(5):
        direct.write("web", "request", status=number)
    direct.flush()
    assert [one["status"] for one in read(written)] == [0, 1, 2, 3, 4]
