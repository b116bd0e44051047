"""Faults, limits, the log and the life of the process."""

import concurrent.futures
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulator.faults import NAMES, BadScript, Faults
from simulator.log import CallLog, Entry
from simulator.quotas import RateLimit
from tests.contract.simulator_process import ROOT, Simulator, event, running

BATCH = "/events/batch_create$"


@pytest.fixture(scope="module")
def process() -> Iterator[Simulator]:
    with running() as simulator:
        yield simulator


@pytest.fixture
def wps(process: Simulator) -> Simulator:
    process.fresh()
    process.log_in()
    return process


@pytest.fixture
def path(wps: Simulator) -> str:
    return f"/v7/calendars/{wps.calendar()}/events"


def events_there(wps: Simulator) -> int:
    count: int = wps.desk("state?counts=1")["events"]
    return count


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def rule(do: str, **params: Any) -> dict[str, Any]:
    return {"match": {"path": BATCH}, "times": 1, "do": do, "params": params}


@pytest.mark.parametrize(
    ("do", "params", "applied"),
    [
        ("applied_reply_lost", {}, True),
        ("applied_reply_lost", {"reset": True}, True),
        ("refused_connection_drop", {}, False),
        ("half_body", {}, True),
    ],
)
def test_connection_ends_without_a_whole_answer(
    wps: Simulator, path: str, do: str, params: dict[str, Any], applied: bool
) -> None:
    """From the client's side these look alike; only the service knows whether the events exist."""
    wps.desk("faults", [rule(do, **params)])
    with pytest.raises(httpx.TransportError):
        wps.send("POST", f"{path}/batch_create", {"events": [event(1), event(2)]})
    assert events_there(wps) == (2 if applied else 0)
    last = wps.desk("log")[-1]
    assert (last["fault"], last["applied"], last["delivered"]) == (do, applied, False)
    wps.ok("POST", f"{path}/batch_create", {"events": [event(3)]})


@pytest.mark.parametrize(
    ("do", "params", "status", "code", "applied"),
    [
        ("error_500_applied", {}, 500, 500000004, True),
        ("error_500_not_applied", {}, 500, 500000004, False),
        ("throttle", {"retry_after_s": 2}, 429, 429000001, False),
        ("throttle", {"status": 400, "code": 400411036, "retry_after_s": None}, 400, 400411036, False),
        ("status", {"status": 400, "code": 400411035}, 400, 400411035, False),
        ("status", {"applied": True}, 503, 503000001, True),
    ],
)
def test_error_answers_with_and_without_effect(
    wps: Simulator, path: str, do: str, params: dict[str, Any], status: int, code: int, applied: bool
) -> None:
    """A 500 says nothing about whether the call was carried out; a throttle says that it was not."""
    wps.desk("faults", [rule(do, **params)])
    answer = wps.send("POST", f"{path}/batch_create", {"events": [event(1)]})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers.get("Retry-After") == (str(params["retry_after_s"]) if params.get("retry_after_s") else None)
    assert events_there(wps) == (1 if applied else 0)


def test_html_403_is_not_json(wps: Simulator, path: str) -> None:
    """A gateway in between has its own opinion of what an answer looks like."""
    wps.desk("faults", [rule("html_403")])
    answer = wps.send("POST", f"{path}/batch_create", {"events": [event(1)]})
    assert (answer.status_code, answer.headers["content-type"]) == (403, "text/html")
    assert events_there(wps) == 0


def test_late_call_comes_true_after_its_connection_is_gone(wps: Simulator, path: str) -> None:
    """Whoever looks at once sees nothing and must not conclude that nothing will come."""
    wps.desk("faults", [rule("late", delay_s=0.3)])
    with pytest.raises(httpx.TransportError):
        wps.send("POST", f"{path}/batch_create", {"events": [event(1)]})
    assert events_there(wps) == 0
    until(lambda: events_there(wps) == 1)
    (entry,) = [item for item in wps.desk("log") if item["fault"] == "late"]
    assert entry["applied"] is True
    assert entry["applied_at"] - entry["end"] >= 0.29


