"""A page for each error code: what an error's ``help`` leads to."""

from __future__ import annotations

from typing import Annotated

from flask import Response
from markupsafe import Markup, escape
from pydantic import Field

from web.envelope import said
from web.errors import PROBLEMS, ApiError
from web.policy import anybody
from web.routes import Feature
from web.schemas.base import In

feature = Feature("errors", "错误代码 what each error code means", prefix="/errors")
_OPEN = anybody("who meets an error may read what it means")


class CodePath(In):
    """Which code."""

    code: Annotated[str, Field(pattern=r"^[A-Z_]{1,40}$")]


@feature.get("/", _OPEN, raw="text/html")
def list_codes() -> Response:
    """All error codes."""
    rows = Markup("").join(
        Markup('<tr><td><a href="/errors/{0}">{0}</a></td><td>{1}</td><td>{2}</td></tr>').format(
            code, one.status, said(one.zh, one.en)
        )
        for code, one in sorted(PROBLEMS.items())
    )
    return _page(said("错误代码", "Error codes"), Markup("<table>{}</table>").format(rows))


@feature.get("/<code>", _OPEN, raw="text/html", errors=(404,))
def show_code(path: CodePath) -> Response:
    """What one error code means, and what to do."""
    found = PROBLEMS.get(path.code)
    if found is None:
        raise ApiError("NOT_FOUND")
    facts = Markup("<p>{}<br>{}</p><p>{}<br>{}</p><p>HTTP {} · {}</p>").format(
        found.zh, found.en, found.remedy_zh, found.remedy_en, found.status, found.type
    )
    return _page(path.code, facts)


def _page(title: str, body: Markup) -> Response:
    language = said("zh", "en")
    text = Markup('<!DOCTYPE html>\n<html lang="{0}"><head><meta charset="UTF-8"><title>{1}</title></head>'
                  "<body><h1>{1}</h1>{2}</body></html>\n").format(language, escape(title), body)  # fmt: skip
    return Response(str(text), content_type="text/html; charset=utf-8")
