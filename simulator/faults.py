"""What may go wrong, and when: a script of seeded rules.

A script is a JSON list of rules (or `{"rules": [...]}`). For every call the rules are looked at in order and the first
one that fires decides; only `list_lag_s` goes on to the next. Example:

    [{"match": {"method": "POST", "path": "/events/batch_create$"}, "rate": 0.1, "do": "applied_reply_lost"},
     {"match": {"path": "/permissions"}, "nth": [3], "do": "throttle", "params": {"retry_after_s": 2}}]

| key | meaning |
| --- | --- |
| `match.method` | GET or POST; absent: both |
| `match.path` | regular expression searched in path and query; absent: everything under `/v7/` |
| `rate` | fires with this probability (0 to 1), from the seed |
| `nth` | fires for the n-th matching calls, counted from 1 |
| `after` | the first so many matching calls are left alone |
| `times` | fires at most so often |
| `do` | the fault |
| `params` | its parameters |

`match` with `rate`, `nth`, `after` and `times` all hold together; a rule with none of them fires always.

| fault | what happens | params (default) |
| --- | --- | --- |
| `applied_reply_lost` | carried out, connection closed without an answer | `reset` (false: close; true: TCP reset) |
| `refused_connection_drop` | not carried out, connection closed without an answer | `reset` (false) |
| `error_500_applied` | carried out, answered with status 500 | `code` (500000004) |
| `error_500_not_applied` | not carried out, answered with status 500 | `code` (500000004) |
| `throttle` | not carried out | `status` (429), `code` (429000001), `retry_after_s` (1; text: as it is; null: none) |
| `slow` | carried out and answered later | `delay_s` (1.0) |
| `late` | connection closed, carried out afterwards | `delay_s` (from the seed, 0.2 to 3.0), `reset` (false) |
| `html_403` | not carried out, an HTML page with status 403 | |
| `html` | answered with an HTML page | `status` (200), `applied` (false), `page` (text of it) |
| `half_body` | carried out, connection closed in the middle of the answer | |
| `huge_body` | carried out, the answer followed by blanks | `mib` (3) |
| `gzip_bomb` | carried out, the answer followed by blanks and packed | `mib` (16) |
| `other_order` | carried out, the items of the answer back to front | |
| `doubled_items` | carried out, each item of the answer twice, as if a page came again | |
| `status` | any answer | `status` (503), `code` (503000001), `msg`, `applied` (false), `retry_after_s` (null) |
| `list_lag_s` | lists do not show objects younger than this | `lag_s` (1.0) |
| `partial_batch` | part of a batch is carried out, of others nothing | `fraction` (seed), `reply` (`drop`) |

`reply` is `drop` (the connection closes), `error_500`, or `items` (a success that names those items only).
"""

import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_PARAMS: dict[str, dict[str, tuple[type, ...]]] = {
    "applied_reply_lost": {"reset": (bool,)},
    "refused_connection_drop": {"reset": (bool,)},
    "error_500_applied": {"code": (int,)},
    "error_500_not_applied": {"code": (int,)},
    "throttle": {"status": (int,), "code": (int,), "retry_after_s": (int, float, str, type(None))},
    "slow": {"delay_s": (int, float)},
    "late": {"delay_s": (int, float), "reset": (bool,)},
    "html_403": {},
    "html": {"status": (int,), "applied": (bool,), "page": (str,)},
    "half_body": {},
    "huge_body": {"mib": (int,)},
    "gzip_bomb": {"mib": (int,)},
    "other_order": {},
    "doubled_items": {},
    "status": {
        "status": (int,),
        "code": (int,),
        "msg": (str,),
        "applied": (bool,),
        "retry_after_s": (int, float, str, type(None)),
    },
    "list_lag_s": {"lag_s": (int, float)},
    "partial_batch": {"fraction": (int, float), "reply": (str,)},
}
NAMES = tuple(_PARAMS)
LATE_MAX_S = 3.0
LIST_LAG_DEFAULT_S = 1.0
_RULE_KEYS = frozenset(("match", "rate", "nth", "after", "times", "do", "params"))


class BadScript(Exception):
    """A fault script that cannot be followed; the message names the rule and what is wrong."""


@dataclass(slots=True)
class Rule:
    """One rule and how often it has matched and fired."""

    source: Mapping[str, Any]
    do: str
    params: Mapping[str, Any]
    method: str | None
    path: re.Pattern[str]
    rng: random.Random
    matched: int = 0
    fired: int = 0
    nth: frozenset[int] = field(default_factory=frozenset)

    def fires(self, method: str, target: str) -> bool:
        """Counts the call and says whether this rule decides it."""
        if self.method not in (None, method) or not self.path.search(target):
            return False
        self.matched += 1
        if self.matched <= self.source.get("after", 0):
            return False
        if self.nth and self.matched not in self.nth:
            return False
        if "times" in self.source and self.fired >= self.source["times"]:
            return False
        if "rate" in self.source and self.rng.random() >= self.source["rate"]:
            return False
        self.fired += 1
        return True


