"""`obsync keys`: API keys of services; and `obsync secrets`: the keys that encrypt what is stored."""

import click

from domain.tenancy import BadPermission
from usecases import api_keys, sealing
from usecases.api_keys import KeyRefused, Made, UnknownKey
from workers.cli.console import FAILED, USAGE, actor, answer, command, fail, json_option, open_product, out, table, when


@click.group(invoke_without_command=True)
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@json_option
@click.pass_context
@command
def keys(context: click.Context, limit: int, as_json: bool) -> None:
    """List the API keys, newest first. Of a key only its prefix is known."""
    if context.invoked_subcommand is not None:
        return
    _, wired = open_product()
    deps = wired.deps
    items = api_keys.listing(deps, tenant=deps.tenant, limit=limit)
    rows = [
        (
            one["prefix"],
            one["name"],
            one["state"],
            when(one["ends_ms"], deps.zone),
            when(one["last_used_ms"], deps.zone) if one["last_used_ms"] else "never",
            ", ".join(one["permissions"]),
        )
        for one in items
    ]
    columns = ("prefix", "name", "state", "ends", "last used", "may")
    answer(
        as_json, {"items": items}, lambda: table("API keys 密钥", columns, rows, empty="no keys; `obsync keys make`")
    )


@keys.command()
@click.argument("name")
@click.option(
    "--may", "permissions", multiple=True, required=True, metavar="RESOURCE.ACTION:CONDITION", help="May be repeated."
)
@click.option("--college", "colleges", multiple=True, help="For permissions that reach a college.")
@click.option("--days", type=click.FloatRange(0.01, api_keys.LONGEST_DAYS), default=90, show_default=True)
@json_option
@command
def make(name: str, permissions: tuple[str, ...], colleges: tuple[str, ...], days: float, as_json: bool) -> None:
    """Make a key; it is shown once."""
    _, wired = open_product()
    try:
        made = api_keys.make(
            wired.deps,
            tenant=wired.deps.tenant,
            name=name,
            permissions=permissions,
            colleges=colleges,
            days=days,
            actor=actor(),
        )
    except (BadPermission, KeyRefused) as error:
        fail(str(error), "`obsync roles` shows permissions as they are written.", as_json=as_json, code=USAGE)
    _tell(made, as_json=as_json)


@keys.command()
@click.argument("prefix")
@click.option("--overlap-h", type=float, default=24, show_default=True, help="Hours that the old key stays good.")
@json_option
@command
def rotate(prefix: str, overlap_h: float, as_json: bool) -> None:
    """Make a successor with the same permissions; the old key ends after the overlap."""
    _, wired = open_product()
    try:
        made = api_keys.rotate(wired.deps, tenant=wired.deps.tenant, prefix=prefix, overlap_h=overlap_h, actor=actor())
    except UnknownKey:
        fail(f"there is no key {prefix}", "`obsync keys` lists them.", as_json=as_json, code=USAGE)
    except KeyRefused as error:
        fail(str(error), "Nothing was changed.", as_json=as_json, code=USAGE)
    _tell(made, as_json=as_json)


@keys.command()
@click.argument("prefix")
@json_option
@command
def revoke(prefix: str, as_json: bool) -> None:
    """End a key now. Twice is once."""
    _, wired = open_product()
    try:
        done = api_keys.revoke(wired.deps, tenant=wired.deps.tenant, prefix=prefix, actor=actor())
    except UnknownKey:
        fail(f"there is no key {prefix}", "`obsync keys` lists them.", as_json=as_json, code=USAGE)
    told = {"prefix": prefix, "revoked": done}
    answer(as_json, told, lambda: out.print(f"{prefix} {'is revoked' if done else 'was revoked before'}"))


def _tell(made: Made, *, as_json: bool) -> None:
    told = {"prefix": made.prefix, "key": made.key, "ends_ms": made.ends_ms}
    answer(as_json, told, lambda: out.print(f"key {made.key}   (shown once)", highlight=False, soft_wrap=True))


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
@command
def secrets(context: click.Context, as_json: bool) -> None:
    """Which of OBSYNC_ENCRYPTION_KEYS has encrypted how much of what is stored."""
    if context.invoked_subcommand is not None:
        return
    settings, wired = open_product()
    counts = sealing.in_use(wired.deps)
    known = [name for name, _ in sealing.keys(settings.encryption_keys)]
    items = [
        {"key": name, "secrets": counts.get(name, 0), "given": name in known, "first": name == known[0]}
        for name in sorted(
            set(known) | set(counts), key=lambda name: (name not in known, known.index(name) if name in known else 0)
        )
    ]
    rows = [
        (one["key"], one["secrets"], "first" if one["first"] else "yes" if one["given"] else "MISSING") for one in items
    ]
    answer(as_json, {"items": items}, lambda: table("encryption keys", ("key", "secrets", "given"), rows, empty="none"))


@secrets.command("rotate")
@json_option
@command
def rotate_secrets(as_json: bool) -> None:
    """Encrypt anew, under the first key, what another key has encrypted. Then the other can be taken out."""
    _, wired = open_product()
    done = sealing.rotate(wired.deps)
    if done["unreadable"]:
        problem = f"{done['unreadable']} secrets do not open with any of OBSYNC_ENCRYPTION_KEYS"
        fail(problem, "Put the key that encrypted them back; `obsync secrets` names it.", as_json=as_json, code=FAILED)
    answer(as_json, done, lambda: out.print(f"{done['resealed']} secrets encrypted anew"))
