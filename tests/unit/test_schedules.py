"""Which slots of a schedule are acted upon, and when its slots are."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from domain.schedules import (
    CANDIDATES,
    EACH,
    EACH_MOST,
    ON_TIME_MS,
    POLICIES,
    RUN_ONCE,
    SKIP,
    TICK_LATE_MS,
    decide,
    tick_is_late,
)
from usecases.cron import LONGEST, BadCron, checked, newest_due, next_due

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
SHANGHAI, BERLIN, NEW_YORK = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")


def at(text: str, zone: ZoneInfo | None = None, *, fold: int = 0) -> int:
    """Milliseconds of a local time."""
    moment = datetime.fromisoformat(text).replace(tzinfo=zone or UTC, fold=fold)
    return round(moment.timestamp() * 1000)


def local(slots: list[int], zone: ZoneInfo) -> list[str]:
    """How the slots read on the wall, with the offset."""
    return [datetime.fromtimestamp(slot / 1000, zone).strftime("%d %H:%M %z") for slot in slots]


def due(cron: str, since: str, until: str, *, zone: ZoneInfo | None = None, most: int = 1000) -> list[int]:
    return newest_due(cron, zone=zone or UTC, after_ms=at(since, zone), until_ms=at(until, zone), most=most)


# --- policies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", POLICIES)
def test_a_slot_noticed_in_time_is_started_under_any_policy(policy: str) -> None:
    """A tick comes up to a minute after the slot, and a keeper's tick up to two more."""
    slot = at("2025-09-01T12:00")
    (decision,) = decide(policy, [slot], now_ms=slot + ON_TIME_MS)
    assert (decision.slot_ms, decision.starts, decision.reason) == (slot, True, None)


@pytest.mark.parametrize("policy", POLICIES)
def test_nothing_due_starts_nothing(policy: str) -> None:
    """Most ticks find nothing to do."""
    assert decide(policy, [], now_ms=at("2025-09-01T12:00")) == []


def test_after_three_hours_run_once_starts_the_newest_slot_only() -> None:
    """One run over the source says everything that three would have said."""
    slots = due("0 * * * *", "2025-09-01T09:00", "2025-09-01T12:30")
    (decision,) = decide(RUN_ONCE, slots, now_ms=at("2025-09-01T12:30"))
    assert decision.slot_ms == at("2025-09-01T12:00")
    assert decision.starts
    assert decision.reason == "also for 2 missed before it"


def test_after_three_hours_skip_starts_none_and_says_so() -> None:
    """A message that is only right at its hour is not sent later; but somebody may ask where it went."""
    slots = due("0 * * * *", "2025-09-01T09:00", "2025-09-01T12:30")
    (decision,) = decide(SKIP, slots, now_ms=at("2025-09-01T12:30"))
    assert (decision.slot_ms, decision.starts) == (at("2025-09-01T12:00"), False)
    assert decision.reason == "noticed 30 min late, and the policy is skip"


def test_skip_starts_what_is_due_now_even_if_others_were_missed() -> None:
    """The outage is over when a slot comes in time."""
    slots = due("0 * * * *", "2025-09-01T09:00", "2025-09-01T12:00")
    assert [(one.slot_ms, one.starts) for one in decide(SKIP, slots, now_ms=slots[-1] + 60_000)] == [(slots[-1], True)]


def test_after_three_hours_each_starts_every_slot() -> None:
    """For work that is about its hour: a count, an export."""
    slots = due("0 * * * *", "2025-09-01T09:00", "2025-09-01T12:30")
    decisions = decide(EACH, slots, now_ms=at("2025-09-01T12:30"))
    assert [one.slot_ms for one in decisions if one.starts] == slots
    assert len(slots) == 3


def test_each_is_capped_after_a_month_and_says_that_older_ones_are_left_out() -> None:
    """Seven hundred runs at once are worse than the outage."""
    slots = due("0 * * * *", "2025-09-01T00:00", "2025-10-01T00:00", most=CANDIDATES)
    decisions = decide(EACH, slots, now_ms=at("2025-10-01T00:00"))
    assert [one.starts for one in decisions] == [False] + [True] * EACH_MOST
    assert decisions[-1].slot_ms == at("2025-10-01T00:00")
    assert decisions[0].reason == f"older than the newest {EACH_MOST}"


