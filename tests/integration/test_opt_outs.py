"""A person who wants no calendar: it goes, stays away whatever is synced and verified, and comes back when they ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from db.engine import reading
from db.tables import audit
from domain.layouts import PERSONAL
from tests.integration.campus_rig import TERM
from tests.integration.drain_rig import World
from tests.integration.runs_rig import Runs, course, runs_of
from usecases import opt_outs
from usecases.opt_outs import OptOutRefused, UnknownPerson
from usecases.sync import layout
from usecases.sync.planning import tally

pytestmark = pytest.mark.integration


@pytest.fixture
def main(here: World, tmp_path: Path) -> Iterator[Runs]:
    """A tenant without anything."""
    with runs_of(here, tmp_path) as made:
        yield made


def campus(main: Runs) -> Path:
    """Two students in one course, with a teacher."""
    people = [{"ex_user_id": one, "user_name": one} for one in ("s1", "s2", "t1")]
    main.here.simulator.desk("people", {"people": people})
    rows = [row | {"ghs": "t1", "xms": "甲"} for row in course("A", weeks=range(1, 4))]
    return main.source(
        rows,
        students=[{"xh": one, "xm": one, "xydm": "", "xymc": "数学学院"} for one in ("s1", "s2")],
        teachers=[{"gh": "t1", "xm": "甲", "ssdwdm": "", "ssdwmc": "数学学院"}],
        enrolments=[{"xh": one, "kkh": "A", "xnxq": TERM} for one in ("s1", "s2")],
    )


def readers(main: Runs) -> list[str]:
    """Who may read or write any calendar, by school number."""
    return sorted(
        person["ex_user_id"] for one in main.here.calendars() for person in one["permissions"] if person["ex_user_id"]
    )


def is_clean(main: Runs) -> bool:
    """Nothing is left to plan, and a look at everything finds nothing."""
    planned: dict[Any, int] = {}
    for _, plans in layout.planner(main.engine, "main", main.deps.secret).pages():
        planned |= tally(plans)
    return not planned and main.look_at_everything("verify")["report"]["discrepancies"] == 0


def change(main: Runs, code: str, *, out: bool) -> dict[str, Any]:
    """They ask, and the lanes carry it out."""
    asked = (opt_outs.opt_out if out else opt_outs.opt_in)(main.deps, code, term=TERM, actor="ada")
    main.drain()
    return asked


def test_a_student_who_opts_out_is_no_reader_until_they_opt_in(main: Runs) -> None:
    """What somebody does not want must not come back with the next sync, nor as a repair."""
    source = campus(main)
    main.sync(source)
    assert readers(main) == ["s1", "s2", "t1"]
    assert change(main, "s1", out=True)["changed"]
    assert readers(main) == ["s2", "t1"]
    assert not change(main, "s1", out=True)["changed"]
    main.sync(source)
    assert is_clean(main)
    main.look_at_everything("repair")
    assert readers(main) == ["s2", "t1"]
    assert [one["code"] for one in opt_outs.listing(main.deps, term=TERM)] == ["s1"]
    change(main, "s1", out=False)
    assert readers(main) == ["s1", "s2", "t1"]
    assert is_clean(main)
    with reading(main.engine) as tx:
        acts = [row.action for row in tx.execute(select(audit).order_by(audit.c.id)) if row.thing == "s1"]
    assert acts == ["people.opt_out", "people.opt_in"]


def test_a_personal_calendar_goes_and_comes_back(main: Runs) -> None:
    """Their own calendar is theirs to refuse, teachers included."""
    source = campus(main)
    main.sync(source, settings={"layout": PERSONAL})
    assert readers(main) == ["s1", "s2", "t1"]
    for code in ("s1", "t1"):
        change(main, code, out=True)
    assert readers(main) == ["s2"]
    main.sync(source)
    assert is_clean(main) and readers(main) == ["s2"]
    change(main, "s1", out=False)
    assert readers(main) == ["s1", "s2"] and is_clean(main)


def test_who_cannot_opt_out_is_told_why(main: Runs) -> None:
    """A course without its teacher's hand in it is nobody's wish."""
    main.sync(campus(main))
    with pytest.raises(OptOutRefused, match="t1"):
        opt_outs.opt_out(main.deps, "t1", term=TERM, actor="ada")
    with pytest.raises(UnknownPerson):
        opt_outs.opt_out(main.deps, "nobody", term=TERM, actor="ada")
