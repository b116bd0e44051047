"""Events: creating, listing, changing, deleting."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.simulator_process import Simulator, event, running

SEPTEMBER = "start_time=2024-09-01T00:00:00%2B08:00&end_time=2024-10-01T00:00:00%2B08:00"


@pytest.fixture(scope="module")
def process() -> Iterator[Simulator]:
    with running() as simulator:
        yield simulator


@pytest.fixture
def wps(process: Simulator) -> Simulator:
    process.fresh()
    process.log_in()
    return process


@pytest.fixture
def path(wps: Simulator) -> str:
    return f"/v7/calendars/{wps.calendar()}/events"


def test_batch_answers_with_every_event_in_another_order(wps: Simulator, path: str) -> None:
    """Nothing says that answers come in the order of the request, so here they never do."""
    sent = [event(number) for number in range(1, 26)]
    items = wps.ok("POST", f"{path}/batch_create", {"events": sent})["items"]
    assert sorted(item["summary"] for item in items) == sorted(item["summary"] for item in sent)
    assert [item["summary"] for item in items] != [item["summary"] for item in sent]
    assert len({item["id"] for item in items}) == 25
    one = next(item for item in items if item["summary"] == sent[4]["summary"])
    assert {name: one[name] for name in sent[4]} == sent[4]
    assert one["status"] == "normal"


def test_batch_holds_one_to_a_hundred_events(wps: Simulator, path: str) -> None:
    """The size of the batch is the most effective limit of all."""
    assert wps.refusal("POST", f"{path}/batch_create", {"events": []}) == 400000003
    assert wps.refusal("POST", f"{path}/batch_create", {"events": [event()] * 101}) == 400000003
    assert len(wps.ok("POST", f"{path}/batch_create", {"events": [event()] * 100})["items"]) == 100


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"start_time": ...}, 400000002),
        ({"end_time": ...}, 400000002),
        ({"start_time": None}, 400000002),
        ({"start_time": "2024-09-01T08:00:00+08:00"}, 400000002),
        ({"start_time": {"datetime": "2024-09-01T08:00:00"}}, 400000002),
        ({"start_time": {"datetime": "2024-09-01 08:00:00+08:00"}}, 400000002),
        ({"start_time": {"datetime": "2024-02-30T08:00:00+08:00"}}, 400000002),
        ({"start_time": {"datetime": "2024-09-01T08:00:00+08:00", "date": "2024-09-01"}}, 400000002),
        ({"start_time": {}}, 400000002),
        ({"start_time": {"datetime": "2024-09-01T08:00:00+08:00", "zone": "x"}}, 400000004),
        ({"start_time": {"datetime": "2024-09-01T09:35:00+08:00"}}, 400411350),
        ({"start_time": {"datetime": "2024-09-01T10:00:00+08:00"}}, 400411350),
        ({"start_time": {"date": "2024-09-01"}}, 400411350),
        ({"summary": "课" * 1201}, 400411301),
        ({"summary": None}, 400000002),
        ({"description": "课" * 2001}, 400000106),
        ({"description": 7}, 400000002),
        ({"locations": [{"name": "甲"}, {"name": "乙"}]}, 400000003),
        ({"locations": [{"name": "课" * 1025}]}, 400411323),
        ({"locations": [{}]}, 400000002),
        ({"locations": None}, 400000002),
        ({"reminders": [{"minutes": 5}] * 11}, 400411311),
        ({"reminders": [{"minutes": "5"}]}, 400000002),
        ({"reminders": [{"minutes": True}]}, 400000002),
        ({"visibility": "public"}, 400000004),
        ({"recurrence": {"freq": "DAILY", "interval": 1}}, 400000004),
        ({"location": "东上院"}, 400000004),
    ],
)
def test_one_bad_item_fails_the_whole_batch(wps: Simulator, path: str, changes: dict[str, Any], code: int) -> None:
    """Base fields only, each within its size; what is refused leaves no trace."""
    body = {"events": [event(1), event(1, **changes), event(2)]}
    assert wps.refusal("POST", f"{path}/batch_create", body) == code
    assert wps.desk("state?counts=1")["events"] == 0


def test_longest_texts_pass_by_characters_and_not_bytes(wps: Simulator, path: str) -> None:
    """Chinese text has three bytes a character; limits count characters."""
    body = event(1, summary="课" * 1200, description="课" * 2000, reminders=[{"minutes": -5}] * 10)
    items = wps.ok("POST", f"{path}/batch_create", {"events": [body]})["items"]
    assert (len(items[0]["summary"]), len(items[0]["description"])) == (1200, 2000)


def test_times_come_back_in_the_services_own_zone(wps: Simulator, path: str) -> None:
    """The same instant may be written differently in the answer; texts must not be compared."""
    sent = event(1, start_time={"datetime": "2024-09-01T00:00:00Z"})
    made = wps.ok("POST", f"{path}/create", sent)
    assert made["start_time"] == {"datetime": "2024-09-01T08:00:00+08:00"}


def test_single_create_takes_the_fields_the_batch_does_not(wps: Simulator, path: str) -> None:
    """Visibility and recurrence exist only there, and are checked."""
    made = wps.ok("POST", f"{path}/create", event(1, visibility="private", free_busy_status="free", description=None))
    assert (made["visibility"], made["free_busy_status"], made["description"]) == ("private", "free", "")
    assert wps.refusal("POST", f"{path}/create", event(1, visibility="secret")) == 400000003
    assert wps.refusal("POST", f"{path}/create", event(1, recurrence={"freq": "DAILY"})) == 400000002
    assert wps.refusal("POST", f"{path}/create", event(1, attendees=[])) == 400000004


def test_window_shows_what_overlaps_it(wps: Simulator, path: str) -> None:
    """An event that reaches into the window by a minute is in it; one that ends at its start is not."""
    wps.ok("POST", f"{path}/batch_create", {"events": [event(number) for number in (1, 2, 3)]})
    window = "start_time=2024-09-01T09:34:00%2B08:00&end_time=2024-09-03T08:00:00%2B08:00"
    assert sorted(item["summary"] for item in wps.pages(f"{path}?{window}")) == ["线性代数 1", "线性代数 2"]
    window = "start_time=2024-09-01T09:35:00%2B08:00&end_time=2024-09-03T08:00:01%2B08:00"
    assert sorted(item["summary"] for item in wps.pages(f"{path}?{window}")) == ["线性代数 2", "线性代数 3"]


def test_all_day_event_fills_its_day(wps: Simulator, path: str) -> None:
    """A date is a whole day of the service's zone."""
    wps.ok("POST", f"{path}/create", event(1, start_time={"date": "2024-09-05"}, end_time={"date": "2024-09-05"}))
    inside = "start_time=2024-09-05T23:00:00%2B08:00&end_time=2024-09-06T01:00:00%2B08:00"
    after = "start_time=2024-09-06T00:00:00%2B08:00&end_time=2024-09-06T01:00:00%2B08:00"
    assert len(wps.pages(f"{path}?{inside}")) == 1
    assert wps.pages(f"{path}?{after}") == []


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("start_time=2024-09-01T00:00:00%2B08:00&end_time=2024-10-02T00:00:01%2B08:00", 400000003),
        ("start_time=2024-09-01T00:00:00%2B08:00", 400000003),
        ("start_time=2024-09-02T00:00:00%2B08:00&end_time=2024-09-01T00:00:00%2B08:00", 400411350),
        ("start_time=2024-09-01&end_time=2024-09-02", 400000002),
        ("start_time=2024-09-01T00:00:00+08:00&end_time=2024-09-02T00:00:00+08:00", 400000002),
        (f"{SEPTEMBER}&page_size=101", 400000003),
        (f"{SEPTEMBER}&page_size=0", 400000003),
        (f"{SEPTEMBER}&with_cancelled=yes", 400000002),
        ("sync_token=abc", 400000003),
    ],
)
def test_window_of_a_list_is_at_most_31_days(wps: Simulator, path: str, query: str, code: int) -> None:
    """A term is five windows; a plus sign that was not encoded is a space."""
    assert wps.refusal("GET", f"{path}?{query}") == code
    wps.ok("GET", f"{path}?start_time=2024-09-01T00:00:00%2B08:00&end_time=2024-10-02T00:00:00%2B08:00")


