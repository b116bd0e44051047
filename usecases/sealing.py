"""Secrets of others at rest: AES-256-GCM under a key of OBSYNC_ENCRYPTION_KEYS, bound to where they stand.

A sealed text is ``key id . base64(nonce ‖ ciphertext)``. The place (tenant, table, column, row) is authenticated with it: moved
to another row or another school it does not open. The first key seals, all open; `rotate` seals anew what another one
sealed, and then that one can be taken out of the setting.
"""

import base64
import json
import os
from collections import Counter
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from db import sealed as rows
from db.engine import in_unit, reading
from usecases.deps import Deps

_NONCE = 12


class CannotDecrypt(Exception):
    """The key that encrypted a secret is not among the encryption keys, or the secret stands where it was not put."""


def place_of(tenant: str, table: str, column: str, row: str) -> str:
    """Where a secret stands, as it is bound to it."""
    return f"{tenant}/{table}/{column}/{row}"


def seal(text: str, *, encryption_keys: str, place: str) -> str:
    """The text encrypted under the first key, bound to `place`; another one each time."""
    key_id, key = keys(encryption_keys)[0]
    nonce = os.urandom(_NONCE)
    body = AESGCM(key).encrypt(nonce, text.encode(), place.encode())
    return f"{key_id}.{base64.b64encode(nonce + body).decode()}"


def unseal(sealed: str, *, encryption_keys: str, place: str) -> str:
    """The text of `seal`. Raises `CannotDecrypt`."""
    key_id, _, body = sealed.partition(".")
    key = dict(keys(encryption_keys)).get(key_id)
    if key is None:
        raise CannotDecrypt(f"{place} was encrypted with key {key_id}, which OBSYNC_ENCRYPTION_KEYS does not have")
    try:
        raw = base64.b64decode(body)
        return AESGCM(key).decrypt(raw[:_NONCE], raw[_NONCE:], place.encode()).decode()
    except (InvalidTag, ValueError) as error:
        raise CannotDecrypt(f"{place} does not open with key {key_id}") from error


def keys(text: str) -> list[tuple[str, bytes]]:
    """(id, key) of each entry of the setting, the one that seals first."""
    found = []
    for part in text.split(","):
        key_id, _, body = part.strip().partition(":")
        found.append((key_id, base64.b64decode(body)))
    return found


def in_use(deps: Deps) -> dict[str, int]:
    """How many secrets each key has sealed, by key id."""
    counts: Counter[str] = Counter()
    with reading(deps.engine) as tx:
        for one in rows.EVERYWHERE:
            counts.update(found.sealed.partition(".")[0] for found in rows.walk(tx, one))
    return dict(counts)


def rotate(deps: Deps) -> dict[str, int]:
    """Seal anew what another key than the first has sealed. Returns how many were, and how many would not open.

    Whoever reads meanwhile finds a secret that opens, before and after; one that somebody else writes meanwhile stays theirs.
    Running it again goes on.
    """
    first = keys(deps.encryption_keys)[0][0]
    done = Counter({"resealed": 0, "unreadable": 0})
    for one in rows.EVERYWHERE:
        with reading(deps.engine) as tx:
            old = [found for found in rows.walk(tx, one) if found.sealed.partition(".")[0] != first]
        for found in old:
            done[_reseal(deps, found)] += 1
    return dict(done)


def _reseal(deps: Deps, found: rows.Found) -> str:
    at = found.place or place_of(found.tenant, found.where.table.name, found.where.column, "/".join(found.row))
    try:
        text = unseal(found.sealed, encryption_keys=deps.encryption_keys, place=at)
    except CannotDecrypt:
        return "unreadable"
    again = seal(text, encryption_keys=deps.encryption_keys, place=at)
    value: Any = again
    if found.where.within:
        value = json.dumps({**json.loads(found.value), found.where.within: again}, ensure_ascii=False)
    hit = in_unit(deps.engine, lambda tx: rows.replace(tx, found, value))
    return "resealed" if hit else "changed_meanwhile"
