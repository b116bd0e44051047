"""Settlement on random histories: calls that fail in every way, and still exactly one of everything."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from domain.settlement import (
    Candidate,
    Finding,
    Intent,
    Mirrored,
    Seen,
    Verb,
    choose_events,
    member_call,
    settle,
    verb_for,
)
from tests.unit.test_settlement import mirrored

seeds = st.integers(0, 2**32)
seen_objects = st.lists(
    st.builds(Seen, st.sampled_from(["r1", "r2", "r3", "r4"]), st.sampled_from(["m1", "m2", None]), st.sampled_from("ab")),
    unique_by=lambda one: one.remote_id,
)  # fmt: skip
doubts = st.builds(
    lambda verb, remote_id: mirrored(
        state="none" if verb is Verb.CREATE else "live",
        remote_id=None if verb is Verb.CREATE else remote_id,
        intent=Intent(verb, "a", 1, 1),
    ),
    st.sampled_from([Verb.CREATE, Verb.UPDATE, Verb.DELETE]),
    st.sampled_from(["r1", "r2"]),
)


@given(doubts, seen_objects, seeds)
def test_the_answer_does_not_depend_on_the_order_of_the_list(target: Mirrored, seen: list[Seen], seed: int) -> None:
    """Two workers that look one after the other must not each delete the copy that the other one keeps."""
    shuffled = random.Random(seed).sample(seen, len(seen))
    assert settle(target, key="m1", seen=seen) == settle(target, key="m1", seen=shuffled)


@given(doubts, seen_objects, seeds)
def test_an_object_on_two_pages_is_one_object(target: Mirrored, seen: list[Seen], seed: int) -> None:
    """Its second appearance would be deleted as a copy: the only class there is, taken away by the clerk who found it."""
    again = random.Random(seed).sample(seen, len(seen) // 2)
    assert settle(target, key="m1", seen=seen) == settle(target, key="m1", seen=seen + again)


@given(doubts, seen_objects)
def test_one_stays_and_every_other_copy_goes(target: Mirrored, seen: list[Seen]) -> None:
    """Nothing of ours is forgotten, nothing of others is touched."""
    answer = settle(target, key="m1", seen=seen)
    ours = {one.remote_id for one in seen if one.key == "m1" or one.remote_id == target.remote_id}
    kept = {answer.remote_id} - {None}
    assert kept | set(answer.surplus) == ours
    assert kept.isdisjoint(answer.surplus)
    assert len(kept) == min(1, len(ours))


class Calendar:
    """The remote side: lists that fail in every way, and events that are not acceptable."""

    def __init__(self, seed: int, poisons: set[str], accidents: float) -> None:
        self.rng = random.Random(seed)
        self.poisons = poisons
        self.accidents = accidents
        self.events: list[tuple[str, str]] = []  # (marker, hash)
        self.calls = 0

    def create(self, markers: list[str]) -> str:
        """done, refused, or unknown."""
        self.calls += 1
        if self.poisons & set(markers):
            return "refused" if len(markers) == 1 else "unknown"
        if self.rng.random() < self.accidents:
            applied = self.rng.choice([[], markers, markers[: len(markers) // 2]])
            self.events += [(marker, "a") for marker in applied]
            return "unknown"
        self.events += [(marker, "a") for marker in markers]
        return "done"


def drained(calendar: Calendar, rows: dict[str, Mirrored]) -> set[str]:
    """Drains creates by the rules of the domain, settling every doubt before the next call. Returns the dead."""
    dead: set[str] = set()
    while True:
        waiting = [row for target, row in sorted(rows.items()) if row.state != "live" and target not in dead]
        candidates = [Candidate(row.target, verb_for(row, desired_hash="a"), row.list_max) for row in waiting]
        verb, targets = choose_events(candidates)
        if not targets:
            return dead
        assert verb is Verb.CREATE
        assert calendar.calls < 3_000
        outcome = calendar.create(list(targets))
        for target in targets:
            rows[target] = replace(rows[target], intent=Intent(Verb.CREATE, "a", 1, 1))
        if outcome == "refused":
            dead |= set(targets)
            continue
        seen = [Seen(f"r{n}", marker, hash_) for n, (marker, hash_) in enumerate(calendar.events)]
        answers = {target: settle(rows[target], key=target, seen=seen) for target in targets}
        failed = sum(1 for one in answers.values() if one.finding is Finding.NOT_APPLIED)
        for target, answer in answers.items():
            assert answer.surplus == ()
            row = replace(rows[target], intent=None)
            if answer.finding is Finding.APPLIED:
                rows[target] = replace(
                    row, state="live", remote_id=answer.remote_id, list_max=min(100, row.list_max * 2)
                )
            else:
                rows[target] = replace(row, list_max=max(1, min(row.list_max, failed // 2)))


@given(st.integers(1, 130), st.floats(0, 0.6), st.integers(0, 3), seeds)
def test_lists_that_fail_in_every_way_end_with_one_of_each_and_only_the_bad_ones_dead(
    count: int, accidents: float, bad: int, seed: int
) -> None:
    """Halving finds what WPS refuses without losing, doubling or blaming any of the others."""
    targets = [f"e{n:03d}" for n in range(count)]
    poisons = set(random.Random(seed).sample(targets, min(bad, count)))
    calendar = Calendar(seed, poisons, accidents)
    dead = drained(calendar, {target: mirrored(target=target, marker=target) for target in targets})
    assert dead == poisons
    assert sorted(marker for marker, _ in calendar.events) == sorted(set(targets) - poisons)


@given(st.integers(1, 130), st.integers(1, 3), seeds)
def test_one_bad_event_costs_few_calls(count: int, bad: int, seed: int) -> None:
    """Twenty classes must not become twenty calls for one of them."""
    targets = [f"e{n:03d}" for n in range(count)]
    poisons = set(random.Random(seed).sample(targets, min(bad, count)))
    calendar = Calendar(seed, poisons, 0)
    drained(calendar, {target: mirrored(target=target, marker=target) for target in targets})
    assert calendar.calls <= 2 + 16 * len(poisons)


roles = st.sampled_from(["reader", "writer"])
rolls = st.dictionaries(st.sampled_from([f"u{n:02d}" for n in range(30)]), roles)


@given(rolls, rolls, st.integers(1, 100))
def test_members_reach_the_roll_by_calls_that_wps_takes(
    wanted: dict[str, str], present: dict[str, str], list_max: int
) -> None:
    """WPS refuses a list with anybody who is there in another role; the last call is the one that says so."""
    there = {user: (role, f"p{user}") for user, role in present.items()}
    calls = 0
    last = False
    while (call := member_call(wanted=wanted, present=there, list_max=list_max)) is not None:
        assert not last, "it had said that nothing was left"
        assert 0 <= len(call.add) <= list_max
        assert (call.remove is None) is bool(call.add)
        if call.remove is not None:
            assert there.pop(call.remove[0])[1] == call.remove[1]
        for user, role in call.add:
            assert user not in there
            there[user] = (role, f"p{user}")
        calls += 1
        last = not call.left_after
        assert calls <= len(wanted) + len(present)
    assert {user: role for user, (role, _) in there.items()} == wanted
