"""What is sent for a target, and what became of a call that nobody answered."""

from __future__ import annotations

from typing import Any

import pytest

from domain.settlement import (
    Candidate,
    Finding,
    Intent,
    MemberCall,
    Mirrored,
    Seen,
    Settled,
    Verb,
    choose_events,
    member_call,
    settle,
    verb_for,
)


def mirrored(**values: Any) -> Mirrored:
    base: dict[str, Any] = {
        "target": "evt:1", "kind": "event", "group_id": "cal:1", "lane": "_", "state": "none", "remote_id": None, "marker": "m1",
        "name": None, "generation": 0, "sent_hash": "", "from_ms": None, "until_ms": None, "list_max": 100,
        "import_no": 1, "intent": None, "intent_ids": None, "settle_at": None,
    }  # fmt: skip
    return Mirrored(**{**base, **values})


def in_doubt(verb: Verb, *, hash_: str = "new", remote_id: str | None = None) -> Mirrored:
    state = "none" if verb is Verb.CREATE else "live"
    return mirrored(state=state, remote_id=remote_id, sent_hash="old", intent=Intent(verb, hash_, 1, 1_000))


@pytest.mark.parametrize(
    ("state", "sent", "desired", "verb"),
    [
        ("none", "", "a", Verb.CREATE),
        ("gone", "", "a", Verb.CREATE),
        ("gone", "a", "a", Verb.CREATE),
        ("live", "a", "a", Verb.NOTHING),
        ("live", "a", "b", Verb.UPDATE),
        ("live", "a", None, Verb.DELETE),
        ("none", "", None, Verb.NOTHING),
        ("gone", "", None, Verb.NOTHING),
    ],
)
def test_the_verb_follows_from_what_is_there_and_what_is_wanted(
    state: str, sent: str, desired: str | None, verb: Verb
) -> None:
    """A job says what should be; what to do about it is known only when it is sent."""
    assert verb_for(mirrored(state=state, sent_hash=sent), desired_hash=desired) is verb


# --- the next call of a calendar


def many(count: int, verb: Verb = Verb.CREATE, *, list_max: int = 100, prefix: str = "e") -> list[Candidate]:
    return [Candidate(f"{prefix}{n}", verb, list_max) for n in range(count)]


def names(count: int, prefix: str = "e") -> tuple[str, ...]:
    return tuple(f"{prefix}{n}" for n in range(count))


@pytest.mark.parametrize(
    ("candidates", "verb", "targets"),
    [
        ([], Verb.NOTHING, ()),
        (many(1), Verb.CREATE, names(1)),
        (many(100), Verb.CREATE, names(100)),
        (many(120), Verb.CREATE, names(100)),
        (many(30, list_max=7), Verb.CREATE, names(7)),
        (many(3) + many(5, list_max=2, prefix="f"), Verb.CREATE, names(3)),
        (many(1, list_max=1) + many(5, prefix="f"), Verb.CREATE, names(1)),
        (many(2, Verb.UPDATE) + many(3, prefix="f"), Verb.CREATE, names(3, "f")),
        (many(2, Verb.UPDATE), Verb.UPDATE, names(1)),
        (many(2, Verb.DELETE) + many(2, Verb.UPDATE, prefix="f"), Verb.DELETE, names(1)),
        (many(2) + many(2, Verb.NOTHING, prefix="f"), Verb.NOTHING, names(2, "f")),
    ],
)
def test_a_list_takes_what_fits_and_a_careful_row_keeps_it_short(
    candidates: list[Candidate], verb: Verb, targets: tuple[str, ...]
) -> None:
    """Only creates go in lists; a row that was in a failed list may take fewer others along."""
    assert choose_events(candidates) == (verb, targets)


# --- what became of a call


OURS = Seen("r1", "m1", "new")
COPY = Seen("r2", "m1", "new")
OTHER = Seen("r9", "m9", "new")
STRANGER = Seen("r8", None, "new")


@pytest.mark.parametrize(
    ("seen", "answer"),
    [
        ([], Settled(Finding.NOT_APPLIED)),
        ([OTHER, STRANGER], Settled(Finding.NOT_APPLIED)),
        ([OURS], Settled(Finding.APPLIED, "r1")),
        ([COPY, OTHER, OURS], Settled(Finding.APPLIED, "r1", ("r2",))),
        ([Seen("r1", "m1", "edited by somebody")], Settled(Finding.APPLIED, "r1")),
    ],
)
def test_a_create_in_doubt_is_adopted_when_its_marker_is_there(seen: list[Seen], answer: Settled) -> None:
    """More than one: the same one stays, whoever looks; the rest is surplus."""
    assert settle(in_doubt(Verb.CREATE), key="m1", seen=seen) == answer
    assert settle(in_doubt(Verb.CREATE), key="m1", seen=list(reversed(seen))) == answer


