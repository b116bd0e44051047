"""What a test or a person at the desk may ask of the simulator itself, under `/_sim/`, without token or signature.

| call | body | answer |
| --- | --- | --- |
| `GET /_sim/state` | | `{"calendars": [...], "users": [...]}`; `?counts=1`: sizes only; `?users=0`: `users` is empty |
| `GET /_sim/log?since=N` | | list of the calls after number N (all without it) |
| `GET /_sim/faults`, `POST /_sim/faults` | a script, see `faults` | the rules with their counts |
| `POST /_sim/clock` | `{"advance_s": 7200}` | `{"now_s": …}` |
| `GET /_sim/settings`, `POST /_sim/settings` | `latency_ms`, `rate`, `burst` (those to change) | the settings |
| `POST /_sim/people` | `{"people": [{"ex_user_id", "user_name", "status"}]}`: adds, changes | `{"users": n}` |
| `POST /_sim/sign-in` | `{"ex_user_id": …}`: who is signed in at the browser; null: nobody | `{"signed_in": …}` |
| `POST /_sim/directory` | none: reads the people's files again | `{"users": n}` |
| `POST /_sim/reset` | none: forgets calendars and log, reads the people again | sizes |

A calendar of the dump has `id, summary, type, is_deleted, permissions [{id, user_id, ex_user_id, role}]` and `events
[{id, summary, description, start_time, end_time, locations, status}]`, deleted events included with status `cancelled`.
The dump is written calendar by calendar while calls go on: each calendar is consistent in itself.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from simulator.call import Answer, encode_json
from simulator.faults import BadScript
from simulator.people import STATUSES, UnreadableDirectory
from simulator.quotas import RateLimit
from simulator.server import Service
from simulator.state import Calendar, Event, State
from simulator.wire import Connection, Request

_CHUNK_CHARACTERS = 65_536


class BadControl(Exception):
    """A control call that cannot be followed; the message says why."""


class Control:
    """The desk of one simulator."""

    def __init__(self, state: State, directory: Path | None) -> None:
        self._state = state
        self._directory = directory
        self._tasks: set[asyncio.Task[None]] = set()
        self.service: Service | None = None
        self._posts: dict[str, Callable[[Service, Any], Any]] = {
            "faults": self._set_faults,
            "clock": self._set_clock,
            "settings": self._set_settings,
            "people": self._set_people,
            "sign-in": self._sign_in,
            "directory": self._read_directory,
            "reset": self._reset,
        }

    def receive(self, request: Request, connection: Connection) -> None:
        """Answers a control call; long answers go out in a task of their own."""
        path, _, query = request.target.partition("?")
        name = path.removeprefix("/_sim/")
        assert self.service is not None
        try:
            if request.method == "POST" and name in self._posts:
                body = json.loads(request.body) if request.body else {}
                connection.respond(_plain(self._posts[name](self.service, body)))
            elif request.method == "GET":
                self._get(name, parse_qs(query), connection, self.service)
            else:
                connection.respond(_plain({"error": f"{request.method} {path} is not known"}, 404))
        except (BadControl, BadScript, UnreadableDirectory, ValueError) as problem:
            connection.respond(_plain({"error": str(problem)}, 400))

    def _get(self, name: str, query: dict[str, list[str]], connection: Connection, service: Service) -> None:
        if name == "state" and query.get("counts", ["0"])[0] == "1":
            connection.respond(_plain(self._state.counts() | {"in_flight": service.in_flight}))
        elif name == "state":
            self._stream(connection, _dump(self._state, users=query.get("users", ["1"])[0] != "0"))
        elif name == "log":
            entries = service.log.since(int(query.get("since", ["0"])[0]))
            self._stream(connection, _list(entry.as_json() for entry in entries))
        elif name == "faults":
            connection.respond(_plain(service.faults.as_json()))
        elif name == "settings":
            connection.respond(_plain(_settings(service)))
        else:
            connection.respond(_plain({"error": f"/_sim/{name} is not known"}, 404))

    def _stream(self, connection: Connection, pieces: Iterator[str]) -> None:
        task = asyncio.get_running_loop().create_task(connection.respond_stream(_chunks(pieces)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _set_faults(self, service: Service, body: Any) -> Any:
        service.faults.replace(body)
        return service.faults.as_json()

    def _set_clock(self, _: Service, body: Any) -> Any:
        by_s = _number(body, "advance_s")
        if by_s is None:
            raise BadControl("advance_s is required")
        self._state.commit({"op": "clock", "by_s": by_s})
        return {"now_s": self._state.now_s()}

    def _set_settings(self, service: Service, body: Any) -> Any:
        latency_ms, rate, burst = (_number(body, name) for name in ("latency_ms", "rate", "burst"))
        if latency_ms is not None:
            service.latency_ms = latency_ms
        if rate is not None or burst is not None:
            service.rate = RateLimit(service.rate.rate_per_s if rate is None else rate, burst)
        return _settings(service)

    def _set_people(self, _: Service, body: Any) -> Any:
        people = body.get("people") if isinstance(body, dict) else None
        if not isinstance(people, list):
            raise BadControl("people must be a list")
        for person in people:
            number = str(person.get("ex_user_id", ""))
            status = person.get("status")
            if not number or status not in (None, *STATUSES):
                raise BadControl(f"ex_user_id is required, status is one of {', '.join(STATUSES)}")
            name = str(person.get("user_name", number))
            self._state.commit({"op": "person", "ex_user_id": number, "user_name": name, "status": status})
        return {"users": len(self._state.people)}

    def _sign_in(self, service: Service, body: Any) -> Any:
        number = body.get("ex_user_id") if isinstance(body, dict) else None
        service.authorization.signed_in = None if number is None else str(number)
        return {"signed_in": service.authorization.signed_in}

    def _read_directory(self, _: Service, __: Any) -> Any:
        if self._directory is not None:
            self._state.people.load(self._directory)
        return {"users": len(self._state.people)}

    def _reset(self, service: Service, body: Any) -> Any:
        self._state.reset()
        service.log.clear()
        self._read_directory(service, body)
        return self._state.counts()


def _plain(value: Any, status: int = 200) -> Answer:
    return Answer(status, None, encode_json(value).encode())


def _number(body: Any, name: str) -> float | None:
    value = body.get(name) if isinstance(body, dict) else None
    if value is not None and (type(value) not in (int, float) or value < 0):
        raise BadControl(f"{name} must be a number from 0")
    return value


def _settings(service: Service) -> dict[str, float]:
    return {"latency_ms": service.latency_ms, "rate": service.rate.rate_per_s, "burst": service.rate.burst}


async def _chunks(pieces: Iterator[str]) -> AsyncIterator[bytes]:
    """Joins small pieces, and lets waiting calls go first between two chunks."""
    buffer: list[str] = []
    size = 0
    for piece in pieces:
        buffer.append(piece)
        size += len(piece)
        if size >= _CHUNK_CHARACTERS:
            yield "".join(buffer).encode()
            buffer, size = [], 0
            await asyncio.sleep(0)
    if buffer:
        yield "".join(buffer).encode()


def _list(items: Iterable[Any]) -> Iterator[str]:
    yield "["
    comma = ""
    for item in items:
        yield comma + encode_json(item)
        comma = ","
    yield "]"


def _dump(state: State, *, users: bool) -> Iterator[str]:
    yield '{"calendars":'
    yield from _list(_calendar(state, calendar) for calendar in list(state.listed))
    yield ',"users":'
    people = list(state.people.listed) if users else []
    yield from _list(
        {"id": one.id, "ex_user_id": one.ex_user_id, "user_name": one.user_name, "status": one.status} for one in people
    )
    yield "}"


def _calendar(state: State, calendar: Calendar) -> dict[str, Any]:
    by_id = state.people.by_id
    return {
        "id": calendar.id,
        "summary": calendar.summary,
        "type": calendar.type,
        "is_deleted": calendar.is_deleted,
        "permissions": [
            {
                "id": one.id,
                "user_id": one.user_id,
                "ex_user_id": by_id[one.user_id].ex_user_id if one.user_id in by_id else None,
                "role": one.role,
            }
            for one in calendar.permissions.values()
        ],
        "events": [_event(event) for event in calendar.events if event is not None],
    }


def _event(event: Event) -> dict[str, Any]:
    return {"locations": []} | event.details.as_json(event.id, cancelled=event.cancelled)