def test_slow_call_is_late_but_good(wps: Simulator, path: str) -> None:
    """A client with a deadline gives up before it; the events exist all the same."""
    wps.desk("faults", [rule("slow", delay_s=0.3)])
    started = time.monotonic()
    wps.ok("POST", f"{path}/batch_create", {"events": [event(1)]})
    assert time.monotonic() - started >= 0.3
    assert events_there(wps) == 1


@pytest.mark.parametrize("applied", [False, True])
def test_a_page_of_html_may_hide_either(wps: Simulator, path: str, applied: bool) -> None:
    """A proxy's page of apology comes with status 200 as well."""
    wps.desk("faults", [rule("html", applied=applied)])
    answer = wps.send("POST", f"{path}/batch_create", {"events": [event(1)]})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html")
    assert events_there(wps) == (1 if applied else 0)


@pytest.mark.parametrize(("do", "mib"), [("huge_body", 3), ("gzip_bomb", 8)])
def test_an_answer_may_be_far_too_long(wps: Simulator, path: str, do: str, mib: int) -> None:
    """What it says is true, and nobody should read so far."""
    wps.desk("faults", [rule(do, mib=mib)])
    answer = wps.send("POST", f"{path}/batch_create", {"events": [event(1)]})
    assert len(answer.content) > mib * 1024 * 1024
    assert int(answer.headers["Content-Length"]) < (3 * mib + 1) * 1024 * 1024 // (1 if do == "huge_body" else 3)
    assert answer.json()["code"] == 0
    assert events_there(wps) == 1


def test_items_may_come_back_to_front_and_twice(wps: Simulator, path: str) -> None:
    """Neither order nor once-only is promised of a list."""
    wps.ok("POST", f"{path}/batch_create", {"events": [event(number) for number in (1, 2, 3)]})
    window = f"{path}?start_time=2024-09-01T00:00:00%2B08:00&end_time=2024-10-01T00:00:00%2B08:00"
    listed = wps.ok("GET", window)["items"]
    wps.desk("faults", [{"times": 1, "do": "other_order"}, {"times": 1, "do": "doubled_items"}])
    assert wps.ok("GET", window)["items"] == listed[::-1]
    assert wps.ok("GET", window)["items"] == listed + listed


@pytest.mark.parametrize("reply", ["drop", "error_500", "items"])
def test_part_of_a_batch_is_carried_out(wps: Simulator, path: str, reply: str) -> None:
    """Nothing promises all or nothing when the service breaks in the middle."""
    wps.desk("faults", [rule("partial_batch", reply=reply, fraction=0.4)])
    body = {"events": [event(number) for number in range(1, 11)]}
    if reply == "drop":
        with pytest.raises(httpx.TransportError):
            wps.send("POST", f"{path}/batch_create", body)
    elif reply == "items":
        assert len(wps.ok("POST", f"{path}/batch_create", body)["items"]) == 4
    else:
        assert wps.send("POST", f"{path}/batch_create", body).status_code == 500
    assert events_there(wps) == 4


def test_lists_may_lag_behind(wps: Simulator, path: str) -> None:
    """What was created a moment ago is missing from lists but found by its id; no token may jump over it."""
    wps.desk("faults", [{"do": "list_lag_s", "params": {"lag_s": 0.4}}])
    made = wps.ok("POST", f"{path}/create", event(1))
    window = "start_time=2024-09-01T00:00:00%2B08:00&end_time=2024-10-01T00:00:00%2B08:00"
    early = wps.ok("GET", f"{path}?{window}")
    assert early["items"] == []
    assert wps.ok("GET", "/v7/calendars")["items"] == []
    wps.ok("GET", f"{path}/{made['id']}")
    until(lambda: len(wps.ok("GET", f"{path}?{window}")["items"]) == 1)
    assert len(wps.ok("GET", f"{path}?sync_token={early['next_sync_token']}")["items"]) == 1
    assert len(wps.ok("GET", "/v7/calendars")["items"]) == 1


def test_rules_fire_by_count(wps: Simulator, path: str) -> None:
    """`nth`, `after` and `times` make a script exact."""
    script = [
        {"match": {"path": BATCH}, "nth": [2], "do": "throttle"},
        {"match": {"path": BATCH, "method": "POST"}, "after": 2, "times": 1, "do": "error_500_not_applied"},
    ]
    wps.desk("faults", script)
    statuses = [wps.send("POST", f"{path}/batch_create", {"events": [event(1)]}).status_code for _ in range(5)]
    assert statuses == [200, 429, 200, 500, 200]
    assert [item["fired"] for item in wps.desk("faults")] == [1, 1]


