"""Values that stand for what a remote calendar service holds, and how we recognise our own objects there.

The service has no custom property and no idempotency key, so an object carries its own identity in text that people
can see: an event in the last line of its description (the *marker*), a calendar in the end of its name (the *tag*).
Both are HMACs made elsewhere; here they are only written, found and taken away again.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

T = TypeVar("T")

MARKER: Final = re.compile(r"⟦ob:([A-Za-z2-7]{20})⟧")
"""Twenty base32 characters; matched against a whole line."""

RESTORED_LINE: Final = "（由课表自动恢复 · restored from the timetable）"
"""Stands in the description of an event that came back after a person deleted or changed it. Like the marker it is no part of
the content: whether it stands there or not, the event is what the timetable says."""

CALENDAR_NAME_CHARS: Final = 40
"""Longest calendar name the service accepts, in characters."""

TAG_CHARS: Final = 7
"""Base32 characters at the end of a calendar's name."""

_SEPARATOR: Final = " ·"
_TITLE_CHARS: Final = CALENDAR_NAME_CHARS - TAG_CHARS - len(_SEPARATOR)


def marker_line(marker: str) -> str:
    """The line that carries `marker` in an event's description."""
    return f"⟦ob:{marker}⟧"


def find_marker(description: str) -> str | None:
    """The marker in the last line that is nothing but a marker, or None.

    A person with write access may add text below it; the event stays recognisable as long as the line itself is whole.
    """
    if "⟦ob:" not in description:
        return None
    for line in reversed(_lines(description)):
        if found := MARKER.fullmatch(line.strip()):
            return found.group(1)
    return None


def without_marker(description: str) -> str:
    """What a person reads: `description` without marker lines, line ends as \\n, no blank end."""
    return "\n".join(line for line in _lines(description) if not MARKER.fullmatch(line.strip())).rstrip()


def plain_text(description: str) -> str:
    """What the timetable wrote: `description` without marker lines and without the line that explains a restored event."""
    if "⟦" not in description and RESTORED_LINE not in description:
        return (description if "\r" not in description else "\n".join(_lines(description))).rstrip()
    return "\n".join(line for line in _lines(without_marker(description)) if line.strip() != RESTORED_LINE).rstrip()


def with_restored_line(text: str) -> str:
    """`text` with the line that tells people why an event they deleted or changed is back."""
    plain = plain_text(text)
    return f"{plain}\n{RESTORED_LINE}" if plain else RESTORED_LINE


def with_marker(text: str, marker: str) -> str:
    """`text` with `marker` as its last line, replacing any it had."""
    plain = without_marker(text)
    return f"{plain}\n{marker_line(marker)}" if plain else marker_line(marker)


def calendar_name(course_name: str, tag: str) -> str:
    """The name sent for a calendar: the course cut to 31 characters, then ` ·` and its tag of seven.

    Raises ValueError when the course name is blank or the tag has another length.
    """
    title = course_name.strip()[:_TITLE_CHARS].rstrip()
    if not title:
        raise ValueError("a calendar needs a course name: fall back to the course or offering code first")
    if len(tag) != TAG_CHARS:
        raise ValueError(f"a calendar's tag has {TAG_CHARS} characters")
    return f"{title}{_SEPARATOR}{tag}"


@dataclass(frozen=True, slots=True)
class EventBody:
    """What an event says. Instants are milliseconds UTC; `description` includes the marker line."""

    summary: str
    description: str
    start_ms: int
    end_ms: int
    location: str | None

    @property
    def marker(self) -> str | None:
        """The marker in the description, or None."""
        return find_marker(self.description)

    def content_hash(self) -> str:
        """Hash of what a person sees (32 hex digits), the same in every process; the marker line and the line of a
        restored event are left out.

        No location and a blank one read the same, so they hash the same.
        """
        parts = (
            self.summary,
            plain_text(self.description),
            str(self.start_ms),
            str(self.end_ms),
            self.location or "",
        )
        raws = [part.encode("utf-8", "surrogatepass") for part in parts]
        # The length in front keeps ("ab", "c") apart from ("a", "bc").
        packed = b"".join([b"%d:%b" % (len(raw), raw) for raw in raws])
        return hashlib.blake2b(packed, digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class RemoteEvent:
    """An event as the service shows it; cancelled ones may still be listed."""

    id: str
    body: EventBody
    cancelled: bool

    @property
    def marker(self) -> str | None:
        """The marker in the description, or None for an event that is not ours."""
        return self.body.marker


@dataclass(frozen=True, slots=True)
class RemoteCalendar:
    """A calendar as the service shows it; deleted ones may still be listed."""

    id: str
    name: str
    deleted: bool


@dataclass(frozen=True, slots=True)
class RemoteMember:
    """One person's permission on a calendar; removing it goes by `permission_id`."""

    permission_id: str
    user_id: str
    role: str


@dataclass(frozen=True, slots=True)
class DirectoryUser:
    """A person in the tenant's directory; `ex_id` is the school's own number (学号 or 工号)."""

    id: str
    ex_id: str
    name: str
    status: str


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list; `next_token` None means that it was the last one."""

    items: list[T]
    next_token: str | None


def _lines(text: str) -> list[str]:
    if "\r" not in text:
        return text.split("\n")
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
