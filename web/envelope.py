"""The form of every answer.

    {"success": true,  "code": 200, "message": "操作成功", "data": ..., "meta": {...}}
    {"success": false, "code": 409, "message": "...", "error": {"type", "code", "help", "details"}, "meta": {...}}

``meta`` has ``timestamp`` (milliseconds UTC), ``requestId`` and ``duration`` (milliseconds), of lists ``page`` too. Who accepts
``application/problem+json`` and nothing better gets errors in that form.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from flask import Response, g, request
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from web.errors import ApiError
from web.serving import Whole
from web.site import at_hand, now_ms

JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"
LANGUAGES: Final = ("zh", "en")
_SHORT: Final = 64
_DONE: Final = {
    200: ("操作成功", "Done"),
    201: ("已创建", "Created"),
    202: ("已受理，正在处理", "Accepted; it is being worked on"),
}


@dataclass(frozen=True, slots=True)
class Written:
    """Data as JSON already: what is asked for again and again is written once."""

    text: str


@dataclass(frozen=True)
class Answer:
    """What a route answers where the status or more than the data matters. `page` goes into ``meta``."""

    data: Any
    status: int = 200
    page: Mapping[str, Any] | None = None
    etag: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def language() -> str:
    """zh or en, as the caller prefers; Chinese where nothing is said."""
    said = request.headers.get("Accept-Language", "")
    return _short_language(said) if len(said) <= _SHORT else _language(said)


def _language(accepted: str) -> str:
    return parse_accept_header(accepted, LanguageAccept).best_match(("zh", "zh-CN", "en"), default="zh")[:2]


_short_language = lru_cache(maxsize=256)(_language)  # browsers send the same few


def said(zh: str, en: str) -> str:
    """The sentence in the caller's language."""
    return zh if language() == "zh" else en


def meta(**more: Any) -> dict[str, Any]:
    """About this answer."""
    _, known = at_hand()
    began = known.get("began_s")
    took_ms = 0 if began is None else round((time.perf_counter() - began) * 1000)
    return {"timestamp": now_ms(), "requestId": known.get("request_id", ""), "duration": took_ms, **more}


def success(answer: Answer, **more: Any) -> Response:
    """An answer in its envelope."""
    message = said(*_DONE.get(answer.status, _DONE[200]))
    extra = {**more, **({} if answer.page is None else {"page": dict(answer.page)})}
    data = answer.data.text if isinstance(answer.data, Written) else written(answer.data)
    # Each part by itself: what is written already is not looked through again.
    text = (
        f'{{"success":true,"code":{answer.status},"message":"{message}","data":{data},"meta":{written(meta(**extra))}}}'
    )
    response = _response(text, answer.status, JSON)
    if answer.headers:
        response.headers.update(answer.headers)
    if answer.etag is not None:
        response.set_etag(answer.etag)
    return response


def failure(error: ApiError) -> Response:
    """An error in its envelope, or as problem details where only these are accepted."""
    problem = error.problem
    message = said(problem.zh, problem.en)
    remedy = said(problem.remedy_zh, problem.remedy_en)
    details = [one.as_dict() for one in error.details]
    page = f"/errors/{error.code}"
    if _wants_problem():
        body = {"type": page, "title": message, "status": problem.status, "detail": remedy, "code": error.code}
        body |= {"instance": f"urn:request:{g.get('request_id', '')}", "errors": details}
        response = _response(written(body), problem.status, PROBLEM)
    else:
        told = {"type": problem.type, "code": error.code, "remedy": remedy, "help": page, "details": details}
        envelope = {"success": False, "code": problem.status, "message": message, "error": told, "meta": meta()}
        response = _response(written(envelope), problem.status, JSON)
    response.headers.update(error.headers)
    if problem.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="obsync"'
    return response


def _wants_problem() -> bool:
    """Only where it is named: a caller that takes anything gets the envelope."""
    named = [kind for kind, _ in request.accept_mimetypes]
    return PROBLEM in named and request.accept_mimetypes[PROBLEM] >= request.accept_mimetypes[JSON]


def written(data: Any) -> str:
    """As JSON."""
    return _WRITER.encode(data)


_WRITER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _response(text: str, status: int, kind: str) -> Response:
    return Whole(text, status=status, content_type=f"{kind}; charset=utf-8" if kind == JSON else kind)
