"""A school with a few people and what a process knows of it; no WPS, no Redis: identity needs neither."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

from sqlalchemy import Engine

from bootstrap.wiring import new_id
from db import people
from db.engine import in_unit, unit
from db.logins import Grant
from domain.lanes import Times
from domain.timetable import Person
from usecases import identity, logins, tenants
from usecases.deps import Deps
from usecases.identity import Tokens

KEY = base64.b64encode(bytes(range(32))).decode()
OTHER_KEY = base64.b64encode(bytes(range(1, 33))).decode()
PASSWORD = "correct horse battery"
HOME = "10.0.0.1"


def deps_of(engine: Engine, *, encryption_keys: str = f"k1:{KEY}", folder: Path = Path()) -> Deps:
    """What a process of the tenant `main` has."""
    nothing = cast(Any, None)
    return Deps(
        engine=engine,
        remote=nothing,
        hints=nothing,
        times=Times(budget_ms=5000, lease_ms=8000, late_ms=3000, lag_ms=1000),
        secret=b"s" * 32,
        zone=ZoneInfo("Asia/Shanghai"),
        tenant="main",
        new_id=new_id,
        ring=lambda _what: None,
        data_dir=folder,
        encryption_keys=encryption_keys,
    )


@dataclass
class School:
    """Mei studies, Bao teaches, Ada administers; `other` is another school in the same database."""

    deps: Deps

    def add(self, name: str, *roles: str | Grant, tenant: str = "main", **more: Any) -> str:
        """The id of a new login with the usual password."""
        given = [Grant(one) if isinstance(one, str) else one for one in roles]
        made = logins.add(self.deps, tenant=tenant, name=name, roles=given, password=PASSWORD, actor="test", **more)
        return made.login_id

    def sign_in(self, name: str, password: str = PASSWORD, *, address: str = HOME, **more: Any) -> Tokens:
        """Sign in from home."""
        given: dict[str, Any] = {"tenant": "main", **more}
        return identity.sign_in(self.deps, name=name, password=password, address=address, **given)


def now() -> int:
    """This machine's clock, in milliseconds."""
    return time.time_ns() // 1_000_000


def school(engine: Engine) -> School:
    """The tenants and their people."""
    deps = deps_of(engine)
    with unit(engine) as tx:
        for tenant in ("main", "other"):
            tenants.seed(
                tx, tenant=tenant, zone="Asia/Shanghai", app_id="", app_key="", encryption_keys=deps.encryption_keys
            )
    for kind, found in (
        ("student", [Person(code="s1", name="梅", college="数学学院"), Person(code="s2", name="兰", college="")]),
        ("teacher", [Person(code="t1", name="包", college="数学学院")]),
    ):
        in_unit(engine, lambda tx, k=kind, f=found: people.save_listed(tx, f, tenant="main", kind=k, import_no=1))
    return School(deps)
