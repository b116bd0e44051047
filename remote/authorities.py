"""The certificate authorities that the other side is checked against."""

from __future__ import annotations

import ssl
from functools import cache

import httpx


@cache
def authorities(*, trust_env: bool) -> ssl.SSLContext:
    """The context of every TLS connection; with `trust_env`, SSL_CERT_FILE and SSL_CERT_DIR may name others.

    Read once in a process: a new context takes 20 ms, in which a command that speaks no TLS could have ended.
    """
    return httpx.create_ssl_context(trust_env=trust_env)
