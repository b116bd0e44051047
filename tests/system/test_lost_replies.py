"""Creates that WPS carried out and whose answers got lost: the product finds them and makes no second one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.system.conftest import Make
from tests.system.expectations import exactly_the_campus, never_two_calls_in_a_lane

pytestmark = pytest.mark.system

CREATES = (r"/v7/calendars/create$", r"/permissions/batch_create", r"/events/batch_create")


def test_a_tenth_of_all_creates_lose_their_reply_and_nothing_is_doubled(make_product: Make, tmp_path: Path) -> None:
    """WPS has no idempotency key: whoever just sends again has two calendars, and students who see both."""
    script = tmp_path / "faults.json"
    rules = [
        {"match": {"method": "POST", "path": path}, "rate": 0.1, "do": "applied_reply_lost", "params": {"reset": reset}}
        for path, reset in zip(CREATES, (False, True, False), strict=True)
    ]
    script.write_text(json.dumps(rules), encoding="utf-8")
    product = make_product("--faults", str(script))
    product.start()
    product.until_succeeded(90)
    exactly_the_campus(product)
    never_two_calls_in_a_lane(product.calls())
    for rule in product.simulator("faults"):
        assert rule["fired"] >= 2, f"{rule['match']['path']} hardly lost a reply: {rule['fired']} of {rule['matched']}"
    lost = [call for call in product.calls() if call["fault"] == "applied_reply_lost"]
    assert lost and all(call["applied"] for call in lost)
    assert product.plan()["operations"] == 0
