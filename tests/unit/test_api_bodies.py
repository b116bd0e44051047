"""Shapes: what is taken in, what goes out."""

from __future__ import annotations

import importlib
import pkgutil
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from web import schemas
from web.rest import FEATURES
from web.schemas.base import In, Instant, Out, Text, Whole, Yes, instant


class Sample(In):
    whole: Whole = 0
    yes: Yes = False
    text: Text = ""
    at: Instant = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "body",
    [
        {"whole": "1"}, {"whole": True}, {"whole": 1.5}, {"yes": 1}, {"yes": "true"}, {"text": 1}, {"text": "a\nb"},
        {"at": 0}, {"at": "2025-01-01"}, {"at": "2025-01-01T00:00:00"}, {"at": False}, {"extra": 1},
    ],
)  # fmt: skip
def test_json_is_taken_at_its_word(body: dict[str, object]) -> None:
    """A client that sends the wrong type learns it here, and not from what became of it."""
    with pytest.raises(ValidationError):
        Sample.model_validate(body)


def test_what_json_means_is_understood() -> None:
    """1.0 is a whole number, and an instant has its offset."""
    found = Sample.model_validate({"whole": 1.0, "at": "2025-01-01T08:00:00+08:00", "text": " a "})
    assert (found.whole, found.text) == (1, "a")
    assert found.at == datetime(2025, 1, 1, tzinfo=UTC)
    assert instant(1_735_689_600_123) == "2025-01-01T00:00:00.123Z"


def every_shape() -> set[type[In] | type[Out]]:
    """All shapes of the API."""
    modules = [importlib.import_module(f"web.schemas.{one.name}") for one in pkgutil.iter_modules(schemas.__path__)]
    return {
        shape
        for module in modules
        for shape in vars(module).values()
        if isinstance(shape, type) and issubclass(shape, (In, Out))
    }


def test_every_shape_that_comes_in_refuses_what_it_does_not_name() -> None:
    """A field that nobody meant to be set cannot be set by naming it."""
    assert len(every_shape()) > 50
    assert all(shape.model_config.get("extra") == "forbid" for shape in every_shape())


def test_no_two_routes_name_their_answers_alike() -> None:
    """The document has one shape for each name: the answers of one would be described as those of the other."""
    names = [route.view.__name__ for feature in FEATURES for route in feature.routes]
    assert len(names) == len(set(names))


def test_no_two_shapes_have_one_name() -> None:
    """The document names shapes by their classes: of two of one name it describes one, and answers with both."""
    names = [shape.__name__ for shape in every_shape()]
    assert sorted({name for name in names if names.count(name) > 1}) == []