def test_rates_are_the_same_for_the_same_seed() -> None:
    """A failure that was seen once can be seen again."""
    script = [{"rate": 0.3, "do": "throttle"}]
    first, again, other = (fired_of(Faults(seed, script)) for seed in (7, 7, 8))
    assert first == again
    assert first != other
    assert 0.2 < sum(first) / 1000 < 0.4


def fired_of(faults: Faults) -> list[bool]:
    return [faults.choose("GET", "/v7/x")[0] is not None for _ in range(1000)]


def test_default_delays_stay_within_what_a_client_may_assume() -> None:
    """Late calls come true within three seconds and lists lag at most one, unless a script says otherwise."""
    faults = Faults(1, [{"do": "list_lag_s"}, {"do": "late"}])
    chosen = [faults.choose("GET", "/v7/x") for _ in range(200)]
    assert all(fault is not None and 0 < fault.delay_s() <= 3.0 for fault, _ in chosen)
    assert {lag_s for _, lag_s in chosen} == {1.0}


def test_tokens_are_left_alone_unless_named() -> None:
    """A rule without a path means the API and not the log-in."""
    assert Faults(1, [{"do": "throttle"}]).choose("POST", "/oauth2/token")[0] is None
    assert Faults(1, [{"match": {"path": "token"}, "do": "throttle"}]).choose("POST", "/oauth2/token")[0] is not None


@pytest.mark.parametrize(
    "script",
    [
        5,
        [{"do": "explode"}],
        [{"do": "slow", "params": {"delay": 1}}],
        [{"do": "slow", "params": {"delay_s": "1"}}],
        [{"do": "slow", "rate": 2}],
        [{"do": "slow", "nth": [0]}],
        [{"do": "slow", "times": -1}],
        [{"do": "slow", "match": {"path": "("}}],
        [{"do": "slow", "match": {"lane": "x"}}],
        [{"do": "slow", "often": True}],
        [{"do": "partial_batch", "params": {"reply": "maybe"}}],
    ],
)
def test_bad_script_is_refused_with_a_reason(script: Any) -> None:
    """A typing error in a script must not become a run without faults."""
    with pytest.raises(BadScript):
        Faults(1, script)


def test_bad_script_leaves_the_old_one_in_force(wps: Simulator) -> None:
    """And the desk says what was wrong with it."""
    wps.desk("faults", [{"do": "throttle"}])
    answer = wps.http.post("/_sim/faults", json=[{"do": "explode"}])
    assert answer.status_code == 400
    assert all(name in answer.json()["error"] for name in NAMES)
    assert [item["do"] for item in wps.desk("faults")] == ["throttle"]


def test_bucket_tolerates_its_rate_and_no_more() -> None:
    """Over any stretch the server takes burst + rate x time."""
    bucket = RateLimit(10, burst=5)
    taken = [at for at in (number / 1000 for number in range(2051)) if bucket.take(at)]
    assert len(taken) == 25
    assert sum(1 for at in taken if at < 0.001) == 1
    assert RateLimit(0).take(0.0) is True


def test_calls_beyond_the_rate_are_throttled_and_not_applied(wps: Simulator) -> None:
    """What the real service does at some unknown number, this one does at a known one."""
    wps.desk("settings", {"rate": 1, "burst": 3})
    answers = [wps.send("POST", "/v7/calendars/create", {"summary": "课"}) for _ in range(6)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) >= 2
    assert {answer.json()["code"] for answer in refused} == {429000001}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    assert wps.desk("state?counts=1")["calendars"] == 6 - len(refused)
    assert [item["fault"] for item in wps.desk("log") if item["status"] == 429] == ["rate"] * len(refused)


