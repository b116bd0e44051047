"""What a person is told to do about a failure."""

from __future__ import annotations

import re

import click
import pytest

from domain.remedies import BY_CLASS, BY_CODE, BY_KIND, SIGNATURE, UNKNOWN, Remedy, remedy_for
from remote.wps.errors import CODES, ErrorClass, Kind
from workers.cli import main

EVERY = [*BY_CODE.values(), *BY_KIND.values(), *BY_CLASS.values(), UNKNOWN, SIGNATURE]


def test_every_class_of_error_has_a_remedy_of_its_own() -> None:
    """`unknown` is the only one for which nobody knows."""
    assert {one.value for one in ErrorClass} - set(BY_CLASS) == {"unknown"}


def test_the_remedies_are_for_codes_that_the_client_knows() -> None:
    """A number mistyped here would never be found."""
    assert set(BY_CODE) <= set(CODES)
    harmless = {Kind.OK, Kind.NO_CHANGE, Kind.THROTTLED, Kind.MISCONFIGURED}
    assert not {CODES[code] for code in BY_CODE} & harmless


@pytest.mark.parametrize("remedy", EVERY, ids=lambda one: one.cause[:30])
def test_every_remedy_ends_in_a_command_that_can_be_typed(remedy: Remedy) -> None:
    """At three in the morning nobody looks up how an option is spelled."""
    words = remedy.for_family("abc").command.split()
    assert words[0] == "obsync"
    command: click.Command = main
    for word in words[1:]:
        if not isinstance(command, click.Group) or word not in command.commands:
            break
        command = command.commands[word]
    assert command is not main
    assert ("abc" in words) == ("{family}" in remedy.command)
    assert remedy.advice and re.search(r"[一-鿿]", remedy.cause), "the cause is said in Chinese too"


def test_the_code_goes_before_the_kind_and_the_kind_before_the_class() -> None:
    """The more is known, the more exact the advice."""
    code = next(iter(BY_CODE))
    assert remedy_for(kind="verify", error_class="server", code=code, pattern="x") is BY_CODE[code]
    assert remedy_for(kind="verify", error_class="server", code=7, pattern="x") is BY_KIND["verify"]
    assert remedy_for(kind="event", error_class="server", code=7, pattern="x") is BY_CLASS["server"]
    assert remedy_for(kind="event", error_class="odd", code=7, pattern="x") is UNKNOWN
    assert remedy_for(kind="event", error_class="auth", code=None, pattern="HTTP 401") is SIGNATURE
