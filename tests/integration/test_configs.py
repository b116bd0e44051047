"""Settings as rows: four levels, a history, and two people who change the same one."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from db import audit
from db.configs import ConfigChanged, Place
from db.engine import in_unit, reading
from db.tables import tenants
from domain.configs import BadConfig, Level
from tests.integration.identity_rig import school
from usecases import configs
from usecases.configs import NoWayIn

pytestmark = pytest.mark.integration
KEY = "checkin.early_minutes"


def test_the_nearest_level_holds_zero_is_a_value_and_another_school_has_its_own(database: Engine) -> None:
    """A school sets 0 and means it; unsetting is another thing."""
    deps = school(database).deps

    def held(tenant: str = "main", offering: str | None = None) -> object:
        with reading(database) as tx:
            return configs.value_of(tx, KEY, tenant=tenant, offering=offering)

    assert held() == 15
    configs.change(deps, Place(Level.SYSTEM, "main"), {KEY: 20}, actor="ada")
    configs.change(deps, Place(Level.TENANT, "main"), {KEY: 0}, actor="ada")
    configs.change(deps, Place(Level.COURSE, "main", "algebra"), {KEY: 5}, actor="ada")
    assert (held(), held(offering="algebra"), held(offering="biology"), held("other")) == (0, 5, 0, 20)
    assert configs.change(deps, Place(Level.TENANT, "main"), {}, unset=[KEY], actor="bob") == {KEY: 0}
    assert held() == 20
    told = configs.history(deps, Place(Level.TENANT, "main"), KEY)
    assert [(one["before"], one["after"], one["is_set"], one["actor"]) for one in told] == [
        (0, None, False, "bob"),
        (None, 0, True, "ada"),
    ]
    with reading(database) as tx:
        acts = audit.listing(tx, tenant="main", thing=f"tenant:{KEY}")
    assert [(one["before"], one["after"]) for one in acts] == [(0, None), (None, 0)]


def test_of_two_who_change_the_same_value_the_second_is_told(database: Engine) -> None:
    """Nobody overwrites what he has not seen; and a bad value among good ones changes none."""
    deps = school(database).deps
    place = Place(Level.USER, "main", "s1")
    language = "user.language"
    configs.change(deps, place, {language: "en"}, actor="s1", version=0)
    with pytest.raises(ConfigChanged) as told:
        configs.change(deps, place, {language: ""}, actor="s1", version=0)
    assert told.value.version == 1
    configs.change(deps, place, {language: ""}, actor="s1", version=1)
    with pytest.raises(BadConfig):
        configs.change(deps, place, {language: "zh-CN", "calendar.reminder_minutes": -5}, actor="s1")
    (shown,) = [one for one in configs.values(deps, place) if one["key"] == language]
    assert (shown["value"], shown["is_set"], shown["version"], shown["from"]) == ("", True, 2, "user")
    configs.change(deps, place, {language: ""}, actor="s1")
    assert len(configs.history(deps, place)) == 2, "what says nothing new is no change"


def test_a_value_that_is_set_again_goes_on_counting(database: Engine) -> None:
    """Whoever saw it before it was unset and set again has not seen what is there now."""
    deps = school(database).deps
    place = Place(Level.USER, "main", "s1")
    configs.change(deps, place, {"user.language": "en"}, actor="s1", version=0)
    configs.change(deps, place, {}, unset=["user.language"], actor="s1", version=1)
    (shown,) = [one for one in configs.values(deps, place) if one["key"] == "user.language"]
    assert (shown["is_set"], shown["version"]) == (False, 2)
    with pytest.raises(ConfigChanged):
        configs.change(deps, place, {"user.language": "zh-CN"}, actor="s1", version=0)
    configs.change(deps, place, {"user.language": "zh-CN"}, actor="s1", version=2)
    with pytest.raises(ConfigChanged) as told:
        configs.change(deps, place, {"user.language": "en"}, actor="s1", version=1)
    assert told.value.version == 3


def test_the_last_way_of_signing_in_cannot_be_switched_off(database: Engine) -> None:
    """Neither by the school nor for the installation, nor by unsetting: nobody would come in to undo it."""
    deps = school(database).deps
    everywhere = tenants.update()
    in_unit(database, lambda tx: tx.execute(everywhere.values(wps_app_id="")))
    tenant, system = Place(Level.TENANT, "main"), Place(Level.SYSTEM, "main")
    for place in (tenant, system):
        with pytest.raises(NoWayIn):
            configs.change(deps, place, {"sign_in.password": False}, actor="ada")
    in_unit(database, lambda tx: tx.execute(everywhere.values(wps_app_id="app")))
    configs.change(deps, tenant, {"sign_in.password": False}, actor="ada")
    with pytest.raises(NoWayIn):
        configs.change(deps, tenant, {"sign_in.wps": False}, actor="ada")
    with reading(database) as tx:
        assert configs.value_of(tx, "sign_in.wps", tenant="main") is True
    for one in (tenant, Place(Level.TENANT, "other")):
        configs.change(deps, one, {"sign_in.password": True}, actor="ada")
    configs.change(deps, system, {"sign_in.password": False}, actor="ada")
    configs.change(deps, system, {"sign_in.wps": False}, actor="ada")
    with pytest.raises(NoWayIn):
        configs.change(deps, tenant, {}, unset=["sign_in.password"], actor="ada")