def test_log_has_start_and_end_of_every_call(wps: Simulator, path: str) -> None:
    """Whether two calls of a lane overlapped is read from here, so the times must be the service's own."""
    wps.desk("settings", {"latency_ms": 50})
    wps.ok("POST", f"{path}/batch_create", {"events": [event(1), event(2)]}, headers={"X-Obsync-Lane": "college-7"})
    entry = wps.desk("log")[-1]
    assert entry["end"] - entry["start"] >= 0.05
    assert abs(entry["end"] - time.time()) < 60
    assert (entry["method"], entry["path"], entry["lane"]) == ("POST", f"{path}/batch_create", "college-7")
    assert (entry["status"], entry["code"], entry["applied"], entry["items"]) == (200, 0, True, 2)
    assert entry["bytes"] > 100
    assert wps.desk(f"log?since={entry['n']}") == []
    assert [item["n"] for item in wps.desk(f"log?since={entry['n'] - 1}")] == [entry["n"]]


def test_log_forgets_the_oldest_beyond_its_cap() -> None:
    """A bench of an hour must not eat the memory; numbers go on."""
    log = CallLog(cap=10)
    for _ in range(37):
        log.add(Entry("GET", "/v7/x", None, 0.0, 0))
    numbers = [entry.n for entry in log.since(0)]
    assert numbers[-1] == 37
    assert 10 <= len(numbers) <= 11
    assert [entry.n for entry in log.since(35)] == [36, 37]


def test_calls_of_many_clients_take_their_latency_at_the_same_time(wps: Simulator) -> None:
    """Twenty calls of a second each are under way together, not one after the other."""
    wps.desk("settings", {"latency_ms": 1_000})
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda number: wps.calendar(f"课 {number}"), range(20)))
    calls = [one for one in wps.desk("log") if one["path"].startswith("/v7/calendars/create")]
    assert len(calls) == 20
    assert all(one["end"] - one["start"] >= 0.99 for one in calls)
    assert max(one["end"] for one in calls) - min(one["start"] for one in calls) < 10


def test_client_that_hangs_up_is_still_obeyed(wps: Simulator, path: str) -> None:
    """A worker killed in mid-call leaves a call that comes true; the process lives on."""
    wps.desk("settings", {"latency_ms": 300})
    with pytest.raises(httpx.TimeoutException):
        wps.http.timeout = httpx.Timeout(0.1)
        try:
            wps.send("POST", f"{path}/batch_create", {"events": [event(1)]})
        finally:
            wps.http.timeout = httpx.Timeout(10)
    until(lambda: events_there(wps) == 1)
    assert [item["delivered"] for item in wps.desk("log")][-1] is False


def test_nonsense_on_the_socket_does_not_hurt_others(wps: Simulator) -> None:
    """Whatever connects, the next client is served."""
    for rubbish in (b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b""):
        with socket.create_connection(("127.0.0.1", wps.port), timeout=30) as raw:
            raw.sendall(rubbish)
            raw.shutdown(socket.SHUT_WR)
            while raw.recv(4096):
                continue
    wps.ok("GET", "/v7/calendars")


def test_requests_in_one_packet_are_answered_in_their_order(wps: Simulator) -> None:
    """HTTP allows a client not to wait; order is then all it has."""
    one = b"GET /_sim/settings HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /v7/calendars HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", wps.port), timeout=30) as raw:
        raw.sendall(one + one + last)
        got = b""
        while chunk := raw.recv(4096):
            got += chunk
    assert re.findall(rb"HTTP/1.1 (\d+)", got) == [b"200", b"200", b"403"]


def test_body_beyond_a_megabyte_is_refused(wps: Simulator) -> None:
    """Nothing in the contract is that large."""
    try:
        status = wps.http.post("/v7/calendars/create", content=b"x" * 2_000_000).status_code
    except httpx.TransportError:
        status = 413  # closed while we were still writing
    assert status == 413
    wps.ok("GET", "/v7/calendars")


