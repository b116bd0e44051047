"""Logs are read by machines and by strangers: one object a line, and no secret in it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given, settings, strategies

from observability import log, redaction


class Written(io.StringIO):
    """An output that is read back as records."""

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def written() -> Iterator[Written]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    out = Written()
    log.configure("INFO", pretty=False, out=out)
    yield out
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_an_event_is_one_json_object_with_its_fields(written: Written) -> None:
    """Events with fields can be counted; sentences cannot."""
    log.get_logger("usecases.lanes").info("lane.claimed", fence=7, college="数学学院")
    (record,) = written.records()
    assert (record["event"], record["fence"], record["college"]) == ("lane.claimed", 7, "数学学院")
    assert (record["level"], record["logger"]) == ("info", "usecases.lanes")
    assert record["ts"].endswith("Z")
    assert "数学学院" in written.getvalue()


def test_a_bound_lane_and_run_are_on_every_event_inside_and_on_none_after(written: Written) -> None:
    """Whoever asks what happened to one lane filters by its id, in any module."""
    logger = log.get_logger("a")
    with log.bound(lane="main/math", run_id="r1"):
        logger.info("inside")
    logger.info("after")
    inside, after = written.records()
    assert (inside["lane"], inside["run_id"]) == ("main/math", "r1")
    assert "lane" not in after


def test_secrets_are_redacted_at_any_depth(written: Written) -> None:
    """A log file is the easiest place to steal a token from."""
    log.get_logger("a").info(
        "wps.refused",
        app_key="PLANTED",
        headers={"Authorization": "PLANTED", "X-Kso-Date": "kept"},
        tries=[{"access_token": "PLANTED"}, {"deep": {"Password": "PLANTED"}}],
        open_key="main/event/1",
    )
    assert "PLANTED" not in written.getvalue()
    (record,) = written.records()
    assert record["app_key"] == log.REDACTED
    assert record["headers"]["X-Kso-Date"] == "kept"
    assert record["open_key"] == "main/event/1"


def test_libraries_log_in_the_same_form(written: Written) -> None:
    """Dramatiq and SQLAlchemy speak to the standard library's logging; their lines must not break the parser."""
    logging.getLogger("dramatiq.worker").warning("worker %s is gone", 3, extra={"token": "PLANTED"})
    (record,) = written.records()
    assert (record["event"], record["logger"], record["level"]) == ("worker 3 is gone", "dramatiq.worker", "warning")
    assert "PLANTED" not in written.getvalue()


def test_a_traceback_stays_inside_its_record(written: Written) -> None:
    """One event, one line, even when it is a crash."""
    try:
        _ = dict[str, int]()["missing"]
    except KeyError:
        log.get_logger("a").exception("broken")
    (record,) = written.records()
    assert "KeyError: 'missing'" in record["exception"]


def test_levels_below_the_chosen_one_are_silent(written: Written) -> None:
    """The level is a setting, and debug output costs nothing where it is off."""
    log.get_logger("a").debug("detail")
    assert written.records() == []


def test_a_line_break_in_an_event_cannot_forge_a_second_one() -> None:
    """On a terminal a remote text must not look like an event of ours."""
    out = io.StringIO()
    log.configure("INFO", pretty=True, out=out)
    try:
        log.get_logger("a").info("answer was\nERROR all is lost")
    finally:
        structlog.reset_defaults()
        logging.getLogger().handlers[:] = []
    assert len(out.getvalue().splitlines()) == 1


PLANTED = {
    "a JWT": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtZWkifQ.c2lnbmF0dXJl",
    "an API key": "ob_main_0123456789ab_" + "ab" * 32,
    "the address of a feed": "/feeds/main/" + "Zx-9_" * 8 + ".ics",
    "a password hash": "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
    "a telephone number": "13812345678",
    "an identity number": "11010519491231002X",
}
QUOTED = (
    "mysql://root:Planted99@db/x", "password=Planted99", '{"client_secret": "Planted99"}', "Authorization: Bearer Planted99",
    "{'refresh_token': 'Planted99'}", "?code_verifier=Planted99&x=1", "lat=39.Planted99", "Basic Planted99==",
)  # fmt: skip


def test_a_secret_in_a_sentence_is_redacted_by_what_it_looks_like(written: Written) -> None:
    """Errors quote what somebody sent; a name that would warn us is not always there."""
    logger = log.get_logger("a")
    for text in (*PLANTED.values(), *QUOTED):
        logger.info(f"refused {text}", detail=f"said {text}!", many=[{"x": (text,)}], error=ValueError(text))
        logging.getLogger("lib").warning("saw %s", text)
        try:
            raise ValueError(f"cannot use {text}")
        except ValueError:
            logger.exception("broke")
    for secret in (*PLANTED.values(), "Planted99"):
        assert secret not in written.getvalue()


@settings(max_examples=60, deadline=None)
@given(strategies.from_regex(redaction._PLAIN, fullmatch=True))
def test_what_is_let_through_at_a_glance_looks_like_no_secret(text: str) -> None:
    """The short way must not be a way round."""
    assert not any(pattern.search(text) for pattern, _ in redaction._VALUES)


def test_what_is_no_secret_stays_readable(written: Written) -> None:
    """A log in which everything is redacted is read by nobody."""
    text = (
        "run 0190c3d2-8f6e-7000-8000-000000000000 of 2024-2025-1: 线性代数 at 1725000000000, student 2024010203, key: 7"
    )
    log.get_logger("a").info(text, open_key="main/event/1", token_epoch=3, count=13)
    (record,) = written.records()
    assert (record["event"], record["open_key"], record["token_epoch"], record["count"]) == (
        text,
        "main/event/1",
        3,
        13,
    )
    assert record["level"] == "info" and record["logger"] == "a"
