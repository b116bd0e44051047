"""`obsync users`, `roles`, `keys` and `secrets` as somebody types them; and where a secret must never be found."""

from __future__ import annotations

import base64
import io
import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import CliRunner
from sqlalchemy import Engine, select

from db import audit
from db import tasks as task_rows
from db.engine import in_unit, reading
from db.tables import metadata
from domain.tenancy import Role
from observability import log
from tests.fixtures_stores import Valkey
from tests.integration.identity_rig import HOME, PASSWORD, deps_of, now, school
from usecases import api_keys, demo, identity, logins, sealing, sso, tasks
from usecases.identity import NotAuthenticated
from workers.cli import main

pytestmark = pytest.mark.integration

PROJECT = Path(__file__).resolve().parents[2]
KEY = base64.b64encode(bytes(range(32))).decode()
OTHER = base64.b64encode(bytes(range(1, 33))).decode()


@dataclass
class Console:
    """Commands against one database, in this process."""

    engine: Engine
    environ: dict[str, str]

    def __call__(self, *words: str, ends: int = 0, types: str = "", **more: str) -> Any:
        """What a command says with --json; it must end with that code."""
        done = CliRunner().invoke(main, [*words, "--json"], env=self.environ | more, input=types)
        assert done.exit_code == ends, (done.output, done.exception)
        return json.loads(done.stdout)


@pytest.fixture
def console(database: Engine, database_url: str, valkey: Valkey, data_dir: Path) -> Console:
    """A command line on a fresh database."""
    environ = {
        "PATH": os.environ["PATH"],
        "OBSYNC_DATA_DIR": str(data_dir),
        "OBSYNC_DATABASE_URL": database_url,
        "OBSYNC_BROKER_URL": valkey.url,
        "OBSYNC_SECRET_KEY": "s" * 32,
        "OBSYNC_ENCRYPTION_KEYS": f"k1:{KEY}",
    }
    made = Console(database, environ)
    made("migrate")
    return made


def test_the_first_administrator_comes_from_the_command_line(console: Console) -> None:
    """Before there is one, nobody could make one by signing in."""
    made = console("users", "add", "Ada", "--role", "admin")
    deps = deps_of(console.engine)
    pair = identity.sign_in(deps, tenant="main", name="ada", password=made["password"], address=HOME)
    assert pair.must_change_password
    assert identity.scope_of(deps, pair.access, now()).roles == {"admin"}
    (listed,) = console("users")["items"]
    assert (listed["name"], listed["roles"]) == ("ada", [{"role": "admin", "colleges": []}])
    assert made["password"] not in json.dumps(console("audit"))
    asked = console("users", "password", "ada", "--ask", types=f"{PASSWORD}\n{PASSWORD}\n")
    assert asked["password"] is None
    assert identity.sign_in(deps, tenant="main", name="ada", password=PASSWORD, address=HOME)


def test_roles_are_given_taken_and_made(console: Console) -> None:
    """A secretary for one college, a dean by the school's own idea of one."""
    console("users", "add", "lin", "--no-password")
    console("roles", "set", "dean", "--may", "course.read|write:college", ends=2)
    console("roles", "set", "dean", "--may", "course.read:college", "--may", "run.read|start:college")
    given = console("users", "role", "lin", "--role", "college_secretary:数学学院,物理学院", "--role", "dean")
    assert given["roles"][0] == {"role": "college_secretary", "colleges": ["数学学院", "物理学院"]}
    assert len(console("roles")["items"]) == len(Role) + 1
    assert console("roles", "remove", "dean")["had"] == 1
    assert console("users", "disable", "lin")["changed"] and not console("users", "disable", "lin")["changed"]
    assert console("users", "enable", "lin")["changed"]
    assert console("users", "signout", "lin")["ended"] == 0
    did = [one["action"] for one in console("audit")["items"]]
    assert did == [
        "user.sign_out", "user.enable", "user.disable", "role.remove", "user.role", "role.save", "user.add"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        ("users", "add", "a b"), ("users", "add", "x", "--role", "king"), ("users", "add", "x", "--person", "s1"),
        ("users", "add", "x", "--person", "student:nobody"), ("users", "role", "nobody", "--role", "admin"),
        ("users", "role", "nobody"), ("users", "password", "nobody"), ("users", "disable", "nobody"),
        ("roles", "set", "admin", "--may", "course.read:own"), ("roles", "set", "x", "--may", "course.read"),
        ("roles", "remove", "nobody"), ("keys", "rotate", "nobody"), ("keys", "revoke", "nobody"),
        ("keys", "make", "x", "--may", "everything"),
    ],
)  # fmt: skip
def test_a_command_that_is_put_wrongly_changes_nothing_and_says_why(console: Console, words: tuple[str, ...]) -> None:
    """One sentence with the name in it, and what to type instead."""
    said = console(*words, ends=2)
    assert said["error"] and said["remedy"]
    assert console("users")["items"] == [] and console("keys")["items"] == [] and console("audit")["items"] == []


