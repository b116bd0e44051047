"""`obsync users` and `obsync roles`: who may sign in, and as what."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from domain.passwords import BadLoginName, BadPassword
from domain.tenancy import BadPermission
from usecases import logins
from usecases.logins import Grant, LoginTaken, NotYours, RoleRefused, UnknownLogin, UnknownPerson, UnknownRole
from workers.cli.console import USAGE, actor, answer, command, fail, json_option, open_product, out, table, when

_ROLE = click.option(
    "--role", "roles", multiple=True, metavar="ROLE[:COLLEGE,COLLEGE]", help="A role; may be repeated."
)


def mended(function: Callable[..., Any]) -> Callable[..., Any]:
    """What a person typed wrongly, as one sentence and exit code 2."""

    @wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        as_json = bool(kwargs.get("as_json"))
        try:
            return function(*args, **kwargs)
        except UnknownLogin as error:
            fail(f"there is no login {error}", "`obsync users` lists them.", as_json=as_json, code=USAGE)
        except UnknownRole as error:
            fail(f"there is no role {error}", "`obsync roles` lists them.", as_json=as_json, code=USAGE)
        except UnknownPerson as error:
            remedy = "Import the people first, or leave --person out."
            fail(f"no import has brought {error}", remedy, as_json=as_json, code=USAGE)
        except LoginTaken as error:
            fail(str(error), "Take another name, or change that login.", as_json=as_json, code=USAGE)
        except (BadLoginName, BadPassword, BadPermission, RoleRefused, NotYours) as error:
            fail(str(error), "Nothing was changed.", as_json=as_json, code=USAGE)

    return guarded


@click.group(invoke_without_command=True)
@click.option("--role", help="Only those with this role.")
@click.option("--text", default="", help="Only those whose name or title has this in it.")
@click.option("--after", default="", help="Go on behind this id.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@json_option
@click.pass_context
@command
def users(context: click.Context, role: str | None, text: str, after: str, limit: int, as_json: bool) -> None:
    """List the logins, newest first."""
    if context.invoked_subcommand is not None:
        return
    _, wired = open_product()
    deps = wired.deps
    items = logins.listing(deps, tenant=deps.tenant, after=after, limit=limit, role=role, text=text)
    rows = [
        (
            one["name"],
            one["title"],
            ", ".join(_role_text(grant) for grant in one["roles"]),
            one["state"],
            when(one["last_login_ms"], deps.zone) if one["last_login_ms"] else "never",
        )
        for one in items
    ]
    columns = ("login", "name", "roles", "state", "last sign-in")
    answer(as_json, {"items": items}, lambda: table("users 用户", columns, rows, empty="nobody; `obsync users add`"))


@users.command("add")
@click.argument("name")
@_ROLE
@click.option("--title", default="", help="The name people are shown.")
@click.option("--person", metavar="KIND:NUMBER", help="Whose login it is: student:2024001 or teacher:T001.")
@click.option("--ask", is_flag=True, help="Ask for the password. Without it one is made up and shown once.")
@click.option("--no-password", is_flag=True, help="Only by single sign-on or WPS.")
@json_option
@command
@mended
def add_user(
    name: str, roles: tuple[str, ...], title: str, person: str | None, ask: bool, no_password: bool, as_json: bool
) -> None:
    """Make a login. The first administrator: `obsync users add NAME --role admin`."""
    _, wired = open_product()
    kind, colon, code = (person or "").partition(":")
    if person is not None and (not colon or kind not in ("student", "teacher")):
        fail(f"{person} is not KIND:NUMBER", "For example: --person teacher:T001.", as_json=as_json, code=USAGE)
    made = logins.add(
        wired.deps,
        tenant=wired.deps.tenant,
        name=name,
        title=title,
        roles=_grants(roles),
        password=_asked() if ask else None,
        generate=not ask and not no_password,
        person=(kind, code) if person else None,
        actor=actor(),
    )
    told = {"id": made.login_id, "name": made.name, "password": made.password}
    answer(as_json, told, lambda: _tell_password(made.name, made.password))


@users.command("role")
@click.argument("name")
@_ROLE
@click.option("--none", is_flag=True, help="Take all roles away.")
@json_option
@command
@mended
def role_of_user(name: str, roles: tuple[str, ...], none: bool, as_json: bool) -> None:
    """Give a login exactly these roles. It holds from its next call on."""
    if none == bool(roles):
        fail("name the roles, or give --none", "`obsync roles` lists them.", as_json=as_json, code=USAGE)
    _, wired = open_product()
    now = logins.set_roles(wired.deps, tenant=wired.deps.tenant, name=name, roles=_grants(roles), actor=actor())
    shown = ", ".join(map(_role_text, now)) or "no role"
    answer(as_json, {"name": name, "roles": now}, lambda: out.print(f"{name}: {shown}", soft_wrap=True))


@users.command("password")
@click.argument("name")
@click.option("--ask", is_flag=True, help="Ask for it. Without it one is made up and shown once.")
@json_option
@command
@mended
def password_of_user(name: str, ask: bool, as_json: bool) -> None:
    """Give a login a new password, and end its sign-ins."""
    _, wired = open_product()
    given = _asked() if ask else None
    made = logins.set_password(wired.deps, tenant=wired.deps.tenant, name=name, password=given, actor=actor())
    answer(as_json, {"name": name, "password": made}, lambda: _tell_password(name, made))


@users.command("disable")
@click.argument("name")
@json_option
@command
@mended
def disable_user(name: str, as_json: bool) -> None:
    """Switch a login off: its sign-ins end at once."""
    _set_state(name, active=False, as_json=as_json)


@users.command("enable")
@click.argument("name")
@json_option
@command
@mended
def enable_user(name: str, as_json: bool) -> None:
    """Switch a login on again."""
    _set_state(name, active=True, as_json=as_json)


@users.command("signout")
@click.argument("name")
@json_option
@command
@mended
def sign_out_user(name: str, as_json: bool) -> None:
    """End all sign-ins of a login; it can sign in again."""
    _, wired = open_product()
    ended = logins.end_sign_ins(wired.deps, tenant=wired.deps.tenant, name=name, actor=actor())
    answer(as_json, {"name": name, "ended": ended}, lambda: out.print(f"{ended} sign-ins of {name} ended"))


def _set_state(name: str, *, active: bool, as_json: bool) -> None:
    _, wired = open_product()
    changed = logins.set_state(wired.deps, tenant=wired.deps.tenant, name=name, active=active, actor=actor())
    state = "active" if active else "disabled"
    told = {"name": name, "state": state, "changed": changed}
    answer(as_json, told, lambda: out.print(f"{name} is {state}" + ("" if changed else " as before")))


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
@command
def roles(context: click.Context, as_json: bool) -> None:
    """List the roles: built in, and the school's own."""
    if context.invoked_subcommand is not None:
        return
    _, wired = open_product()
    items = logins.roles_of(wired.deps, tenant=wired.deps.tenant)
    rows = [
        (one["name"], one["title"], "yes" if one["built_in"] else "", ", ".join(one["permissions"])) for one in items
    ]
    columns = ("role", "title", "built in", "may")
    answer(as_json, {"items": items}, lambda: table("roles 角色", columns, rows, empty="no roles"))


