"""What somebody has on which day, kept by a process while no import changes it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from db import imports
from db.engine import in_unit
from db.tables import tenants
from tests.integration.test_jobs import TENANT
from usecases.timetables import ANSWER_S, VERSION_S, Timetables

pytestmark = pytest.mark.integration


class Rig:
    """A cache whose clock the test turns, and a database whose answers are counted."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.now_s = 1_000.0
        self.asked = 0
        self.cache = Timetables(clock=lambda: self.now_s)

    def day(self) -> list[dict[str, Any]]:
        def made(_: Connection) -> list[dict[str, Any]]:
            self.asked += 1
            return [{"answer": self.asked}]

        return self.cache.get(self.engine, ("day", "2024-09-02"), made, tenant=TENANT)

    def begin(self) -> int:
        return in_unit(
            self.engine,
            lambda tx: imports.begin(
                tx, tenant=TENANT, run_id="r", source="s", files={}, fingerprint="", part=imports.READ
            ),
        )

    def complete(self, import_no: int) -> None:
        in_unit(self.engine, lambda tx: imports.complete(tx, tenant=TENANT, import_no=import_no, findings=0))


@pytest.fixture
def rig(database: Engine) -> Rig:
    row = {"id": TENANT, "zone": "Asia/Shanghai", "settings": "{}", "wps_app_id": "", "wps_app_key": ""}
    in_unit(database, lambda tx: tx.execute(tenants.insert().values(**row, last_import_no=0, created_ms=0)))
    return Rig(database)


def test_an_answer_is_made_once_and_again_when_an_import_is_complete(rig: Rig) -> None:
    """Everybody looks at the same minute; and nobody may go to yesterday's room tomorrow."""
    rig.complete(rig.begin())
    assert [rig.day() for _ in range(3)] == [[{"answer": 1}]] * 3
    rig.complete(rig.begin())
    assert rig.day() == [{"answer": 1}], "for a second"
    rig.now_s += VERSION_S
    assert [rig.day() for _ in range(3)] == [[{"answer": 2}]] * 3


def test_nothing_is_kept_while_an_import_is_written(rig: Rig) -> None:
    """Half of a new timetable must not be shown for as long as a whole one."""
    rig.complete(rig.begin())
    rig.day()
    import_no = rig.begin()
    rig.now_s += VERSION_S
    assert [rig.day() for _ in range(2)] == [[{"answer": 2}], [{"answer": 3}]]
    rig.complete(import_no)
    rig.now_s += VERSION_S
    assert [rig.day() for _ in range(2)] == [[{"answer": 4}]] * 2


def test_what_was_kept_before_an_import_that_failed_is_not_shown_after_it(rig: Rig) -> None:
    """It may have changed rows before it failed."""
    rig.complete(rig.begin())
    rig.day()
    import_no = rig.begin()
    in_unit(rig.engine, lambda tx: imports.fail(tx, tenant=TENANT, import_no=import_no, error="no"))
    rig.now_s += VERSION_S
    assert rig.day() == [{"answer": 2}]


def test_no_answer_is_kept_for_longer_than_a_minute(rig: Rig) -> None:
    """An archived term goes without an import."""
    rig.complete(rig.begin())
    rig.day()
    rig.now_s += ANSWER_S + VERSION_S
    assert rig.day() == [{"answer": 2}]
