"""Classes at the bell for the tests of the API: of Mei's and Bao's course, with a clock that the test turns."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import insert

from db.engine import in_unit
from db.tables import rolls, rooms, sessions
from domain.ids import key_of
from tests.integration.api_rig import HOME, MATHS, TERM, Api
from usecases import rosters
from usecases.places import opener
from web.site import NAME
from workers.batcher import Batcher

HOUR_MS, MINUTE_MS = 3_600_000, 60_000
LAT, LON = 39.9, 116.4
HERE = {"latitude": LAT, "longitude": LON, "accuracy": 15.0}


@dataclass
class Bell:
    """Two classes of one course, the second two days after the first; `now_ms` is what the desk takes for the time."""

    api: Api
    now_ms: int
    session_ids: list[str] = field(default_factory=list)

    @property
    def desks(self) -> Any:
        return self.api.app.extensions[NAME].desks

    def asked(self, session: int = 0, **changed: Any) -> dict[str, Any]:
        """What a phone in the room sends."""
        return {"scheduleId": self.session_ids[session], "clientId": "k1", "location": HERE, **changed}

    def drain(self, tenant: str = HOME) -> None:
        """Write all that waits in the stream."""
        stream = self.desks.stream
        opens = opener(self.api.deps.encryption_keys)
        writer = Batcher(self.api.engine, stream, tenant=tenant, new_id=self.api.deps.new_id, open_place=opens)
        while stream.length():
            writer.step()


def bell(
    api: Api, *, students: tuple[str, ...] = ("mei", "s2", "s3"), tenant: str = HOME, college: str = MATHS
) -> Bell:
    """The first class begins now. Bao teaches it."""
    now = api.app.extensions[NAME].desks.of(tenant)._clock()
    made = Bell(api, now)
    course = key_of(tenant, college)
    people = [("student", code) for code in students] + [("teacher", "bao")]

    def work(tx: Any) -> None:
        tx.execute(
            insert(rooms),
            [{"tenant_id": tenant, "xq": "", "lq": "一教", "room": "101", "lat": str(LAT), "lon": str(LON)}],
        )
        tx.execute(
            insert(rolls),
            [
                {"tenant_id": tenant, "term": TERM, "offering_id": course, "kind": kind, "code": code, "import_no": 1}
                for kind, code in people
            ],
        )
        for number, start_ms in enumerate((now, now + 48 * HOUR_MS)):
            made.session_ids.append(f"{tenant}-class-{number}")
            tx.execute(insert(sessions), [{
                "tenant_id": tenant, "term": TERM, "id": made.session_ids[-1], "offering_id": course, "jxz": 1, "zc": 1,
                "jc_s": "1/2", "date": "2024-09-02", "start_ms": start_ms, "end_ms": start_ms + HOUR_MS,
                "rooms": json.dumps([["", "一教", "101"]]), "teachers": '["bao"]', "source_rows": 2, "import_no": 1,
            }])  # fmt: skip

    in_unit(api.engine, work)
    rosters.make_ahead(api.engine, tenant=tenant, from_ms=now - 1, until_ms=now + 72 * HOUR_MS)
    made.desks.of(tenant)._clock = lambda: made.now_ms
    return made
