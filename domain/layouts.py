"""How calendars are laid out at WPS: one for each course, or one for each person.

The target of a calendar says which layout it belongs to, so that those of the other one are known after a change.
"""

from typing import Final

from domain.ids import key_of
from domain.plans import calendar_target

COURSE: Final = "course"
PERSONAL: Final = "personal"
LAYOUTS: Final = (COURSE, PERSONAL)

PREFIX: Final = {COURSE: calendar_target(""), PERSONAL: "own:"}
"""Layout → how the targets of its calendars begin; four characters each."""


def layout_of(group_id: str) -> str | None:
    """The layout of a calendar, by its target; None for surplus copies, which belong to none."""
    return next((name for name, prefix in PREFIX.items() if group_id.startswith(prefix)), None)


def person_key(*, term: str, code: str) -> str:
    """What a person's calendar of a term goes by in targets. One number (学号 or 工号) is one person, and one WPS account."""
    return key_of("person", term, code)


def own_calendar_target(person: str) -> str:
    """The calendar of a person, given its key."""
    return f"{PREFIX[PERSONAL]}{person}"


def own_event_key(person: str, session_id: str) -> str:
    """What a person's event of a session goes by: each has one of its own, with a marker of its own."""
    return key_of(person, session_id)