def test_run_once_after_a_month_does_not_pretend_to_have_counted() -> None:
    """Only the newest slots are looked at."""
    slots = due("* * * * *", "2025-09-01T00:00", "2025-10-01T00:00", most=CANDIDATES)
    (decision,) = decide(RUN_ONCE, slots, now_ms=slots[-1])
    assert decision.reason == f"also for {EACH_MOST} or more missed before it"


def test_a_policy_that_does_not_exist_is_refused() -> None:
    """A row written by hand must not mean "each" by accident."""
    with pytest.raises(ValueError, match="sometimes"):
        decide("sometimes", [1], now_ms=2)


def test_a_tick_is_late_after_a_minute_and_a_half_or_when_there_never_was_one() -> None:
    """The scheduler may be dead, and the keepers are not."""
    assert tick_is_late(None, now_ms=0)
    assert not tick_is_late(1000, now_ms=1000 + TICK_LATE_MS)
    assert tick_is_late(1000, now_ms=1001 + TICK_LATE_MS)


# --- due times --------------------------------------------------------------------------------------------------------


def test_slots_are_after_the_last_one_and_up_to_now() -> None:
    """A slot at the boundary belongs to one tick, not to two and not to none."""
    assert due("0 * * * *", "2025-09-01T09:00", "2025-09-01T11:00") == [
        at("2025-09-01T10:00"),
        at("2025-09-01T11:00"),
    ]


