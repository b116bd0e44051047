"""What to do with a remote object, and what became of a call nobody answered.

WPS has no idempotency key, so a write whose answer is lost may or may not have happened. Before every write the mirror
therefore says what is about to be sent (the intent). The intent goes when the outcome is known; until then nothing else is
sent for that target, and after the settlement wait the object is looked up and the question is answered from what is there.

    no intent ──write──▶ intent ──done──▶ mirror := what was sent
                           ├──refused──▶ no intent (certainly not applied)
                           └──unknown──▶ wait ──look──▶ adopted | send again | gone, and surplus copies to delete

These functions are pure; the drain carries their answers out, and the simulation of crashes drives the very same ones.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

LIST_LIMIT = 100  # batch_create of events and of permissions take 1 to 100 items
MAX_ATTEMPTS = 6  # the first try and the five that the most patient error class allows


class Verb(StrEnum):
    """What is sent for a target."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Intent:
    """A write that was about to be sent: its verb, the hash and revision of what it carried, when (database time), and for
    events the span of time in which the object can be found."""

    verb: Verb
    hash: str
    rev: int
    at_ms: int
    from_ms: int | None = None
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Mirrored:
    """A row of the mirror: what WPS has for a target as far as we know."""

    target: str
    kind: str
    group_id: str
    lane: str
    state: str  # none, live, gone
    remote_id: str | None
    marker: str | None
    name: str | None
    generation: int
    sent_hash: str
    from_ms: int | None
    until_ms: int | None
    list_max: int
    import_no: int
    intent: Intent | None
    intent_ids: str | None
    settle_at: int | None


def verb_for(mirrored: Mirrored, *, desired_hash: str | None) -> Verb:
    """The write that makes the remote object what is desired; `desired_hash` None means it should not be there."""
    if desired_hash is None:
        return Verb.DELETE if mirrored.state == "live" else Verb.NOTHING
    if mirrored.state != "live":
        return Verb.CREATE
    return Verb.NOTHING if mirrored.sent_hash == desired_hash else Verb.UPDATE


@dataclass(frozen=True, slots=True)
class Candidate:
    """A due job of an event, what its target needs, and how near it is (lower goes first)."""

    target: str
    verb: Verb
    list_max: int
    tier: int = 0


def choose_events(candidates: Sequence[Candidate]) -> tuple[Verb, tuple[str, ...]]:
    """The next call of a calendar: all creates that fit one list, else a single update or delete.

    Rows that need nothing come first: they close without a call. A list is as long as its most careful row allows. It takes
    along what is far, but goes only once nothing nearer needs a call of its own.
    """
    idle = tuple(c.target for c in candidates if c.verb is Verb.NOTHING)
    if idle:
        return Verb.NOTHING, idle
    creates: list[str] = []
    room = LIST_LIMIT
    for candidate in sorted(candidates, key=lambda one: one.tier):
        if candidate.verb is not Verb.CREATE:
            continue
        room = min(room, candidate.list_max)
        if len(creates) >= room:
            break
        creates.append(candidate.target)
    nearest = min(candidates, key=lambda one: (one.tier, one.verb is not Verb.CREATE), default=None)
    if nearest is None:
        return Verb.NOTHING, ()
    return (Verb.CREATE, tuple(creates)) if nearest.verb is Verb.CREATE else (nearest.verb, (nearest.target,))


@dataclass(frozen=True, slots=True)
class Seen:
    """A remote object found by looking: its id, its marker or name, and the hash of its content."""

    remote_id: str
    key: str | None
    hash: str


class Finding(StrEnum):
    """The answer to an open intent."""

    APPLIED = "applied"
    NOT_APPLIED = "not applied"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of an intent: the id of the object that stays, and the ids of copies that must go."""

    finding: Finding
    remote_id: str | None = None
    surplus: tuple[str, ...] = ()


def settle(mirrored: Mirrored, *, key: str | None, seen: Iterable[Seen]) -> Settled:
    """Answer the open intent of `mirrored` from everything that a whole walk saw.

    An object is ours by its remote id, else by its key (the marker of an event, the whole name of a calendar). Only a walk
    that began after the settlement wait may be given here: then what it did not see is not there.
    """
    assert mirrored.intent is not None
    # By id: a list that changed between two pages, or two windows that touch, show an object twice.
    found = {
        one.remote_id: one
        for one in seen
        if one.remote_id == mirrored.remote_id or (key is not None and one.key == key)
    }
    mine = sorted(found.values(), key=lambda one: (one.remote_id != mirrored.remote_id, one.remote_id))
    surplus = tuple(one.remote_id for one in mine[1:])
    if mirrored.intent.verb is Verb.DELETE:
        if not mine:
            return Settled(Finding.APPLIED)
        return Settled(Finding.NOT_APPLIED, mine[0].remote_id, surplus)
    if not mine:
        return Settled(Finding.NOT_APPLIED if mirrored.intent.verb is Verb.CREATE else Finding.GONE)
    kept = mine[0]
    if mirrored.intent.verb is Verb.UPDATE and kept.hash != mirrored.intent.hash:
        return Settled(Finding.NOT_APPLIED, kept.remote_id, surplus)
    return Settled(Finding.APPLIED, kept.remote_id, surplus)


class Aftermath(Enum):
    """What an answered intent does to the mirror and to the open job of its target."""

    SENT = auto()  # mirror := what was sent; close the job at the rev that was sent
    DELETED = auto()  # the object is gone as asked; close the job
    LOST = auto()  # the object is gone, and nobody asked for that: it is made anew
    AGAIN = auto()  # nothing happened: forget the intent, send again with half as many


def aftermath(verb: Verb, finding: Finding) -> Aftermath:
    """What follows from the answer to an intent of `verb`."""
    if finding is Finding.GONE:
        return Aftermath.LOST
    if finding is Finding.NOT_APPLIED:
        return Aftermath.AGAIN
    return Aftermath.DELETED if verb is Verb.DELETE else Aftermath.SENT


def walk_answers(*, started_ms: int, finished_ms: int | None, settle_at: int) -> bool:
    """Whether a walk of the calendar list can answer an intent: whole, and begun after the settlement wait was over."""
    return finished_ms is not None and started_ms >= settle_at


def longer(list_max: int) -> int:
    """How long the next list may be after one that succeeded."""
    return min(LIST_LIMIT, list_max * 2)


def shorter(list_max: int, *, failed: int) -> int:
    """How long the next list of rows may be after `failed` of them failed together: half, down to one."""
    return max(1, min(list_max, failed // 2))


@dataclass(frozen=True, slots=True)
class MemberCall:
    """One call that brings a calendar's readers nearer to the roll: up to 100 to add, or one permission to take away."""

    add: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, str] | None = None  # (user id, permission id)
    left_after: bool = False


def member_call(
    *, wanted: dict[str, str], present: dict[str, tuple[str, str]], list_max: int = LIST_LIMIT
) -> MemberCall | None:
    """The next call from `present` (user → role, permission id) towards `wanted` (user → role); None when both agree.

    WPS cannot change a role: a wrong one is taken away first and given again by a later call.
    """
    extra = sorted(user for user, (role, _) in present.items() if wanted.get(user) != role)
    missing = sorted((user, role) for user, role in wanted.items() if user not in present)
    if extra:
        user = extra[0]
        return MemberCall(
            remove=(user, present[user][1]), left_after=len(extra) > 1 or len(missing) > 0 or user in wanted
        )
    if missing:
        room = max(1, min(LIST_LIMIT, list_max))
        return MemberCall(add=tuple(missing[:room]), left_after=len(missing) > room)
    return None
