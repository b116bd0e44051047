"""Every error that the API can answer: one table of codes, and one table from our exceptions to codes.

A code never changes its meaning; its page under ``/errors/CODE`` says what it means and what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.exc import DBAPIError

from db.engine import DatabaseUnreachable
from db.sync_runs import RunActive
from domain.configs import BadConfig, UnknownConfig
from domain.off_peak import BadHours
from domain.passwords import BadLoginName, BadPassword
from domain.receipts import BadReceipt
from domain.schedules import BadWindow
from domain.scopes import BadScope
from domain.tenancy import BadPermission
from usecases import (
    api_keys,
    cluster,
    dead_letters,
    failures,
    freshness,
    lane_control,
    logins,
    marks,
    opt_outs,
    recounts,
    sso,
    teacher_windows,
)  # fmt: skip
from usecases.change_checks import ChangeRefused, InTheWay
from usecases.check_in import Busy, Refused
from usecases.check_out import NotAsked
from usecases.configs import ConfigChanged, NoWayIn
from usecases.cron import BadCron
from usecases.explain import UnknownSession
from usecases.exports import TooMany
from usecases.feeds import FeedRefused, UnknownFeed, UnknownSubject
from usecases.identity import PasswordsOff, WaitToSignIn
from usecases.limits import LimiterAway, LimitsChanged
from usecases.named_sources import UnknownSource
from usecases.schedules import ScheduleChanged, UnknownSchedule
from usecases.sealing import CannotDecrypt
from usecases.sheets import TooLong
from usecases.switches import UnknownSwitch
from usecases.sync import run_commands, starting
from usecases.tenants import UnknownTenant
from usecases.terms import PeriodsRefused, TermRefused, UnknownTerm
from web.schemas.base import instant


@dataclass(frozen=True, slots=True)
class Problem:
    """One code: HTTP status, type, and what it says, Chinese and English: what happened, and what to do."""

    status: int
    type: str
    zh: str
    en: str
    remedy_zh: str
    remedy_en: str


VALIDATION, AUTHENTICATION, AUTHORIZATION = "VALIDATION", "AUTHENTICATION", "AUTHORIZATION"
NOT_FOUND, CONFLICT, RATE_LIMITED = "NOT_FOUND", "CONFLICT", "RATE_LIMITED"
SERVICE_UNAVAILABLE, INTERNAL = "SERVICE_UNAVAILABLE", "INTERNAL"

PROBLEMS: Final[Mapping[str, Problem]] = {
    "BAD_REQUEST": Problem(400, VALIDATION, "请求无法理解", "The request cannot be understood",
        "请对照接口文档检查请求", "Compare the request with the documentation"),
    "BAD_JSON": Problem(400, VALIDATION, "请求体不是合格的 JSON", "The body is not proper JSON",
        "请发送 UTF-8 编码的 JSON 对象，同名字段只出现一次", "Send one JSON object in UTF-8 that names each field once"),
    "BODY_TOO_LARGE": Problem(413, VALIDATION, "请求体过大", "The body is too large",
        "请减少一次发送的内容", "Send less at once"),
    "UNSUPPORTED_MEDIA": Problem(415, VALIDATION, "请求体的类型不受支持", "The type of the body is not supported",
        "请使用 Content-Type: application/json", "Use Content-Type: application/json"),
    "INVALID": Problem(422, VALIDATION, "请求参数有误", "Something in the request is not valid",
        "请按 details 逐项修改", "Mend what the details name"),
    "TENANT_MISSING": Problem(400, VALIDATION, "没有指明学校", "No school is named",
        "请在 X-Tenant-ID 中写明学校", "Name the school in X-Tenant-ID"),
    "TENANT_MISMATCH": Problem(403, AUTHORIZATION, "X-Tenant-ID 与登录身份不符", "X-Tenant-ID is not the school you signed in to",
        "请去掉 X-Tenant-ID，或登录该学校", "Leave X-Tenant-ID out, or sign in to that school"),
    "TENANT_UNKNOWN": Problem(404, NOT_FOUND, "没有这所学校", "There is no such school",
        "请检查学校代码", "Check the code of the school"),
    "NOT_AUTHENTICATED": Problem(401, AUTHENTICATION, "尚未登录或登录已失效", "You are not signed in, or no longer",
        "请重新登录，并在 Authorization 中携带令牌", "Sign in again and send the token in Authorization"),
    "SIGN_IN_REFUSED": Problem(401, AUTHENTICATION, "登录未成功", "The sign-in did not succeed",
        "请检查用户名和密码，或换一种登录方式；没有账号请联系学校",
        "Check name and password, or sign in another way; without a login ask your school"),
    "SIGN_IN_OFF": Problem(403, AUTHORIZATION, "该学校未启用这种登录方式", "The school does not take this way of signing in",
        "/api/v1/auth/methods 列出了可用的登录方式", "/api/v1/auth/methods lists the ways it takes"),
    "SIGN_IN_WAIT": Problem(429, RATE_LIMITED, "密码错误次数过多", "Too many wrong passwords",
        "请在 Retry-After 所示的秒数之后重试", "Try again after the seconds in Retry-After"),
    "PASSWORD_OLD": Problem(403, AUTHORIZATION, "需要先修改密码", "A new password has to be chosen first",
        "请先通过 /api/v1/auth/password 修改密码，再重新登录", "Change it at /api/v1/auth/password and sign in again"),
    "BAD_PASSWORD": Problem(422, VALIDATION, "该密码无法使用", "The password cannot be used",
        "请按 details 换一个密码", "Choose another one as the details say"),
    "NO_SIGN_IN": Problem(409, CONFLICT, "该凭据不属于任何登录账号", "This credential belongs to no login",
        "请用登录得到的令牌重试；API 密钥请到 /api/v1/keys 管理",
        "Use the token of a sign-in; API keys are managed at /api/v1/keys"),
    "PROVIDER_AWAY": Problem(503, SERVICE_UNAVAILABLE, "身份提供方暂时无法使用",
        "The identity provider cannot be used at the moment",
        "请在 Retry-After 所示的秒数之后重试，或换一种登录方式",
        "Try again after the seconds in Retry-After, or sign in another way"),
    "LOGIN_TAKEN": Problem(409, CONFLICT, "已有这样的登录账号", "There is such a login already",
        "请换一个用户名，或修改已有的账号", "Take another name, or change that login"),
    "NOT_YOURS": Problem(403, AUTHORIZATION, "超出了您自己的权限", "That is more than you may do yourself",
        "请联系权限更高的管理员；没有任何更改", "Ask somebody who may do more; nothing was changed"),
    "ROLE_UNKNOWN": Problem(422, VALIDATION, "没有这个角色", "There is no such role",
        "/api/v1/roles 列出了所有角色", "/api/v1/roles lists them"),
    "ROLE_REFUSED": Problem(422, VALIDATION, "该角色不能这样设置", "The role cannot be made like that",
        "请按 details 修改", "Change it as the details say"),
    "PERSON_UNKNOWN": Problem(422, VALIDATION, "导入的名单中没有此人", "No import has brought this person",
        "请先导入人员，或不填 person", "Import the people first, or leave person out"),
    "API_KEY_REFUSED": Problem(409, CONFLICT, "该 API 密钥不能这样设置", "The API key cannot be made or changed like that",
        "请按 details 处理", "Do what the details say"),
    "NO_WAY_IN": Problem(409, CONFLICT, "这样就没有人能登录了", "Nobody could sign in any more",
        "请先启用另一种登录方式（密码、WPS 或统一身份认证）；没有任何更改",
        "Switch another way on first (passwords, WPS or an identity provider); nothing was changed"),
    "OPT_OUT_REFUSED": Problem(409, CONFLICT, "不能退出这些日历", "One cannot opt out of these calendars",
        "details 说明了原因；没有任何更改", "The details say why; nothing was changed"),
    "ROWS_REFUSED": Problem(422, VALIDATION, "有些行无法使用", "Some rows cannot be used",
        "请按 details 修改这些行；没有任何更改", "Mend the rows that the details name; nothing was changed"),
    "IN_THE_WAY": Problem(409, CONFLICT, "时间冲突，未作任何更改", "Something is in the way; nothing was changed",
        "请看 details；仍要如此，请以 confirm 重新提交", "See the details; if it is meant all the same, send it with confirm"),
    "CHANGE_REFUSED": Problem(409, CONFLICT, "目前不能这样调整", "It cannot be decided like that now",
        "details 说明了原因和可行的操作；没有任何更改", "The details say why, and what can be done; nothing was changed"),
    "EXPORT_TOO_LONG": Problem(409, CONFLICT, "行数过多，无法导出为 XLSX", "There are too many rows for an XLSX file",
        "请使用 format=csv，或通过 /api/v1/export-tasks 在后台导出，或缩小范围",
        "Take format=csv, have it made by a worker at /api/v1/export-tasks, or export less"),
    "EXPORT_NOT_READY": Problem(409, CONFLICT, "导出文件目前不可用", "The file cannot be had like that now",
        "details 给出了它的状态；进行中的请稍后再取", "The details say how it stands; one that is being made comes later"),
    "EXPORT_GONE": Problem(410, NOT_FOUND, "导出文件已过保留期", "The file is not kept any longer",
        "请重新导出", "Export it again"),
    "EXPORTS_MANY": Problem(409, CONFLICT, "您正在进行的导出过多", "You have as many files being made as one may have",
        "请等待其中之一完成，或取消它", "Wait until one is done, or cancel one"),
    "RECOUNT_ENDED": Problem(409, CONFLICT, "这次重算已经结束", "The recount has ended already",
        "没有任何更改；details 说明了它的状态", "Nothing was changed; the details say how it ended"),
    "FEED_REFUSED": Problem(409, CONFLICT, "无法再建立订阅", "No feed can be made like that",
        "请按 details 处理", "Do what the details say"),
    "SETTING_REFUSED": Problem(422, VALIDATION, "该设置不能取此值", "The setting cannot have this value",
        "请按 details 修改", "Change it as the details say"),
    "FORBIDDEN": Problem(403, AUTHORIZATION, "没有执行此操作的权限", "You may not do this",
        "请联系管理员授予相应权限", "Ask an administrator for the permission that the details name"),
    "NOT_FOUND": Problem(404, NOT_FOUND, "没有找到", "There is nothing here",
        "请检查地址中的编号", "Check the id in the address"),
    "METHOD_NOT_ALLOWED": Problem(405, VALIDATION, "此地址不接受该方法", "This address does not take that method",
        "Allow 响应头列出了可用的方法", "The header Allow lists the methods it takes"),
    "NOT_ACCEPTABLE": Problem(406, VALIDATION, "无法按要求的格式应答", "There is no answer in the form you asked for",
        "请接受 application/json", "Accept application/json"),
    "RUN_ACTIVE": Problem(409, CONFLICT, "相同的同步正在进行", "A run that does the same has not ended",
        "请等待其结束，或先确认、恢复或取消它", "Wait for its end, or confirm, resume or cancel it first"),
    "RUN_REFUSED": Problem(409, CONFLICT, "该同步批次目前不接受此命令", "The run does not take this command now",
        "details 说明了原因和可行的操作", "The details say why, and what can be done"),
    "NO_SOURCE": Problem(409, CONFLICT, "尚未设置数据源", "No source has been synced yet",
        "请先由运维执行一次 obsync sync SOURCE", "Let an operator run `obsync sync SOURCE` once"),
    "BAD_SOURCE": Problem(409, CONFLICT, "数据源无法读取", "The source cannot be read",
        "请按 details 修复数据源", "Mend the source as the details say"),
    "BAD_SCOPE": Problem(422, VALIDATION, "同步范围无法使用", "The scope cannot be used",
        "请按 details 修改范围", "Change the scope as the details say"),
    "TERM_REFUSED": Problem(409, CONFLICT, "该学期目前不允许此操作", "The term does not allow this now",
        "请按 details 处理", "Do what the details say"),
    "TERM_UNKNOWN": Problem(422, VALIDATION, "没有这个学期", "There is no such term",
        "details 列出了已有的学期", "The details list the terms there are"),
    "KEY_REUSED": Problem(422, VALIDATION, "该 Idempotency-Key 已用于另一个请求",
        "This Idempotency-Key was used for another request",
        "请为新的请求使用新的 Idempotency-Key", "Use a new Idempotency-Key for a new request"),
    "KEY_IN_USE": Problem(409, CONFLICT, "相同的请求正在处理", "The same request is being worked on",
        "请稍后用同一 Idempotency-Key 重试", "Try again with the same Idempotency-Key after Retry-After"),
    "VERSION_MISSING": Problem(428, VALIDATION, "缺少 If-Match", "If-Match is missing",
        "请先读取该对象，并把 ETag 写入 If-Match", "Read the thing first and send its ETag in If-Match"),
    "VERSION_CHANGED": Problem(412, CONFLICT, "该对象在此期间已被更改", "The thing has changed in the meantime",
        "请重新读取后再试", "Read it again, and decide again"),
    "COUNT_CHANGED": Problem(409, CONFLICT, "数量已经改变，未作任何更改", "There are not as many any more; nothing was changed",
        "请核对 details 中的数量后再试", "Look at what the details say, and send that count"),
    "EDIT_REFUSED": Problem(422, VALIDATION, "不能这样修改", "It cannot be changed like this",
        "请按 details 修改；没有任何更改", "Mend what the details say; nothing was changed"),
    "DRAIN_REFUSED": Problem(409, CONFLICT, "该进程不能这样停下", "This process is not drained like that",
        "请先从负载均衡中移除它，再停止它", "Take it out of the load balancer and stop it"),
    "RATE_LIMITED": Problem(429, RATE_LIMITED, "请求过于频繁", "Too many requests",
        "请在 Retry-After 所示的秒数之后重试", "Try again after the seconds in Retry-After"),
    "CHECKIN_TOO_EARLY": Problem(409, CONFLICT, "签到还没有开始", "Check-in is not open yet",
        "请等到 opensAt，届时会自动打开", "Wait until opensAt; it opens by itself"),
    "CHECKIN_CLOSED": Problem(409, CONFLICT, "签到已经结束", "Check-in is over",
        "如有原因，请提出申诉", "If there was a reason, appeal"),
    "CHECKIN_CANCELLED": Problem(409, CONFLICT, "这节课已取消", "This class is cancelled",
        "不用签到", "There is nothing to check in to"),
    "CHECKIN_FAR_AWAY": Problem(409, CONFLICT, "您离教室太远", "You are too far from the room",
        "请到教室后再试，或输入课堂码", "Try again there, or enter the class code"),
    "CHECKIN_NO_LOCATION": Problem(422, VALIDATION, "没有位置信息", "There is no location",
        "请允许定位，或输入课堂码", "Allow it, or enter the class code"),
    "CHECKIN_BAD_CODE": Problem(409, CONFLICT, "课堂码已失效", "The class code is no longer valid",
        "请重新扫描", "Scan it again"),
    "CHECKIN_NO_CODE": Problem(422, VALIDATION, "这门课需要课堂码", "This course needs the class code",
        "请扫描屏幕上的码", "Scan the screen"),
    "CHECKIN_NOT_ENROLLED": Problem(403, AUTHORIZATION, "您不在这节课的名单上", "You are not on the roster of this class",
        "请联系任课教师", "Speak to the teacher"),
    "NO_SUCH_ADDRESS": Problem(404, NOT_FOUND, "没有这个地址", "There is no such address",
        "可用的地址见 /openapi/swagger", "/openapi/swagger shows the addresses there are"),
    "CHECKIN_NOT_FOUND": Problem(404, NOT_FOUND, "没有这节课", "There is no such class",
        "请从课表重新打开", "Open it from your timetable"),
    "CHECKIN_BAD_RECEIPT": Problem(422, VALIDATION, "这张回执无效或已被修改", "This receipt is not valid, or was changed",
        "请用原来的回执，或重新签到", "Use the receipt as it was given, or check in again"),
    "CHECKIN_BUSY": Problem(429, RATE_LIMITED, "现在人太多，本次没有签到", "Too many people right now; this one was not taken",
        "请在 Retry-After 所示的秒数之后用同一 clientId 重试",
        "Send the same clientId again after the seconds in Retry-After"),
    "CHECKOUT_NOT_ASKED": Problem(409, CONFLICT, "这门课不需要签退", "This course does not ask for a check-out",
        "直接离开即可", "Just go"),
    "CHECKOUT_CLOSED": Problem(409, CONFLICT, "现在不能签退", "Check-out is not open now",
        "请在 details 所示的时间内签退，如有原因请提出申诉", "Check out within the times in the details, or appeal"),
    "CLASS_OVER": Problem(409, CONFLICT, "这节课已经结束或取消", "The class is over or cancelled",
        "可以手动登记考勤：/api/v1/checkin/manual", "Mark students by hand at /api/v1/checkin/manual"),
    "NOT_ON_ROSTER": Problem(422, VALIDATION, "有学生不在这节课的名单上，未作任何更改",
        "Some students are not on the roster of this class; nothing was changed",
        "请核对 details 中的学号", "Look at the numbers in the details"),
    "ROLL_REFUSED": Problem(422, VALIDATION, "点名表无法读取，未作任何更改", "The roll cannot be read; nothing was changed",
        "请按 details 逐行修改：每行为学号和状态", "Mend the lines in the details: each is a number and a status"),
    "READ_ONLY": Problem(503, SERVICE_UNAVAILABLE, "系统暂时只读，没有任何更改",
        "Nothing can be changed at the moment; nothing was",
        "请在 Retry-After 所示的秒数之后重试；查询不受影响", "Try again after the seconds in Retry-After; reading goes on"),
    "MAINTENANCE": Problem(503, SERVICE_UNAVAILABLE, "系统维护中", "Closed for maintenance",
        "请在 Retry-After 所示的秒数之后重试", "Try again after the seconds in Retry-After"),
    "UNAVAILABLE": Problem(503, SERVICE_UNAVAILABLE, "服务暂时不可用", "The service is not available at the moment",
        "请在 Retry-After 所示的秒数之后重试；没有任何更改",
        "Try again after the seconds in Retry-After; nothing was changed"),
    "INTERNAL": Problem(500, INTERNAL, "服务器内部错误", "Something is wrong on our side",
        "请把 requestId 告诉运维人员", "Give the requestId to the people who run the service"),
}  # fmt: skip

OF_STATUS: Final[Mapping[int, str]] = {
    400: "BAD_REQUEST", 401: "NOT_AUTHENTICATED", 403: "FORBIDDEN", 404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED",
    406: "NOT_ACCEPTABLE", 409: "RUN_REFUSED", 412: "VERSION_CHANGED", 413: "BODY_TOO_LARGE", 415: "UNSUPPORTED_MEDIA",
    422: "INVALID", 428: "VERSION_MISSING", 429: "RATE_LIMITED", 503: "UNAVAILABLE",
}  # fmt: skip
"""The code of an error that only has a status: the framework's own."""

