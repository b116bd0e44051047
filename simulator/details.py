"""The content of an event: reading it from a request, strictly, and writing it into an answer."""

from typing import Any

from simulator import errors, quotas
from simulator.errors import Refused
from simulator.shapes import Shape, array_of, flag, one_of, record, text, whole
from simulator.times import Moment, as_json, calendar_time, day, instant, is_calendar_time

BASE_FIELDS = frozenset(("summary", "description", "start_time", "end_time", "locations", "reminders"))

_MEETING_SETTING = record(
    {
        "auto_recording": one_of({"off", "recording", "ai_minutes", "recording_and_ai_minutes"}),
        "host_id": text(),
        "is_allow_attendees_start": flag,
        "is_open_lobby": flag,
        "join_permission": one_of({"anyone", "company_users", "event_attendees"}),
        "meeting_type": one_of(
            {"general", "routine", "interview", "customer_visit", "training", "press_conference", "class", "other"}
        ),
        "mute_on_join": one_of({"off", "on", "auto_after_six"}),
        "recording_view_permission": one_of(
            {
                "organizer_only",
                "event_attendees",
                "event_and_meeting_attendees",
                "meeting_attendees_only",
                "company_users",
            }
        ),
        "require_camera_on_join": flag,
    }
)
_RECURRENCE = record(
    {
        "by_day": array_of(text()),
        "by_month": array_of(whole(least=1, most=12)),
        "by_month_day": array_of(whole()),
        "count": whole(),
        "exdate": array_of(is_calendar_time),
        "freq": one_of({"YEARLY", "MONTHLY", "WEEKLY", "DAILY", "LUNAR_YEARLY"}),
        "interval": whole(least=0, most=100),
        "until_date": is_calendar_time,
    },
    required=("freq", "interval"),
    nullable=("count", "until_date"),
)
EXTRA_SHAPES: dict[str, Shape] = {
    "attendee_ability": one_of({"can_see_others", "can_invite_others"}),
    "free_busy_status": one_of({"busy", "free"}),
    "visibility": one_of({"default", "public", "private"}),
    "recurrence": _RECURRENCE,
    "online_meeting": record(
        {
            "description": text(longest=100),
            "meeting_setting": _MEETING_SETTING,
            "provider": one_of({"kso", "third_party"}),
            "url": text(longest=500),
        },
        required=("provider",),
        nullable=("description", "url"),
    ),
}
"""Fields of single create and update that the batch does not take; kept as sent, recurrences are not expanded."""


class Details:
    """What an event says. Two are equal when an update from one to the other would change nothing."""

    __slots__ = ("description", "end", "extra", "location", "reminders", "start", "summary")

    def __init__(
        self,
        summary: str,
        description: str,
        start: Moment,
        end: Moment,
        location: str | None,
        reminders: tuple[int, ...],
        extra: dict[str, Any] | None,
    ) -> None:
        self.summary = summary
        self.description = description
        self.start = start
        self.end = end
        self.location = location
        self.reminders = reminders
        self.extra = extra

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Details) and self.for_journal() == other.for_journal()

    __hash__ = None  # type: ignore[assignment]  # compared, never a key

    def for_journal(self) -> list[Any]:
        """The content as plain JSON."""
        return [
            self.summary,
            self.description,
            self.start.text,
            self.end.text,
            self.start.all_day,
            self.location,
            self.reminders,
            self.extra,
        ]

    @classmethod
    def from_journal(cls, fields: list[Any]) -> "Details":
        """The inverse of `for_journal`."""
        summary, description, start, end, all_day, location, reminders, extra = fields
        read = day if all_day else instant
        return cls(summary, description, read(start), read(end), location, tuple(reminders), extra)

    def as_json(self, event_id: str, *, cancelled: bool = False) -> dict[str, Any]:
        """The basic event of an answer; without locations and reminders when it has none."""
        answer: dict[str, Any] = {
            "id": event_id,
            "summary": self.summary,
            "description": self.description,
            "start_time": as_json(self.start),
            "end_time": as_json(self.end),
            "status": "cancelled" if cancelled else "normal",
        }
        if self.location is not None:
            answer["locations"] = [{"name": self.location}]
        if self.reminders:
            answer["reminders"] = [{"minutes": minutes} for minutes in self.reminders]
        return answer


