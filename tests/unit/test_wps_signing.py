"""The KSO-1 signature against the service's own worked example."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from remote.wps.credentials import Credentials
from remote.wps.signing import authorization, kso_date, signature

APP = Credentials("AK123456", "sk098765")
DATE = "Mon, 02 Jan 2006 15:04:05 GMT"


def test_the_worked_example_of_a_get_is_reproduced() -> None:
    """The official page prints this value: any difference means that no request is accepted."""
    header = authorization(
        APP, method="GET", target="/v7/test?key=value", content_type="application/json", date=DATE, body=b""
    )
    assert header == "KSO-1 AK123456:ce8df66877175e5198c8ea1362ffddf82e4941c6f25a4ca205a1ad09d0faaf03"


def test_the_worked_example_of_a_post_is_reproduced() -> None:
    """With a body its hash is part of the message."""
    signed = signature(
        app_key=APP.app_key,
        method="POST",
        target="/v7/test/body",
        content_type="application/json",
        date=DATE,
        body=b'{"key": "value"}',
    )
    assert signed == "c46e6c988130818ecba2484d51ac685948fbbef6814602c7874d6bfc41dc17b3"


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "GET"},
        {"target": "/v7/test/body?page_size=20"},
        {"content_type": ""},
        {"date": "Mon, 02 Jan 2006 15:04:06 GMT"},
        {"body": b'{"key":"value"}'},
        {"app_key": "sk098766"},
    ],
)
def test_every_part_of_the_request_is_signed(changed: dict[str, object]) -> None:
    """A signature that leaves the query or the exact bytes out is refused by the gateway with an HTML page."""
    parts: dict[str, object] = {
        "app_key": APP.app_key,
        "method": "POST",
        "target": "/v7/test/body",
        "content_type": "application/json",
        "date": DATE,
        "body": b'{"key": "value"}',
    }
    assert signature(**{**parts, **changed}) != signature(**parts)  # type: ignore[arg-type]


def test_the_date_is_gmt_whatever_the_clock_zone() -> None:
    """A campus clock at +08:00 must not shift the signed date."""
    moment = datetime(2006, 1, 2, 15, 4, 5, tzinfo=UTC)
    assert kso_date(moment) == DATE
    assert kso_date(moment.astimezone(timezone(timedelta(hours=8)))) == DATE


def test_the_key_does_not_show() -> None:
    """Credentials end up in debug output sooner or later."""
    assert "sk098765" not in repr(APP)
    assert "sk098765" not in str(APP)


@pytest.mark.parametrize(("app_id", "app_key"), [("", "k"), ("a", "")])
def test_half_a_credential_is_refused(app_id: str, app_key: str) -> None:
    """An empty key would sign without an error and be refused a thousand times."""
    with pytest.raises(ValueError, match="app id and an app key"):
        Credentials(app_id, app_key)