def test_a_key_opens_what_it_was_made_for_until_it_ends(console: Console) -> None:
    """A service gets what it needs, and changes over to a new key without a pause."""
    made = console("keys", "make", "library", "--may", "course.read:tenant", "--days", "2")
    deps = deps_of(console.engine)
    scope = identity.scope_of(deps, f"Bearer {made['key']}", now())
    assert (scope.tenant, scope.user, scope.roles) == ("main", f"key:{made['prefix']}", frozenset())
    assert {str(one) for one in scope.permissions} == {"course.read:tenant"}
    shown = console("keys")["items"][0]
    assert shown["last_used_ms"] and made["key"].rpartition("_")[2] not in json.dumps(shown)
    later = console("keys", "rotate", made["prefix"], "--overlap-h", "1")
    console("keys", "rotate", made["prefix"], ends=2)
    for key in (made["key"], later["key"]):
        assert identity.scope_of(deps, key, now()).tenant == "main"
    assert reason(lambda: identity.scope_of(deps, made["key"], now() + 3_700_000)) == "expired"
    assert (
        console("keys", "revoke", later["prefix"])["revoked"]
        and not console("keys", "revoke", later["prefix"])["revoked"]
    )
    assert reason(lambda: identity.scope_of(deps, later["key"], now())) == "revoked"
    for wrong in (
        made["key"][:-1] + "x",
        made["key"].replace("main", "other"),
        "ob_",
        "ob_main__",
        "ob_" + "x" * 1000,
        "ob_ma%ff_a_b",
    ):
        assert reason(lambda k=wrong: identity.scope_of(deps, k, now())) in ("unknown_key", "not_a_key")


def reason(work: Callable[[], object]) -> str:
    with pytest.raises(NotAuthenticated) as told:
        work()
    return told.value.reason


def test_encryption_keys_are_counted_and_rotated(console: Console) -> None:
    """An old key is taken out when nothing is left of it, and not before."""
    assert console("secrets")["items"] == [{"key": "k1", "secrets": 1, "given": True, "first": True}]
    both = {"OBSYNC_ENCRYPTION_KEYS": f"k2:{OTHER},k1:{KEY}"}
    assert console("secrets", "rotate", **both) == {"resealed": 1, "unreadable": 0}
    only = {"OBSYNC_ENCRYPTION_KEYS": f"k2:{OTHER}"}
    assert console("secrets", **only)["items"] == [{"key": "k2", "secrets": 1, "given": True, "first": True}]


def test_demo_logins_open_each_role_and_are_switched_off_where_people_are(database: Engine) -> None:
    """`obsync up` prints them beside the simulator only."""
    deps = school(database).deps
    for number, password in enumerate(("first password", "second password")):
        made = demo.logins_per_role(deps, password=password)
        assert {one.role for one in made} >= {"admin", "platform_admin"}, number
        for one in made:
            pair = identity.sign_in(deps, tenant="main", name=one.name, password=password, address=HOME)
            assert identity.scope_of(deps, pair.access, now()).roles == {one.role}
    assert demo.remove(deps) == len(made)
    assert reason(lambda: identity.sign_in(deps, tenant="main", name="demo-admin", password=password, address=HOME))


