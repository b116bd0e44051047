"""One trace from a request to the calls that come of it, in the words of W3C Trace Context.

    request ─▶ row of the task (request, trace) ─▶ worker ─▶ row of the run ─▶ call to WPS
    check-in ─▶ record in the stream (origin) ─▶ writer

What is at hand is bound to the thread as `request_id`, `trace_id` and `span_id`, so that each line of the log has it. Rows
keep it as `Origin`, because a message carries nothing: whoever works on a row goes on in its trace, in a span of their own.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from observability.log import bound, current

REQUEST_ID: Final = re.compile(r"[0-9A-Za-z_.:-]{1,64}")
"""What is taken over as the id of a request."""
_PARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")
_NOBODY: Final = frozenset({"0" * 32, "0" * 16})


@dataclass(frozen=True, slots=True)
class Origin:
    """Where work comes from: the id of the request, and its `traceparent`. None where nobody knows."""

    request: str | None = None
    trace: str | None = None


UNKNOWN: Final = Origin()


def new_ids(traceparent: str | None = None) -> dict[str, str]:
    """`trace_id` and `span_id` of something that begins: a span of the trace that is named, else a trace of its own."""
    found = _PARENT.fullmatch(traceparent or "")
    known = found is not None and not _NOBODY & set(found.groups()) and not (traceparent or "").startswith("ff")
    trace_id = found[1] if found is not None and known else secrets.token_hex(16)
    return {"trace_id": trace_id, "span_id": secrets.token_hex(8)}


def traceparent() -> str | None:
    """The trace of this thread as it is handed on; None outside of any."""
    trace_id, span_id = current("trace_id"), current("span_id")
    return None if trace_id is None or span_id is None else f"00-{trace_id}-{span_id}-01"


def origin() -> Origin:
    """What this thread is at, to be kept in a row."""
    return Origin(current("request_id"), traceparent())


def written() -> str | None:
    """What this thread is at, as one text; None outside of any request."""
    request, trace = current("request_id"), traceparent()
    return None if request is None else f"{request} {trace or ''}".rstrip()


def read(text: str | None) -> Origin:
    """What `written` wrote. Anything else is an origin of which nothing is known."""
    request, _, trace = (text or "").partition(" ")
    known = REQUEST_ID.fullmatch(request) is not None
    return Origin(request if known else None, trace if _PARENT.fullmatch(trace) else None)


@contextmanager
def continued(come_from: Origin, *, otherwise: str, **fields: object) -> Iterator[None]:
    """Within it this thread works on what came from there; `otherwise` is the request's id where nobody made one.

    `fields` are on each line of the log too.
    """
    with bound(request_id=come_from.request or otherwise, **new_ids(come_from.trace), **fields):
        yield
