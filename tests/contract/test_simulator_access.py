"""Who gets in: tokens, signatures, paths."""

from collections.abc import Iterator

import pytest

from simulator.signing import sign
from tests.contract.simulator_process import APP_ID, APP_KEY, Simulator, running

DATE = "Mon, 02 Jan 2006 15:04:05 GMT"


@pytest.fixture(scope="module")
def process() -> Iterator[Simulator]:
    with running() as simulator:
        yield simulator


@pytest.fixture
def wps(process: Simulator) -> Simulator:
    process.fresh()
    process.log_in()
    return process


def test_signature_matches_the_published_example() -> None:
    """The vendor's page gives one request with its signature; agreeing with it is the only proof there is."""
    signature = sign("sk098765", "GET", "/v7/test?key=value", "application/json", DATE, b"")
    assert signature == "ce8df66877175e5198c8ea1362ffddf82e4941c6f25a4ca205a1ad09d0faaf03"


def test_signature_covers_the_hash_of_the_body() -> None:
    """A body changed on the way must not pass."""
    signature = sign("sk098765", "POST", "/v7/test/body", "application/json", DATE, b'{"key": "value"}')
    assert signature == "c46e6c988130818ecba2484d51ac685948fbbef6814602c7874d6bfc41dc17b3"


def test_token_is_flat_and_lasts_two_hours(wps: Simulator) -> None:
    """The token answer is the one that has no envelope; a client that looks for `data` finds nothing."""
    form = {"grant_type": "client_credentials", "client_id": APP_ID, "client_secret": APP_KEY}
    answer = wps.http.post("/oauth2/token", data=form).json()
    assert answer.keys() == {"access_token", "expires_in", "token_type"}
    assert answer["access_token"].startswith("eyJ")
    assert (answer["expires_in"], answer["token_type"]) == (7200, "bearer")


@pytest.mark.parametrize(
    ("form", "status", "code"),
    [
        ({}, 400, 40000001),
        ({"grant_type": "password"}, 401, 40100010),
        ({"grant_type": "client_credentials", "client_id": APP_ID, "client_secret": "wrong"}, 401, 40100008),
        ({"grant_type": "client_credentials", "client_id": "nobody", "client_secret": APP_KEY}, 401, 40100008),
    ],
)
def test_token_endpoint_refuses_in_the_oauth_family(
    wps: Simulator, form: dict[str, str], status: int, code: int
) -> None:
    """A wrong app key is a setting to correct, not something to retry; the code tells."""
    answer = wps.http.post("/oauth2/token", content=httpx_form(form), headers=FORM)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json().keys() == {"code", "msg"}


def test_token_endpoint_takes_a_form_only(wps: Simulator) -> None:
    """A JSON body is the usual mistake."""
    form = {"grant_type": "client_credentials", "client_id": APP_ID, "client_secret": APP_KEY}
    assert wps.http.post("/oauth2/token", json=form).json()["code"] == 40000001


def test_expired_token_is_refused_and_a_new_one_works(wps: Simulator) -> None:
    """Long runs live through the end of a token; the client must see it as such."""
    wps.desk("clock", {"advance_s": 7201})
    answer = wps.send("GET", "/v7/calendars")
    assert (answer.status_code, answer.json()["code"]) == (401, 401030001)
    wps.log_in()
    wps.ok("GET", "/v7/calendars")


@pytest.mark.parametrize(
    ("value", "code"), [(None, 401000001), ("Bearer nonsense", 40100011), ("Basic abc", 401000001)]
)
def test_call_without_a_good_token_is_refused(wps: Simulator, value: str | None, code: int) -> None:
    """Nobody writes into calendars without a token."""
    answer = wps.send("GET", "/v7/calendars", headers={"Authorization": value})
    assert (answer.status_code, answer.json()["code"]) == (401, code)


def test_wrong_signature_gets_a_page_and_not_json(wps: Simulator) -> None:
    """The real gateway answers HTML here, so a client has to survive a body that is not JSON."""
    answer = wps.send("GET", "/v7/calendars", headers={"X-Kso-Authorization": f"KSO-1 {APP_ID}:{'0' * 64}"})
    assert answer.status_code == 403
    assert answer.headers["content-type"].startswith("text/html")


def test_signature_without_the_query_is_wrong(wps: Simulator) -> None:
    """The known trap: signing the path alone works until the first call with a query."""
    path = "/v7/calendars"
    signature = sign(APP_KEY, "GET", path, "application/json", DATE, b"")
    headers = {"X-Kso-Date": DATE, "X-Kso-Authorization": f"KSO-1 {APP_ID}:{signature}"}
    assert wps.send("GET", path, headers=headers).status_code == 200
    assert wps.send("GET", f"{path}?page_size=20", headers=headers).status_code == 403


def test_signature_is_demanded_unless_told_otherwise(wps: Simulator) -> None:
    """The switch in the vendor's console has two positions; the strict one is the default."""
    unsigned = {"X-Kso-Authorization": None, "X-Kso-Date": None}
    assert wps.send("GET", "/v7/calendars", headers=unsigned).status_code == 403
    with running("--signature", "optional") as lenient:
        assert lenient.send("GET", "/v7/calendars", headers=unsigned).status_code == 200
        wrong = {"X-Kso-Authorization": "KSO-1 sim-app:0"}
        assert lenient.send("GET", "/v7/calendars", headers=wrong).status_code == 403


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v7/nothing"), ("POST", "/v7/calendars"), ("PUT", "/v7/calendars/x"), ("GET", "/")]
)
def test_unknown_path_is_a_json_404(wps: Simulator, method: str, path: str) -> None:
    """A path invented by the client must not look like success."""
    answer = wps.send(method, path)
    assert (answer.status_code, answer.json()["code"]) == (404, 404000001)


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def httpx_form(form: dict[str, str]) -> bytes:
    return "&".join(f"{name}={value}" for name, value in form.items()).encode()
