"""A secret in every input of every route: no log, error, dead letter or figure gives it back, and no statement contains it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
from sqlalchemy import event, select

from bootstrap.settings import Settings
from db.engine import reading
from db.tables import failure_families, failures, jobs
from observability import metrics
from observability.redaction import is_secret_name
from tests.fixtures_stores import Valkey
from tests.integration import api_rig
from tests.integration.api_rig import Api, token_of
from tests.integration.test_api_authorization import body_named
from tests.integration.test_identity_commands import written  # noqa: F401 (a fixture)
from tests.integration.things_rig import things

HEADERS: Final = (
    "Accept-Language", "Cookie", "Idempotency-Key", "If-Match", "If-None-Match", "Origin", "Referer", "User-Agent",
    "X-API-Key", "X-Forwarded-For", "X-Tenant-ID", "X-Unknown", "traceparent",
)  # fmt: skip
"""X-Request-ID is not among them: it is repeated in log and answer, for whoever has sent it to look for."""
_MARK: Final = re.compile(r"Pl4nted\d+seCret")


@dataclass
class Planter:
    """Makes requests out of the document, with a secret of its own in each place; `where` is secret → place."""

    api: Api
    where: dict[str, str] = field(default_factory=dict)

    def secret(self, place: str) -> str:
        made = f"Pl4nted{len(self.where)}seCret"
        self.where[made] = place
        return made

    def value(self, schema: Mapping[str, Any], place: str) -> Any:
        """A value of that shape; every text in it is a secret."""
        schema = self._resolved(schema)
        for way in ("anyOf", "oneOf", "allOf"):
            if way in schema:
                return self.value(schema[way][0], place)
        kind = schema.get("type")
        if kind == "object":
            return {name: self.value(inner, f"{place}.{name}") for name, inner in schema.get("properties", {}).items()}
        if kind == "array":
            return [self.value(schema.get("items", {}), place)]
        if kind in ("integer", "number"):
            return max(1, schema.get("minimum", 1))
        if kind == "boolean":
            return True
        return self.secret(place)

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in schema:
            schema = self.api.app.api_doc["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return schema

    def requests(self) -> Iterator[tuple[str, str, Any, dict[str, str]]]:
        """(method, address, body, headers): for each route one with everything planted, one about a thing that is there, and
        one with each text of a good body planted."""
        mine = things(self.api, "own")
        for path, item in self.api.app.api_doc["paths"].items():
            for method, operation in item.items():
                called = f"{method.upper()} {path}"
                planted = re.sub(r"\{(\w+)\}", lambda found: self.secret(f"{called} {found[1]}"), path)  # noqa: B023
                known = re.sub(r"\{(\w+)\}", lambda found: mine.get(found[1], "x"), path)
                query = "&".join(
                    f"{one['name']}={self.secret(called + ' ?' + one['name'])}"
                    for one in operation.get("parameters", [])
                    if one["in"] == "query"
                )
                shape = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
                body = None if shape is None else self.value(shape, called)
                headers = {
                    name: self.secret(f"{called} {name}")
                    for name in HEADERS
                    if name not in ("X-API-Key", "X-Tenant-ID")
                }
                yield method.upper(), planted, body, {}
                yield method.upper(), f"{known}?{query}", body, headers
                good = body_named(called.replace("{", "<").replace("}", ">"), mine)
                if isinstance(good, dict):
                    texts = {
                        name: self.secret(f"{called} {name}") for name, value in good.items() if isinstance(value, str)
                    }
                    yield method.upper(), known, {**good, **texts}, {}
                refused = {
                    name: self.secret(f"{called} {name}") for name in ("X-API-Key", "X-Tenant-ID", "Authorization")
                }
                yield method.upper(), known, None, refused


@pytest.fixture
def noisy(settings: Settings, database_url: str, valkey: Valkey, data_dir: Path) -> Iterator[Api]:
    """The API without limits."""
    without = replace(settings, user_limit_per_min=10**6, ip_limit_per_min=10**6)
    with api_rig.api(without, database_url, valkey, data_dir / "campus") as made:
        yield made


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_is_sent_to_any_route_is_told_nowhere_else(noisy: Api, written: io.StringIO) -> None:  # noqa: F811
    """Somebody types a password into the wrong field once a week; whoever reads logs, figures or dead letters must not see it."""
    planter, sent, told = Planter(noisy), [], []
    client = noisy.app.test_client()

    def look(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.extend(_MARK.findall(statement))

    event.listen(noisy.engine, "before_cursor_execute", look)
    for method, path, body, headers in planter.requests():
        more = {"data": json.dumps(body), "content_type": "application/json"} if body is not None else {}
        said = {"Authorization": f"Bearer {token_of('ada')}", **headers}
        answer = client.open(quote(path, safe="/?&="), method=method, headers=said, **more)
        assert answer.status_code < 500 or answer.status_code == 503, (method, path, answer.get_data(as_text=True))
        if answer.status_code >= 400:
            told += [planter.where[one] for one in _MARK.findall(answer.get_data(as_text=True))]
    assert len(planter.where) > 500
    assert written.getvalue().count('"event": "request"') > 200 and metrics.taken(), "nothing was looked at"
    places = lambda text: sorted({planter.where.get(one, one) for one in _MARK.findall(text)})  # noqa: E731
    assert sorted(set(sent)) == [], "a text that was sent is part of a statement"
    assert places(written.getvalue()) == [], "in the log"
    assert places(json.dumps(metrics.taken())) == [], "among the figures"
    assert places(dead_letters(noisy)) == [], "in a dead letter"
    assert [one for one in told if is_secret_name(one.rpartition(".")[2].rpartition(" ")[2])] == [], "in an error"


def dead_letters(api: Api) -> str:
    """What is kept of failures: reasons, patterns and notes are of people; payloads are not looked at."""
    columns = (jobs.c.last_error, jobs.c.error_code)
    with reading(api.engine) as tx:
        rows = [
            *tx.execute(select(*columns)),
            *tx.execute(select(failure_families.c.pattern)),
            *tx.execute(select(failures)),
        ]
    return "\n".join(repr(tuple(row)) for row in rows)
