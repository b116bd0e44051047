"""Families of failures: one fault is one line, however many targets it hit."""

from __future__ import annotations

import pytest

from domain.failures import Fault, family_of, fault_of, normalised
from remote.wps.errors import WpsError, classify


@pytest.mark.parametrize(
    ("message", "pattern"),
    [
        ("SummaryTooLong: 41 > 40", "SummaryTooLong: ‹n› > ‹n›"),
        ('no such user "20240017"', "no such user ‹text›"),
        ("标题「线性代数 A」过长", "标题‹text›过长"),
        ("event evt:abc23 is locked", "event ‹id› is locked"),
        ("event evt:a1, evt:b2 and evt:c3 are locked", "event ‹id› are locked"),
        ("request 0192f0c1-7a10-7cc1-9d3e-0a1b2c3d4e5f failed", "request ‹id› failed"),
        ("request 8f3a2b77 failed", "request ‹id› failed"),
        ("not before 2024-09-02T08:00:00+08:00", "not before ‹date›"),
        ("不早于 2024年9月2日 8:00", "不早于 ‹date›"),
        ("see https://example.edu/x?y=1 for more", "see ‹address› for more"),
        ("mail to someone@example.edu", "mail to ‹address›"),
        ("3.5 s of 10,000", "‹n› s of ‹n›"),
        ("don't know it, can't do it", "don't know it, can't do it"),
        ("  two\n lines\t", "two lines"),
        ("", ""),
    ],
)
def test_what_varies_is_left_out_of_a_message(message: str, pattern: str) -> None:
    """A number in the message would make twenty thousand families out of one cause."""
    assert normalised(message) == pattern


def test_the_words_of_the_target_itself_are_left_out() -> None:
    """The service repeats the title it does not like, and every course has another."""
    assert normalised("标题 线性代数 A 含敏感词", names=["线性代数 A", "线性代数", "A"]) == "标题 ‹name› 含敏感词"
    assert normalised("name is bad", names=["name"]) == "‹name› is bad"


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        (str(classify("events.update", http_status=400, code=400411301, message="Summary 7")), Fault(400411301, "Summary ‹n›")),
        (
            f"gave up after 6 attempts; last: {classify('events.update', http_status=500, code=500000004, message='no')}",
            Fault(500000004, "no"),
        ),
        (str(classify("calendars.list", http_status=403, code=None, message="<html> 17")), Fault(None, "HTTP 403")),
        (str(WpsError("events.list", message="reset after 3 s")), Fault(None, "reset after ‹n› s")),
        ("gave up after 6 attempts; last: its worker died", Fault(None, "its worker died")),
        ("KeyError: 'codes'", Fault(None, "KeyError: ‹text›")),
    ],
)  # fmt: skip
def test_the_code_of_the_service_is_read_out_of_the_stored_sentence(message: str, fault: Fault) -> None:
    """The code is what the remedy is found by; the sentence is all that an earlier attempt has left."""
    assert fault_of(message) == fault


def test_another_operation_code_class_or_message_is_another_family() -> None:
    """Creating and deleting fail for different reasons, and are mended differently."""
    one = {"kind": "event", "verb": "create", "error_class": "bad_request", "fault": Fault(1, "x")}
    others = [{}, {"kind": "members"}, {"verb": "update"}, {"error_class": "auth"}, {"fault": Fault(2, "x")}]
    others.append({"fault": Fault(1, "y")})
    assert len({family_of(**{**one, **change}) for change in others}) == len(others)  # type: ignore[arg-type]
    assert family_of(**one) == family_of(**one)  # type: ignore[arg-type]
