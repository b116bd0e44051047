"""How the product logs: events with fields, one JSON object a line on stderr, readable lines on a terminal.

    log = get_logger(__name__)
    log.info("lane.claimed", fence=7)          # the lane and the run come from `bound`, not from every call

Each line has `ts`, `level`, `event`, `logger` and `service`; where they are known `tenant`, `user`, `request_id`,
`trace_id`, `took_ms`, and of what failed `error`, the class of the exception. Third-party loggers (Dramatiq, SQLAlchemy,
httpx) end in the same place and the same form. Values under a name that promises a secret never reach an output, at any
depth.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from contextlib import AbstractContextManager
from typing import Any, Final, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from observability.lines import Lines
from observability.redaction import REDACTED as REDACTED
from observability.redaction import is_secret_name as is_secret_name
from observability.redaction import redacted, scrubbed

_UNTOUCHED: Final = (
    "_record",
    "_from_structlog",
    "exc_info",
    "ts",
    "level",
    "logger",
)  # what the formatter itself needs
_LOUD: Final = {"httpx": "WARNING", "httpcore": "WARNING", "alembic": "WARNING"}  # a line for each call, or each table


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A processor: replaces what stands under secret names or looks like a secret, in nested mappings and lists too."""
    kept = {name: event[name] for name in _UNTOUCHED if name in event}
    said = {name: value for name, value in event.items() if name not in kept}
    return cast(EventDict, {**kept, **cast(dict[str, Any], redacted(said))})


def _scrub_traceback(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A traceback ends with the words of the exception, which may quote what somebody sent."""
    for name in ("exception", "stack"):
        if isinstance(event.get(name), str):
            event[name] = scrubbed(event[name])
    return event


def _one_line(_logger: WrappedLogger, _method: str, event: MutableMapping[str, Any]) -> EventDict:
    """The event's name on one line: a remote text in it cannot forge a second record on a terminal."""
    name = event.get("event")
    if isinstance(name, str):
        event["event"] = name.replace("\r", "\\r").replace("\n", "\\n")
    return event


def _name_error(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The class of the exception as a field: a traceback cannot be counted."""
    said = event.get("exc_info")
    found = sys.exc_info()[1] if said is True else said[1] if isinstance(said, tuple) else said
    if isinstance(found, BaseException):
        event.setdefault("error", type(found).__name__)
    return event


def _of_service(service: str | None) -> Processor:
    def name(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        if service is not None:
            event.setdefault("service", service)
        return event

    return name


def configure(
    level: str = "INFO", *, pretty: bool | None = None, out: TextIO | None = None, service: str | None = None
) -> None:
    """Sets logging up for this process; may be called again. `pretty` is decided by the terminal when not given.

    `service` is the process as the Procfile calls it.
    """
    stream = sys.stderr if out is None else out
    readable = stream.isatty() if pretty is None else pretty
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        _of_service(service),
        _name_error,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        redact,
        _one_line,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.StackInfoRenderer(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_last_steps(readable=readable))
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    _lines[:] = [] if readable or root.level > logging.INFO else [Lines(handler, service)]
    for name, quiet in _LOUD.items():
        logging.getLogger(name).setLevel(max(logging.getLevelName(quiet), logging.getLevelName(level)))


_lines: list[Lines] = []


def lines() -> Lines | None:
    """For lines that are written all the time; None where they go the way of all others: on a terminal, or not at all."""
    return _lines[0] if _lines else None


def _last_steps(*, readable: bool) -> list[Processor]:
    first: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if readable:
        renderer = structlog.dev.ConsoleRenderer(
            colors=True, timestamp_key="ts", exception_formatter=structlog.dev.plain_traceback
        )
        return [*first, structlog.processors.format_exc_info, _scrub_traceback, renderer]
    return [
        *first,
        structlog.processors.format_exc_info,
        _scrub_traceback,
        structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
    ]


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger whose events carry `name`."""
    return structlog.stdlib.get_logger(name)


def bound(**fields: object) -> AbstractContextManager[None]:
    """Within it every event of this thread carries `fields`: ``with bound(lane=lane_id, run_id=run_id): ...``."""
    return structlog.contextvars.bound_contextvars(**fields)


def current(name: str) -> str | None:
    """The value that events of this thread carry under `name` at the moment."""
    value = structlog.contextvars.get_contextvars().get(name)
    return None if value is None else str(value)
