"""KSO-1 request signatures, as the receiving side sees them.

What is signed is the text `KSO-1`, the method, the request target exactly as it stood on the request line (path and
query), the Content-Type header, the X-Kso-Date header and the lower-case hex SHA-256 of the raw body (nothing at all
when there is no body), all joined without separators; HMAC-SHA256 with the app key, lower-case hex.
How far X-Kso-Date may be off is not known, so any well-formed date is taken.
"""

import hashlib
import hmac
import re

_DATE = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4}"
    r" \d\d:\d\d:\d\d GMT"
)


def sign(app_key: str, method: str, target: str, content_type: str, date: str, body: bytes) -> str:
    """The hex signature of one request."""
    digest = hashlib.sha256(body).hexdigest() if body else ""
    text = f"KSO-1{method}{target}{content_type}{date}{digest}"
    return hmac.digest(app_key.encode(), text.encode(), "sha256").hex()


def authorization(app_id: str, signature: str) -> str:
    """The value of X-Kso-Authorization."""
    return f"KSO-1 {app_id}:{signature}"


def is_valid(
    authorization_value: str,
    *,
    app_id: str,
    app_key: str,
    method: str,
    target: str,
    content_type: str,
    date: str,
    body: bytes,
) -> bool:
    """Whether the header value is what this app would have sent for exactly this request."""
    if not _DATE.fullmatch(date):
        return False
    expected = authorization(app_id, sign(app_key, method, target, content_type, date, body))
    return hmac.compare_digest(expected.encode(), authorization_value.encode())
