"""Who did what: the one place through which people's commands are written down."""

from typing import Any

from sqlalchemy import Connection

from db.clock import now_ms
from observability.log import get_logger

log = get_logger("audit")


def write(connection: Connection, *, tenant: str, actor: str, action: str, thing: str, **details: Any) -> None:
    """Note in the transaction of the act that `actor` did `action` to `thing`."""
    log.info("audit", at_ms=now_ms(connection), tenant=tenant, actor=actor, action=action, thing=thing, **details)