def test_every_minute_of_a_day_is_found_whatever_the_ticks_are() -> None:
    """A thousand ticks at odd times together see each slot once."""
    start, seen = at("2025-09-01T00:00"), list[int]()
    moment = start
    for number in range(1, 400):
        until = start + number * 211_000
        seen += newest_due("* * * * *", zone=UTC, after_ms=moment, until_ms=until, most=CANDIDATES)
        moment = until
    assert seen == [start + minute * 60_000 for minute in range(1, (moment - start) // 60_000 + 1)]


def test_the_hours_are_those_of_the_tenants_wall() -> None:
    """Seven in the morning in Shanghai is not seven in the morning in London."""
    slots = due("0 7 * * *", "2025-09-01T00:00", "2025-09-01T23:00", zone=SHANGHAI)
    assert slots == [at("2025-08-31T23:00")]


def test_the_frequency_may_differ_by_the_hour_of_the_day() -> None:
    """Often while people look at their calendars, rarely at night."""
    text = "*/15 7-8 * * *; 0 0-6/3,22 * * *"
    slots = due(text, "2025-09-01T00:00", "2025-09-01T23:59", zone=SHANGHAI)
    assert [one[3:8] for one in local(slots, SHANGHAI)] == [
        "03:00", "06:00", "07:00", "07:15", "07:30", "07:45", "08:00", "08:15", "08:30", "08:45", "22:00",
    ]  # fmt: skip


def test_two_expressions_due_at_once_make_one_slot() -> None:
    """Or the run would find itself active."""
    assert due("0 * * * *; */30 * * * *", "2025-09-01T09:59", "2025-09-01T10:00") == [at("2025-09-01T10:00")]


def test_a_time_that_the_clock_leaps_over_is_due_at_the_end_of_the_gap() -> None:
    """In Berlin there is no 02:30 on that day; the night's work is still wanted, once."""
    slots = due("30 2 * * *; 15 2 * * *", "2025-03-29T12:00", "2025-03-31T12:00", zone=BERLIN)
    assert local(slots, BERLIN) == ["30 03:00 +0200", "31 02:15 +0200", "31 02:30 +0200"]


def test_a_time_that_comes_twice_is_due_once() -> None:
    """In Berlin 02:30 comes twice on that day; two nightly runs are one too many."""
    slots = due("30 2 * * *", "2025-10-25T12:00", "2025-10-27T12:00", zone=BERLIN)
    assert local(slots, BERLIN) == ["26 02:30 +0200", "27 02:30 +0100"]


def test_a_time_that_comes_twice_is_due_once_for_ticks_within_the_repeated_hour() -> None:
    """Between the two passes last_slot lies at an instant whose wall time comes again."""
    moment, seen = at("2025-10-26T01:50", BERLIN), list[int]()
    while moment < at("2025-10-26T04:00", BERLIN):
        until = moment + 60_000
        seen += newest_due("30 2 * * *", zone=BERLIN, after_ms=moment, until_ms=until, most=CANDIDATES)
        moment = until
    assert local(seen, BERLIN) == ["26 02:30 +0200"]


@pytest.mark.parametrize(("day", "hours"), [("2025-03-09", 23), ("2025-11-02", 25), ("2025-11-03", 24)])
def test_every_hour_means_every_hour_that_passes(day: str, hours: int) -> None:
    """The day on which the clock changes has 23 or 25 of them; none is doubled or lost."""
    start = datetime.fromisoformat(day).replace(tzinfo=NEW_YORK)
    until = (start + timedelta(days=1)).replace(tzinfo=NEW_YORK)
    after_ms, until_ms = round(start.timestamp() * 1000), round(until.timestamp() * 1000)
    slots = newest_due("0 * * * *", zone=NEW_YORK, after_ms=after_ms, until_ms=until_ms, most=100)
    assert len(slots) == hours
    assert {later - earlier for earlier, later in itertools.pairwise(slots)} == {HOUR_MS}


@pytest.mark.parametrize("day", ["0", "7", "SUN", "sun"])
def test_sunday_has_all_its_names(day: str) -> None:
    """A weekly schedule that never fires is noticed in the second month."""
    slots = due(f"0 0 * * {day}", "2025-09-01T00:00", "2025-09-30T00:00")
    assert [datetime.fromtimestamp(slot / 1000, UTC).day for slot in slots] == [7, 14, 21, 28]


def test_the_next_slot_after_a_weekend_is_the_first_of_monday() -> None:
    """Two restricted fields: the hour must not be overshot while days are skipped."""
    assert next_due("5 8-18/2 * * 1-5", zone=UTC, after_ms=at("2025-09-06T10:11")) == at("2025-09-08T08:05")


def test_only_the_newest_are_returned_and_rare_ones_are_found_far_back() -> None:
    """A monthly schedule after a long outage has its slot; a minutely one is not counted through."""
    assert due("0 0 1 * *", "2025-01-15T00:00", "2025-09-20T00:00", most=2) == [
        at("2025-08-01T00:00"),
        at("2025-09-01T00:00"),
    ]
    many = due("* * * * *", "2020-01-01T00:00", "2025-09-20T00:00", most=CANDIDATES)
    assert len(many) == CANDIDATES
    assert many[-1] == at("2025-09-20T00:00")


@pytest.mark.parametrize(
    ("text", "named", "problem"),
    [
        ("0 25 * * *", "0 25 * * *", "bad hour"),
        ("0 * * * *; 61 * * * *", "61 * * * *", "bad minute"),
        ("0 * * *", "0 * * *", "five fields"),
        ("0 0 * * * *", "0 0 * * * *", "five fields"),
        ("", "", "five fields"),
        ("0 * * * *;", "", "five fields"),
        ("@hourly", "@hourly", "five fields"),
        ("0 0 30 2 *", "0 0 30 2 *", "bad day-of-month"),
        ("*/0 * * * *", "*/0 * * * *", "bad minute"),
        ("; ".join(["0 * * * *"] * 30), "0 * *", f"longer than {LONGEST}"),
    ],
)
def test_a_text_that_is_no_schedule_is_refused_by_name(text: str, named: str, problem: str) -> None:
    """Whoever typed it must see which part, at once and not at the hour it should have run."""
    with pytest.raises(BadCron, match=problem) as caught:
        checked(text, zone=SHANGHAI, now_ms=at("2025-09-01T00:00"))
    assert caught.value.expression.startswith(named)


def test_a_text_is_stored_with_single_blanks() -> None:
    """Two people's spellings of one schedule look the same in a list."""
    assert checked("  0  *  * * * ;30 7 * * MON-FRI", zone=UTC, now_ms=0) == "0 * * * *; 30 7 * * MON-FRI"
