"""What a student reads about a check-in: one cause, one remedy; Chinese first, English beside it."""

from typing import Final

from domain import verdicts

CAUSES: Final[dict[str, tuple[str, str]]] = {
    verdicts.TOO_EARLY: ("签到还没有开始,到时会自动打开。", "Check-in is not open yet; it opens by itself."),
    verdicts.CLOSED: ("签到已经结束。如有原因,请提出申诉。", "Check-in is over. If there was a reason, appeal."),
    verdicts.CANCELLED: ("这节课已取消,不用签到。", "This class is cancelled; there is nothing to check in to."),
    verdicts.FAR_AWAY: (
        "您离教室太远。请到教室后再试,或输入课堂码。",
        "You are too far from the room. Try again there, or enter the class code.",
    ),
    verdicts.NO_LOCATION: (
        "没有位置信息。请允许定位,或输入课堂码。",
        "There is no location. Allow it, or enter the class code.",
    ),
    verdicts.BAD_CODE: ("课堂码已失效。请重新扫描。", "The class code is no longer valid. Scan it again."),
    verdicts.NO_CODE: ("这门课需要课堂码。请扫描屏幕上的码。", "This course needs the class code. Scan the screen."),
    verdicts.NOT_ENROLLED: (
        "您不在这节课的名单上。请联系任课教师。",
        "You are not on the roster of this class. Speak to the teacher.",
    ),
    verdicts.ON_ANOTHER_ROSTER: (
        "没有这节课。请从课表重新打开。",
        "There is no such class. Open it from your timetable.",
    ),
    "bad_receipt": ("这张回执无效或已被修改。", "This receipt is not valid, or was changed."),
    "busy": ("现在人太多,稍后会自动重试。", "Too many people right now; it is tried again by itself."),
}

REASONS: Final[dict[str, tuple[str, str]]] = {
    verdicts.OUTSIDE: ("您略在教室范围之外", "you were a little outside of the room's area"),
    verdicts.INACCURATE: ("定位不够准确", "the location was not accurate enough"),
    verdicts.MOCKED: ("手机报告使用了模拟位置", "the phone reported a mock location"),
    verdicts.CONTRADICTS: ("课堂码正确,但位置在别处", "the code was right, the location elsewhere"),
    verdicts.SHARED_DEVICE: ("这台设备也被别的同学使用", "this device was also used by another student"),
    verdicts.TRAVELLED: ("两次签到之间的路程不可能走完", "the way from the last check-in was too long for the time"),
    verdicts.SIMPLIFIED: (
        "当时为简化签到,没有核对位置",
        "check-ins were simplified then: nobody was asked for a place",
    ),
    verdicts.SAME_POINT: ("与之前的位置完全相同", "exactly the same point was given before"),
}