def test_pages_of_a_window_show_each_event_once(wps: Simulator, path: str) -> None:
    """Default pages have thirty items; a token does not fit another window."""
    for _ in range(3):
        wps.ok("POST", f"{path}/batch_create", {"events": [event(number) for number in range(1, 26)]})
    assert len({item["id"] for item in wps.pages(f"{path}?{SEPTEMBER}")}) == 75
    first = wps.ok("GET", f"{path}?{SEPTEMBER}")
    assert len(first["items"]) == 30
    other = SEPTEMBER.replace("2024-09-01", "2024-09-02")
    assert wps.refusal("GET", f"{path}?{other}&page_token={first['next_page_token']}") == 400000003


def test_update_changes_only_what_it_names(wps: Simulator, path: str) -> None:
    """Partial update: a null or absent field stays, an empty list clears."""
    made = wps.ok("POST", f"{path}/create", event(1, reminders=[{"minutes": 15}]))
    one = f"{path}/{made['id']}"
    changed = wps.ok("POST", f"{one}/update", {"summary": "新课名", "description": None, "locations": []})
    assert (changed["summary"], changed["description"]) == ("新课名", made["description"])
    assert "locations" not in changed
    assert changed["reminders"] == [{"minutes": 15}]
    assert wps.ok("GET", one) == changed


