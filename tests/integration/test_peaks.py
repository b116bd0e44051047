"""The forecast over a school: by rosters, and by rolls where there is no roster yet."""

from __future__ import annotations

import pytest
from sqlalchemy import delete

from db.tables import attendance_roster, attendance_roster_detail
from domain.configs import Level
from tests.integration.api_bell_rig import HOUR_MS, MINUTE_MS, bell
from tests.integration.api_rig import HOME, Api
from usecases import configs, peaks
from usecases.configs import Place

pytestmark = pytest.mark.integration


def test_the_next_peak_is_told_with_and_without_rosters(api: Api) -> None:
    """Three students, all in the minute of the bell."""
    here = bell(api)
    configs.change(api.deps, Place(Level.TENANT, HOME), {"peak.arrivals": ["0:100", "1:0"]}, actor="user:ada")
    before = here.now_ms - 30 * MINUTE_MS
    found = peaks.forecast(api.deps, waiting=7, hours=2, now=before)
    minute = here.now_ms - here.now_ms % MINUTE_MS
    assert [(one["at_ms"] // MINUTE_MS, one["check_ins"]) for one in found["items"]] == [(minute // MINUTE_MS, 3.0)]
    assert (found["highest_per_minute"], found["waiting"]) == (3.0, 7)
    assert found["suggested"] == {"web": 1, "checkins": 1, "lanes": 1}
    with api.engine.begin() as tx:
        for table in (attendance_roster_detail, attendance_roster):
            tx.execute(delete(table).where(table.c.tenant_id == HOME))
    assert peaks.forecast(api.deps, waiting=None, hours=2, now=before)["highest_per_minute"] == 3.0
    assert peaks.forecast(api.deps, waiting=None, hours=2, now=before - 24 * HOUR_MS)["items"] == []
    shown = api.person("ada").get("/api/v1/peak?hours=3").get_json()["data"]
    assert (shown["waiting"], shown["suggested"]["web"]) == (0, 1)
    assert api.person("mei").get("/api/v1/peak").status_code == 403
