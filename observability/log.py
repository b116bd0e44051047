"""How the product logs: events with fields, one JSON object a line on stderr, readable lines on a terminal.

    log = get_logger(__name__)
    log.info("lane.claimed", fence=7)          # the lane and the run come from `bound`, not from every call

Third-party loggers (Dramatiq, SQLAlchemy, httpx) end in the same place and the same form. Values under a name that
promises a secret never reach an output, at any depth.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import AbstractContextManager
from typing import Any, Final, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

REDACTED: Final = "[redacted]"

_SECRET_WORDS: Final = ("token", "secret", "authorization", "password", "passwd", "cookie", "credential", "signature")
_SECRET_ENDINGS: Final = ("_key", "_keys", "apikey", "appkey")
_SECRET_NAMES: Final = frozenset({"key", "keys", "dsn", "sentry_dsn"})
# Names that sound secret and hold none of it; the sync cursor is an opaque page mark, the open key a job's target.
_HARMLESS: Final = frozenset({"open_key", "session_key", "token_expires_at_ms", "token_age_ms"})
_DEEPEST: Final = 6
_LOUD: Final = {"httpx": "WARNING", "httpcore": "WARNING", "alembic": "WARNING"}  # a line for each call, or each table


def is_secret_name(name: str) -> bool:
    """Whether a field called `name` is taken to hold a secret."""
    plain = name.lower().replace("-", "_")
    if plain in _HARMLESS:
        return False
    return plain in _SECRET_NAMES or plain.endswith(_SECRET_ENDINGS) or any(word in plain for word in _SECRET_WORDS)


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A processor: replaces the values of secret names, in nested mappings and lists too."""
    return cast(EventDict, _redacted(event, depth=0))


def _redacted(value: object, *, depth: int) -> object:
    if depth > _DEEPEST:
        return "[too deep]"
    if isinstance(value, Mapping):
        return {
            name: REDACTED if is_secret_name(str(name)) and inner else _redacted(inner, depth=depth + 1)
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_redacted(inner, depth=depth + 1) for inner in value]
    return value


def _one_line(_logger: WrappedLogger, _method: str, event: MutableMapping[str, Any]) -> EventDict:
    """The event's name on one line: a remote text in it cannot forge a second record on a terminal."""
    name = event.get("event")
    if isinstance(name, str):
        event["event"] = name.replace("\r", "\\r").replace("\n", "\\n")
    return event


def configure(level: str = "INFO", *, pretty: bool | None = None, out: TextIO | None = None) -> None:
    """Sets logging up for this process; may be called again. `pretty` is decided by the terminal when not given."""
    stream = sys.stderr if out is None else out
    readable = stream.isatty() if pretty is None else pretty
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
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
    for name, quiet in _LOUD.items():
        logging.getLogger(name).setLevel(max(logging.getLevelName(quiet), logging.getLevelName(level)))


def _last_steps(*, readable: bool) -> list[Processor]:
    first: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if readable:
        return [*first, structlog.dev.ConsoleRenderer(colors=True, timestamp_key="ts")]
    return [
        *first,
        structlog.processors.format_exc_info,
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