# --- secrets ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """Everything that is logged, at the noisiest level."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    out = io.StringIO()
    log.configure("DEBUG", pretty=False, out=out)
    yield out
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_a_secret_planted_in_every_input_is_found_nowhere(database: Engine, written: io.StringIO) -> None:
    """No log, no error, no row, no act in the audit and no dead letter may give it back."""
    here = school(database)
    deps, plant = here.deps, "Pl4nted-secret-value"
    here.add("ada", Role.ADMIN)
    pair = here.sign_in("ada")
    made = api_keys.make(deps, tenant="main", name="k", permissions=["course.read:own"], days=1, actor="test")
    started = sso.start(deps, tenant="main", provider="x", redirect_uri="https://x.example", back_to="/")
    logins.set_password(deps, tenant="main", name="ada", password=plant, actor="test")
    sso.save_provider(
        deps, tenant="main", name="p", issuer="https://p.example", client_id="c", client_secret=plant, actor="test"
    )
    with pytest.raises(NotAuthenticated):
        logins.change_own_password(deps, tenant="main", login_id=pair.login_id, old=plant + "x", new=plant * 2)
    said = []
    attempts: list[Callable[[], object]] = [
        lambda: here.sign_in("ada", plant * 2), lambda: here.sign_in("nobody", plant), lambda: here.sign_in("ada", plant * 99),
        lambda: identity.scope_of(deps, plant, now()), lambda: identity.scope_of(deps, f"Bearer {plant}", now()),
        lambda: identity.scope_of(deps, f"ob_main_{plant}_{plant}", now()),
        lambda: identity.refresh(deps, f"{pair.refresh}{plant}"),
        lambda: identity.use_ticket(deps, plant, now()), lambda: identity.sign_out(deps, plant),
        lambda: sso.finish(deps, state=plant, binding=plant, code=plant),
        lambda: sso.finish(deps, state=started.state, binding=started.binding, code=plant),
        lambda: here.add("x", password_is=plant),
        lambda: logins.add(deps, tenant="main", name=plant[:5], password="1", actor="test"),
        lambda: sealing.unseal(f"k1.{plant}", encryption_keys=deps.encryption_keys, place="x"),
        lambda: sealing.unseal("k1.AAAA", encryption_keys=deps.encryption_keys, place="x"),
    ]  # fmt: skip
    for attempt in attempts:
        try:
            attempt()
        except Exception as error:
            said.append(f"{type(error).__name__}: {error}")
            log.get_logger("test").exception("attempt.failed", error=error)
    in_unit(database, lambda tx: task_rows.put_task(
        tx, tenant="main", queue="sync", kind="run", target="t", payload="{}", run_id=None, new_id=deps.new_id
    ))  # fmt: skip
    ((task_id, _),) = tasks.due_tasks(deps, kinds={"run"})
    task = tasks.claim(deps, task_id, claim="c")
    assert task is not None
    tasks.retry(deps, task, RuntimeError(f"refused: password={plant} Bearer {pair.access}"))
    secrets = [
        plant,
        pair.access,
        pair.refresh,
        made.key,
        started.state,
        started.verifier,
        started.nonce,
        KEY,
        "s" * 32,
    ]
    with reading(database) as tx:
        rows = "\n".join(repr(row) for table in metadata.sorted_tables for row in tx.execute(select(table)))
        acts = json.dumps(audit.listing(tx, tenant="main"), ensure_ascii=False)
    assert len(said) >= len(attempts) - 1 and "provider.save" in acts
    for secret in secrets:
        for place, text in (("log", written.getvalue()), ("errors", "\n".join(said)), ("rows", rows), ("audit", acts)):
            assert secret not in text, (place, secret)


def test_a_feed_is_given_listed_and_revoked_at_the_console(console: Console) -> None:
    """Its address is shown once; nobody gets one who is not there."""
    console("users", "add", "ada", "--role", "admin")
    given = console("feeds", "give", "@ada")
    assert given["path"].startswith("/feeds/") and given["path"].endswith(".ics")
    (listed,) = console("feeds")["items"]
    assert (listed["id"], listed["owner"]) == (given["id"], "@ada")
    assert [console("feeds", "revoke", given["id"])["revoked"] for _ in range(2)] == [True, False]
    console("feeds", "give", "nobody", ends=2)
    console("feeds", "revoke", "nothing", ends=2)
