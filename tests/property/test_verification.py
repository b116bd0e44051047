"""Random mischief in a calendar: exactly that is found, and a repair of what was found leaves nothing to find."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from domain.ids import key_of
from domain.settlement import Mirrored
from domain.verification import SeenCalendar, SeenEvent, SeenMember, What, compare

NAME = "课 ·abcdefg"
NUMBERS = range(6)
MISCHIEF = st.sampled_from(["none", "delete", "edit", "unmark", "replace"])
ROLES = st.dictionaries(st.sampled_from("abcd"), st.sampled_from(["reader", "writer"]))


def row(number: int) -> Mirrored:
    return Mirrored(
        target=f"evt:{number}",
        kind="event",
        group_id="cal:1",
        lane="_",
        state="live",
        remote_id=f"r{number}",
        marker=f"m{number}",
        name=None,
        generation=0,
        sent_hash=f"h{number}",
        from_ms=1,
        until_ms=2,
        list_max=100,
        import_no=1,
        intent=None,
        intent_ids=None,
        settle_at=None,
    )


CALENDAR = replace(
    row(0), target="cal:1", kind="calendar", remote_id="c", marker=None, name=NAME, sent_hash=key_of(NAME)
)


def event(number: int, event_id: str | None = None, *, marked: bool = True, hash_: str | None = None) -> SeenEvent:
    marker = f"m{number}" if marked else None
    return SeenEvent(event_id or f"r{number}", marker, hash_ or f"h{number}", 1, 2, "课", None)


def after(number: int, mischief: str) -> list[SeenEvent]:
    """What is left of an event after somebody has been at it."""
    return {
        "none": [event(number)],
        "delete": [],
        "edit": [event(number, hash_="theirs")],
        "unmark": [event(number, marked=False)],
        "replace": [event(number, f"x{number}")],
    }[mischief]


NAMED = {
    "delete": What.EVENT_MISSING, "edit": What.EVENT_EDITED, "unmark": What.EVENT_EDITED, "replace": What.EVENT_REPLACED,
}  # fmt: skip


@given(
    done=st.lists(MISCHIEF, min_size=len(NUMBERS), max_size=len(NUMBERS)),
    copied=st.sets(st.sampled_from(NUMBERS)),
    late=st.integers(0, 2),
    strangers=st.integers(0, 2),
    ours=ROLES,
    theirs=ROLES,
    order=st.randoms(use_true_random=False),
)
def test_exactly_the_mischief_is_found_and_mended(
    done: list[str],
    copied: set[int],
    late: int,
    strangers: int,
    ours: dict[str, str],
    theirs: dict[str, str],
    order: object,
) -> None:
    """A row too many is a false alarm, a row too few is a class nobody goes to; the order of a list means nothing."""
    events = [one for number, mischief in enumerate(done) for one in after(number, mischief)]
    events += [event(number, f"y{number}") for number in copied]
    events += [SeenEvent(f"late{n}", f"old{n}", "h", 1, 2, "", None) for n in range(late)]
    events += [SeenEvent(f"s{n}", None, "h", 1, 2, "", None) for n in range(strangers)]
    order.shuffle(events)  # type: ignore[attr-defined]
    rows = [row(number) for number in NUMBERS]
    seen = SeenCalendar(False, NAME, tuple(events), tuple(SeenMember(u, role, f"p{u}") for u, role in theirs.items()))

    verdict = compare(calendar=CALENDAR, rows=[CALENDAR, *rows], members=ours, seen=seen)

    expected = set()
    for number, mischief in enumerate(done):
        named = NAMED.get(mischief)
        if mischief == "delete" and number in copied:
            expected.add((What.EVENT_REPLACED, f"evt:{number}"))
            continue
        if named is not None:
            expected.add((named, f"evt:{number}"))
        if number in copied:
            expected.add((What.EVENT_COPY, f"evt:{number}"))
    events_found = [one for one in verdict.differences if one.what.value.startswith("event") and one.target]
    assert {(one.what, one.target) for one in events_found} == expected
    assert len(events_found) == len(expected)
    assert sum(one.what is What.EVENT_UNKNOWN for one in verdict.differences) == late
    people = [one.thing for one in verdict.differences if one.what.value.startswith("member")]
    assert people == sorted(user for user in {*ours, *theirs} if ours.get(user) != theirs.get(user))
    assert verdict.strangers == strangers

    mended_rows, mended = carried_out(rows, events, verdict.differences)
    members = tuple(SeenMember(user, role, "p") for user, role in ours.items())
    again = compare(
        calendar=CALENDAR,
        rows=[CALENDAR, *mended_rows],
        members=ours,
        seen=SeenCalendar(False, NAME, tuple(mended), members),
    )
    assert again.differences == ()
    assert again.strangers == strangers


def carried_out(
    rows: list[Mirrored], events: list[SeenEvent], differences: tuple[object, ...]
) -> tuple[list[Mirrored], list[SeenEvent]]:
    """What a repair that works leaves behind."""
    by_target = {one.target: one for one in rows}
    there = {one.id: one for one in events}
    for one in differences:
        what, target, remote_id = one.what, one.target, one.remote_id  # type: ignore[attr-defined]
        number = int(target.partition(":")[2] or 0) if target.startswith("evt") else 0
        if what in (What.EVENT_COPY, What.EVENT_UNKNOWN):
            del there[remote_id]
        elif what is What.EVENT_MISSING:
            by_target[target] = replace(by_target[target], remote_id=f"new{number}", marker=f"g{number}")
            there[f"new{number}"] = replace(event(number, f"new{number}"), marker=f"g{number}")
        elif what in (What.EVENT_EDITED, What.EVENT_REPLACED):
            by_target[target] = replace(by_target[target], remote_id=remote_id)
            there[remote_id] = event(number, remote_id)
    return list(by_target.values()), list(there.values())
