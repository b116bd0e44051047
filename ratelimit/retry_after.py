"""Reads the Retry-After header (RFC 9110 §10.2.3: delay in seconds, or an HTTP-date) into a wait."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MIN_RETRY_AFTER_MS = 1_000
MAX_RETRY_AFTER_MS = 15 * 60 * 1_000

_SECONDS = re.compile(r"[0-9]+", re.ASCII)
_MAX_DIGITS = 9  # more than that is over the maximum in any case, and int() refuses numbers of 4,300 digits


def parse_retry_after(value: str | None, *, now: datetime, date_header: str | None) -> int | None:
    """The wait in ms, between 1 s and 15 min, or None where the header is absent or means nothing. Never raises.

    A date is compared with the answer's own Date header where that can be read, so that a difference between their
    clock and ours does not matter; otherwise with `now`.
    """
    text = (value or "").strip()
    if _SECONDS.fullmatch(text):
        return _clamp(int(text) * 1_000 if len(text.lstrip("0")) <= _MAX_DIGITS else MAX_RETRY_AFTER_MS)
    until = _http_date(text)
    if until is None:
        return None
    sent_at = _http_date((date_header or "").strip()) or _aware(now)
    return _clamp(int((until - sent_at).total_seconds() * 1_000))


def _clamp(wait_ms: int) -> int:
    return max(MIN_RETRY_AFTER_MS, min(MAX_RETRY_AFTER_MS, wait_ms))


def _http_date(text: str) -> datetime | None:
    if not text:
        return None
    try:
        # The three formats of RFC 9110 §5.6.7 are all understood by the mail parser; what it does not understand
        # it answers with any of these errors.
        return _aware(parsedate_to_datetime(text))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _aware(moment: datetime) -> datetime:
    """HTTP-dates are in GMT; the asctime form does not say so."""
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
