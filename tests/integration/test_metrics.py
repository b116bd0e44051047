"""Figures for Prometheus: of all processes, from any of them, and about nobody."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert

from bootstrap.broker import stream_client
from db import lanes, paused_queues, processes
from db.check_in_stream import stream_key
from db.engine import in_unit
from db.processes import Process
from db.tables import attendance_roster, jobs
from observability import exposition, metrics
from tests.integration.api_rig import CANARY, HOME, TERM, Api, SignedNames
from tests.integration.things_rig import dead_letter, things
from usecases.figures import LANES_NAMED
from usecases.heartbeat import Heartbeat
from web.app import create_app

pytestmark = pytest.mark.integration

TOKEN = "a-token-of-the-collector"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scraped(api: Api, **headers: str) -> Samples:
    """Every sample of a fresh scrape by name and labels, read as Prometheus reads it."""
    api.app.extensions.pop("scrapes", None)
    response = api.person(None).get("/metrics", **headers)
    assert response.status_code == 200, response.get_data(as_text=True)
    assert response.mimetype == "text/plain"
    found: Samples = {}
    for family in text_string_to_metric_families(response.get_data(as_text=True)):
        for one in family.samples:
            key = (one.name, tuple(sorted(one.labels.items())))
            assert key not in found, "each series once"
            found[key] = one.value
    return found


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, tuple(sorted(labels.items()))]


def beats(api: Api, process_id: str, kind: str, counts: metrics.Counts) -> None:
    """Another process tells what it has counted."""
    one = Process(process_id, kind, "elsewhere", 1, "0.1.0", (), 1)
    in_unit(api.engine, lambda tx: processes.beat(tx, one, state="running", doing={"pool": [2, 5]}, counts=counts))


def test_any_process_tells_the_figures_of_all(api: Api) -> None:
    """Workers have no port; two web processes share one address; a sum is asked of either."""
    route = metrics.BETWEEN.join(("GET", "/x", "200"))
    seconds = {metrics.BETWEEN.join(("GET", "/x")): [1, 0, 2, *[0] * 8, 0.5]}
    for number in (1, 2):
        counted = {"obsync_http_requests_total": {route: number}, "obsync_http_request_seconds": seconds}
        beats(api, f"web-{number}", "web", counted)
    beats(api, "lanes-1", "lanes", {"obsync_lane_slices_total": {"empty": 7}})
    found = scraped(api)
    assert value(found, "obsync_http_requests_total", process="web", method="GET", route="/x", status="200") == 3
    bucket = {"process": "web", "method": "GET", "route": "/x"}
    assert value(found, "obsync_http_request_seconds_bucket", **bucket, le="0.025") == 6
    assert value(found, "obsync_http_request_seconds_count", **bucket) == 6
    assert value(found, "obsync_http_request_seconds_sum", **bucket) == 1
    assert value(found, "obsync_lane_slices_total", process="lanes", ended="empty") == 7
    assert value(found, "obsync_processes", process="web", state="running") == 2
    assert value(found, "obsync_db_pool_in_use", process="web") == 4


def test_gauges_are_what_is_true_now(api: Api) -> None:
    """A copy that somebody forgot to bring up to date would be believed."""
    dead_letter(api, "own")
    dead_letter(api, "abroad")
    api.run(state="needs_confirmation")
    in_unit(api.engine, lambda tx: paused_queues.pause(tx, "sync", actor="zoe"))
    in_unit(api.engine, lambda tx: tx.execute(insert(attendance_roster), [_roster(api)]))
    hour_ago_ms = round((time.time() - 3_600) * 1000)
    stream_client(api.settings).xadd(stream_key(0), {"r": "?"}, id=f"{hour_ago_ms}-1")
    found = scraped(api)
    assert value(found, "obsync_dead_letters", kind="event") == 2
    assert value(found, "obsync_runs", state="needs_confirmation") == 1
    assert (value(found, "obsync_queue_paused", queue="sync"), value(found, "obsync_queue_paused", queue="tick")) == (
        1,
        0,
    )
    assert value(found, "obsync_attendance", standing="attended") == 30
    assert value(found, "obsync_limiter_max_rate") == api.settings.wps_rate
    assert value(found, "obsync_wps_circuit", state="closed") == 1
    assert value(found, "obsync_up", part="database") == 1
    assert value(found, "obsync_up", part="redis_stream") == 1
    assert value(found, "obsync_checkin_stream_length") == 1
    assert value(found, "obsync_checkin_stream_oldest_seconds") > 3_000


def _roster(api: Api) -> dict[str, Any]:
    from db.clock import now_ms
    from db.engine import reading

    with reading(api.engine) as tx:
        at = now_ms(tx) - 3_600_000
    row: dict[str, Any] = {
        "tenant_id": HOME,
        "term": TERM,
        "session_id": "s",
        "course_id": "c",
        "course_date": "2024-09-02",
    }
    counts = ("attended", "absent", "leave", "pending", "review", "late", "early")
    row |= {f"{name}_count": 30 if name == "attended" else 0 for name in counts}
    row |= {"start_ms": at, "end_ms": at + 1, "made_ms": at, "status": "COMPLETED", "total_students": 30}
    return {**row, "version": 1, "marks": 0}


def test_lanes_beyond_the_first_are_one_series(api: Api) -> None:
    """A thousand colleges must not be a thousand series for ever."""
    many = LANES_NAMED + 5
    row = {"tenant_id": HOME, "kind": "event", "group_id": "cal:1", "term": "t", "payload": "{}", "desired_hash": "h"}
    row |= {"schema_ver": 1, "rev": 1, "import_no": 1, "tier": 0, "priority": 0, "state": "queued", "run_at": 1}
    waiting = [
        {**row, "id": f"j{n}", "target": f"e{n}", "open_key": f"e{n}", "lane": f"college-{n:02}", "attempts": 0, "created_ms": 1}
        for n in range(many)
    ]  # fmt: skip

    def work(tx: Any) -> None:
        lanes.make(tx, tenant=HOME, names=[one["lane"] for one in waiting])
        tx.execute(jobs.insert(), waiting)

    in_unit(api.engine, work)
    sending = {"lanes": {f"{HOME}/college-{many - 1:02}": 40}}
    one = Process("lanes-1", "lanes", "here", 1, "", (), 1)
    in_unit(api.engine, lambda tx: processes.beat(tx, one, state="running", doing=sending, counts={}))
    samples = scraped(api)
    assert value(samples, "obsync_lane_sent_per_minute", tenant=HOME, lane=f"college-{many - 1:02}") == 40
    found = {labels: one for (name, labels), one in samples.items() if name == "obsync_lane_pending"}
    assert len(found) == LANES_NAMED + 1
    assert found[("lane", "other"), ("tenant", "other")] == 5


def test_figures_name_no_person_and_nothing_that_somebody_sent(api: Api) -> None:
    """Who may see how busy the product is need not be let see who studies what."""
    for whose in ("own", "abroad"):
        things(api, whose)
    zoe = api.person("zoe")
    zoe.get(f"/api/v1/users/mei/{CANARY}")
    zoe.ask("BREW", f"/api/v1/courses/{CANARY}?phone=13800138000")
    zoe.get("/api/v1/sync/runs", Authorization="Bearer planted-secret")
    Heartbeat(api.engine, kind="web", version="", new_id=api.deps.new_id).beat()
    api.app.extensions.pop("scrapes", None)
    told = api.person(None).get("/metrics").get_data(as_text=True)
    for secret in (CANARY, "mei", "zoe", "13800138000", "planted-secret", "BREW"):
        assert secret not in told, secret
    assert "/api/v1/sync/runs" in told


def test_only_the_collector_may_ask(api: Api) -> None:
    """How many are absent is nobody's business outside."""
    stranger = api.person(None)
    assert stranger.get("/metrics", X_Forwarded_For="198.51.100.7").status_code == 403, (
        "through a proxy of this machine"
    )
    far = api.app.test_client().get("/metrics", environ_base={"REMOTE_ADDR": "198.51.100.7"})
    assert (far.status_code, far.get_json()["error"]["code"]) == (403, "FORBIDDEN")
    guarded = create_app(api.deps, replace(api.settings, metrics_token=TOKEN), SignedNames()).test_client()
    for shown in ("", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN):
        assert guarded.get("/metrics", headers={"Authorization": shown}).status_code == 401, shown
    answer = guarded.get(
        "/metrics", headers={"Authorization": f"Bearer {TOKEN}"}, environ_base={"REMOTE_ADDR": "198.51.100.7"}
    )
    assert answer.status_code == 200


