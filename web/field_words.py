"""What is wrong with a field, in Chinese and English, and what would be right.

The library that reads shapes says it in English and for programmers. The value itself is never repeated: it may be a secret.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError

from web.envelope import said
from web.errors import Detail
from web.schemas.base import ID, In, Wrong

_SHOWN: Final = 20

_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "missing": ("缺少这一项", "it is missing"),
    "extra_forbidden": ("没有这一项", "there is no such field"),
    "string_type": ("应为文本", "it has to be text"),
    "int_type": ("应为整数", "it has to be a whole number"),
    "int_parsing": ("应为整数", "it has to be a whole number"),
    "int_from_float": ("应为整数", "it has to be a whole number"),
    "float_type": ("应为数", "it has to be a number"),
    "float_parsing": ("应为数", "it has to be a number"),
    "finite_number": ("应为有限的数", "it has to be a finite number"),
    "bool_type": ("应为 true 或 false", "it has to be true or false"),
    "bool_parsing": ("应为 true 或 false", "it has to be true or false"),
    "list_type": ("应为列表", "it has to be a list"),
    "dict_type": ("应为对象", "it has to be an object"),
    "model_type": ("应为对象", "it has to be an object"),
    "model_attributes_type": ("应为对象", "it has to be an object"),
    "string_too_short": ("至少 {min_length} 个字符", "at least {min_length} characters"),
    "string_too_long": ("至多 {max_length} 个字符", "at most {max_length} characters"),
    "too_short": ("至少 {min_length} 项", "at least {min_length} entries"),
    "too_long": ("至多 {max_length} 项", "at most {max_length} entries"),
    "greater_than_equal": ("不得小于 {ge}", "not less than {ge}"),
    "greater_than": ("须大于 {gt}", "more than {gt}"),
    "less_than_equal": ("不得大于 {le}", "not more than {le}"),
    "less_than": ("须小于 {lt}", "less than {lt}"),
    "string_pattern_mismatch": ("格式应为 {pattern}", "it has to look like {pattern}"),
    "literal_error": ("应为其中之一：{expected}", "one of {expected}"),
    "enum": ("应为其中之一：{expected}", "one of {expected}"),
    "datetime_parsing": (
        "应为时间，例如 2025-03-01T08:00:00+08:00", "it has to be an instant, as 2025-03-01T08:00:00+08:00",
    ),
    "datetime_from_date_parsing": (
        "应为时间，例如 2025-03-01T08:00:00+08:00", "it has to be an instant, as 2025-03-01T08:00:00+08:00",
    ),
}  # fmt: skip
"""By the library's kinds of errors. A kind that is not here keeps the library's words."""


_LOOKS: Final[Mapping[str, str]] = {
    r"^\d{4}-\d{2}-\d{2}$": "2024-09-02",
    r"^([01][0-9]|2[0-3]):[0-5][0-9]$": "14:00",
    ID: "A-Z a-z 0-9 _ . : -, 1-64",
}
"""Patterns that people write every day, by an example."""


def details_of(error: ValidationError) -> Iterator[Detail]:
    """Each thing that is wrong, with its place."""
    for one in error.errors(include_url=False, include_input=False)[:_SHOWN]:
        place = one["loc"]
        remedy = _instead(error.title) if one["type"] == "extra_forbidden" and len(place) == 1 else ""
        yield Detail(".".join(map(str, place)), _sentence(one), remedy)


def _sentence(one: Mapping[str, Any]) -> str:
    context = one.get("ctx", {})
    if isinstance(found := context.get("error"), Wrong):
        return said(found.zh, found.en)
    words = _WORDS.get(one["type"])
    if words is None:
        return str(one["msg"]).removeprefix("Value error, ")
    context = {**context, "pattern": _LOOKS.get(context.get("pattern", ""), context.get("pattern"))}
    zh, en = (text.format_map(context) for text in words)
    return said(zh, en)


def _instead(title: str) -> str:
    """The names that a shape takes, for whoever guessed one."""
    names = sorted(field.alias or name for name, field in _shape(title).model_fields.items())
    if not names:
        return said("这里不需要任何字段", "there are none here")
    return said("可用的字段：", "there are ") + ", ".join(names)


def _shape(title: str) -> type[In]:
    """The shape of that name; the names of shapes are unique."""
    waiting = [In]
    while waiting:
        shape = waiting.pop()
        if shape.__name__ == title:
            return shape
        waiting += shape.__subclasses__()
    return In
