"""Signing in by a WPS account; inside the WPS app without a page of anybody's.

    begin ─▶ WPS's page ─▶ comes back with a code ─▶ came_back: a task, in the same transaction
                                                        │ a `jobs` worker: code ─▶ token ─▶ who is it
    outcome ◀─ the browser asks again until it is known ◀┘

The web process never calls WPS: the two calls are made by a worker, under the shared limiter, and a WPS that is slow or down
costs web threads nothing. The lane of these calls is `login`; they are reads with a token of the person's own, which is used
once and kept nowhere.
"""

from __future__ import annotations

import json
import time
from typing import Final

from sqlalchemy import Connection

from db import login_states, logins
from db import tasks as task_rows
from db.clock import now_ms as db_now_ms
from db.engine import in_unit, reading
from db.tables.base import AnyRow
from db.tasks import Task
from domain.calendars import DirectoryUser
from domain.tokens import CALLBACK_MS
from observability.log import get_logger
from remote.wps.errors import WpsError, WpsMisconfigured, WpsNotSent, WpsThrottled
from remote.wps.transport import Parked
from usecases import configs, identity, sso
from usecases import logins as people
from usecases.deps import Deps
from usecases.identity import NotAuthenticated, Tokens
from usecases.sealing import place_of, seal, unseal
from usecases.sso import WPS, Begun

log = get_logger("identity")

KIND: Final = "login.wps"
LANE: Final = "login"
_SCOPE: Final = "kso.user_base.read"
_QUEUE: Final = "sync"
_AGAIN_MS: Final = 1_000


def begin(deps: Deps, *, tenant: str, redirect_uri: str, back_to: str = "/") -> Begun:
    """Send somebody to the page of WPS; inside its app that page comes straight back. Raises `UnknownProvider` where the
    tenant does not want it, `BadReturn`."""
    with reading(deps.engine) as tx:
        if not configs.value_of(tx, "sign_in.wps", tenant=tenant):
            raise sso.UnknownProvider(WPS)
    started = sso.start(deps, tenant=tenant, provider=WPS, redirect_uri=redirect_uri, back_to=back_to)
    url = deps.remote.transport.authorize_url(redirect_uri=redirect_uri, scope=_SCOPE, state=started.state)
    return Begun(url, started.state, started.binding)


def came_back(deps: Deps, *, state: str, binding: str, code: str, error: str = "", now_ms: int | None = None) -> None:
    """Take the code that the browser brings, and have it looked up. Raises `NotAuthenticated`."""

    asked: set[str] = set()

    def ask(tx: Connection, row: AnyRow) -> None:
        at = place_of(row.tenant_id, "login_states", "code", row.id)
        sealed = seal(code[:500], encryption_keys=deps.encryption_keys, place=at)
        looking = login_states.LOOKING
        login_states.move(tx, tenant=row.tenant_id, state_id=row.id, step=looking, to=looking, code=sealed)
        task_id = task_rows.put_task(
            tx,
            tenant=row.tenant_id,
            queue=_QUEUE,
            kind=KIND,
            target=row.id,
            payload=json.dumps({"state": row.id}),
            run_id=None,
            new_id=deps.new_id,
        )
        asked.add(task_id)

    to = login_states.LOOKING
    sso.come_back(deps, state=state, binding=binding, to=to, error=error, now_ms=now_ms, also=ask)
    for task_id in asked:
        deps.ring(task_id)


def outcome(deps: Deps, *, binding: str, device: str = "", now_ms: int | None = None) -> tuple[Tokens, str] | None:
    """The sign-in and the page to go back to, once; None while WPS is being asked. Raises `NotAuthenticated`."""
    with reading(deps.engine) as tx:
        now = db_now_ms(tx) if now_ms is None else now_ms
        tenant, state_id = sso.opened(deps, binding, now_ms=now)
        row = login_states.get(tx, tenant=tenant, state_id=state_id)
    if row is None or row.step in (login_states.BEGUN, login_states.OVER):
        raise NotAuthenticated("state")
    if row.step == login_states.FAILED:
        raise NotAuthenticated(row.reason or "refused")
    if row.step == login_states.LOOKING or row.login_id is None:
        return None
    mine = in_unit(
        deps.engine,
        lambda tx: login_states.move(
            tx, tenant=tenant, state_id=state_id, step=login_states.KNOWN, to=login_states.OVER
        ),
    )
    if not mine:
        raise NotAuthenticated("state")
    pair = identity.begin(deps, tenant=tenant, login_id=row.login_id, how="wps", device=device, now_ms=now_ms)
    return pair, row.back_to


