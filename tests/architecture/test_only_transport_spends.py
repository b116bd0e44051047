"""One outlet for calls to WPS, and the outlet pays."""

from __future__ import annotations

import ast

import pytest

from tests.architecture import sources

SPENDER = "remote/wps/transport.py"
MAY_SPEND = {SPENDER, "bench/limiter.py"}
_LOCK_KEYWORDS = {"blocking", "timeout"}  # what the standard library's acquire() takes, and the limiter's does not


def spends(tree: ast.Module) -> list[int]:
    """The lines that acquire something that is not evidently a lock."""
    return [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Call) and _spends(node)]


def _spends(call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Attribute) or call.func.attr != "acquire":
        return False
    if "limiter" in ast.unparse(call.func.value).lower():
        return True
    return bool(call.args) or bool({keyword.arg for keyword in call.keywords} - _LOCK_KEYWORDS)


def test_only_the_transport_spends_from_the_limiter() -> None:
    """With a second call site, the next one forgets, and WPS throttles everybody."""
    files = (path for path in sources.python_files() if path.parent.name != "ratelimit")
    found = {str(path.relative_to(sources.PROJECT)): spends(sources.tree(path)) for path in files}
    assert found.get(SPENDER), "the transport does not pay at all"
    assert {name: lines for name, lines in found.items() if lines and name not in MAY_SPEND} == {}


def reports(tree: ast.Module) -> list[int]:
    """The lines that tell the breaker what came of a call."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    named = [one for one in calls if isinstance(one.func, ast.Attribute) and one.func.attr == "report"]
    return [one.lineno for one in named if "trip" in {keyword.arg for keyword in one.keywords}]


def test_only_the_transport_tells_the_breaker() -> None:
    """It alone knows whether a byte left and what came back; a second voice would open or close it for all."""
    files = (path for path in sources.python_files() if path.parent.name != "ratelimit")
    found = {str(path.relative_to(sources.PROJECT)): reports(sources.tree(path)) for path in files}
    assert {name for name, lines in found.items() if lines} == {SPENDER}


@pytest.mark.parametrize(
    ("code", "spent"),
    [
        ("self._limiter.acquire()", 1),
        ("x.acquire(lane)", 1),
        ("x.acquire(key=lane)", 1),
        ("self._lock.acquire()", 0),
        ("self._fetching.acquire(timeout=1)", 0),
    ],
)
def test_spending_is_recognised_and_locking_is_not(code: str, spent: int) -> None:
    """The test above is worth what this one shows."""
    assert len(spends(ast.parse(code))) == spent
