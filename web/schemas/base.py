"""What all shapes share: camelCase names, nothing unknown taken in, and JSON types taken at their word.

Pydantic reads ``"1"`` as 1 and ``false`` as 0.0 unless told not to; ``strict=True`` on a model would refuse a date that is
written as text, because values arrive as Python objects. So each kind of value says how strictly it is read.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict, StringConstraints
from pydantic.alias_generators import to_camel

ID: Final = r"^[0-9A-Za-z_.:-]{1,64}$"


class Wrong(ValueError):
    """What is wrong with a value, Chinese and English; says what would be right."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh, self.en = zh, en


class In(BaseModel):
    """A shape that comes in: a field that is not named here is refused, so that nobody sets what is not his to set."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=False)

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The shape as JSON schema. Every request with a query asks for it, in the plain form, which is worked out once."""
        return super().model_json_schema(*args, **kwargs) if args or kwargs else _plain_schema(cls)


@cache
def _plain_schema(shape: type[In]) -> dict[str, Any]:
    return super(In, shape).model_json_schema()


class Out(BaseModel):
    """A shape that goes out: exactly these fields."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True)

    def as_json(self) -> dict[str, Any]:
        """As JSON shows it."""
        return self.model_dump(mode="json", by_alias=True)


def _no_nul(text: str) -> str:
    if any(character < " " or character == "\x7f" for character in text):
        raise Wrong("不得含控制字符", "control characters are not allowed")
    return text


def _whole(value: object) -> object:
    """JSON has one kind of number: 1.0 is the whole number 1; true and "1" are none."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _number(value: object) -> object:
    """1 is the number 1.0; true and "1" are none, and neither is what JSON cannot write."""
    return float(value) if type(value) is int else value


def _rfc3339(value: object) -> object:
    if not isinstance(value, str):
        raise Wrong(
            "请写成文本，例如 2025-03-01T08:00:00+08:00", "write it as text, for example 2025-03-01T08:00:00+08:00"
        )
    return value


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise Wrong("请写明时区，例如 +08:00 或 Z", "add the offset, for example +08:00 or Z")
    return value


Text = Annotated[str, Strict(), StringConstraints(strip_whitespace=True), AfterValidator(_no_nul)]
Identifier = Annotated[str, Strict(), StringConstraints(min_length=1, max_length=60), AfterValidator(_no_nul)]
Whole = Annotated[int, BeforeValidator(_whole), Strict()]
Number = Annotated[float, BeforeValidator(_number), Strict()]
Yes = Annotated[bool, Strict()]
Instant = Annotated[
    datetime, BeforeValidator(_rfc3339), AfterValidator(_aware), Field(json_schema_extra={"format": "date-time"})
]


def instant(ms: int | None) -> str | None:
    """Milliseconds UTC as RFC 3339; None stays None."""
    if ms is None:
        return None
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_ms(value: datetime) -> int:
    """An instant as milliseconds UTC."""
    return round(value.timestamp() * 1000)


class Meta(Out):
    """About the answer: when (milliseconds UTC), for which request, how long it took (milliseconds)."""

    timestamp: int
    request_id: str
    duration: int
    page: dict[str, Any] | None = None
    replayed: bool | None = None

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True)


class DetailOut(Out):
    """One thing that is wrong."""

    field: str | None = None
    message: str | None = None
    remedy: str | None = None


class ErrorOut(Out):
    """What went wrong: its type, its code, what to do, and the page about the code."""

    type: str
    code: str
    remedy: str
    help: str
    details: list[DetailOut]


class Failure(Out):
    """The envelope of an error."""

    success: bool
    code: int
    message: str
    error: ErrorOut
    meta: Meta


class ProblemDetails(Out):
    """An error as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str
    errors: list[DetailOut]