# On SQLite alone: the table that is dropped here is one that all tests on MariaDB share.
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_cannot_be_read_is_said_and_the_rest_is_told(api: Api) -> None:
    """The scrape during an outage is the one that matters."""
    api.person(None).get("/healthz")
    away = replace(api.settings, stream_url="unix:///nowhere/stream.sock")
    api = replace(api, app=create_app(api.deps, away, SignedNames()))
    in_unit(api.engine, lambda tx: tx.exec_driver_sql("DROP TABLE paused_queues"))
    try:
        found = scraped(api)
        assert value(found, "obsync_up", part="figures") == 0
        assert value(found, "obsync_up", part="redis_stream") == 0
        assert "obsync_checkin_stream_length" not in {name for name, _ in found}, "not told as none"
        assert value(found, "obsync_up", part="database") == 1
        assert value(found, "obsync_limiter_max_rate") > 0
        assert [name for name, _ in found if name == "obsync_http_requests_total"], "its own counts at least"
    finally:
        from db.tables import paused_queues as table

        with api.engine.begin() as connection:
            table.create(connection)


# --- the dashboard ------------------------------------------------------------------------------------------------------

_NAME = re.compile(r"\bobsync_[a-z_]+")


def known_series() -> set[str]:
    """Every name that a scrape may have."""
    found = set()
    for name, about in metrics.CATALOGUE.items():
        found |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if about.kind == "histogram" else {name}
    return found


