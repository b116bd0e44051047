"""Shapes of check-ins and receipts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict

from web.schemas.base import ID, In, Instant, Out, Text, Yes

ClassId = Annotated[str, Strict(), Field(pattern=ID)]


class Location(In):
    """Where the phone says it is: degrees in `system`, accuracy in metres."""

    longitude: Annotated[float, Strict(), Field(ge=-180, le=180)]
    latitude: Annotated[float, Strict(), Field(ge=-90, le=90)]
    accuracy: Annotated[float, Strict(), Field(ge=0, le=1_000_000)] | None = None
    system: Literal["WGS-84", "GCJ-02"] = "WGS-84"
    mocked: Yes = False


class Device(In):
    """The phone; `id` is its fingerprint, of which a keyed hash is kept."""

    type: Annotated[Text, Field(max_length=40)] = ""
    info: Annotated[Text, Field(max_length=200)] = ""
    id: Annotated[Text, Field(max_length=200)] = ""


class CheckInAsked(In):
    """A check-in. `clientId` is made up by the phone, once for all tries; `timestamp` counts where it was `offline`.

    `receipt` is one that was given before, for this class.
    """

    schedule_id: ClassId
    client_id: Annotated[Text, Field(max_length=64)] = ""
    location: Location | None = None
    device: Device | None = None
    timestamp: Instant | None = None
    offline: Yes = False
    class_code: Annotated[Text, Field(max_length=20)] = ""
    captured_at: Instant | None = None
    receipt: Annotated[str, Strict(), Field(max_length=4_000)] = ""


class ReasonTold(Out):
    """A reason for which a person looks at a check-in."""

    code: str
    message: str


class CheckedIn(Out):
    """An accepted check-in. `first`: false for a repeat, whose receipt is the one of then, byte for byte."""

    checkin_id: str
    schedule_id: str
    status: str
    decision: str
    checkin_time: str
    message: str
    reasons: list[ReasonTold]
    receipt: str
    first: bool


class CheckOutAsked(In):
    """A check-out. `clientId` is made up by the phone, once for all tries of this one."""

    schedule_id: ClassId
    client_id: Annotated[Text, Field(max_length=58)] = ""
    location: Location | None = None
    timestamp: Instant | None = None
    offline: Yes = False
    class_code: Annotated[Text, Field(max_length=20)] = ""
    captured_at: Instant | None = None


class CheckedOut(Out):
    """A check-out: EARLY or NORMAL, when one would have stayed, and what the student's standing is by now."""

    schedule_id: str
    says: str
    checkout_time: str
    stayed_from: str
    closes_at: str
    status: str
    message: str


class DoorPath(In):
    """Which class."""

    session_id: Annotated[str, Field(pattern=ID, alias="session_id")]


class Door(Out):
    """What a student's page needs of a class before the button is pressed, by the clock of the server."""

    schedule_id: str
    state: str
    server_time: str
    opens_at: str
    late_from: str
    closes_at: str
    location_required: bool
    code_required: bool
    has_fence: bool
    checkout_required: bool
    receipt: str | None


class ReceiptAsked(In):
    """A receipt, as it was given."""

    receipt: Annotated[str, Strict(), Field(min_length=1, max_length=4_000)]


class ReceiptSaid(Out):
    """What a receipt says, if it is one of ours."""

    valid: bool
    number: str
    school: str
    term: str
    schedule_id: str
    student: str
    checkin_time: str
    decision: str
    timing: str
    reasons: list[ReasonTold]
