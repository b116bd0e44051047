"""What is kept about a person's attendance: given out, and erased."""

from __future__ import annotations

from usecases import personal_data
from web import site
from web.envelope import Answer
from web.policy import needs
from web.rest.courses import code_of, person_of
from web.routes import Feature
from web.schemas import courses as course_shapes
from web.schemas import personal_data as shapes

feature = Feature("personal_data", "个人数据 what is kept about a person")


@feature.get("/users/<code>/attendance-data", needs("export.read", person_of), data=shapes.AttendanceKept)
def export_attendance_data(path: course_shapes.PersonPath) -> Answer:
    """All that is kept about a student's attendance, evidence included; ``self``: about oneself."""
    found = personal_data.export(site.deps(), code_of(path.code, site.scope()))
    return Answer(shapes.AttendanceKept(**found).as_json())


@feature.delete("/users/<code>/attendance-data", needs("user.manage", person_of), data=shapes.AttendanceErased)
def erase_attendance_data(path: course_shapes.PersonPath) -> Answer:
    """Erase where and with what a student checked in, and what was written about him; that he attended stays."""
    done = personal_data.erase(site.deps(), code_of(path.code, site.scope()), actor=site.actor())
    return Answer(shapes.AttendanceErased(**done).as_json())
