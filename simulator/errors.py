"""The refusals of WPS as the simulator speaks them: an eight- or nine-digit code, its name, an HTTP status.

The code decides. The status line is only loosely related to it: the one invalid-value answer ever seen in the wild came
with status 403, so that is what `VALUE_INVALID` carries here; every other code carries the three digits it starts with.
"""

PARAM_FORMAT = 400000002
VALUE_INVALID = 400000003
PARAM_UNSUPPORTED = 400000004
ALREADY_EXISTS = 400000104
COUNT_LIMIT = 400000105
LENGTH_LIMIT = 400000106
AUTH_ERROR = 401000001
NOT_FOUND = 404000001
CONTENT_TYPE = 415000001
TOO_MANY_REQUESTS = 429000001
INTERNAL = 500000004

OAUTH_INVALID_REQUEST = 40000001
OAUTH_INVALID_CLIENT = 40100008
OAUTH_INVALID_GRANT = 40100009
OAUTH_UNSUPPORTED_GRANT = 40100010
OAUTH_INVALID_TOKEN = 40100011
OAUTH_INSUFFICIENT_SCOPE = 40300010
TOKEN_EXPIRED = 401030001

USER_NOT_EXISTS = 400001006
CALENDAR_USER_NOT_EXIST = 400411121
SUMMARY_TOO_LONG = 400411301
EVENT_NOT_EXIST = 404411305
REMINDER_INPUT = 400411311
LOCATION_NAME_LENGTH = 400411323
EVENT_NO_CHANGE = 400411340
WHICH_DAY_TIME = 400411344
TIME_RANGE = 400411350
NOT_RECURRENT = 400411375
CALENDAR_NOT_EXIST = 404411503
PRIMARY_DELETE = 400411504
MEMBER_NOT_EXIST = 400411517

_NAMES = {
    PARAM_FORMAT: "CommonParamFormatError",
    VALUE_INVALID: "CommonValueInvalidError",
    PARAM_UNSUPPORTED: "CommonParamUnsupported",
    ALREADY_EXISTS: "CommonResourceAlreadyExist",
    COUNT_LIMIT: "CommonCountLimitExceeded",
    LENGTH_LIMIT: "CommonLengthLimitExceeded",
    AUTH_ERROR: "CommonAuthError",
    NOT_FOUND: "CommonNotFound",
    CONTENT_TYPE: "CommonContentTypeUnsupported",
    TOO_MANY_REQUESTS: "CommonTooManyRequests",
    INTERNAL: "CommonInternalServerError",
    OAUTH_INVALID_REQUEST: "OAuth2InvalidRequest",
    OAUTH_INVALID_CLIENT: "OAuth2InvalidClient",
    OAUTH_INVALID_GRANT: "OAuth2InvalidGrant",
    OAUTH_UNSUPPORTED_GRANT: "OAuth2UnsupportedGrantType",
    OAUTH_INVALID_TOKEN: "OAuth2InvalidToken",
    OAUTH_INSUFFICIENT_SCOPE: "OAuth2InsufficientScope",
    TOKEN_EXPIRED: "TokenExpired",
    USER_NOT_EXISTS: "UserNotExists",
    CALENDAR_USER_NOT_EXIST: "CalendarUserNotExist",
    SUMMARY_TOO_LONG: "SummaryTooLong",
    EVENT_NOT_EXIST: "EventNotExist",
    REMINDER_INPUT: "ReminderInputError",
    LOCATION_NAME_LENGTH: "LocationNameLengthLimit",
    EVENT_NO_CHANGE: "EventNoChange",
    WHICH_DAY_TIME: "WhichDayTimeError",
    TIME_RANGE: "TimeRangeError",
    NOT_RECURRENT: "NotRecurrentTypeError",
    CALENDAR_NOT_EXIST: "CalendarNotExist",
    PRIMARY_DELETE: "PrimaryGroupDeleteError",
    MEMBER_NOT_EXIST: "GroupMemberNotExistErr",
}
_ODD_STATUS = {VALUE_INVALID: 403}


class Refused(Exception):
    """A call the service does not carry out. Nothing of it is applied."""

    def __init__(self, code: int, detail: str = "") -> None:
        self.code = code
        self.msg = message(code, detail)
        self.status = http_status(code)
        super().__init__(self.msg)


def message(code: int, detail: str = "") -> str:
    """The `msg` of an error answer: the code's name, then what was wrong."""
    name = _NAMES.get(code, "Error")
    return f"{name}: {detail}" if detail else name


def http_status(code: int) -> int:
    """The status line that goes with a code; 400 for codes that do not start with a status."""
    if code in _ODD_STATUS:
        return _ODD_STATUS[code]
    leading = int(str(code)[:3])
    return leading if 400 <= leading <= 599 else 400