def test_the_dashboard_asks_for_what_there_is_and_for_all_of_it(project: Path) -> None:
    """A panel with a name that is gone stays empty, and looks as if all were well."""
    dashboard = json.loads((project / "docs" / "grafana" / "obsync.json").read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    assert len(asked) > 30
    named = {name for expr in asked for name in _NAME.findall(expr)}
    assert named - known_series() == set()
    assert {re.sub(r"_(bucket|sum|count)$", "", one) for one in named} >= set(metrics.CATALOGUE)
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_labels_in_the_dashboard_are_labels_that_there_are(project: Path) -> None:
    """A sum by a label that no series has is one line without a name."""
    dashboard = json.loads((project / "docs" / "grafana" / "obsync.json").read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            expr = target["expr"]
            abouts = [one for name, one in metrics.CATALOGUE.items() if name in expr]
            labels = {"le", "process"} | {label for one in abouts for label in one.labels}
            used = {one.strip() for found in re.findall(r"by \(([^)]*)\)", expr) for one in found.split(",")}
            used |= set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) | set(re.findall(r"[{,](\w+)=", expr))
            assert used <= labels, expr


def test_a_counter_has_a_last_series(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a mistake puts into a label, memory and the collector survive it."""
    monkeypatch.setattr(metrics, "_MOST_SERIES", 2)
    counter = metrics.Counter.__new__(metrics.Counter)
    about = metrics.Described("of_a_test", "", ("a", "b"), "counter")
    counter.about, counter._lock, counter._values = about, metrics.threading.Lock(), {}
    for n in range(5):
        counter.add(str(n), "x")
    assert counter.taken() == {
        metrics.BETWEEN.join(("0", "x")): 1,
        metrics.BETWEEN.join(("1", "x")): 1,
        metrics.BETWEEN.join(("other", "other")): 3,
    }
    with pytest.raises(ValueError, match="labels"):
        counter.add("a")


def test_counts_of_another_version_do_not_spoil_the_sum() -> None:
    """During a deployment old and new processes tell at the same time."""
    old, new = {"h": {"k": [1.0, 2.0]}, "gone": {"": 1}}, {"h": {"k": [1.0, 2.0, 3.0]}}
    assert metrics.add_up([old, new])["h"]["k"] == [1.0, 2.0]
    assert b"gone" not in exposition.text(exposition.Figures(counts={"web": metrics.add_up([old, new])}))


def test_the_page_lists_every_metric_with_its_labels(project: Path) -> None:
    """Whoever writes an alert looks there, not in the code."""
    page = (project / "docs" / "flows" / "observing.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(obsync_\w+)` \| ([\w, ]*) \|", page, re.MULTILINE)
    assert dict(listed) == {name: ", ".join(about.labels) for name, about in metrics.CATALOGUE.items()}
