"""The KSO-1 request signature.

    message   = "KSO-1" + METHOD + path and query exactly as sent + Content-Type + date + sha256 of the body
    signature = lowercase hex of HMAC-SHA256(key of the app, message)

The body's hash is lowercase hex, and an empty string (not the hash of nothing) when there is no body. The query belongs
to what is signed: without it the gateway answers an HTML 403. A private deployment under a path prefix signs the part
after the prefix.
"""

import hashlib
import hmac
from datetime import UTC, datetime
from email.utils import format_datetime

from remote.wps.credentials import Credentials

SCHEME = "KSO-1"


def kso_date(now: datetime) -> str:
    """`now` (aware) as the date header wants it: RFC 1123, GMT."""
    return format_datetime(now.astimezone(UTC), usegmt=True)


def signature(*, app_key: str, method: str, target: str, content_type: str, date: str, body: bytes) -> str:
    """The hex signature. `target` is path and query, byte for byte as they go over the wire."""
    body_hash = hashlib.sha256(body).hexdigest() if body else ""
    message = f"{SCHEME}{method}{target}{content_type}{date}{body_hash}"
    return hmac.new(app_key.encode(), message.encode(), hashlib.sha256).hexdigest()


def authorization(
    credentials: Credentials, *, method: str, target: str, content_type: str, date: str, body: bytes
) -> str:
    """The value of the signature header for one request."""
    signed = signature(
        app_key=credentials.app_key, method=method, target=target, content_type=content_type, date=date, body=body
    )
    return f"{SCHEME} {credentials.app_id}:{signed}"
