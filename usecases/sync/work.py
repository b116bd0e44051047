"""The next thing to do for a lane, as values: chosen in one place, sent in another, recorded in a third."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from db.mirror import GroupRef, Wanted
from db.walks import Walk
from domain.calendars import DirectoryUser, EventBody, RemoteCalendar
from domain.settlement import MemberCall, Mirrored, Verb
from remote.wps.errors import WpsError


@dataclass(frozen=True, slots=True)
class Call:
    """One call to WPS: the jobs it serves, what it carries, and the mirror rows it was computed from."""

    ref: GroupRef
    kind: str  # calendar, members, event, users, walk
    verb: Verb
    wanted: tuple[Wanted, ...]
    calendar_id: str = ""
    bodies: tuple[EventBody, ...] = ()
    name: str = ""
    members: MemberCall | None = None
    roll_hash: str = ""
    codes: tuple[str, ...] = ()
    walk: Walk | None = None
    packed: bytes | None = None  # the bodies as they are sent, where that was made ahead
    leaves_some: bool = False  # whether more was due in its calendar than it carries

    @property
    def writes(self) -> bool:
        """Whether the call changes something at WPS."""
        return self.kind in ("calendar", "members", "event")

    @property
    def alone(self) -> bool:
        """Whether the outcome says something about a single job, and about a single person of a list of readers."""
        return len(self.wanted) == 1 and (self.members is None or len(self.members.add) <= 1)


@dataclass(frozen=True, slots=True)
class Closing:
    """Jobs whose target already is what they ask for: closed without a call."""

    ref: GroupRef
    wanted: tuple[Wanted, ...]
    roll_hash: str = ""


@dataclass(frozen=True, slots=True)
class Burying:
    """Jobs that have used up their attempts: they become dead letters."""

    ref: GroupRef
    wanted: tuple[Wanted, ...]


@dataclass(frozen=True, slots=True)
class Settling:
    """A calendar with open intents whose outcome can be read off WPS now."""

    ref: GroupRef
    calendar: Mirrored
    open: tuple[Mirrored, ...]


@dataclass(frozen=True, slots=True)
class Verifying:
    """A calendar that is to be read as a whole and compared with its mirror."""

    ref: GroupRef
    calendar: Mirrored
    wanted: Wanted


Work = Call | Closing | Burying | Settling | Verifying


@dataclass(frozen=True, slots=True)
class Done:
    """The call succeeded: remote ids by target; for members the permissions given; for look-ups what was found.

    `took_ms`: from asking for the call to its answer.
    """

    ids: Mapping[str, str] = field(default_factory=dict)
    permissions: tuple[tuple[str, str, str], ...] = ()
    users: tuple[DirectoryUser, ...] = ()
    calendars: tuple[RemoteCalendar, ...] = ()
    next_token: str | None = None
    walk_id: str = ""
    took_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Failed:
    """The call did not succeed: `WpsRefused` = certainly not applied, anything else may have been."""

    error: WpsError


Outcome = Done | Failed