@roles.command("set")
@click.argument("name")
@click.option(
    "--may", "allowed", multiple=True, required=True, metavar="RESOURCE.ACTION:CONDITION", help="May be repeated."
)
@click.option("--title", default="", help="The name people are shown.")
@json_option
@command
@mended
def set_role(name: str, allowed: tuple[str, ...], title: str, as_json: bool) -> None:
    """Make or change a role of the school. Conditions: own, taught, college, tenant."""
    _, wired = open_product()
    now = logins.save_role(wired.deps, tenant=wired.deps.tenant, name=name, title=title, allowed=allowed, actor=actor())
    answer(
        as_json, {"name": name, "permissions": now}, lambda: out.print(f"{name} may: {', '.join(now)}", soft_wrap=True)
    )


@roles.command("remove")
@click.argument("name")
@json_option
@command
@mended
def remove_role(name: str, as_json: bool) -> None:
    """Remove a role of the school, and take it from everybody who has it."""
    _, wired = open_product()
    had = logins.remove_role(wired.deps, tenant=wired.deps.tenant, name=name, actor=actor())
    answer(as_json, {"name": name, "had": had}, lambda: out.print(f"{name} removed; {had} had it"))


def _grants(texts: tuple[str, ...]) -> list[Grant]:
    found = []
    for text in texts:
        role, _, colleges = text.partition(":")
        found.append(Grant(role.strip(), tuple(part.strip() for part in colleges.split(",") if part.strip())))
    return found


def _role_text(grant: dict[str, Any]) -> str:
    return str(grant["role"]) + (f":{','.join(grant['colleges'])}" if grant["colleges"] else "")


def _asked() -> str:
    return str(click.prompt("password", hide_input=True, confirmation_prompt=True, err=True))


def _tell_password(name: str, password: str | None) -> None:
    out.print(f"login {name}", highlight=False)
    if password is not None:
        out.print(
            f"password {password}   (shown once; to be changed at the first sign-in)", highlight=False, soft_wrap=True
        )