def look_up(deps: Deps, task: Task) -> None:
    """Ask WPS whose code it is, and write down which login that is, or that it is nobody's.

    A code is good once at WPS: a worker that dies in between leaves a sign-in that fails and is done again by the person.
    """
    state_id = str(json.loads(task.payload)["state"])
    with reading(deps.engine) as tx:
        row = login_states.get(tx, tenant=task.tenant, state_id=state_id)
        now = db_now_ms(tx)
    if row is None or row.step != login_states.LOOKING or row.code is None or now >= row.ends_ms + CALLBACK_MS:
        in_unit(deps.engine, lambda tx: task_rows.finish_task(tx, task))
        return
    on = deps.remote.transport.admit(lane=LANE, max_wait_ms=_AGAIN_MS)
    if isinstance(on, Parked):
        in_unit(deps.engine, lambda tx: task_rows.defer_task(tx, task, wait_ms=on.wait_ms))
        return
    time.sleep(on.wait_ms / 1000)
    bearer = _bearer(deps, task, row)
    if bearer is None:
        deps.remote.transport.release(on)
        return
    try:
        found = deps.remote.client.current_user(on, bearer=bearer)
    except WpsError as error:
        _end(deps, task, row, reason=f"wps:{error.kind}")
        return
    _end(deps, task, row, found=found)


def _bearer(deps: Deps, task: Task, row: AnyRow) -> str | None:
    """The person's token; None where there is none, or not yet, and the task knows it."""
    at = place_of(row.tenant_id, "login_states", "code", row.id)
    try:
        code = unseal(row.code, encryption_keys=deps.encryption_keys, place=at)
        return deps.remote.transport.user_token(code=code, redirect_uri=row.redirect_uri)
    except (WpsThrottled, WpsNotSent) as error:
        wait_ms = getattr(error, "retry_after_ms", 0) or _AGAIN_MS
        why = str(error)[:300]
        in_unit(deps.engine, lambda tx: task_rows.defer_task(tx, task, wait_ms=wait_ms, reason=why))
    except WpsMisconfigured as error:
        _end(deps, task, row, reason=f"code:{error.code}")
    return None


def _end(deps: Deps, task: Task, row: AnyRow, *, found: DirectoryUser | None = None, reason: str = "") -> None:
    def work(tx: Connection) -> None:
        login_id, why = (None, reason) if found is None else _login_of(deps, tx, row.tenant_id, found)
        to = login_states.FAILED if login_id is None else login_states.KNOWN
        values = {"login_id": login_id, "reason": why[:40] or None, "code": None}
        login_states.move(tx, tenant=row.tenant_id, state_id=row.id, step=login_states.LOOKING, to=to, **values)
        task_rows.finish_task(tx, task)

    in_unit(deps.engine, work)
    log.info("identity.wps_looked_up", tenant=row.tenant_id, known=found is not None, reason=reason)


def _login_of(deps: Deps, tx: Connection, tenant: str, user: DirectoryUser) -> tuple[str | None, str]:
    """(login, "") of the account, or (None, why not): one that is linked, or the person whose account it is."""
    linked = logins.of_wps(tx, tenant=tenant, wps_id=user.id)
    if linked is not None:
        return str(linked.id), ""
    found = logins.person_with(tx, tenant=tenant, wps_id=user.id)
    if not found and user.ex_id:
        # The account was not asked for yet; the number of the school says whose it is.
        found = [one for one in logins.person_with(tx, tenant=tenant, code=user.ex_id) if one.wps_id is None]
    if len(found) != 1:
        return None, "nobody_with_that_account"
    there = logins.of_person(tx, tenant=tenant, kind=found[0].kind, code=found[0].code)
    if there is None and not configs.value_of(tx, "sign_in.people", tenant=tenant):
        return None, "no_login"
    if there is not None and there.wps_id not in (None, user.id):
        return None, "linked_to_another"
    login_id = people.of_person(deps, tx, tenant=tenant, person=found[0], actor="sso:wps")
    logins.change(tx, tenant=tenant, login_id=login_id, new_epoch=False, wps_id=user.id)
    return login_id, ""
