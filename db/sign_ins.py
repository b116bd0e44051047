"""Sign-ins and what their tokens have become: families of refresh tokens, tokens taken back, guesses at passwords."""

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import BindParameter, Connection, Select, bindparam, delete, select, update

from db.logins import ACTIVE
from db.spelled import Spelled
from db.tables.base import AnyRow
from db.tables.identity import login_attempts, login_roles, logins, revoked_tokens, token_families
from domain.lockout import Attempts

_PAGE = 500


def begin(connection: Connection, **row: Any) -> None:
    """A new family with its first refresh token."""
    connection.execute(token_families.insert(), [{"uses": 0, "revoked_ms": None, "reason": None, **row}])


def standing(connection: Connection, *, tenant: str, login_id: str, family: str, jti: str) -> AnyRow | None:
    """What the database says of a token: state and epoch of its login, when its family was revoked, and whether the token
    was itself. None: there is no such login or family."""
    taken = (revoked_tokens.c.tenant_id == logins.c.tenant_id) & (revoked_tokens.c.jti == jti)
    mine = (token_families.c.tenant_id == logins.c.tenant_id) & (token_families.c.id == family)
    statement = (
        select(
            logins.c.name,
            logins.c.code,
            logins.c.state,
            logins.c.token_epoch,
            logins.c.must_change,
            token_families.c.revoked_ms,
            token_families.c.ends_ms,
            revoked_tokens.c.jti.label("taken_back"),
        )
        .select_from(
            logins.join(token_families, mine & (token_families.c.login_id == logins.c.id)).outerjoin(
                revoked_tokens, taken
            )
        )
        .where(logins.c.tenant_id == tenant, logins.c.id == login_id)
    )
    found: AnyRow | None = connection.execute(statement).one_or_none()
    return found


def _standings() -> Select[Any]:
    tenant: BindParameter[str] = bindparam("tenant")
    roles = (login_roles.c.tenant_id == tenant) & (login_roles.c.login_id == logins.c.id)
    jtis = revoked_tokens.c.jti.in_(bindparam("jtis", expanding=True))
    taken = (revoked_tokens.c.tenant_id == logins.c.tenant_id) & jtis
    mine = (token_families.c.tenant_id == logins.c.tenant_id) & (token_families.c.login_id == logins.c.id)
    columns = (logins.c.id, logins.c.name, logins.c.code, logins.c.state, logins.c.token_epoch, logins.c.must_change)
    families = token_families.c.id.in_(bindparam("families", expanding=True))
    # Hardly any token of a batch was taken back: the rows do not become many by joining those to all of them.
    return (
        select(
            *columns, token_families.c.id.label("family"), token_families.c.revoked_ms, token_families.c.ends_ms,
            login_roles.c.role, login_roles.c.colleges, revoked_tokens.c.jti,
        )
        .select_from(logins.join(token_families, mine).outerjoin(login_roles, roles).outerjoin(revoked_tokens, taken))
        .where(token_families.c.tenant_id == tenant, families)
    )  # fmt: skip


_STANDINGS: Final = _standings()  # made once: making it takes longer than asking


def standings(
    connection: Connection, asked: Collection[tuple[str, str]], *, tenant: str
) -> tuple[dict[tuple[str, str], AnyRow], dict[str, dict[str, str]], set[str]]:
    """The same for many tokens of a tenant, (family, jti), in one statement: what is said of each family's login by
    (login, family), the roles of each login with their colleges as they are stored, and which tokens were taken back."""
    said = {"tenant": tenant, "families": sorted({one[0] for one in asked}), "jtis": sorted({one[1] for one in asked})}
    rows = connection.execute(_STANDINGS, said)
    found: dict[tuple[str, str], AnyRow] = {}
    given: dict[str, dict[str, str]] = {}
    revoked: set[str] = set()
    for row in rows:
        found[row.id, row.family] = row
        if row.role is not None:
            given.setdefault(row.id, {})[row.role] = row.colleges
        if row.jti is not None:
            revoked.add(row.jti)
    return found, given, revoked


def _standing_epochs() -> Select[Any]:
    tenant: BindParameter[str] = bindparam("b_tenant")
    jtis = revoked_tokens.c.jti.in_(bindparam("b_jtis", expanding=True))
    families = token_families.c.id.in_(bindparam("b_families", expanding=True))
    # Of all of them, not of each: hardly ever one was taken back, and then the whole batch is asked about at length.
    taken = select(revoked_tokens.c.jti).where(revoked_tokens.c.tenant_id == tenant, jtis).exists()
    same = (logins.c.tenant_id == token_families.c.tenant_id) & (logins.c.id == token_families.c.login_id)
    return (
        select(token_families.c.id, logins.c.id, logins.c.token_epoch)
        .select_from(token_families.join(logins, same))
        .where(token_families.c.tenant_id == tenant, families)
        .where(token_families.c.revoked_ms.is_(None), token_families.c.ends_ms > bindparam("b_now"))
        .where(logins.c.state == ACTIVE, ~taken)
    )


