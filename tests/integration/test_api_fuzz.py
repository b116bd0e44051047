"""Whatever anybody sends, as each role: no 5xx, and no answer that the document does not have."""

from __future__ import annotations

import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.integration.api_rig import Api, token_of
from tests.integration.things_rig import things

EXAMPLES = int(os.environ.get("OBSYNC_TEST_FUZZ_EXAMPLES", "4"))
"""Cases for each operation and role. The usual run is a look; the long one is `make prove`."""
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)
REFUSED = (None, "mei", "bao")
"""Those who are refused most: half as many cases say as much."""
ROLES = (None, "mei", "bao", "sun", "ada", "zoe")


@pytest.mark.parametrize("name", ROLES)
def test_no_request_gets_an_answer_that_nobody_described(api: Api, name: str | None) -> None:
    """The document is what clients are written from, and a 5xx is ours to mend, whoever sent what."""
    mine = things(api, "own")
    schema = schemathesis.openapi.from_wsgi("/openapi/openapi.json", api.app)
    headers = {} if name is None else {"Authorization": f"Bearer {token_of(name)}"}
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=max(1, EXAMPLES // 2) if name in REFUSED else EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def send(case: Any) -> None:
            for path_name in (case.path_parameters or {}).keys() & mine.keys():
                if len(case.path_parameters[path_name]) % 2:
                    case.path_parameters[path_name] = mine[path_name]
            case.call_and_validate(headers=headers, checks=list(CHECKS))

        from hypothesis import given

        given(case=operation.as_strategy())(send)()