@dataclass(frozen=True, slots=True)
class Fault:
    """What is to happen to one call."""

    name: str
    params: Mapping[str, Any]
    rng: random.Random

    def delay_s(self) -> float:
        """How long this fault puts the call off."""
        given = self.params.get("delay_s")
        if given is not None:
            return float(given)
        return self.rng.uniform(0.2, LATE_MAX_S) if self.name == "late" else 1.0

    def choose_some(self, count: int) -> list[int]:
        """The items of a batch that are carried out: fewer than all, in their order."""
        fraction = self.params.get("fraction")
        kept = self.rng.randrange(count) if fraction is None else min(count, int(count * fraction))
        return sorted(self.rng.sample(range(count), kept))


class Faults:
    """The script in force."""

    def __init__(self, seed: int, script: Any = ()) -> None:
        self._seed = seed
        self._rules: list[Rule] = []
        self.replace(script)

    def replace(self, script: Any) -> None:
        """Puts another script in force, its counts at zero. Raises BadScript and then leaves the old one."""
        rules = script.get("rules") if isinstance(script, dict) else script
        if not isinstance(rules, list | tuple):
            raise BadScript("a fault script is a list of rules")
        self._rules = [self._read(number, source) for number, source in enumerate(rules)]

    def choose(self, method: str, target: str) -> tuple[Fault | None, float]:
        """The fault for this call, if any, and the list lag in seconds."""
        lag_s = 0.0
        for rule in self._rules:
            if not rule.fires(method, target):
                continue
            if rule.do != "list_lag_s":
                return Fault(rule.do, rule.params, rule.rng), lag_s
            lag_s = max(lag_s, float(rule.params.get("lag_s", LIST_LAG_DEFAULT_S)))
        return None, lag_s

    def as_json(self) -> list[dict[str, Any]]:
        """The rules with what they have matched and how often they fired."""
        return [{**rule.source, "matched": rule.matched, "fired": rule.fired} for rule in self._rules]

    def _read(self, number: int, source: Any) -> Rule:
        where = f"rule {number}"
        _check_rule(source, where)
        match = source.get("match", {})
        try:
            path = re.compile(match.get("path", "^/v7/"))
        except re.error as problem:
            raise BadScript(f"{where}: match.path: {problem}") from None
        return Rule(
            source=source,
            do=source["do"],
            params=source.get("params", {}),
            method=match.get("method"),
            path=path,
            rng=random.Random(f"{self._seed}/{number}/{source['do']}"),  # noqa: S311 - reproducible, not secret
            nth=frozenset(source.get("nth", ())),
        )


def _check_rule(source: Any, where: str) -> None:
    if not isinstance(source, dict) or not source.keys() <= _RULE_KEYS:
        raise BadScript(f"{where}: an object with {', '.join(sorted(_RULE_KEYS))} is wanted")
    name = source.get("do")
    if name not in _PARAMS:
        raise BadScript(f"{where}: do is {json.dumps(name)}, it must be one of {', '.join(NAMES)}")
    match = source.get("match", {})
    if not isinstance(match, dict) or not match.keys() <= {"method", "path"}:
        raise BadScript(f"{where}: match takes method and path")
    if not all(isinstance(value, str) for value in match.values()):
        raise BadScript(f"{where}: method and path must be texts")
    _check_numbers(source, where)
    params = source.get("params", {})
    if not isinstance(params, dict):
        raise BadScript(f"{where}: params must be an object")
    for key, value in params.items():
        if key not in _PARAMS[name] or type(value) not in _PARAMS[name][key]:
            raise BadScript(f"{where}: {name} does not take {key}={json.dumps(value)}")
    if name == "partial_batch" and params.get("reply", "drop") not in ("drop", "error_500", "items"):
        raise BadScript(f"{where}: reply must be drop, error_500 or items")


def _check_numbers(source: dict[str, Any], where: str) -> None:
    rate = source.get("rate", 0)
    if type(rate) not in (int, float) or not 0 <= rate <= 1:
        raise BadScript(f"{where}: rate must be 0 to 1")
    for key in ("times", "after"):
        if type(source.get(key, 0)) is not int or source.get(key, 0) < 0:
            raise BadScript(f"{where}: {key} must be a whole number")
    nth = source.get("nth", [1])
    if type(nth) is not list or not nth or not all(type(n) is int and n > 0 for n in nth):
        raise BadScript(f"{where}: nth must be a list of numbers from 1")
