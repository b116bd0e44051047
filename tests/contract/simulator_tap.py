"""Starts a simulator whose traffic is judged by the service's OpenAPI document, where there is one."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.contract.openapi_contract import DOCUMENT


@dataclass(frozen=True)
class Report:
    """What the tap has written so far. A line is there before the answer it is about."""

    path: Path | None
    """None where nobody listens. Else it is there from the start: a missing one is an error."""

    def lines(self) -> list[dict[str, Any]]:
        """All of it, oldest first."""
        if self.path is None:
            return []
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]

    def findings(self) -> list[str]:
        """What breaks the contract."""
        return [text for line in self.lines() for text in line["findings"]]

    def judged(self, what: str) -> set[str | None]:
        """The calls of which a product's request, or a success to a product ("request", "success"), was judged."""
        return {line["call"] for line in self.lines() if line["product"] and line["what"] == what}


@contextmanager
def simulator_command(document: Path = DOCUMENT) -> Iterator[tuple[list[str], Report]]:
    """The start of a command line, and the report, which is empty without a document."""
    with tempfile.TemporaryDirectory(prefix="tap-") as folder:
        if document.is_file():
            path = Path(folder) / "report.jsonl"
            tapped = [sys.executable, "-m", "tests.contract.tapped_simulator", str(path), str(document)]
            yield tapped, Report(path)
        else:
            yield [sys.executable, "-m", "simulator"], Report(None)


def must_keep_the_contract(report: Report) -> None:
    """Raises AssertionError with everything found."""
    found = list(dict.fromkeys(report.findings()))
    assert not found, "against the OpenAPI document:\n" + "\n".join(found)
