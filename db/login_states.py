"""Identity providers of a tenant, and sign-ins that are under way at one of them."""

from typing import Any

from sqlalchemy import Connection, delete, select, update

from db.clock import now_ms
from db.tables.base import AnyRow
from db.tables.identity import identity_providers, login_states
from db.upsert import upsert

BEGUN, LOOKING, KNOWN, FAILED, OVER = "begun", "looking", "known", "failed", "over"


def save_provider(connection: Connection, **row: Any) -> None:
    """Write an identity provider, or overwrite the one of that name."""
    values = {**row, "changed_ms": now_ms(connection)}
    upsert(
        connection, identity_providers, [values], update=[name for name in values if name not in ("tenant_id", "name")]
    )


def provider(connection: Connection, *, tenant: str, name: str) -> AnyRow | None:
    """One identity provider."""
    where = (identity_providers.c.tenant_id == tenant, identity_providers.c.name == name)
    found: AnyRow | None = connection.execute(select(identity_providers).where(*where)).one_or_none()
    return found


def providers(connection: Connection, *, tenant: str) -> list[AnyRow]:
    """The identity providers of a tenant, by name."""
    statement = select(identity_providers).where(identity_providers.c.tenant_id == tenant)
    return list(connection.execute(statement.order_by(identity_providers.c.name)))


def remove_provider(connection: Connection, *, tenant: str, name: str) -> bool:
    """Remove one; False where there is none."""
    where = (identity_providers.c.tenant_id == tenant, identity_providers.c.name == name)
    return connection.execute(delete(identity_providers).where(*where)).rowcount == 1


def begin(connection: Connection, **row: Any) -> None:
    """A sign-in goes to a provider's page. Those that never came back are removed on the way."""
    now = now_ms(connection)
    connection.execute(
        delete(login_states).where(
            login_states.c.tenant_id == row["tenant_id"], login_states.c.ends_ms < now - 3_600_000
        )
    )
    blank = {"code": None, "login_id": None, "reason": None, "step": BEGUN}
    connection.execute(login_states.insert(), [{**blank, **row}])


def get(connection: Connection, *, tenant: str, state_id: str) -> AnyRow | None:
    """A sign-in that is under way."""
    where = (login_states.c.tenant_id == tenant, login_states.c.id == state_id)
    found: AnyRow | None = connection.execute(select(login_states).where(*where)).one_or_none()
    return found


def move(connection: Connection, *, tenant: str, state_id: str, step: str, to: str, **values: Any) -> bool:
    """From one step to another; of any number who try it together, one gets True."""
    hit = connection.execute(
        update(login_states)
        .where(login_states.c.tenant_id == tenant, login_states.c.id == state_id, login_states.c.step == step)
        .values(step=to, **values)
    )
    return hit.rowcount == 1