RETRY_S: Final = 5
"""What Retry-After says where nobody knows better."""


@dataclass(frozen=True, slots=True)
class Detail:
    """One thing that is wrong: where (a field's path, or blank) and what, with what to do about it."""

    field: str = ""
    message: str = ""
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        """As an answer shows it: without what is blank."""
        said = {"field": self.field, "message": self.message, "remedy": self.remedy}
        return {name: value for name, value in said.items() if value}


class ApiError(Exception):
    """An error of the table above, with its details and headers. Raises KeyError for a code that is none."""

    def __init__(self, code: str, *details: Detail, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.problem = PROBLEMS[code]
        self.details: Sequence[Detail] = details
        self.headers = dict(headers or {})


def _unavailable(_: Any) -> ApiError:
    return ApiError("UNAVAILABLE", headers={"Retry-After": str(RETRY_S)})


def _wait(error: WaitToSignIn) -> ApiError:
    return ApiError("SIGN_IN_WAIT", headers={"Retry-After": str(max(1, -(-error.retry_after_ms // 1000)))})


def _told(code: str, field: str = "") -> Callable[[Any], ApiError]:
    """The code with the sentence of the exception."""
    return lambda error: ApiError(code, Detail(field, str(error)))


def _refused(error: Refused) -> ApiError:
    told = []
    if error.window is not None:
        told = [
            Detail("opensAt", instant(error.window.opens_ms) or ""),
            Detail("closesAt", instant(error.window.closes_ms) or ""),
        ]
    if error.verdict is not None and error.verdict.outside_m is not None:
        told.append(Detail("outsideMetres", str(error.verdict.outside_m)))
    return ApiError(f"CHECKIN_{error.cause.upper()}", *told)


def _busy(error: Busy) -> ApiError:
    code = "CHECKIN_BUSY" if error.full else "UNAVAILABLE"
    return ApiError(code, headers={"Retry-After": str(error.retry_after_s)})


_OURS: Final[tuple[tuple[type[Exception], Callable[[Any], ApiError]], ...]] = (
    (Refused, _refused),
    (Busy, _busy),
    (NotAsked, lambda _: ApiError("CHECKOUT_NOT_ASKED")),
    (recounts.UnknownRecount, lambda _: ApiError("NOT_FOUND")),
    (recounts.NotWorking, _told("RECOUNT_ENDED")),
    (teacher_windows.UnknownClass, lambda _: ApiError("NOT_FOUND")),
    (teacher_windows.ClassOver, _told("CLASS_OVER")),
    (marks.UnknownStudents, _told("NOT_ON_ROSTER", "marks")),
    (marks.OtherCount, lambda e: ApiError("COUNT_CHANGED", Detail("count", str(e.count)))),
    (marks.BadRoll, lambda e: ApiError("ROLL_REFUSED", *(Detail(f"line {at}", why) for at, why in e.lines[:20]))),
    (BadReceipt, lambda _: ApiError("CHECKIN_BAD_RECEIPT")),
    (RunActive, lambda e: ApiError("RUN_ACTIVE", Detail(message=str(e)))),
    (run_commands.UnknownRun, lambda _: ApiError("NOT_FOUND")),
    (run_commands.Changed, lambda _: ApiError("VERSION_CHANGED")),
    (run_commands.Refused, lambda e: ApiError("RUN_REFUSED", Detail(message=str(e), remedy=e.remedy))),
    (starting.NoSource, lambda _: ApiError("NO_SOURCE")),
    (starting.SourceRefused, lambda e: ApiError("BAD_SOURCE", Detail(message=e.problem, remedy=e.remedy))),
    (BadScope, lambda e: ApiError("BAD_SCOPE", Detail("scope", e.problem, e.remedy))),
    (TermRefused, lambda e: ApiError("TERM_REFUSED", Detail(message=e.problem, remedy=e.remedy))),
    (UnknownTerm, lambda e: ApiError("TERM_UNKNOWN", Detail(message=str(e), remedy=", ".join(e.known)))),
    (BadPermission, lambda e: ApiError("INVALID", Detail("permissions", str(e)))),
    (WaitToSignIn, _wait),
    (PasswordsOff, lambda _: ApiError("SIGN_IN_OFF")),
    (sso.UnknownProvider, lambda _: ApiError("NOT_FOUND")),
    (sso.ProviderUnusable, lambda _: ApiError("PROVIDER_AWAY", headers={"Retry-After": str(RETRY_S)})),
    (sso.BadReturn, _told("INVALID", "backTo")),
    (BadPassword, _told("BAD_PASSWORD")),
    (BadLoginName, _told("INVALID", "name")),
    (logins.UnknownLogin, lambda _: ApiError("NOT_FOUND")),
    (logins.LoginTaken, _told("LOGIN_TAKEN")),
    (logins.UnknownRole, _told("ROLE_UNKNOWN")),
    (logins.UnknownPerson, _told("PERSON_UNKNOWN")),
    (logins.RoleRefused, _told("ROLE_REFUSED")),
    (logins.NotYours, _told("NOT_YOURS")),
    (api_keys.KeyNotYours, _told("NOT_YOURS")),
    (api_keys.UnknownKey, lambda _: ApiError("NOT_FOUND")),
    (api_keys.KeyRefused, _told("API_KEY_REFUSED")),
    (InTheWay, lambda e: ApiError("IN_THE_WAY", *(Detail(one.get("kind", ""), one["sentence"]) for one in e.conflicts[:20]))),
    (ChangeRefused, lambda e: ApiError("CHANGE_REFUSED", Detail(message=e.problem, remedy=e.remedy))),
    (ScheduleChanged, lambda _: ApiError("VERSION_CHANGED")),
    (LimitsChanged, lambda _: ApiError("VERSION_CHANGED")),
    (BadWindow, _told("INVALID", "windows")),
    (BadHours, lambda e: ApiError("INVALID", Detail("hours", e.problem, e.remedy))),
    (UnknownSource, lambda _: ApiError("NOT_FOUND")),
    (opt_outs.UnknownPerson, lambda _: ApiError("NOT_FOUND")),
    (opt_outs.OptOutRefused, lambda e: ApiError("OPT_OUT_REFUSED", Detail(message=str(e)))),
    (freshness.UnknownPerson, lambda _: ApiError("NOT_FOUND")),
    (PeriodsRefused, lambda e: ApiError("ROWS_REFUSED", Detail("periods", str(e), e.remedy))),
    (UnknownSession, lambda _: ApiError("NOT_FOUND")),
    (TooLong, lambda e: ApiError("EXPORT_TOO_LONG", Detail("rows", str(e)))),
    (TooMany, lambda _: ApiError("EXPORTS_MANY")),
    (UnknownFeed, lambda _: ApiError("NOT_FOUND")),
    (UnknownSubject, lambda _: ApiError("NOT_FOUND")),
    (FeedRefused, lambda e: ApiError("FEED_REFUSED", Detail(message=str(e), remedy=e.remedy))),
    (UnknownConfig, lambda _: ApiError("NOT_FOUND")),
    (BadConfig, _told("SETTING_REFUSED")),
    (UnknownSwitch, lambda _: ApiError("NOT_FOUND")),
    (NoWayIn, lambda e: ApiError("NO_WAY_IN", Detail(message=str(e)))),
    (ConfigChanged, lambda e: ApiError("VERSION_CHANGED", Detail(message=f"version {e.version}"))),
    (failures.UnknownFamily, lambda _: ApiError("NOT_FOUND")),
    (dead_letters.Changed, lambda _: ApiError("VERSION_CHANGED")),
    (dead_letters.NotEditable, lambda e: ApiError("EDIT_REFUSED", Detail("changes", str(e)))),
    (lane_control.UnknownLane, lambda _: ApiError("NOT_FOUND")),
    (cluster.UnknownProcess, lambda _: ApiError("NOT_FOUND")),
    (cluster.UnknownQueue, lambda _: ApiError("NOT_FOUND")),
    (cluster.CannotDrain, _told("DRAIN_REFUSED")),
    (UnknownSchedule, lambda _: ApiError("NOT_FOUND")),
    (BadCron, lambda e: ApiError("INVALID", Detail("cron", str(e), "five fields, for example 0 7-22 * * *"))),
    (LimiterAway, _unavailable),
    (UnknownTenant, lambda _: ApiError("TENANT_UNKNOWN")),
    (CannotDecrypt, _unavailable),
    (DatabaseUnreachable, _unavailable),
    (DBAPIError, lambda e: _unavailable(e) if is_away(e) else ApiError("INTERNAL")),
)  # fmt: skip


def of_exception(error: Exception) -> ApiError | None:
    """What the API answers to an exception of ours; None for one that nobody expected."""
    if isinstance(error, ApiError):
        return error
    return next((make(error) for kind, make in _OURS if isinstance(error, kind)), None)


def is_away(error: DBAPIError) -> bool:
    """Whether the database could not be asked, in contrast to a statement that it refused."""
    return error.connection_invalidated or type(error).__name__ in (
        "OperationalError",
        "InterfaceError",
        "TimeoutError",
    )
