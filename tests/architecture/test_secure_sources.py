"""What the sources may not do: unpack objects from outside, compare secrets letter by letter, put texts into SQL."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture import sources

UNPACKS = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "jsonpickle"}
SECRET = re.compile(
    r"(?:^|_)(?:token|secret|password|signature|signed|mac|digest|verifier|binding|nonce|ticket|receipt|otp|pin)$"
)
SERVED = ("actors", "bootstrap", "db", "domain", "observability", "ratelimit", "remote", "usecases", "web", "workers")
NOT_GUESSED = {
    "domain/feeds.py": "whether a class has changed since it was given out",
    "usecases/feeds.py": "whether any class of a feed has",
    "remote/wps/auth.py": "whether the token in hand is the one that was refused: both are ours",
    "remote/wps/paging.py": "a page mark of WPS",
    "usecases/identity.py": "whether the stored hash is still the one that was read",
    "usecases/logins.py": "the same",
}
"""Files that compare something of such a name that nobody outside has a say in, each with the reason."""
RAW = {"db/upsert.py", "db/engine.py", "db/spelled.py", "db/check_ins.py", "db/rosters.py"}
"""Files that write SQL as text, from names of our own tables and columns and with places for values."""


def imported(node: ast.AST) -> Iterator[str]:
    """Names of modules that the node brings in."""
    if isinstance(node, ast.Import):
        yield from (one.name.partition(".")[0] for one in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module.partition(".")[0]


def unpacking(tree: ast.Module) -> list[int]:
    """Lines that bring in what makes objects, and so calls, out of bytes; or that carry out a text."""
    found = []
    for node in ast.walk(tree):
        calls = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec")
        if calls or UNPACKS & set(imported(node)):
            found.append(node.lineno)
    return found


def named(node: ast.expr) -> str:
    """How a value is called: the last name of it."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return str(node.slice.value)
    return named(node.func) if isinstance(node, ast.Call) else ""


def compared(tree: ast.Module) -> list[int]:
    """Lines where a value with a secret's name is compared by ``==``: how long that takes says how much was right.

    Against a constant nothing is guessed; a column's comparison is carried out by the database, by an index.
    """
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], (ast.Eq, ast.NotEq)):
            continue
        sides = [node.left, *node.comparators]
        if any(isinstance(side, ast.Constant) or ".c." in ast.unparse(side) for side in sides):
            continue
        if any(SECRET.search(named(side).lower()) for side in sides):
            found.append(node.lineno)
    return found


def written(tree: ast.Module) -> list[int]:
    """Lines that send a text as SQL which is not a constant."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and named(node.func) in ("text", "exec_driver_sql", "literal_column")
        and node.args
        and not isinstance(node.args[0], ast.Constant)
    ]


def in_files(look: object, *folders: str) -> list[str]:
    """Where the product does it."""
    return [
        f"{path.relative_to(sources.PROJECT)}:{line}"
        for path in sources.python_files(*folders)
        for line in look(sources.tree(path))  # type: ignore[operator]
    ]


def test_nothing_makes_objects_out_of_bytes() -> None:
    """Whoever writes into a queue or a cache would run code in every worker."""
    assert in_files(unpacking) == []


def test_secrets_are_compared_in_constant_time() -> None:
    """`hmac.compare_digest` is for everything that somebody could guess at."""
    found = {one.partition(":")[0] for one in in_files(compared, *SERVED)}
    assert found == set(NOT_GUESSED)


def test_sql_is_made_of_expressions() -> None:
    """A text that somebody sent never becomes part of a statement."""
    found = [one for one in in_files(written, "actors", "db", "usecases", "workers") if "migrations" not in one]
    assert {one.partition(":")[0] for one in found} <= RAW, found


@pytest.mark.parametrize(
    ("look", "source"),
    [
        (unpacking, "import pickle"), (unpacking, "from marshal import loads"), (unpacking, "eval(said)"),
        (compared, "if token == stored: pass"), (compared, "x = row.signature != made"), (compared, "a['secret'] == b"),
        (written, "text('SELECT ' + said)"), (written, "tx.exec_driver_sql(f'SELECT {said}')"),
    ],
)  # fmt: skip
def test_the_search_would_find(look: object, source: str) -> None:
    """The searches above are worth what this shows."""
    assert look(ast.parse(source)) == [1]  # type: ignore[operator]


def test_every_file_is_looked_at() -> None:
    """A search over nothing finds nothing."""
    looked = {path.relative_to(sources.PROJECT) for path in sources.python_files(*SERVED)}
    assert {Path("usecases/identity.py"), Path("web/auth.py"), Path("actors/job.py")} <= looked
