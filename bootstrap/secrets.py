"""The two secrets of a clone, made once and kept beside its data.

Production gives both through the environment. Under `obsync up` nobody has typed any, so the first process to ask
makes them in ``DATA_DIR/secrets.json`` (mode 0600) and every later one reads the same: markers at WPS are keyed by
them, and a second set would not recognise what the first one wrote.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets as random_bits
import stat
from dataclasses import dataclass, field
from pathlib import Path

FILE_NAME = "secrets.json"


class SecretsUnreadable(Exception):
    """The secrets file is there but is not what `load_or_create` writes."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(
            f"{path} cannot be used ({why}). Restore it from a backup; only if nothing was synced, delete it."
        )
        self.path = path
        self.why = why


@dataclass(frozen=True)
class Secrets:
    """`secret_key` signs and keys markers; `encryption_keys` is a list ``id:base64`` whose first key encrypts."""

    secret_key: str = field(repr=False)
    encryption_keys: str = field(repr=False)


def new_secrets() -> Secrets:
    """Fresh random ones: 256 bits each."""
    key = base64.b64encode(random_bits.token_bytes(32)).decode("ascii")
    return Secrets(secret_key=random_bits.token_urlsafe(32), encryption_keys=f"k1:{key}")


def exist(data_dir: Path) -> bool:
    """Whether this clone already has secrets of its own."""
    return (data_dir / FILE_NAME).exists()


def load_or_create(data_dir: Path) -> Secrets:
    """The clone's secrets; made now when there are none. Raises SecretsUnreadable, or OSError from writing."""
    path = data_dir / FILE_NAME
    if not path.exists():
        _write_once(path, new_secrets())
    return _read(path)


def _write_once(path: Path, made: Secrets) -> None:
    """Several processes may get here together: a link either creates the name or finds the winner's file whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{random_bits.token_hex(4)}")
    body = json.dumps({"secret_key": made.secret_key, "encryption_keys": made.encryption_keys}, indent=2) + "\n"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            out.write(body)
            out.flush()
            os.fsync(out.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def _read(path: Path) -> Secrets:
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(0o600)
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SecretsUnreadable(path, type(error).__name__) from error
    if not isinstance(loaded, dict):
        raise SecretsUnreadable(path, "not an object")
    values = [loaded.get(name) for name in ("secret_key", "encryption_keys")]
    if not all(isinstance(value, str) and value for value in values):
        raise SecretsUnreadable(path, "a key is missing")
    return Secrets(secret_key=str(values[0]), encryption_keys=str(values[1]))
