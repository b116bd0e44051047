"""The OpenAPI document and the page that shows it, from this server's own files."""

from __future__ import annotations

from typing import Any, Final

from flask import Response
from flask_openapi import Info, OpenAPI

from web.schemas.base import Failure, ProblemDetails

INFO: Final = Info(
    title="Obsync",
    version="1",
    description=(
        "课表与 WPS 日历保持一致。Keeps a university's timetable true in WPS 365 calendars.\n\n"
        "Every answer is an envelope; errors have a code, and each code a page under /errors. "
        "Messages come in Chinese or English by Accept-Language."
    ),
)
SECURITY: Final[dict[str, Any]] = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_HTML: Final = """<!DOCTYPE html>
<html lang="zh">
<head>
<meta charset="UTF-8">
<title>Obsync API</title>
<link rel="shortcut icon" href="swagger/images/swagger.svg">
<link rel="stylesheet" href="swagger/css/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="swagger/js/swagger-ui-bundle.js"></script>
<script src="swagger/js/swagger-ui-standalone-preset.js"></script>
<script src="start.js"></script>
</body>
</html>
"""
_START: Final = """window.onload = function () {
  window.ui = SwaggerUIBundle({
    url: new URL("openapi.json", window.location.href).href,
    dom_id: "#swagger-ui",
    deepLinking: true,
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
    layout: "StandaloneLayout",
    validatorUrl: null
  });
};
"""


def install(app: OpenAPI) -> None:
    """Write OpenAPI 3.1, and show it under /openapi/swagger without scripts in the page."""
    app.openapi_version = "3.1.0"
    app.config["SWAGGER_HTML_STRING"] = _HTML
    app.add_url_rule("/openapi/start.js", "openapi.start", lambda: Response(_START, content_type="text/javascript"))


def finish(app: OpenAPI) -> dict[str, Any]:
    """Complete the document that the library has collected: shapes of errors, headers in and out. Returns it."""
    document: dict[str, Any] = app.api_doc
    schemas = document["components"]["schemas"]
    for model in (Failure, ProblemDetails):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    schemas.pop("ValidationErrorModel", None)
    for item in document["paths"].values():
        for operation in item.values():
            _finish_operation(operation)
    return document


def _finish_operation(operation: dict[str, Any]) -> None:
    headers = operation.pop("x-headers", [])
    if headers:
        operation["parameters"] = [*operation.get("parameters", []), *headers]
    named = operation["responses"]
    # The library adds an error of its own shape where a route cannot answer 422.
    if "422" in named and "Failure" not in str(named["422"]):
        del named["422"]
    for status, response in named.items():
        told = {"X-Request-ID": {"schema": {"type": "string"}}}
        if status in ("429", "503"):
            told["Retry-After"] = {"schema": {"type": "string"}}
        response["headers"] = told
