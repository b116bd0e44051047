"""How a feature declares its routes: address, policy, shapes and limits in one call, from which permission checks, the
OpenAPI document, the envelope and stored answers follow.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from http import HTTPStatus
from typing import Any, Final, cast

from flask import Response
from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, create_model

from domain.tenancy import Scope
from web import idempotency, policy
from web.envelope import JSON, PROBLEM, Answer, success
from web.errors import OF_STATUS
from web.policy import Policy
from web.schemas.base import Failure, Meta, Out, ProblemDetails
from web.shapes import Shapes
from web.site import at_hand, deps

PREFIX: Final = "/api/v1"
BEARER: Final[list[dict[str, list[Any]]]] = [{"bearer": []}, {"apiKey": []}]
_WRITES: Final = ("POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True, slots=True)
class Route:
    """One declared route: what the tests walk, and what the hooks of a request look up by its endpoint."""

    endpoint: str
    method: str
    rule: str
    policy: Policy
    has_body: bool
    limit: str | None
    view: Callable[..., Any]
    versioned: bool
    keyed: bool = False


class Feature:
    """The routes of one feature. `prefix` is where they begin."""

    def __init__(self, name: str, zh: str, *, prefix: str = PREFIX) -> None:
        self.routes: list[Route] = []
        self.name = name
        self.prefix = prefix
        self.blueprint = APIBlueprint(
            name, __name__, url_prefix=prefix or None, abp_tags=[Tag(name=name, description=zh)]
        )

    def get(self, rule: str, demands: Policy, **more: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A route that reads. See `_route` for `more`."""
        return self._route("GET", rule, demands, **more)

    def post(self, rule: str, demands: Policy, **more: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A route that does something; takes an Idempotency-Key."""
        return self._route("POST", rule, demands, **more)

    def put(self, rule: str, demands: Policy, **more: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A route that replaces something."""
        return self._route("PUT", rule, demands, **more)

    def patch(self, rule: str, demands: Policy, **more: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A route that changes something."""
        return self._route("PATCH", rule, demands, **more)

    def delete(self, rule: str, demands: Policy, **more: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A route that removes something."""
        return self._route("DELETE", rule, demands, **more)

    def _route(
        self,
        method: str,
        rule: str,
        demands: Policy,
        *,
        data: type[BaseModel] | None = None,
        items: type[BaseModel] | None = None,
        status: int = 200,
        errors: tuple[int, ...] = (),
        limit: str | None = None,
        versioned: bool = False,
        raw: str | tuple[str, ...] | None = None,
        keyed: bool = False,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declare a route. `data` is the shape of what it answers, `items` that of each entry of a list.

        `errors` are statuses beyond those that every route may have, `limit` a rate such as ``10/minute`` for each caller,
        `versioned` says that the write takes If-Match, `raw` that it answers other media types, without the envelope, `keyed`
        that twice is once by what the body says: no Idempotency-Key is taken, and callers are counted in the process.
        """

        def declare(view: Callable[..., Any]) -> Callable[..., Any]:
            shapes = inspect.get_annotations(view, eval_str=True)
            wrapped = _carried_out(view, demands, Shapes(shapes), once=method == "POST" and not keyed)
            responses = _responses(
                _title(view), data, items, status, _errors(method, demands, shapes, errors, versioned), raw
            )
            register = getattr(self.blueprint, method.lower())
            parameters = _header_parameters(method, demands, versioned, keyed)
            register(
                rule,
                summary=(inspect.getdoc(view) or view.__name__).splitlines()[0],
                operation_id=f"{self.name}.{view.__name__}",
                security=BEARER if demands.needs_caller else [],
                responses=responses,
                openapi_extensions={"x-permission": demands.action or demands.public or "signed in", **parameters},
                endpoint=view.__name__,
            )(wrapped)
            endpoint = f"{self.blueprint.name}.{view.__name__}"
            self.routes.append(
                Route(endpoint, method, self.prefix + rule, demands, "body" in shapes, limit, view, versioned, keyed)
            )
            return view

        return declare


def _carried_out(view: Callable[..., Any], demands: Policy, shapes: Shapes, *, once: bool) -> Callable[..., Any]:
    """The view behind its policy, its answer in an envelope. Its annotations stay: the document is made of them."""

    @wraps(view)
    def run(**in_path: Any) -> Response:
        ask, known = at_hand()
        said = shapes.read(ask, in_path)
        scope: Scope | None = known.get("scope")
        if demands.find is not None and scope is not None:
            policy.check_thing_of(demands, scope, deps(), said)
        if once and scope is not None:
            return idempotency.answered_once(lambda: _answer(view(**said)))
        answer = view(**said)
        return answer if isinstance(answer, Response) else success(_answer(answer))

    run.__delay_validate_request__ = True  # type: ignore[attr-defined]  # the library leaves the shapes to the view then
    return run


def _answer(found: Any) -> Answer:
    return found if isinstance(found, Answer) else Answer(found)


def _errors(
    method: str, demands: Policy, shapes: Mapping[str, Any], more: tuple[int, ...], versioned: bool
) -> list[int]:
    """Every status that the hooks and checks around a view can answer."""
    found = {400, 406, 429, 500, 503, *more}
    if demands.needs_caller or demands.at_door:
        found |= {401, 403, 404}
    if shapes.keys() & {"path", "query", "body", "header"}:
        found |= {422}
    if "body" in shapes:
        found |= {413, 415}
    if method == "POST":
        found |= {409, 422}
    if versioned:
        found |= {412}
    return sorted(found)


def _responses(
    name: str,
    data: type[BaseModel] | None,
    items: type[BaseModel] | None,
    status: int,
    errors: list[int],
    raw: str | tuple[str, ...] | None,
) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    if raw is not None:
        kinds = (raw,) if isinstance(raw, str) else raw
        found[status] = {"description": "OK", "content": {kind: {"schema": {"type": "string"}} for kind in kinds}}
    else:
        found[status] = _envelope(name, data, items)
    for one in errors:
        if one < 400:
            found[one] = {"description": HTTPStatus(one).phrase}
            continue
        codes = sorted(code for each, code in OF_STATUS.items() if each == one)
        found[one] = {
            "description": ", ".join(codes) or "INTERNAL",
            "content": {
                JSON: {"schema": {"$ref": "#/components/schemas/Failure"}},
                PROBLEM: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}},
            },
        }
    return found


def _envelope(name: str, data: type[BaseModel] | None, items: type[BaseModel] | None) -> type[BaseModel]:
    """The envelope around a shape, as a shape of its own name."""
    inner: Any = type(None)
    if items is not None:
        inner = create_model(f"{name}Items", __base__=Out, items=(list[items], ...))  # type: ignore[valid-type]
    elif data is not None:
        inner = data
    fields: dict[str, Any] = {"success": (bool, ...), "code": (int, ...), "message": (str, ...)}
    fields |= {"data": (inner, ...), "meta": (Meta, ...)}
    return cast("type[BaseModel]", create_model(f"{name}Answer", __base__=Out, **fields))


def _header_parameters(method: str, demands: Policy, versioned: bool, keyed: bool) -> dict[str, Any]:
    """Headers that a route takes beyond those of its shapes, told in the document by `documented`."""
    found = []
    if demands.needs_caller or demands.at_door:
        found.append(
            _header("X-Tenant-ID", "the school, where the token does not say it alone", r"^[0-9A-Za-z_-]{1,60}$")
        )
    if method == "POST" and demands.needs_caller and not keyed:
        found.append(_header("Idempotency-Key", "the same key and body again: the same answer", idempotency.PATTERN))
    if versioned:
        found.append(_header("If-Match", "the ETag of the thing as you saw it", r'^(W/)?"[!#-~]{1,64}"$'))
    return {"x-headers": found}


def _header(name: str, description: str, pattern: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": pattern}
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


def _title(view: Callable[..., Any]) -> str:
    return "".join(part.title() for part in re.split(r"_", view.__name__))


__all__ = ["PREFIX", "Failure", "Feature", "ProblemDetails", "Route"]
