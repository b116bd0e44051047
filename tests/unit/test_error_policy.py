"""The error table: what each answer means for the write it answers."""

import csv
import re
from pathlib import Path

import pytest

from remote.wps.errors import (
    CODES,
    POLICIES,
    UNLIMITED,
    GuardRefused,
    Kind,
    WpsAuth,
    WpsConflict,
    WpsError,
    WpsForbidden,
    WpsGone,
    WpsLocked,
    WpsMisconfigured,
    WpsNoSuchUser,
    WpsNotSent,
    WpsRefused,
    WpsRejected,
    WpsThrottled,
    WpsUnknown,
    backoff_ms,
    classify,
    redacted,
)

CODE_LIST = Path(__file__).resolve().parents[3] / "shared" / "wps" / "error-codes.tsv"

SINGLE = [
    # status, code, exception, class that people see
    (200, 400000001, WpsThrottled, "rate_limit"),
    (429, 429000001, WpsThrottled, "rate_limit"),
    (400, 400411031, WpsThrottled, "rate_limit"),
    (400, 400411036, WpsThrottled, "rate_limit"),
    (200, 400411035, WpsLocked, "conflict"),
    (200, 400411039, WpsLocked, "conflict"),
    (200, 400411042, WpsLocked, "conflict"),
    (200, 400000005, WpsLocked, "conflict"),
    (400, 400000104, WpsConflict, "conflict"),
    (401, 40100011, WpsAuth, "auth"),
    (401, 401030001, WpsAuth, "auth"),
    (401, 401030003, WpsAuth, "auth"),
    (401, 401000001, WpsAuth, "auth"),
    (401, 40100008, WpsMisconfigured, "auth"),
    (403, 40300010, WpsMisconfigured, "auth"),
    (403, 403000001, WpsForbidden, "auth"),
    (403, 403411010, WpsForbidden, "auth"),
    (403, 400000003, WpsRejected, "bad_request"),
    (200, 400411301, WpsRejected, "bad_request"),
    (400, 400411361, WpsRejected, "bad_request"),
    (400, 400411121, WpsNoSuchUser, "not_found"),
    (404, 404411305, WpsGone, "not_found"),
    (404, 404411503, WpsGone, "not_found"),
    (400, 400000103, WpsGone, "not_found"),
    (400, 400411517, WpsGone, "not_found"),
]


@pytest.mark.parametrize(("status", "code", "exception", "error_class"), SINGLE)
def test_a_single_write_is_definitely_refused(
    status: int, code: int, exception: type[WpsError], error_class: str
) -> None:
    """A definite no clears the intent; the code decides, whatever the status line says."""
    error = classify("events.update", http_status=status, code=code, message="m")
    assert type(error) is exception
    assert isinstance(error, WpsRefused)
    assert error.error_class == error_class


@pytest.mark.parametrize(("status", "code", "exception", "error_class"), SINGLE)
def test_a_list_write_is_refused_by_a_throttle_only(
    status: int, code: int, exception: type[WpsError], error_class: str
) -> None:
    """Nothing promises that a failing list was not applied in part: it has to be looked up first."""
    error = classify("events.batch_create", http_status=status, code=code, message="m", list_write=True)
    if exception is WpsThrottled:
        assert isinstance(error, WpsThrottled)
        return
    assert isinstance(error, WpsUnknown)
    assert type(error.cause) is exception
    assert error.envelope
    assert error.error_class == error_class


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (500, None),
        (502, None),
        (503, 503000001),
        (200, 500411034),
        (200, 500000001),
        (500, 400000003),
        (500, 404411305),
        (503, 429000001),
        (200, 400411032),
        (200, 400411051),
        (200, None),
        (302, None),
    ],
)
def test_a_failure_on_their_side_is_unknown_and_may_still_be_running(status: int, code: int | None) -> None:
    """After a 5xx, or an answer that is not theirs, the write may land late: the long wait is needed."""
    error = classify("events.update", http_status=status, code=code, message="m")
    assert isinstance(error, WpsUnknown)
    assert not error.envelope
    assert error.policy.retries > 0
    assert not error.policy.to_person


@pytest.mark.parametrize("code", [1, 12345, -5, 999999999, 10**30])
def test_a_code_of_no_family_goes_to_a_person(code: int) -> None:
    """A number nobody has seen is not guessed at; the outcome counts as unknown."""
    error = classify("events.update", http_status=200, code=code, message="m")
    assert isinstance(error, WpsUnknown)
    assert error.envelope
    assert error.error_class == "unknown"
    assert error.policy.to_person