def test_update_without_a_change_is_refused_as_such(wps: Simulator, path: str) -> None:
    """The same values again have a code of their own, which a client takes as success."""
    made = wps.ok("POST", f"{path}/create", event(1))
    one = f"{path}/{made['id']}/update"
    assert wps.refusal("POST", one, event(1)) == 400411340
    assert wps.refusal("POST", one, {"start_time": {"datetime": "2024-09-01T00:00:00Z"}}) == 400411340
    assert wps.refusal("POST", one, {"is_notification": False}) == 400411340
    assert wps.refusal("POST", one, {"end_time": {"datetime": "2024-09-01T07:00:00+08:00"}}) == 400411350
    assert wps.refusal("POST", one, {"nonsense": 1}) == 400000004


def test_event_can_move_to_another_calendar(wps: Simulator, path: str) -> None:
    """`calendar_id` in an update is a move: there once, here no more."""
    made = wps.ok("POST", f"{path}/create", event(1))
    target = wps.calendar("另一门课")
    wps.ok("POST", f"{path}/{made['id']}/update", {"calendar_id": target})
    assert wps.refusal("GET", f"{path}/{made['id']}") == 404411305
    assert wps.pages(f"{path}?{SEPTEMBER}") == []
    assert [item["id"] for item in wps.pages(f"/v7/calendars/{target}/events?{SEPTEMBER}")] == [made["id"]]


def test_deleted_event_is_listed_only_on_demand(wps: Simulator, path: str) -> None:
    """Deleted ones come back as cancelled with `with_cancelled`; deleting twice says that it is not there."""
    made = wps.ok("POST", f"{path}/create", event(1))
    one = f"{path}/{made['id']}"
    assert wps.ok("POST", f"{one}/delete", {"is_notification": False}) is None
    answer = wps.send("POST", f"{one}/delete")
    assert (answer.status_code, answer.json()["code"]) == (404, 404411305)
    assert wps.refusal("GET", one) == 404411305
    assert wps.refusal("POST", f"{one}/update", {"summary": "x"}) == 404411305
    assert wps.pages(f"{path}?{SEPTEMBER}") == []
    assert [item["status"] for item in wps.pages(f"{path}?{SEPTEMBER}&with_cancelled=true")] == ["cancelled"]


def test_event_belongs_to_one_calendar(wps: Simulator, path: str) -> None:
    """An id under another calendar is not found."""
    made = wps.ok("POST", f"{path}/create", event(1))
    assert wps.refusal("GET", f"/v7/calendars/{wps.calendar('别的课')}/events/{made['id']}") == 404411305
    assert wps.refusal("POST", "/v7/calendars/nothing/events/batch_create", {"events": [event()]}) == 404411503


def test_sync_token_shows_what_changed_since(wps: Simulator, path: str) -> None:
    """Verification asks for changes only; deletes are among them."""
    made = wps.ok("POST", f"{path}/batch_create", {"events": [event(1), event(2), event(3)]})["items"]
    token = wps.ok("GET", f"{path}?{SEPTEMBER}")["next_sync_token"]
    nothing = wps.ok("GET", f"{path}?sync_token={token}")
    assert nothing["items"] == []
    wps.ok("POST", f"{path}/{made[0]['id']}/delete")
    wps.ok("POST", f"{path}/{made[1]['id']}/update", {"summary": "改"})
    changes = wps.ok("GET", f"{path}?sync_token={nothing['next_sync_token']}")
    assert {(item["id"], item["status"]) for item in changes["items"]} == {
        (made[0]["id"], "cancelled"),
        (made[1]["id"], "normal"),
    }
    assert wps.ok("GET", f"{path}?sync_token={changes['next_sync_token']}")["items"] == []


def test_search_finds_words_in_summary_and_description(wps: Simulator, path: str) -> None:
    """A marker in a description can be searched for."""
    wps.ok("POST", f"{path}/batch_create", {"events": [event(number) for number in range(1, 5)]})
    wps.ok("POST", f"{path}/create", event(5, description="⟦ob:ABC⟧"))
    assert [item["summary"] for item in wps.ok("POST", f"{path}/search", {"keyword": "ob:abc"})["items"]] == [
        "线性代数 5"
    ]
    page = wps.ok("POST", f"{path}/search", {"keyword": "线性", "page_size": 3})
    rest = wps.ok("POST", f"{path}/search", {"keyword": "线性", "page_size": 3, "page_token": page["next_page_token"]})
    assert len({item["id"] for item in page["items"] + rest["items"]}) == 5
    assert wps.refusal("POST", f"{path}/search", {"keyword": "线" * 101}) == 400000003
    assert wps.refusal("POST", f"{path}/search", {"keyword": "线", "page_size": 501}) == 400000003
