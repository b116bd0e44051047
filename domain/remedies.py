"""What a person does about a failure: one table, read at three in the morning.

Looked up by the code of the service, then by the kind of task, then by the class of the error. `{family}` in a command is
the family's id. Codes and their names are the service's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Remedy:
    """The cause in a few words, what to do about it, and the command to type then."""

    cause: str
    advice: str
    command: str

    def for_family(self, family: str) -> "Remedy":
        """The same with the command ready to be typed."""
        return Remedy(self.cause, self.advice, self.command.format(family=family))


_RETRY = "obsync failures retry {family}"
_SYNC = "obsync sync"
_LOOK = "obsync failures show {family}"


def _source(cause: str, what: str) -> Remedy:
    return Remedy(
        cause, f"{what} in the source and sync: the next run tries it again with what the source says then", _SYNC
    )


def _again(cause: str, advice: str) -> Remedy:
    return Remedy(cause, advice, _RETRY)


_QUOTA = "WPS holds no more of these for us 数量超限: have the limit raised, or archive old terms, then put them again"
_DELETED = "somebody deleted it in WPS: put them again, and it is created anew"
_RIGHTS = "give the app the right to write calendars in the WPS console and let its administrator approve it, then put them again"
_KEY = "the app's key or the system time is wrong: mend OBSYNC_WPS_APP_KEY or the clock, restart the workers, then put them again"

BY_CODE: Final[Mapping[int, Remedy]] = MappingProxyType(
    {
        400411301: _source("the title of an event is too long 日程标题过长", "shorten the name of the course"),
        400411323: _source("the place of an event is too long 地点过长", "shorten the names of the rooms"),
        400000106: _source("a text is too long 文本过长", "shorten the name of the course or of the rooms"),
        400411023: _source("WPS's filter rejects a word 含敏感词", "change the name of the course or of the room"),
        400411350: _source("the end of an event is not after its start 时间范围有误", "mend the times"),
        400411348: _source("an event lasts too long 日程跨天过长", "mend the times"),
        400411360: _again("a calendar has too many people 参与人超限", _QUOTA),
        400411361: _again("too many events 日程数量超限", _QUOTA),
        400411415: _again("the app has too many calendars 日历数量超限", _QUOTA),
        400411450: _again("a calendar has too many people 成员超限", _QUOTA),
        400000105: _again("too many of something 数量超限", _QUOTA),
        403000001: _again("the app lacks a right 权限不足", _RIGHTS),
        403411010: _again("the app may not change this calendar 无日历权限", _RIGHTS),
        400411852: _again("the app may not reach this calendar 无访问权限", _RIGHTS),
        400411860: _again("the app may not change the people of this calendar 无成员编辑权限", _RIGHTS),
        404411305: _again("the event disappeared in the middle 日程已不存在", _DELETED),
        404411503: _again("the calendar disappeared 日历已不存在", _DELETED),
        400411502: _again("the calendar disappeared 日历已不存在", _DELETED),
        400000104: _again("something of that name is there already 对象已存在", "look at it in WPS, then put them again"),
    }
)  # fmt: skip

BY_KIND: Final[Mapping[str, Remedy]] = MappingProxyType(
    {
        "run.advance": Remedy(
            "a run broke in the middle 同步中断",
            "see the log of the `jobs` process at that time; mend what it names, then sync again (putting it again does not"
            " revive the run)",
            _SYNC,
        ),
        "schedule.slot": Remedy(
            "a schedule could not start its run 定时任务失败",
            "see the log of the `jobs` process at that time; mend what it names, then put it again: the slot starts late",
            _RETRY,
        ),
        "verify": Remedy(
            "a calendar could not be read for its verification 核对失败",
            "nothing was changed; verify again when WPS is well",
            "obsync verify",
        ),
    }
)

BY_CLASS: Final[Mapping[str, Remedy]] = MappingProxyType(
    {
        "bad_request": _source("WPS does not accept what the timetable says 内容被拒绝", "the message names what it is: mend it"),
        "auth": _again("WPS does not let the app do this 未授权", _RIGHTS),
        "not_found": _again("an object disappeared in the middle 对象已不存在", "put them again: it is created anew"),
        "conflict": _again("somebody else keeps writing to the same calendar 并发冲突", "put them again when that is over"),
        "rate_limit": _again("WPS says: too many calls 限流", "see `obsync limit`; put them again when it lets us"),
        "server": _again("WPS was unwell for longer than we try 服务异常", "put them again when it is well"),
        "network": _again("WPS could not be reached for longer than we try 网络不通", "mend the connection, then put them again"),
        "timeout": _again("WPS did not answer in time 超时", "put them again when it is quick again"),
        "attempts": _again(
            "six calls for it alone, and none went well 多次尝试失败",
            "look at the calendar in WPS, and at `obsync lanes` for what WPS says now; then put them again",
        ),
        "task": Remedy(
            "a task of ours broke each time 任务失败",
            "see the log of the `jobs` process at that time for the reason; when it is mended, put it again",
            _RETRY,
        ),
    }
)  # fmt: skip

UNKNOWN: Final = Remedy(
    "nobody has met this answer yet 未知错误",
    "read the message and the payload; if it goes away by itself put them again, otherwise tell the developers both",
    _LOOK,
)

SIGNATURE: Final = _again("WPS does not accept our signature 签名被拒绝", _KEY)


def remedy_for(*, kind: str, error_class: str, code: int | None, pattern: str) -> Remedy:
    """What to do; never nothing: what nobody has met says what to look at."""
    if code is not None and code in BY_CODE:
        return BY_CODE[code]
    if kind in BY_KIND:
        return BY_KIND[kind]
    if error_class == "auth" and pattern.startswith("HTTP"):
        return SIGNATURE
    return BY_CLASS.get(error_class, UNKNOWN)
