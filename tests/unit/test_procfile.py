"""Reading a Procfile."""

from __future__ import annotations

import pytest

from workers.procfile import BadProcfile, ProcessLine, parse


def test_lines_become_commands_with_variables_replaced() -> None:
    """What `obsync up` decides (a free port) reaches the process through the line."""
    text = "# all of them\n\nsimulator: python -m simulator $SIM_ARGS\nlanes: obsync worker ${KIND}\n"
    assert parse(text, {"SIM_ARGS": "--port 1 --directory 'a b'", "KIND": "lanes"}) == (
        ProcessLine("simulator", ("python", "-m", "simulator", "--port", "1", "--directory", "a b")),
        ProcessLine("lanes", ("obsync", "worker", "lanes")),
    )


def test_an_unset_variable_is_empty_as_in_a_shell() -> None:
    """The same file can be run by any other Procfile runner."""
    assert parse("simulator: python -m simulator $SIM_ARGS", {}) == (
        ProcessLine("simulator", ("python", "-m", "simulator")),
    )


@pytest.mark.parametrize("text", ["lanes obsync", "lanes:", "a: b\na: c", "a: $NOTHING", "a: 'unclosed"])
def test_a_line_that_starts_nothing_is_refused(text: str) -> None:
    """A worker that is silently missing is found out days later."""
    with pytest.raises(BadProcfile):
        parse(text, {})
