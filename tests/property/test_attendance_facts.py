"""Any order, any batches, any replays of any facts: the same details, the same counters."""

from __future__ import annotations

import random
from collections import Counter

from domain.attendance import (
    ABNORMAL,
    CHECK_IN,
    CHECK_OUT,
    CORRECTION,
    COUNTERS,
    EARLY,
    LATE,
    LEAVE,
    NORMAL,
    ON_LEAVE,
    STATUSES,
    SWEEP,
    Fact,
    Policy,
    change,
    count,
    standing,
)  # fmt: skip
from domain.statistics import Key, Place, add, keys_of

SEQUENCES = 10_000
STUDENTS = ("mei", "bao", "lin")
SAYS = {
    CHECK_IN: (NORMAL, LATE, EARLY, ABNORMAL), CHECK_OUT: (EARLY, NORMAL), ON_LEAVE: (LEAVE, ""),
    CORRECTION: (*STATUSES[:-1], ""), SWEEP: ("ABSENT",),
}  # fmt: skip

Happened = tuple[str, Fact]
PLACE = Place("algebra", "maths", "2024-09-02", ("wang", "li"))


def any_facts(chance: random.Random) -> list[Happened]:
    """Facts of a few students, few distinct times so that ties are common."""
    made = []
    for number in range(chance.randint(1, 12)):
        kind = chance.choice(list(SAYS))
        about = chance.choice(("l1", "l2")) if kind == ON_LEAVE else ""
        fact = Fact(f"f{number}", kind, chance.randint(0, 5), chance.choice(SAYS[kind]), about)
        made.append((chance.choice(STUDENTS), fact))
    return made


def batched(chance: random.Random, facts: list[Happened]) -> list[list[Happened]]:
    """All of them in another order, some twice, in batches of any size."""
    sent = [*facts, *chance.sample(facts, chance.randint(0, len(facts)))]
    chance.shuffle(sent)
    batches = []
    while sent:
        size = chance.randint(1, len(sent))
        batches.append(sent[:size])
        sent = sent[size:]
    return batches


def carried_out(
    batches: list[list[Happened]], policy: Policy, *, summed: bool = False
) -> tuple[dict[str, str], Counter[str]]:
    """As the writer does it: each batch recomputes the students it is about and adds the differences; `summed`: to sums too."""
    facts: dict[str, set[Fact]] = {student: set() for student in STUDENTS}
    status = dict.fromkeys(STUDENTS, "")
    counters: Counter[str] = Counter()
    sums: dict[Key, Counter[str]] = {}
    for batch in batches:
        for student, fact in batch:
            facts[student].add(fact)
        for student in {student for student, _ in batch}:
            after = standing(facts[student], policy).status
            change(counters, status[student], after)
            if summed:
                add(sums, keys_of(student, PLACE), status[student], after)
            status[student] = after
        assert {name: counters[name] for name in COUNTERS} == count(status.values())  # after each commit
        assert not summed or not_nothing(sums) == not_nothing(summed_up(status))
    return status, counters


def summed_up(status: dict[str, str]) -> dict[Key, Counter[str]]:
    anew: dict[Key, Counter[str]] = {}
    for student in STUDENTS:
        add(anew, keys_of(student, PLACE), "", status[student])
    return anew


def not_nothing(sums: dict[Key, Counter[str]]) -> dict[Key, Counter[str]]:
    return {key: +counts for key, counts in sums.items() if +counts}


def test_order_batching_and_replays_change_nothing() -> None:
    """What a crash redoes, and what overtakes what, must not be seen in a percentage."""
    chance = random.Random(20_240_902)
    seen: Counter[str] = Counter()
    for number in range(SEQUENCES):
        facts = any_facts(chance)
        policy = Policy(chance.random() < 0.5, chance.random() < 0.5)
        first, again = (carried_out(batched(chance, facts), policy, summed=number % 20 == 0) for _ in range(2))
        assert first == again, facts
        seen.update(first[0].values())
    assert set(STATUSES[:-1]) <= set(seen)  # each status was reached
