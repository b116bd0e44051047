"""What each route demands, declared where the route is: the one place that asks `may`.

    @feature.get("/sync/runs/<run_id>", needs("run.read", run_of), ...)      the thing is found, then asked about
    @feature.get("/sync/runs", needs_some("run.read"), ...)                  a list: narrowed by `site.reach` in its query
    @feature.get("/healthz", anybody("says nothing about any school"), ...)  with the reason why

A caller without the action at any reach is refused before the body is looked at (403). A thing outside tenant or reach is
answered as if it did not exist (404).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flask import request
from sqlalchemy import Connection

from db import audit
from db.engine import in_unit, reading
from domain.tenancy import Scope, Thing, Why, check_action, may, reaches
from observability.log import get_logger
from usecases.deps import Deps
from web.errors import ApiError, Detail

log = get_logger("web.policy")

Finder = Callable[[Connection, Scope, Mapping[str, Any]], Thing | None]
"""Finds what a request is about, from its path, query and body; None: there is no such thing."""

AtOnce = Callable[[Scope, Mapping[str, Any]], Thing | None]
"""Knows what a request is about without the database; None: it has to be looked up."""

Holder = Callable[[Deps, Mapping[str, Any]], Any]
"""Who holds the address of a request, from its path; None: nobody does."""

_SAFE = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Policy:
    """`action` None: any signed-in caller, or anybody at all where `public` says why. `at_door`: the request names a school
    all the same; `unready`: also somebody who has to choose a new password first; `holder`: whoever knows the address;
    `at_once`: often `find` need not be asked; `oneself`: the thing is the caller, whom nobody has to look up; `while_away`: a
    token that stood a moment ago is enough while the database cannot be asked."""

    action: str | None = None
    find: Finder | None = None
    public: str | None = None
    at_door: bool = False
    unready: bool = False
    holder: Holder | None = None
    oneself: bool = False
    while_away: bool = False
    at_once: AtOnce | None = None

    @property
    def needs_caller(self) -> bool:
        """Whether somebody has to be signed in."""
        return self.public is None


def needs(action: str, find: Finder, *, at_once: AtOnce | None = None) -> Policy:
    """The caller may do `action` to the thing that `at_once` knows, or else `find` finds."""
    check_action(action)
    return Policy(action, find, at_once=at_once)


def needs_own(action: str, *, while_away: bool = False) -> Policy:
    """The caller may do `action` to what is his own, in his own school: asked without the database. `while_away`: his token is
    taken for what it was while the database is away."""
    check_action(action)
    return Policy(action, oneself=True, while_away=while_away)


def needs_some(action: str) -> Policy:
    """The caller may do `action` to something; the route narrows what it answers by the reach."""
    check_action(action)
    return Policy(action)


def anybody(reason: str) -> Policy:
    """No caller is needed, for a reason."""
    return Policy(public=reason)


def by_address(reason: str, holder: Holder) -> Policy:
    """No caller is needed: the address itself is the secret, and says who holds it (`site.holder`)."""
    return Policy(public=reason, holder=holder)


def at_door(reason: str) -> Policy:
    """Somebody who signs in to the school that the request names."""
    return Policy(public=reason, at_door=True)


def anyone_signed_in(*, unready: bool = False) -> Policy:
    """Any caller, about himself; `unready`: also one who has to choose a new password first."""
    return Policy(unready=unready)


def whole_school(_connection: Connection, scope: Scope, _said: Mapping[str, Any]) -> Thing:
    """A thing that is all of the caller's school."""
    return Thing(scope.tenant)


def platform(_connection: Connection, _scope: Scope, _said: Mapping[str, Any]) -> Thing:
    """A thing that belongs to no school."""
    return Thing(None)


def check_action_of(policy: Policy, scope: Scope, deps: Deps) -> None:
    """Before anything of the request is read. Raises `ApiError` 403."""
    if policy.action is None:
        return
    if not reaches(scope, policy.action):
        refuse(policy.action, Why.NOT_PERMITTED, scope, deps)
    if policy.oneself:
        demand(policy.action, Thing(scope.tenant, people=frozenset({scope.user})), scope, deps)


def check_thing_of(policy: Policy, scope: Scope, deps: Deps, said: Mapping[str, Any]) -> None:
    """When the request is read and is well formed. Raises `ApiError` 403 or 404."""
    if policy.action is None or policy.find is None:
        return
    thing = None if policy.at_once is None else policy.at_once(scope, said)
    if thing is None:
        with reading(deps.engine) as tx:
            thing = policy.find(tx, scope, said)
    decision = None if thing is None else may(scope, policy.action, thing)
    if not decision:
        # A finder reads one school: what it does not find may be another's, and is noted as if it were.
        refuse(policy.action, Why.OUTSIDE_REACH if decision is None else decision.why, scope, deps)


def demand(action: str, thing: Thing, scope: Scope, deps: Deps) -> None:
    """A second permission that a request needs for what its body says. Raises `ApiError` 403 or 404."""
    decision = may(scope, action, thing)
    if not decision:
        refuse(action, decision.why, scope, deps)


def refuse(action: str, why: Why, scope: Scope, deps: Deps) -> None:
    """Note a denied attempt and answer it. Raises `ApiError`.

    Attempts to change something are kept in the audit; what somebody looked for in vain is logged.
    """
    log.info("request.denied", action=action, why=why.value)
    if request.method not in _SAFE:
        target = request.path
        in_unit(
            deps.engine,
            lambda tx: audit.write(
                tx,
                tenant=scope.tenant,
                new_id=deps.new_id,
                actor=f"user:{scope.user}",
                action=f"denied.{action}",
                thing=target,
                after={"why": why.value, "method": request.method},
            ),
        )
    if why is Why.NOT_PERMITTED:
        raise ApiError("FORBIDDEN", Detail("permission", action))
    raise ApiError("NOT_FOUND")
