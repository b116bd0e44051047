"""Exceptions that nobody expected, told to Sentry: where and of what kind, never what was said.

An event is made anew from a list of what may leave: class and stack without variables or source, and the tags below. Messages,
headers, bodies, queries, users and breadcrumbs stay here: patterns find a token in them and miss a name. The log has them,
scrubbed, under the same request id.

What is told is what is logged with a traceback, and what ends a thread or the process.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, Final, cast

import sentry_sdk
import structlog
from sentry_sdk.integrations.atexit import AtexitIntegration
from sentry_sdk.integrations.dedupe import DedupeIntegration
from sentry_sdk.integrations.excepthook import ExcepthookIntegration
from sentry_sdk.integrations.threading import ThreadingIntegration
from sentry_sdk.types import Event, Hint
from sentry_sdk.utils import event_from_exception

from observability.redaction import scrubbed

TAGS: Final = ("actor", "job_id", "lane", "method", "request_id", "route", "run_id", "service", "tenant", "trace_id")
_KEPT: Final = ("environment", "event_id", "level", "logger", "platform", "release", "sdk", "server_name", "timestamp")
_OF_FRAME: Final = ("filename", "function", "in_app", "lineno", "module")
_TAG_CHARS: Final = 200
_SAID: Final = "obsync_said"
_HEX: Final = re.compile(r"[0-9a-f]+")
_service: list[str] = []


def start(dsn: str, *, service: str, release: str, environment: str | None = None) -> None:
    """Tell Sentry from now on; without a DSN nothing is told. After the log was set up, and after a fork."""
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, _Teller)]:
        root.removeHandler(handler)
    if not dsn:
        return
    _service[:] = [service]
    sentry_sdk.init(
        dsn=dsn,
        release=f"obsync@{release}",
        environment=environment,
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[
            AtexitIntegration(callback=lambda _pending, _timeout_s: None),
            DedupeIntegration(),
            ExcepthookIntegration(),
            ThreadingIntegration(propagate_scope=False),
        ],
        before_send=told,
        include_local_variables=False,
        include_source_context=False,
        max_breadcrumbs=0,
        max_request_body_size="never",
        propagate_traces=False,
        send_client_reports=False,
    )
    root.addHandler(_Teller(logging.ERROR))


def told(event: Event, hint: Hint) -> Event | None:
    """What leaves of an event; None for one without an exception."""
    values = (event.get("exception") or {}).get("values") or []
    if not values:
        return None
    about = {**structlog.contextvars.get_contextvars(), **cast("dict[str, Any]", hint.get(_SAID) or {})}
    about.setdefault("service", _service[0] if _service else "")
    kept: dict[str, Any] = {name: event[name] for name in _KEPT if name in event}
    kept["exception"] = {"values": [_exception(one, about.get("request_id")) for one in values]}
    kept["tags"] = {name: scrubbed(str(about[name]))[:_TAG_CHARS] for name in TAGS if about.get(name)}
    trace = {name: str(about.get(name, "")) for name in ("trace_id", "span_id")}
    if all(_HEX.fullmatch(one) for one in trace.values()):
        kept["contexts"] = {"trace": trace}
    return cast("Event", kept)


def _exception(one: Mapping[str, Any], request_id: object) -> dict[str, Any]:
    frames = ((one.get("stacktrace") or {}).get("frames")) or []
    where = f"see the log of request {request_id}" if request_id else "see the log"
    return {
        "type": one.get("type"),
        "module": one.get("module"),
        "value": scrubbed(where),
        "stacktrace": {"frames": [{name: frame[name] for name in _OF_FRAME if name in frame} for frame in frames]},
        "mechanism": {name: (one.get("mechanism") or {}).get(name) for name in ("type", "handled")},
    }


class _Teller(logging.Handler):
    """Tells of each record that comes with an exception. One without is an error that was expected."""

    def emit(self, record: logging.LogRecord) -> None:
        said = record.msg if isinstance(record.msg, dict) else {}
        found = said.get("exc_info") or record.exc_info
        error = sys.exc_info()[1] if found is True else found[1] if isinstance(found, tuple) else found
        if not isinstance(error, BaseException):
            return
        try:
            client = sentry_sdk.get_client()
            event, hint = event_from_exception(
                error, client_options=client.options, mechanism={"type": "logging", "handled": True}
            )
            event["level"], event["logger"] = "error", record.name
            sentry_sdk.capture_event(event, hint={**hint, _SAID: said})
        except Exception:
            self.handleError(record)
