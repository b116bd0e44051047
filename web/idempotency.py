"""A POST with an Idempotency-Key is carried out once: the same request again is answered from the database, and says so.

    (none) ─insert─▶ working ─the answer is stored─▶ answered, kept for a day
                        │ ├─ an answer that says "later" or "not you": forgotten, the key is free
                        │ └─ the process died: free again after a minute, unless the work had stored its answer
    the same key, another request: 422.   the same key while it is worked on: 409, Retry-After.

What a use case cannot do twice without harm stores its answer in its own transaction (`stored_with`): then a crash between
the work and the answer repeats nothing either. Answers are stored encrypted: some carry a secret that is shown once.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from flask import Response, g, request
from sqlalchemy import Connection

from db import answers
from db.engine import in_unit
from observability.failpoints import failpoint
from usecases import sealing
from web.envelope import Answer, success
from web.errors import ApiError, Detail
from web.site import deps, scope

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotency-Replayed"
PATTERN: Final = r"^[!-~]{1,64}$"
BUSY_MS: Final = 60_000
KEPT_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class _Claimed:
    """This request has the key."""

    key: str
    claim: str


def answered_once(work: Callable[[], Answer]) -> Response:
    """The answer of `work` in its envelope; of the same request before, where there was one. Raises `ApiError`."""
    key = request.headers.get(HEADER)
    if key is None:
        return success(work())
    if not re.match(PATTERN, key):
        raise ApiError("BAD_REQUEST", Detail(HEADER, "use 1 to 64 visible ASCII characters"))
    claimed = _claim(key)
    if isinstance(claimed, Answer):
        response = success(claimed, replayed=True)
        response.headers[REPLAYED] = "true"
        return response
    g.claimed = claimed
    try:
        answer = work()
    except BaseException:
        _settle(claimed, None)
        raise
    failpoint("api.after_work")
    _settle(claimed, answer)
    return success(answer)


def stored_with(tx: Connection, answer: Answer) -> None:
    """Store the answer of this request in the transaction of its work. Without a key nothing is stored."""
    claimed: _Claimed | None = g.get("claimed")
    if claimed is not None:
        _write(tx, claimed, answer)


def _claim(key: str) -> _Claimed | Answer:
    """The key for this request, or the answer it already has."""
    here = deps()
    claim = here.new_id()
    print_ = _fingerprint()

    def work(tx: Connection) -> Any:
        return answers.claim(
            tx, tenant=here.tenant, user=scope().user, key=key, fingerprint=print_, claim=claim, busy_ms=BUSY_MS,
            kept_ms=KEPT_MS,
        )  # fmt: skip

    found = in_unit(here.engine, work)
    if found is None:
        return _Claimed(key, claim)
    if found.fingerprint != print_:
        raise ApiError("KEY_REUSED", Detail(HEADER, key))
    if found.answer is None:
        raise ApiError("KEY_IN_USE", Detail(HEADER, key), headers={"Retry-After": "2"})
    stored = json.loads(sealing.unseal(found.answer, encryption_keys=here.encryption_keys, place=_place(key)))
    return Answer(stored["data"], stored["status"], stored["page"], stored["etag"], stored["headers"])


def _settle(claimed: _Claimed, answer: Answer | None) -> None:
    """Store the answer; after an error the key is free, for the error says what to do, and nothing was done."""
    here = deps()

    def work(tx: Connection) -> None:
        if answer is not None:
            _write(tx, claimed, answer)
        else:
            answers.forget(tx, tenant=here.tenant, user=scope().user, key=claimed.key, claim=claimed.claim)

    in_unit(here.engine, work)


def _write(tx: Connection, claimed: _Claimed, answer: Answer) -> None:
    here = deps()
    said = {"data": answer.data, "status": answer.status, "page": answer.page, "etag": answer.etag}
    text = json.dumps({**said, "headers": dict(answer.headers)}, ensure_ascii=False)
    sealed = sealing.seal(text, encryption_keys=here.encryption_keys, place=_place(claimed.key))
    answers.store(tx, tenant=here.tenant, user=scope().user, key=claimed.key, claim=claimed.claim, answer=sealed)


def _fingerprint() -> str:
    """What makes two requests the same: address, query, version seen, and body."""
    said = (request.method, request.full_path, request.headers.get("If-Match", ""))
    whole = "\n".join(said).encode() + b"\n" + request.get_data(cache=True)
    return hashlib.sha256(whole).hexdigest()


def _place(key: str) -> str:
    return f"{deps().tenant}/answers/{scope().user}/{key}"
