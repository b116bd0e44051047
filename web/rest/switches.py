"""Switches: what is made simpler or closed while the product runs."""

from __future__ import annotations

from domain.switches import WORDS, Switch
from usecases import switches
from web import site
from web.envelope import Answer
from web.policy import needs, whole_school
from web.routes import Feature
from web.schemas import switches as shapes
from web.schemas.base import instant, to_ms

feature = Feature("switches", "开关 what is made simpler or closed while the product runs")


@feature.get("/switches", needs("switch.read", whole_school), items=shapes.SwitchTold)
def list_switches() -> Answer:
    """Every switch, on or off, and who turned it when."""
    return Answer({"items": [_shape(one).as_json() for one in switches.shown(site.deps())]})


@feature.put("/switches/<switch>", needs("switch.write", whole_school), data=shapes.SwitchTold)
def turn_switch(path: shapes.SwitchPath, body: shapes.SwitchIn) -> Answer:
    """Turn a switch on or off. Every process knows of it within two seconds."""
    deps = site.deps()
    until_ms = None if body.until is None else to_ms(body.until)
    made = switches.turn(
        deps, path.switch, body.on, actor=site.actor(), until_ms=until_ms, note=body.note, check_ins=body.check_ins
    )
    site.site().switches.forget(deps.tenant)
    return Answer(_shape(made).as_json())


def _shape(one: Switch) -> shapes.SwitchTold:
    zh, en = WORDS[one.name]
    return shapes.SwitchTold(
        name=one.name,
        zh=zh,
        en=en,
        on=one.is_on,
        until=instant(one.until_ms),
        check_ins=one.check_ins,
        note=one.note,
        actor=one.actor or None,
        at=instant(one.at_ms or None),
    )
