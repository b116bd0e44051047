"""`obsync classes`: finding classes."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import click

from domain.alterations import CHINESE
from usecases import classes as cases
from workers.cli.changes import limit_option, term_option
from workers.cli.console import answer, command, json_option, open_product, table, when

_DATE = click.DateTime(["%Y-%m-%d"])


@click.command()
@term_option
@click.option("--course", metavar="COURSE", help="Its number, code, or part of its name.")
@click.option("--teacher", metavar="TEACHER", help="A code or a name.")
@click.option("--student", metavar="CODE", help="Whose classes.")
@click.option("--room", metavar="ROOM", help="As people write it: 一教101.")
@click.option("--day", type=_DATE, help="A date.")
@limit_option
@json_option
@command
def classes(
    term: str | None,
    course: str | None,
    teacher: str | None,
    student: str | None,
    room: str | None,
    day: datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    """Find classes by course, person, room or day, with their ids and what was changed about them."""
    _, wired = open_product()
    wanted = {"term": term, "course": course, "teacher": teacher, "student": student, "room": room}
    date_ = day.date().isoformat() if day else None
    found = cases.find(wired.deps, limit=limit, day=date_, **wanted)
    answer(as_json, found, lambda: _classes(found["items"], wired.deps.zone))


def _classes(items: list[dict[str, Any]], zone: ZoneInfo) -> None:
    rows = [
        (
            one["id"],
            one["course"],
            f"{when(one['start_ms'], zone)}{' ①' if one['first_of_day'] else ''}",
            one["week"],
            one["periods"],
            "、".join("".join(room[1:]) for room in one["rooms"]),
            "、".join(one["teachers"]),
            " ".join(f"{CHINESE[kind]} {kind}" for kind in one["changed"]),
        )
        for one in items
    ]
    columns = ("id", "course 课程", "start 开始", "week", "periods", "room 教室", "teachers 教师", "changed 变动")
    table("classes 课次", columns, rows, empty="no classes 没有课次: look with fewer options")