def read_base(raw: Any, where: str) -> Details:
    """One item of a batch: only the base fields. Raises Refused."""
    if type(raw) is not dict:
        raise Refused(errors.PARAM_FORMAT, f"{where} must be an object")
    if not raw.keys() <= BASE_FIELDS:
        unknown = ", ".join(sorted(raw.keys() - BASE_FIELDS))
        raise Refused(errors.PARAM_UNSUPPORTED, f"{where} has unknown fields: {unknown}")
    return read_new(raw, where)


def read_new(raw: dict[str, Any], where: str, extra: dict[str, Any] | None = None) -> Details:
    """The base fields of a new event; other fields of `raw` are the caller's to check. Raises Refused."""
    for name in ("start_time", "end_time"):
        if name not in raw:
            raise Refused(errors.PARAM_FORMAT, f"{where}.{name} is required")
    description = raw.get("description")
    return _checked_order(
        Details(
            _summary(raw["summary"], where) if "summary" in raw else "",
            "" if description is None else _description(description, where),
            calendar_time(raw["start_time"], "start_time"),
            calendar_time(raw["end_time"], "end_time"),
            _location(raw["locations"], where) if "locations" in raw else None,
            _reminders(raw["reminders"], where) if "reminders" in raw else (),
            extra,
        )
    )


def read_change(raw: dict[str, Any], old: Details, extra: dict[str, Any] | None) -> Details:
    """`old` with the fields that `raw` names; null means untouched, an empty list clears. Raises Refused."""
    where = "body"
    summary, description = raw.get("summary"), raw.get("description")
    start, end = raw.get("start_time"), raw.get("end_time")
    return _checked_order(
        Details(
            old.summary if summary is None else _summary(summary, where),
            old.description if description is None else _description(description, where),
            old.start if start is None else calendar_time(start, "start_time"),
            old.end if end is None else calendar_time(end, "end_time"),
            _location(raw["locations"], where) if "locations" in raw else old.location,
            _reminders(raw["reminders"], where) if "reminders" in raw else old.reminders,
            {**(old.extra or {}), **extra} if extra else old.extra,
        )
    )


def _checked_order(details: Details) -> Details:
    start, end = details.start, details.end
    if start.all_day != end.all_day:
        raise Refused(errors.TIME_RANGE, "start_time and end_time must both be days or both be instants")
    if end.at_s < start.at_s or (end.at_s == start.at_s and not start.all_day):
        raise Refused(errors.TIME_RANGE, "end_time must be after start_time")
    return details


def _summary(value: Any, where: str) -> str:
    if type(value) is not str:
        raise Refused(errors.PARAM_FORMAT, f"{where}.summary must be a string")
    if len(value) > quotas.EVENT_SUMMARY_MAX:
        raise Refused(errors.SUMMARY_TOO_LONG, f"{where}.summary is longer than {quotas.EVENT_SUMMARY_MAX} characters")
    return value


def _description(value: Any, where: str) -> str:
    if type(value) is not str:
        raise Refused(errors.PARAM_FORMAT, f"{where}.description must be a string")
    if len(value) > quotas.EVENT_DESCRIPTION_MAX:
        raise Refused(errors.LENGTH_LIMIT, f"{where}.description is longer than {quotas.EVENT_DESCRIPTION_MAX}")
    return value


def _location(value: Any, where: str) -> str | None:
    if type(value) is not list:
        raise Refused(errors.PARAM_FORMAT, f"{where}.locations must be an array")
    if not value:
        return None
    if len(value) > quotas.EVENT_LOCATIONS_MAX:
        raise Refused(errors.VALUE_INVALID, f"{where}.locations may have one item")
    _LOCATION(value[0], f"{where}.locations[0]")
    return str(value[0]["name"])


def _reminders(value: Any, where: str) -> tuple[int, ...]:
    if type(value) is not list:
        raise Refused(errors.PARAM_FORMAT, f"{where}.reminders must be an array")
    if len(value) > quotas.EVENT_REMINDERS_MAX:
        raise Refused(errors.REMINDER_INPUT, f"{where}.reminders may have {quotas.EVENT_REMINDERS_MAX} items")
    for number, item in enumerate(value):
        _REMINDER(item, f"{where}.reminders[{number}]")
    return tuple(item["minutes"] for item in value)


_LOCATION = record({"name": text(longest=quotas.TEXT_MAX, code=errors.LOCATION_NAME_LENGTH)}, required=("name",))
_REMINDER = record({"minutes": whole()}, required=("minutes",))
