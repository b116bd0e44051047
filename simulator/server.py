"""The service on the network: latency, tolerated rate, faults and the call log around the API.

A call is carried out at the end of its latency, right before its answer: a client that gives up or dies in between is
still obeyed, so everything it sent may come true up to one latency later. Throttled calls are answered at once. Faults
are described in `faults`.
"""

import asyncio
import json
import logging
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simulator import errors
from simulator.call import Answer, encode_json, failure, html_page
from simulator.clock import Clock
from simulator.faults import Fault, Faults
from simulator.log import CallLog, Entry
from simulator.oauth import AUTH_PATH
from simulator.quotas import RateLimit
from simulator.routes import TOKEN_PATH, Api
from simulator.wire import Connection, Request

_log = logging.getLogger(__name__)
CONTROL_PREFIX = "/_sim/"
_MIB = 1024 * 1024


@dataclass(slots=True)
class Exchange:
    """A call between its arrival and its end."""

    request: Request
    connection: Connection
    entry: Entry
    fault: Fault | None
    list_lag_s: float


class Service:
    """Takes requests from connections and ends each of them exactly once."""

    def __init__(
        self,
        api: Api,
        *,
        clock: Clock,
        log: CallLog,
        faults: Faults,
        rate: RateLimit,
        latency_ms: float,
        control: Callable[[Request, Connection], None],
    ) -> None:
        self._api = api
        self.authorization = api.authorization
        self._clock = clock
        self._control = control
        self.log = log
        self.faults = faults
        self.rate = rate
        self.latency_ms = latency_ms
        self.in_flight = 0

    def receive(self, request: Request, connection: Connection) -> None:
        """Begins a call; its end comes from a timer."""
        if request.target.startswith(CONTROL_PREFIX):
            self._control(request, connection)
            return
        exchange = self._begin(request, connection)
        if not request.target.startswith((TOKEN_PATH, AUTH_PATH)) and not self.rate.take(request.start_s):
            exchange.entry.fault = "rate"
            self._answer(exchange, _throttled(self.rate.retry_after_s, errors.TOO_MANY_REQUESTS, 429))
            return
        exchange.fault, exchange.list_lag_s = self.faults.choose(request.method, request.target)
        delay_s = self.latency_ms / 1000.0
        if exchange.fault is not None:
            exchange.entry.fault = exchange.fault.name
            if exchange.fault.name == "slow":
                delay_s += exchange.fault.delay_s()
        asyncio.get_running_loop().call_later(delay_s, self._finish, exchange)

    def _begin(self, request: Request, connection: Connection) -> Exchange:
        lane = request.headers.get(b"x-obsync-lane")
        if lane is not None and not lane.isascii():
            lane = lane.encode("latin-1").decode("utf-8", "replace")
        named = request.headers.get(b"x-obsync-request")
        entry = Entry(request.method, request.target, lane, request.start_s, len(request.body), request=named)
        self.in_flight += 1
        return Exchange(request, connection, entry, None, 0.0)

    def _finish(self, exchange: Exchange) -> None:
        fault = exchange.fault
        try:
            if fault is None:
                self._answer(exchange, self._carry_out(exchange))
            else:
                _EFFECTS[fault.name](self, exchange, fault)
        except Exception:
            # A mistake in here must look like one of the service's: a 500, not a client that waits for ever.
            _log.exception("simulator.call.failed", extra={"path": exchange.request.target})
            self._answer(exchange, failure(errors.INTERNAL, errors.message(errors.INTERNAL)))

    def _carry_out(self, exchange: Exchange, choose_some: Callable[[int], list[int]] | None = None) -> Answer:
        answer = self._api.handle(exchange.request, list_lag_s=exchange.list_lag_s, choose_some=choose_some)
        if answer.applied:
            exchange.entry.applied = True
            exchange.entry.applied_at = self._clock.wall_s()
            exchange.entry.items = answer.items
        return answer

    def _answer(self, exchange: Exchange, answer: Answer) -> None:
        answer.made_up = exchange.fault is not None and exchange.fault.name != "slow"
        exchange.entry.delivered = exchange.connection.respond(answer)
        exchange.entry.status = answer.status
        exchange.entry.code = answer.code
        self._end(exchange)

    def _drop(self, exchange: Exchange, fault: Fault) -> None:
        exchange.connection.drop(reset=bool(fault.params.get("reset", False)))
        self._end(exchange)

    def _end(self, exchange: Exchange) -> None:
        exchange.entry.end = self._clock.wall_s()
        self.in_flight -= 1
        self.log.add(exchange.entry)

    # One method a fault.

    def applied_reply_lost(self, exchange: Exchange, fault: Fault) -> None:
        self._carry_out(exchange)
        self._drop(exchange, fault)

    def refused_connection_drop(self, exchange: Exchange, fault: Fault) -> None:
        self._drop(exchange, fault)

    def error_500_applied(self, exchange: Exchange, fault: Fault) -> None:
        self._carry_out(exchange)
        self._answer(exchange, _broken(fault))

    def error_500_not_applied(self, exchange: Exchange, fault: Fault) -> None:
        self._answer(exchange, _broken(fault))

    def throttle(self, exchange: Exchange, fault: Fault) -> None:
        params = fault.params
        code, status = params.get("code", errors.TOO_MANY_REQUESTS), params.get("status", 429)
        self._answer(exchange, _throttled(params.get("retry_after_s", 1), code, status))

    def slow(self, exchange: Exchange, _: Fault) -> None:
        self._answer(exchange, self._carry_out(exchange))

    def late(self, exchange: Exchange, fault: Fault) -> None:
        self._drop(exchange, fault)
        asyncio.get_running_loop().call_later(fault.delay_s(), self._carry_out, exchange)

    def html_403(self, exchange: Exchange, _: Fault) -> None:
        self._answer(exchange, html_page(403))

    def html(self, exchange: Exchange, fault: Fault) -> None:
        if fault.params.get("applied", False):
            self._carry_out(exchange)
        self._answer(exchange, html_page(fault.params.get("status", 200), fault.params.get("page")))

    def half_body(self, exchange: Exchange, _: Fault) -> None:
        answer = self._carry_out(exchange)
        exchange.entry.status = answer.status
        exchange.connection.respond_half(answer)
        self._end(exchange)

    def huge_body(self, exchange: Exchange, fault: Fault) -> None:
        answer = self._carry_out(exchange)
        answer.body += b" " * (fault.params.get("mib", 3) * _MIB)
        self._answer(exchange, answer)

    def gzip_bomb(self, exchange: Exchange, fault: Fault) -> None:
        answer = self._carry_out(exchange)
        packer = zlib.compressobj(level=1, wbits=31)
        parts = [packer.compress(answer.body)]
        parts += [packer.compress(b" " * _MIB) for _ in range(fault.params.get("mib", 16))]
        answer.body = b"".join([*parts, packer.flush()])
        answer.headers = (*answer.headers, ("Content-Encoding", "gzip"))
        self._answer(exchange, answer)

    def other_order(self, exchange: Exchange, _: Fault) -> None:
        self._answer(exchange, _with_items(self._carry_out(exchange), lambda items: items[::-1]))

    def doubled_items(self, exchange: Exchange, _: Fault) -> None:
        self._answer(exchange, _with_items(self._carry_out(exchange), lambda items: items + items))

    def status(self, exchange: Exchange, fault: Fault) -> None:
        if fault.params.get("applied", False):
            self._carry_out(exchange)
        code = fault.params.get("code", 503000001)
        headers = _retry_after(fault.params.get("retry_after_s"))
        text = fault.params.get("msg", errors.message(code))
        self._answer(exchange, failure(code, text, status=fault.params.get("status", 503), headers=headers))

    def partial_batch(self, exchange: Exchange, fault: Fault) -> None:
        is_batch = exchange.request.target.partition("?")[0].endswith("/batch_create")
        answer = self._carry_out(exchange, fault.choose_some) if is_batch else _broken(fault)
        reply = fault.params.get("reply", "drop")
        if reply == "drop":
            self._drop(exchange, fault)
        else:
            self._answer(exchange, answer if reply == "items" else _broken(fault))