def test_dump_shows_everything_that_exists(wps: Simulator) -> None:
    """Checkers compare this with the source; deleted things are in it and marked."""
    wps.desk("people", {"people": [{"ex_user_id": "T1", "user_name": "鲍老师"}]})
    calendar = wps.calendar("线性代数")
    path = f"/v7/calendars/{calendar}"
    body = {"user_id": "T1", "role": "writer"}
    wps.ok("POST", f"{path}/permissions/create", body, headers={"X-Kso-Id-Type": "external"})
    made = wps.ok("POST", f"{path}/events/create", event(1))
    gone = wps.ok("POST", f"{path}/events/create", event(2, locations=...))
    wps.ok("POST", f"{path}/events/{gone['id']}/delete")
    dump = wps.dump(calendar)
    assert (dump["summary"], dump["is_deleted"], dump["type"]) == ("线性代数", False, "normal")
    assert [(item["ex_user_id"], item["role"]) for item in dump["permissions"]] == [("T1", "writer")]
    assert [(item["id"], item["status"]) for item in dump["events"]] == [
        (made["id"], "normal"),
        (gone["id"], "cancelled"),
    ]
    assert dump["events"][0] | {"status": "normal"} == {"id": made["id"], "status": "normal", **event(1)}
    assert dump["events"][1]["locations"] == []
    assert "T1" in {item["ex_user_id"] for item in wps.desk("state")["users"]}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_answered_survives_the_end_of_the_process(tmp_path: Path, number: int) -> None:
    """Ctrl-C and kill -9 of the simulator must not undo what a client was told."""
    state = tmp_path / "var" / "simulator.journal"
    with running("--state", str(state), "--seed", "3") as first:
        first.desk("people", {"people": [{"ex_user_id": "T1", "user_name": "鲍老师"}]})
        kept, gone = first.calendar("留下"), first.calendar("删除")
        path = f"/v7/calendars/{kept}"
        external = {"X-Kso-Id-Type": "external"}
        first.ok("POST", f"{path}/permissions/create", {"user_id": "T1", "role": "writer"}, headers=external)
        made = first.ok("POST", f"{path}/events/batch_create", {"events": [event(n) for n in range(1, 9)]})["items"]
        first.ok("POST", f"{path}/events/{made[0]['id']}/delete")
        first.ok("POST", f"{path}/events/{made[1]['id']}/update", {"summary": "改", "visibility": "private"})
        first.ok("POST", f"{path}/update", {"summary": "留下 2"})
        first.ok("POST", f"/v7/calendars/{gone}/delete")
        before, token = first.desk("state"), first.token
        assert first.stop(number) == (0 if number == signal.SIGTERM else -9)
    with state.open("ab") as torn:
        torn.write(b'{"op":"calendar","id":"half')
    with running("--state", str(state), "--seed", "4") as second:
        second.token = token
        assert second.desk("state") == before
        made_later = {second.calendar(f"课 {n}") for n in range(5)}
        assert not made_later & {item["id"] for item in before["calendars"]}
        after = second.desk("state")
        second.stop(signal.SIGKILL)
    with running("--state", str(state)) as third:
        assert third.desk("state") == after


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--faults", "{tmp}/faults.json"], "explode"),
        (["--directory", "{tmp}"], "no column xh"),
        (["--state", "{tmp}/broken.journal"], "line 1"),
    ],
)
def test_bad_start_says_why_and_fails(tmp_path: Path, arguments: list[str], word: str) -> None:
    """One clear line instead of a traceback."""
    (tmp_path / "faults.json").write_text(json.dumps([{"do": "explode"}]), encoding="utf-8")
    (tmp_path / "students.csv").write_text("id,name\n1,x\n", encoding="utf-8")
    (tmp_path / "broken.journal").write_text("nonsense\n{}\n", encoding="utf-8")
    command = [sys.executable, "-m", "simulator", *(part.format(tmp=tmp_path) for part in arguments)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1
    assert word in ended.stderr
    assert "Traceback" not in ended.stderr


def test_missing_directory_is_an_empty_one(tmp_path: Path) -> None:
    """The simulator may be started before there is a campus; it can be told to look again."""
    folder = tmp_path / "campus"
    with running("--directory", str(folder)) as wps:
        assert wps.desk("state")["users"] == []
        folder.mkdir()
        (folder / "students.csv").write_text("xh,xm\n1,梅\n", encoding="utf-8")
        assert wps.desk("directory", {}) == {"users": 1}


def test_no_two_simulators_write_one_state(tmp_path: Path) -> None:
    """Two writers would make a journal that neither can read."""
    state = tmp_path / "journal"
    with running("--state", str(state)):
        command = [sys.executable, "-m", "simulator", "--port", "0", "--state", str(state)]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1
    assert "in use" in ended.stderr
