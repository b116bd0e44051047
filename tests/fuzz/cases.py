"""Schemathesis over the API of a test: every operation for itself, then walks along what answers name, all answers checked.

Ids that are made up lead nowhere, so that most well-formed requests are given those of things there are, and some of them a
body that fits these. What is malformed on purpose is sent as it is.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import hypothesis
import schemathesis
from flask_openapi import OpenAPI
from hypothesis import HealthCheck, Phase
from hypothesis.errors import Flaky
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import IgnoredAuth
from sqlalchemy import delete

from db.engine import in_unit
from db.tables import switches
from tests.integration.api_rig import ABROAD, HOME, Api, token_of
from tests.integration.test_api_authorization import body_named
from tests.integration.things_rig import things
from web.site import NAME

ROLES: Final[tuple[str | None, ...]] = ("ada", "sun", "zoe", "bao", "mei", None)
_NOT_ASKED: Final = frozenset({"positive_data_acceptance"})
"""Whether a term, a name or a scope that is well formed can be used is known to the database alone."""
_STEPS: Final = 10
_WALKS: Final = 20
_OPTIONS: Final[dict[str, Any]] = {
    "deadline": None,
    "database": None,
    "derandomize": False,
    "phases": [Phase.explicit, Phase.generate],
    "suppress_health_check": list(HealthCheck),
}


@dataclass
class Tally:
    """What was sent and what came of it. `reached` are operations that answered 2xx to somebody."""

    cases: int = 0
    operations: set[str] = field(default_factory=set)
    reached: set[str] = field(default_factory=set)
    statuses: Counter[int] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """How many of a hundred operations did what they are for."""
        return 100 * len(self.reached) / max(1, len(self.operations))

    def as_dict(self) -> dict[str, Any]:
        """For the summary of a run."""
        return {
            "cases": self.cases,
            "operations": len(self.operations),
            "reached": len(self.reached),
            "reached_share": round(self.share, 1),
            "never_reached": sorted(self.operations - self.reached),
            "statuses": {str(status): self.statuses[status] for status in sorted(self.statuses)},
            "failures": self.failures,
        }


@lru_cache(maxsize=1)
def _schema(app: OpenAPI) -> Any:
    """The document, once for all roles: it keeps what it has worked out for each parameter."""
    return schemathesis.openapi.from_wsgi("/openapi/openapi.json", app)


def checks() -> list[Any]:
    """Every check there is, but what the module says."""
    load_all_checks()
    return [one for one in CHECKS.get_all() if one.__name__ not in _NOT_ASKED]


class Sender:
    """Sends what was generated as somebody, and keeps the tally."""

    def __init__(self, api: Api, name: str | None, tally: Tally, seed: int) -> None:
        self.schema = _schema(api.app)
        self._api = api
        self.headers = {} if name is None else {"Authorization": f"Bearer {token_of(name)}"}
        self.tally = tally
        self.random = random.Random(seed)
        self._checks = checks()
        self._known = [things(api, whose) for whose in ("own", "own", "school")]
        self._operations = [found.ok() for found in self.schema.get_all_operations()]
        tally.operations.update(one.label for one in self._operations)

    def aim(self, case: Any) -> None:
        """Let a well-formed request be about something that is there, mostly."""
        if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
            return
        mine = self.random.choice(self._known)
        for name in (case.path_parameters or {}).keys() & mine.keys():
            if self.random.random() < 0.7:
                case.path_parameters[name] = mine[name]
        if "X-Tenant-ID" in (case.headers or {}) and self.random.random() < 0.8:
            case.headers["X-Tenant-ID"] = HOME
        body = body_named(f"{case.method} {case.path.replace('{', '<').replace('}', '>')}", mine)
        if body is not None and self.random.random() < 0.5:
            case.body = body

    def send(self, case: Any) -> Any:
        """Ask, and check the answer."""
        self.aim(case)
        answer = case.call(headers=self.headers)
        self.judge(case, answer)
        return answer

    def judge(self, case: Any, answer: Any) -> None:
        """Count the answer, and keep the first that is not as it should be, of each kind and operation."""
        label = case.operation.label
        self.tally.cases += 1
        self.tally.statuses[answer.status_code] += 1
        if answer.status_code < 300:
            self.tally.reached.add(label)
            if "/switches/" in case.path:
                self._open_again()
        try:
            case.validate_response(answer, checks=self._checks, headers=self.headers)
        except FailureGroup as group:
            for one in group.exceptions:
                if isinstance(one, IgnoredAuth) and "got `429" in str(one):
                    continue  # an address that asks too often is not asked who it is
                said = f"{one}\n{case.as_curl_command()}"
                self.tally.failures.setdefault(f"{type(one).__name__} of {label}", said[:2000])

    def _open_again(self) -> None:
        """Whoever has closed the school is the last who is answered anything else."""
        schools = (HOME, ABROAD)
        in_unit(self._api.engine, lambda tx: tx.execute(delete(switches).where(switches.c.tenant_id.in_(schools))))
        for school in schools:
            self._api.app.extensions[NAME].switches.forget(school)

    def each(self, cases: int, seed: int) -> None:
        """So many cases over all operations, each for itself."""
        many = cases // len(self._operations)
        options = hypothesis.settings(max_examples=max(1, many), **_OPTIONS)
        for operation in self._operations if many else self.random.sample(self._operations, cases):
            strategy = operation.as_strategy()
            hypothesis.seed(seed)(options(hypothesis.given(case=strategy)(_sends(self))))()

    def walk(self, cases: int, seed: int) -> None:
        """About so many cases, each about what an answer before has named."""
        machine = _machine(self)
        options = hypothesis.settings(max_examples=_WALKS, stateful_step_count=_STEPS, **_OPTIONS)
        goal, calls = self.tally.cases + cases, 0
        while self.tally.cases < goal:
            calls += 1
            random.seed(seed + calls)
            try:
                machine.run(settings=options)
            except Flaky:
                continue  # the same walk meets other answers: whatever the last one did is still there


def _sends(sender: Sender) -> Callable[[Any], None]:
    def sends(case: Any) -> None:
        sender.send(case)

    return sends


def _machine(sender: Sender) -> Any:
    """The walks that Schemathesis finds in the document, through the sender."""

    class Walk(sender.schema.as_state_machine()):  # type: ignore[misc]
        def before_call(self, case: Any) -> None:
            sender.aim(case)

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": sender.headers}

        def validate_response(self, response: Any, case: Any, *_: Any, **__: Any) -> None:
            sender.judge(case, response)

    return Walk


def fuzz(api: Api, name: str | None, tally: Tally, *, cases: int, seed: int) -> None:
    """About so many cases as somebody: two of three alone, the third in walks."""
    sender = Sender(api, name, tally, seed)
    sender.each(cases * 2 // 3, seed)
    sender.walk(cases // 3, seed)


SHARES: Final[Mapping[str | None, float]] = {"ada": 0.3, "zoe": 0.2, "sun": 0.2, "bao": 0.1, "mei": 0.1, None: 0.1}
"""How many of all cases each role sends: those who are refused most say as much with fewer."""