def _with_items(answer: Answer, change: Callable[[list[Any]], list[Any]]) -> Answer:
    """The same answer with its items changed; one without items stays as it is."""
    envelope = json.loads(answer.body)
    data = envelope.get("data")
    if isinstance(data, dict) and isinstance(data.get("items"), list):
        data["items"] = change(data["items"])
        answer.body = encode_json(envelope).encode()
    return answer


def _broken(fault: Fault) -> Answer:
    code = fault.params.get("code", errors.INTERNAL)
    return failure(code, errors.message(code), status=500)


def _throttled(retry_after_s: float | str | None, code: int, status: int) -> Answer:
    return failure(code, errors.message(code), status=status, headers=_retry_after(retry_after_s))


def _retry_after(value: float | str | None) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    return (("Retry-After", value if isinstance(value, str) else json.dumps(value)),)


_EFFECTS: dict[str, Callable[[Service, Exchange, Fault], None]] = {
    "applied_reply_lost": Service.applied_reply_lost,
    "refused_connection_drop": Service.refused_connection_drop,
    "error_500_applied": Service.error_500_applied,
    "error_500_not_applied": Service.error_500_not_applied,
    "throttle": Service.throttle,
    "slow": Service.slow,
    "late": Service.late,
    "html_403": Service.html_403,
    "html": Service.html,
    "half_body": Service.half_body,
    "huge_body": Service.huge_body,
    "gzip_bomb": Service.gzip_bomb,
    "other_order": Service.other_order,
    "doubled_items": Service.doubled_items,
    "status": Service.status,
    "partial_batch": Service.partial_batch,
}
