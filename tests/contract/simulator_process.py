"""Runs `python -m simulator` for a test and talks to it as a signed client of the contract would."""

import json
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx

from simulator.signing import authorization, sign
from tests.contract.simulator_tap import must_keep_the_contract, simulator_command

ROOT = Path(__file__).resolve().parents[2]
APP_ID, APP_KEY = "sim-app", "sim-key"


class Simulator:
    """A running simulator and one client of it."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        self.token = ""

    def log_in(self) -> str:
        """Gets a token and uses it from now on."""
        form = {"grant_type": "client_credentials", "client_id": APP_ID, "client_secret": APP_KEY}
        self.token = self.http.post("/oauth2/token", data=form).json()["access_token"]
        return self.token

    def send(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> httpx.Response:
        """A signed call; a header given as None is left out."""
        content = raw if raw is not None else b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
        date = formatdate(usegmt=True)
        content_type = (headers or {}).get("Content-Type") or "application/json"
        signature = sign(APP_KEY, method, target, content_type, date, content)
        sent: dict[str, str | None] = {
            "Content-Type": content_type,
            "X-Kso-Date": date,
            "X-Kso-Authorization": authorization(APP_ID, signature),
            "Authorization": f"Bearer {self.token or self.log_in()}",
            **(headers or {}),
        }
        kept = {name: value for name, value in sent.items() if value is not None}
        return self.http.request(method, target, content=content, headers=kept)

    def ok(self, method: str, target: str, body: Any = None, **more: Any) -> Any:
        """The `data` of a call that must succeed."""
        answer = self.send(method, target, body, **more)
        assert (answer.status_code, answer.json()["code"]) == (200, 0), answer.text
        return answer.json().get("data")

    def refusal(self, method: str, target: str, body: Any = None, **more: Any) -> int:
        """The code of a call that must fail."""
        answer = self.send(method, target, body, **more)
        code: int = answer.json()["code"]
        assert code != 0 and answer.status_code >= 400, answer.text
        return code

    def calendar(self, summary: str = "线性代数 ·abcdefg") -> str:
        """The id of a new calendar."""
        created: str = self.ok("POST", "/v7/calendars/create", {"summary": summary})["id"]
        return created

    def pages(self, target: str) -> list[Any]:
        """All items of a list, page by page."""
        items: list[Any] = []
        joint = "&" if "?" in target else "?"
        data = self.ok("GET", target)
        items += data["items"]
        while data.get("next_page_token"):
            data = self.ok("GET", f"{target}{joint}page_token={data['next_page_token']}")
            items += data["items"]
        return items

    def desk(self, name: str, body: Any = None) -> Any:
        """A control call: POST when there is a body."""
        path = f"/_sim/{name}"
        answer = self.http.get(path) if body is None else self.http.post(path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def dump(self, calendar_id: str) -> Any:
        """One calendar of the state."""
        return next(item for item in self.desk("state")["calendars"] if item["id"] == calendar_id)

    def fresh(self) -> None:
        """No calendars, no log, no faults, no latency, no limit."""
        self.desk("reset", {})
        self.desk("faults", [])
        self.desk("settings", {"latency_ms": 0, "rate": 0})

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ends the process by a signal and returns its exit code."""
        self.http.close()
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


@contextmanager
def running(*arguments: str) -> Iterator[Simulator]:
    """A simulator on a free port, gone at the end; what was said must have kept the OpenAPI document, if there is one."""
    with simulator_command() as (command, report):
        process = subprocess.Popen(
            [*command, "--port", "0", "--latency-ms", "0", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            assert ready["ready"] is True
            yield Simulator(process, ready["port"])
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(timeout=60)
            if process.stdout is not None:
                process.stdout.close()
        must_keep_the_contract(report)


def event(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A two-period class on a day of September 2024."""
    day = f"2024-09-{number:02d}"
    base = {
        "summary": f"线性代数 {number}",
        "description": "教师：鲍老师",
        "start_time": {"datetime": f"{day}T08:00:00+08:00"},
        "end_time": {"datetime": f"{day}T09:35:00+08:00"},
        "locations": [{"name": "东上院 102"}],
    }
    return {name: value for name, value in (base | changes).items() if value is not ...}