@pytest.mark.parametrize(
    ("seen", "answer"),
    [
        ([], Settled(Finding.GONE)),
        ([OURS], Settled(Finding.APPLIED, "r1")),
        ([Seen("r1", "m1", "old")], Settled(Finding.NOT_APPLIED, "r1")),
        ([Seen("r1", None, "new")], Settled(Finding.APPLIED, "r1")),
        ([COPY, Seen("r1", "m1", "old")], Settled(Finding.NOT_APPLIED, "r1", ("r2",))),
    ],
)
def test_an_update_in_doubt_is_judged_by_what_the_object_says(seen: list[Seen], answer: Settled) -> None:
    """The object is known by its id even where somebody has rubbed the marker out."""
    assert settle(in_doubt(Verb.UPDATE, remote_id="r1"), key="m1", seen=seen) == answer


@pytest.mark.parametrize(
    ("seen", "answer"),
    [
        ([], Settled(Finding.APPLIED)),
        ([OTHER], Settled(Finding.APPLIED)),
        ([OURS], Settled(Finding.NOT_APPLIED, "r1")),
        ([COPY, OURS], Settled(Finding.NOT_APPLIED, "r1", ("r2",))),
    ],
)
def test_a_delete_in_doubt_has_happened_when_nothing_is_left(seen: list[Seen], answer: Settled) -> None:
    """What is still there has to be deleted again."""
    assert settle(in_doubt(Verb.DELETE, remote_id="r1"), key="m1", seen=seen) == answer


def test_objects_without_a_key_are_never_taken_for_ours() -> None:
    """People have events of their own in the calendar, and those have no marker either."""
    assert settle(in_doubt(Verb.CREATE), key=None, seen=[STRANGER]) == Settled(Finding.NOT_APPLIED)


# --- members


def test_people_agree_when_roles_do() -> None:
    """No call for a roll that is as it should be, nor for an empty one."""
    assert member_call(wanted={}, present={}) is None
    assert member_call(wanted={"u1": "reader"}, present={"u1": ("reader", "p1")}) is None


def test_missing_people_go_in_one_list() -> None:
    """Up to a hundred, in an order that does not depend on the database."""
    wanted = {f"u{n:03d}": "reader" for n in range(150)}
    call = member_call(wanted=wanted, present={})
    assert call == MemberCall(add=tuple((f"u{n:03d}", "reader") for n in range(100)), left_after=True)
    rest = member_call(wanted=wanted, present={f"u{n:03d}": ("reader", "p") for n in range(100)})
    assert rest is not None
    assert (len(rest.add), rest.left_after) == (50, False)


@pytest.mark.parametrize(("list_max", "length"), [(100, 100), (500, 100), (7, 7), (1, 1), (0, 1)])
def test_a_careful_roll_goes_in_shorter_lists(list_max: int, length: int) -> None:
    """Whoever is refused is found by halving, and never by sending nothing."""
    call = member_call(wanted={f"u{n:03d}": "reader" for n in range(150)}, present={}, list_max=list_max)
    assert call is not None
    assert len(call.add) == length


def test_a_wrong_role_is_taken_away_first() -> None:
    """WPS refuses a list with a person who has another role."""
    wanted = {"u1": "writer", "u2": "reader"}
    call = member_call(wanted=wanted, present={"u1": ("reader", "p1")})
    assert call == MemberCall(remove=("u1", "p1"), left_after=True)
    assert member_call(wanted=wanted, present={}) == MemberCall(add=(("u1", "writer"), ("u2", "reader")))


@pytest.mark.parametrize(
    ("wanted", "left"), [({}, False), ({"u2": "reader"}, True), ({"u1": "writer"}, True)], ids=["last", "more", "role"]
)
def test_the_last_removal_says_that_it_is_the_last(wanted: dict[str, str], left: bool) -> None:
    """Otherwise the job would be closed with people missing."""
    call = member_call(wanted=wanted, present={"u1": ("reader", "p1")})
    assert call == MemberCall(remove=("u1", "p1"), left_after=left)
