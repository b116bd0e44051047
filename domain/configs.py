"""Everything that can be set while the product runs: type, limits, default, and at which levels. The one table.

A value is looked for from the nearest level outwards: user, course, tenant, system, and then the default of this table.
Zero, false, an empty text and an empty list are values; only what has no row is not set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from domain.peaks import DEFAULT_ARRIVALS


class Level(StrEnum):
    """Where a value holds, the nearest first."""

    USER = "user"
    COURSE = "course"
    TENANT = "tenant"
    SYSTEM = "system"


class UnknownConfig(KeyError):
    """There is no such setting."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return f"there is no setting {self.key!r}"


class BadConfig(ValueError):
    """The value cannot be used for the setting; `why` says what can be."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(f"{key}: {why}")
        self.key = key
        self.why = why


@dataclass(frozen=True, slots=True)
class Config:
    """One setting. `kind` is the Python type of its values; `low` and `high` are of numbers, and of the length of texts."""

    key: str
    kind: type[Any]
    default: Any
    levels: frozenset[Level]
    zh: str
    en: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def check(self, value: Any) -> Any:
        """The value, if it can be used. Raises `BadConfig`."""
        given: type[Any] = type(value)
        if given is not self.kind and not (self.kind is float and given is int):
            raise BadConfig(self.key, f"use {_WORDS[self.kind]}")
        if self.choices and value not in self.choices:
            raise BadConfig(self.key, f"use one of {', '.join(self.choices)}")
        if self.kind is list and not all(isinstance(one, str) and len(one) <= _TEXT for one in value):
            raise BadConfig(self.key, "use a list of texts")
        size = float(value) if self.kind in (int, float) else len(value) if self.kind in (str, list) else None
        if size is not None and not (self._low() <= size <= self._high()):
            raise BadConfig(self.key, f"use {self._low():g} to {self._high():g}{_UNITS.get(self.kind, '')}")
        return value

    def _low(self) -> float:
        return self.low if self.low is not None else 0 if self.kind in (str, list) else float("-inf")

    def _high(self) -> float:
        return self.high if self.high is not None else _TEXT if self.kind in (str, list) else float("inf")


_TEXT = 500
_WORDS: Final[Mapping[type, str]] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    list: "a list of texts",
}
_UNITS: Final[Mapping[type, str]] = {str: " characters", list: " entries"}
_ALL = frozenset(Level)
_SCHOOL = frozenset({Level.SYSTEM, Level.TENANT})
_COURSE = _SCHOOL | {Level.COURSE}
_USER = _SCHOOL | {Level.USER}

_LIST = (
    Config("checkin.early_minutes", int, 15, _COURSE, "课前多少分钟可打卡", "check-in opens before class", 0, 240),
    Config("checkin.late_minutes", int, 15, _COURSE, "上课后多少分钟内算准时", "on time until after the bell", 0, 240),
    Config("checkin.location_required", bool, True, _COURSE, "是否要求定位", "whether a location is asked for"),
    Config("checkin.valid_distance", int, 200, _COURSE, "有效打卡距离(米)", "metres from the room", 0, 100_000),
    Config("checkin.close_minutes", int, 30, _COURSE, "上课后多少分钟停止打卡", "check-in closes after the bell", 0, 240),
    Config("checkin.review_distance", int, 200, _COURSE, "范围外多少米内待核实", "metres beyond: a person looks", 0, 100_000),
    Config("checkin.code_required", bool, False, _COURSE, "是否必须课堂码", "whether the class code is needed"),
    Config("checkin.offline_minutes", int, 10, _COURSE, "离线补交分钟数", "an offline phone is believed so long", 0, 240),
    Config("checkin.check_in_over_leave", bool, False, _COURSE, "请假后到课算出勤", "who comes in spite of a leave is present"),
    Config("checkin.checkout_required", bool, False, _COURSE, "是否检查早退", "leaving without a check-out is early"),
    Config("checkin.checkout_minutes", int, 10, _COURSE, "下课前几分钟起可签退", "checked out so late is stayed", 0, 240),
    Config("checkin.checkout_close_minutes", int, 15, _COURSE, "下课后几分钟停止签退", "check-out closes after the end", 0, 240),
    Config("peak.arrivals", list, [*DEFAULT_ARRIVALS], _SCHOOL, "到课曲线(分钟:百分比)", "who comes when, minute:percent", 1, 60),
    Config("peak.came_percent", int, 100, _SCHOOL, "到课比例(%)", "how many of those expected come, in percent", 0, 100),
    Config("peak.web_per_s", float, 200.0, _SCHOOL, "每个 web 进程每秒签到数", "check-ins a second of a web process", 1, 100_000),
    Config("peak.writer_per_s", float, 1000.0, _SCHOOL, "每个写入进程每秒签到数", "check-ins a second of one writer", 1, 100_000),
    Config("peak.lane_per_s", float, 45.0, _SCHOOL, "每个通道进程每秒调用数", "calls a second of one lanes process", 1, 10_000),
    Config("peak.lane_threads", int, 8, _SCHOOL, "每个通道进程的线程数", "threads of one lanes process", 1, 1_000),
    Config("peak.burst", float, 2.0, _SCHOOL, "最忙一秒与一分钟均值之比", "the busiest second against its minute", 1, 60),
    Config("peak.headroom_percent", int, 30, _SCHOOL, "预留比例(%)", "what is kept free, in percent", 0, 1_000),
    Config("attendance.leave_counts", bool, False, _SCHOOL, "请假计入出勤率分母", "leave counts among the classes of a rate"),
    Config("sign_in.password", bool, True, _SCHOOL, "允许密码登录", "whether passwords are accepted"),
    Config("sign_in.wps", bool, True, _SCHOOL, "允许 WPS 登录", "whether WPS accounts are accepted"),
    Config("sign_in.people", bool, True, _SCHOOL, "名单内人员首次登录即开户", "listed people get a login when they first come"),
    Config("calendar.reminder_minutes", int, 15, _USER, "日程提醒提前分钟", "reminder before a class", 0, 1440),
    Config("user.language", str, "", _USER, "语言(空=跟随浏览器)", "language; empty: the browser's", choices=("", "zh-CN", "en")),
    Config("user.notify_channels", list, ["in_app"], _USER, "通知渠道", "how notices reach one", 0, 10),
    Config("export.direct_rows", int, 50_000, _SCHOOL, "当场导出 XLSX 的最多行数", "rows of an XLSX made at once", 1, 1_000_000),
    Config("export.keep_hours", int, 24, _SCHOOL, "导出文件保留小时数", "hours that exported files are kept", 1, 720),
    Config("privacy.location_days", int, 30, _SCHOOL, "坐标保留天数", "days that coordinates are kept", 0, 365),
    Config("privacy.sign_in_days", int, 90, _SCHOOL, "登录记录保留天数", "days that ended sign-ins are kept", 1, 3650),
)  # fmt: skip

CONFIGS: Final[Mapping[str, Config]] = {one.key: one for one in _LIST}
"""Every setting by its key."""


def config(key: str) -> Config:
    """The setting called `key`. Raises `UnknownConfig`."""
    try:
        return CONFIGS[key]
    except KeyError:
        raise UnknownConfig(key) from None


def check(key: str, level: Level, value: Any) -> Any:
    """The value, if it may be set there. Raises `UnknownConfig`, `BadConfig`."""
    one = config(key)
    if level not in one.levels:
        raise BadConfig(key, f"set it for {', '.join(sorted(one.levels))}")
    return one.check(value)


def effective(key: str, found: Mapping[Level, Any]) -> tuple[Any, Level | None]:
    """The value that holds, and from which level; None: the default. `found` has a level only where something is set there."""
    one = config(key)
    for level in Level:
        if level in found and level in one.levels:
            return found[level], level
    return one.default, None
