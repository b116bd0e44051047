"""Settings: zero and empty are values, and the nearest level holds."""

from __future__ import annotations

import pytest

from domain.configs import CONFIGS, BadConfig, Level, UnknownConfig, check, effective


def test_the_nearest_level_holds_and_zero_is_a_value() -> None:
    """A school that wants no grace says 0, and a course that wants 5 says 5."""
    key = "checkin.early_minutes"
    assert effective(key, {}) == (15, None)
    assert effective(key, {Level.SYSTEM: 20, Level.TENANT: 0}) == (0, Level.TENANT)
    assert effective(key, {Level.SYSTEM: 20, Level.TENANT: 0, Level.COURSE: 5}) == (5, Level.COURSE)
    assert effective(key, {Level.USER: 99}) == (15, None), "not a level of this setting"
    assert effective("user.notify_channels", {Level.USER: []}) == ([], Level.USER)
    assert effective("user.language", {Level.TENANT: "en", Level.USER: ""}) == ("", Level.USER)


@pytest.mark.parametrize(
    ("key", "level", "value"),
    [
        ("checkin.early_minutes", Level.TENANT, "15"), ("checkin.early_minutes", Level.TENANT, True),
        ("checkin.early_minutes", Level.TENANT, 1.5), ("checkin.early_minutes", Level.TENANT, -1),
        ("checkin.early_minutes", Level.USER, 5), ("checkin.location_required", Level.COURSE, 0),
        ("user.language", Level.USER, "fr"), ("user.notify_channels", Level.USER, [1]), ("sign_in.wps", Level.USER, None),
        ("user.notify_channels", Level.USER, ["x"] * 11),
    ],
)  # fmt: skip
def test_what_is_no_value_of_it_is_refused_with_what_is(key: str, level: Level, value: object) -> None:
    """A text where a number belongs is found when it is typed, not at the bell."""
    with pytest.raises(BadConfig) as told:
        check(key, level, value)
    assert told.value.why


def test_every_default_is_a_value_of_its_setting() -> None:
    """The table is the only place where defaults stand."""
    for one in CONFIGS.values():
        assert one.check(one.default) == one.default and one.zh and one.en
    with pytest.raises(UnknownConfig):
        check("nothing.like_it", Level.TENANT, 1)