@pytest.mark.parametrize(
    ("status", "exception"),
    [(403, WpsMisconfigured), (404, WpsMisconfigured), (401, WpsAuth), (429, WpsThrottled), (413, WpsRejected)],
)
def test_an_answer_that_is_not_theirs_is_read_by_its_status(status: int, exception: type[WpsError]) -> None:
    """A gateway's 404 means a wrong address: taken for "gone" it would turn every delete into a success."""
    assert type(classify("events.delete", http_status=status, code=None, message="<html>")) is exception


def test_unlisted_codes_follow_their_family() -> None:
    """The service has hundreds of codes: the first three digits of one we do not name still say what it is."""
    assert type(classify("c", http_status=200, code=404999123, message="")) is WpsGone
    assert type(classify("c", http_status=200, code=409415084, message="")) is WpsConflict
    assert type(classify("c", http_status=200, code=400411987, message="")) is WpsRejected
    assert type(classify("c", http_status=200, code=50000006, message="")) is WpsUnknown


def test_success_codes_under_an_error_status_are_unknown() -> None:
    """`code` 0 with a 404 contradicts itself: it is neither done nor refused."""
    for code in (0, 400411340):
        error = classify("c", http_status=404, code=code, message="")
        assert isinstance(error, WpsUnknown)
        assert error.policy is POLICIES[Kind.SERVER]


def test_every_row_has_a_policy_and_fails_at_once_only_to_a_person() -> None:
    """No error may be silent: what is not retried goes to somebody, and what is retried waits."""
    errors = set(Kind) - {Kind.OK, Kind.NO_CHANGE}
    assert set(POLICIES) == errors
    for kind, policy in POLICIES.items():
        assert policy.to_person == (policy.retries == 0), kind
    assert POLICIES[Kind.AUTH].retries <= 3
    assert POLICIES[Kind.SERVER].retries <= 5
    assert POLICIES[Kind.NETWORK].retries <= 3
    assert POLICIES[Kind.THROTTLED].retries == UNLIMITED
    assert {policy.error_class.value for policy in POLICIES.values()} == {
        "auth",
        "not_found",
        "conflict",
        "rate_limit",
        "server",
        "network",
        "timeout",
        "bad_request",
        "unknown",
    }


def test_backoff_doubles_to_its_cap_and_spreads() -> None:
    """Lanes that failed together must not come back together."""
    policy = POLICIES[Kind.SERVER]
    assert [backoff_ms(policy, attempts, 1.0) for attempts in (0, 1, 2, 3, 4)] == [1_000, 1_000, 2_000, 4_000, 8_000]
    assert [backoff_ms(policy, attempts, 0.0) for attempts in (1, 2)] == [500, 1_000]
    assert backoff_ms(policy, 10_000, 1.0) == policy.cap_ms
    assert backoff_ms(POLICIES[Kind.GONE], 1, 0.5) == 0


@pytest.mark.skipif(not CODE_LIST.is_file(), reason="the service's own list of codes is not here")
def test_named_codes_exist() -> None:
    """A digit typed wrong would turn a lock into a dead letter, and no other test would notice."""
    with CODE_LIST.open(encoding="utf-8") as lines:
        official = {int(row[0]): row[1] for row in csv.reader(lines, delimiter="\t")}
    source = (Path(__file__).resolve().parents[2] / "remote" / "wps" / "errors.py").read_text(encoding="utf-8")
    named = {int(code): name for code, name in re.findall(r"^ +(\d+): Kind\.\w+,  # (\w+)", source, flags=re.M)}
    assert set(named) == set(CODES) - {0}
    assert {code: official.get(code) for code in named} == named


def test_a_guard_that_refuses_is_a_call_not_sent() -> None:
    """The drain treats it like a connection that could not be opened: the intent is cleared."""
    error = GuardRefused("lease too short")
    assert isinstance(error, WpsNotSent)
    assert isinstance(error, WpsRefused)
    assert "lease too short" in str(error)


@pytest.mark.parametrize(
    "said",
    [
        "bad token Bearer abc.def.ghi here",
        'header {"access_token": "s3cr3t-value"}',
        "client_secret=s3cr3t-value&x=1",
        "KSO-1 AK:s3cr3t-value",
        "jwt eyJhbGciOi.s3cr3t.value",
        "key is sk-s3cr3t-value",
    ],
)
def test_messages_are_redacted_cut_and_one_line(said: str) -> None:
    """A server may echo what it was sent, and its text ends in logs and in rows that many may read."""
    text = redacted(said + "\r\nnext: line\x00" + "長" * 1_000, "sk-s3cr3t-value")
    assert "s3cr3t" not in text
    assert "abc.def" not in text
    assert len(text) <= 300
    assert text.isprintable()


def test_an_error_says_what_happened_to_which_call() -> None:
    """The text of an exception is all that a log line has."""
    text = str(classify("events.update", http_status=403, code=400000003, message="bad time"))
    assert text == "events.update: rejected (status 403, code 400000003): bad time"
