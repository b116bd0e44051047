"""Checks of JSON values as strict as the contract: no coercion, no unknown fields, no null where none is allowed.

A shape is a function of (value, where) that returns nothing and raises Refused. Wrong type or null is a format error,
a wrong size or a word outside the list is an invalid value, a field the contract does not name is unsupported.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from simulator import errors
from simulator.errors import Refused

Shape = Callable[[Any, str], None]


def text(*, longest: int = 1024, shortest: int = 0, code: int = errors.VALUE_INVALID) -> Shape:
    """A string of so many characters; `code` is what a wrong length is answered with."""

    def check(value: Any, where: str) -> None:
        if type(value) is not str:
            raise Refused(errors.PARAM_FORMAT, f"{where} must be a string")
        if not shortest <= len(value) <= longest:
            raise Refused(code, f"{where} must have {shortest} to {longest} characters")

    return check


def one_of(words: Collection[str]) -> Shape:
    """One word of a fixed list."""

    def check(value: Any, where: str) -> None:
        if type(value) is not str:
            raise Refused(errors.PARAM_FORMAT, f"{where} must be a string")
        if value not in words:
            raise Refused(errors.VALUE_INVALID, f"{where} must be one of {', '.join(sorted(words))}")

    return check


def whole(*, least: int | None = None, most: int | None = None) -> Shape:
    """An integer; true and 1.0 are not integers."""

    def check(value: Any, where: str) -> None:
        if type(value) is not int:
            raise Refused(errors.PARAM_FORMAT, f"{where} must be an integer")
        if (least is not None and value < least) or (most is not None and value > most):
            raise Refused(errors.VALUE_INVALID, f"{where} is out of range")

    return check


def flag(value: Any, where: str) -> None:
    """true or false."""
    if type(value) is not bool:
        raise Refused(errors.PARAM_FORMAT, f"{where} must be a boolean")


def array_of(shape: Shape, *, least: int = 0, most: int = 1024, code: int = errors.VALUE_INVALID) -> Shape:
    """A list of so many values of one shape; `code` is what a wrong number of them is answered with."""

    def check(value: Any, where: str) -> None:
        if type(value) is not list:
            raise Refused(errors.PARAM_FORMAT, f"{where} must be an array")
        if not least <= len(value) <= most:
            raise Refused(code, f"{where} must have {least} to {most} items")
        for number, item in enumerate(value):
            shape(item, f"{where}[{number}]")

    return check


def record(fields: Mapping[str, Shape], *, required: Collection[str] = (), nullable: Collection[str] = ()) -> Shape:
    """An object with these fields and no others."""
    known = frozenset(fields)

    def check(value: Any, where: str) -> None:
        if type(value) is not dict:
            raise Refused(errors.PARAM_FORMAT, f"{where} must be an object")
        if not value.keys() <= known:
            unknown = ", ".join(sorted(value.keys() - known))
            raise Refused(errors.PARAM_UNSUPPORTED, f"{where} has unknown fields: {unknown}")
        for name in required:
            if name not in value:
                raise Refused(errors.PARAM_FORMAT, f"{where}.{name} is required")
        for name, item in value.items():
            if item is None and name in nullable:
                continue
            fields[name](item, f"{where}.{name}")

    return check