_STANDING_EPOCHS: Final = Spelled(_standing_epochs(), listed=("b_families", "b_jtis"))


def standing_epochs(
    connection: Connection, asked: Sequence[tuple[str, str]], *, tenant: str, now_ms: int
) -> dict[str, tuple[str, int]]:
    """Of tokens of a tenant, (family, jti), those that stand: family → (login, its epoch). One that is missing may stand all the
    same, where another of them was taken back."""
    said: dict[str, Any] = {"b_tenant": tenant, "b_now": now_ms}
    said |= {"b_families": [family for family, _ in asked], "b_jtis": [jti for _, jti in asked]}
    rows: Any = _STANDING_EPOCHS.run(connection, said)
    return {family: (login, epoch) for family, login, epoch in rows}


def exchange(connection: Connection, *, tenant: str, family: str, used: str, fresh: str, now: int) -> bool:
    """Put the token `fresh` in the place of `used`; False where `used` is not the family's current one. Of any number who
    try it together, one hits the row."""
    hit = connection.execute(
        update(token_families)
        .where(token_families.c.tenant_id == tenant, token_families.c.id == family)
        .where(token_families.c.current == used, token_families.c.revoked_ms.is_(None), token_families.c.ends_ms > now)
        .values(current=fresh, uses=token_families.c.uses + 1, used_ms=now)
    )
    return hit.rowcount == 1


def family(connection: Connection, *, tenant: str, family_id: str) -> AnyRow | None:
    """One sign-in."""
    statement = select(token_families).where(token_families.c.tenant_id == tenant, token_families.c.id == family_id)
    found: AnyRow | None = connection.execute(statement).one_or_none()
    return found


def revoke_family(connection: Connection, *, tenant: str, family_id: str, reason: str, now: int) -> bool:
    """End a sign-in with all its tokens; False where it had ended."""
    return _revoke(connection, tenant, token_families.c.id == family_id, reason, now) == 1


def revoke_all(connection: Connection, *, tenant: str, login_id: str, reason: str, now: int) -> int:
    """End all sign-ins of a login. Returns how many there were."""
    return _revoke(connection, tenant, token_families.c.login_id == login_id, reason, now)


def _revoke(connection: Connection, tenant: str, where: Any, reason: str, now: int) -> int:
    hit = connection.execute(
        update(token_families)
        .where(token_families.c.tenant_id == tenant, token_families.c.revoked_ms.is_(None), where)
        .values(revoked_ms=now, reason=reason)
    )
    return int(hit.rowcount)


def take_back(connection: Connection, *, tenant: str, jti: str, reason: str, ends_ms: int) -> bool:
    """Refuse one token from now on; False where it was already. Of several who use up a ticket together, one gets True."""
    row = {"tenant_id": tenant, "jti": jti, "reason": reason, "ends_ms": ends_ms}
    before = select(revoked_tokens.c.jti).where(revoked_tokens.c.tenant_id == tenant, revoked_tokens.c.jti == jti)
    if connection.execute(before.with_for_update()).first() is not None:
        return False
    connection.execute(revoked_tokens.insert(), [row])  # a clash is another one's, and repeats the unit
    return True


def attempts(connection: Connection, *, tenant: str, key: str) -> tuple[Attempts, bool]:
    """The guesses under a key, locked, and whether the account has come in from there before."""
    statement = select(login_attempts).where(login_attempts.c.tenant_id == tenant, login_attempts.c.key == key)
    row = connection.execute(statement.with_for_update()).one_or_none()
    if row is None:
        return Attempts(), False
    return Attempts(row.failures, row.next_ms, row.last_ms), bool(row.known)


def save_attempts(connection: Connection, *, tenant: str, key: str, seen: Attempts, known: bool) -> None:
    """Write what `attempts` will say next. A row that somebody else made meanwhile fails the unit, which is then repeated."""
    values = {"failures": seen.failures, "next_ms": seen.next_ms, "last_ms": seen.last_ms, "known": known}
    hit = connection.execute(
        update(login_attempts).where(login_attempts.c.tenant_id == tenant, login_attempts.c.key == key).values(**values)
    )
    if hit.rowcount == 0:
        connection.execute(login_attempts.insert(), [{"tenant_id": tenant, "key": key, **values}])


def prune(connection: Connection, *, tenant: str, now: int, keep_ms: int, forget_ms: int) -> int:
    """Remove what no decision needs any more: sign-ins that ended `keep_ms` ago, spent tokens past their end, old guesses."""
    removed = 0
    for table, where in (
        (token_families, token_families.c.ends_ms < now - keep_ms),
        (revoked_tokens, revoked_tokens.c.ends_ms < now - 60_000),
        (login_attempts, (login_attempts.c.last_ms < now - forget_ms) & login_attempts.c.known.is_(False)),
    ):
        removed += int(connection.execute(delete(table).where(table.c.tenant_id == tenant, where)).rowcount)
    return removed
