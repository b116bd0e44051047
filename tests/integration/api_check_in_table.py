"""Who may do what at the bell: the part of the expected table that is about check-ins, written by hand."""

from __future__ import annotations

from typing import Any

_MEMBERS = dict.fromkeys(("student", "teacher", "secretary", "admin", "platform"), "*")
_OF_CLASSES = {"admin": "oc", "platform": "oc"}

CHECK_INS: dict[str, dict[str, str]] = {
    "POST /api/v1/checkin": {},
    "GET /api/v1/checkin/<session_id>": dict.fromkeys(("student", "admin", "platform"), "oc"),
    "POST /api/v1/checkout": {},
    "GET /api/v1/courses/<course_id>/check-in-rules": _OF_CLASSES,
    "PUT /api/v1/courses/<course_id>/check-in-rules": _OF_CLASSES,
    "POST /api/v1/receipts/verify": {"anyone": "*", **_MEMBERS},
    "GET /api/v1/sessions/<session_id>/class-code": _OF_CLASSES,
    "POST /api/v1/sessions/<session_id>/start": _OF_CLASSES,
    "POST /api/v1/sessions/<session_id>/extend": _OF_CLASSES,
    "POST /api/v1/sessions/<session_id>/end": _OF_CLASSES,
    "GET /api/v1/sessions/<session_id>/roster": {"secretary": "o", **_OF_CLASSES},
    "POST /api/v1/checkin/manual": _OF_CLASSES,
    "POST /api/v1/checkin/roll": _OF_CLASSES,
    "GET /api/v1/checkins": _MEMBERS,
    "GET /api/v1/courses/<course_id>/attendance": {"secretary": "o", **_OF_CLASSES},
    "GET /api/v1/users/<code>/attendance": {"secretary": "o", "admin": "ocs", "platform": "ocs"},
    "GET /api/v1/statistics/students": _MEMBERS,
    "GET /api/v1/statistics/courses": _MEMBERS,
    "GET /api/v1/statistics/teachers": _MEMBERS,
    "GET /api/v1/statistics/colleges": _MEMBERS,
    "GET /api/v1/users/<code>/attendance/periods": {"secretary": "o", "admin": "ocs", "platform": "ocs"},
    "POST /api/v1/attendance/recounts": {"admin": "*", "platform": "*"},
    "GET /api/v1/attendance/recounts": {"secretary": "*", "admin": "*", "platform": "*"},
    "GET /api/v1/attendance/recounts/<recount_id>/drift": dict.fromkeys(("secretary", "admin", "platform"), "ocs"),
    "POST /api/v1/attendance/recounts/<recount_id>/cancel": {"admin": "ocs", "platform": "ocs"},
    "GET /api/v1/attendance/exceptions": _MEMBERS,
    "GET /api/v1/attendance/exceptions/counts": _MEMBERS,
    "GET /api/v1/attendance/refusals": _MEMBERS,
    "GET /api/v1/attendance/refusals/counts": _MEMBERS,
    "GET /api/v1/exports/exceptions": {"admin": "*", "platform": "*"},
    "POST /api/v1/export-tasks": {"secretary": "o", **_OF_CLASSES},
    "GET /api/v1/export-tasks": _MEMBERS,
    "GET /api/v1/export-tasks/<export_id>": {"admin": "ocs"},
    "GET /api/v1/export-tasks/<export_id>/file": {"admin": "ocs"},
    "POST /api/v1/export-tasks/<export_id>/cancel": {"admin": "ocs"},
    "GET /api/v1/exports/courses/<course_id>/attendance": {"secretary": "o", **_OF_CLASSES},
    "GET /api/v1/users/<code>/attendance-data": {"secretary": "o", "admin": "ocs", "platform": "ocs"},
    "DELETE /api/v1/users/<code>/attendance-data": {"admin": "ocs", "platform": "ocs"},
    "GET /api/v1/exports/users/<code>/attendance": {"secretary": "o", "admin": "ocs", "platform": "ocs"},
}
"""What a student or teacher may do with what is his own is in the tests of the routes; nobody here takes or teaches a course."""

CHECK_IN_BODIES: dict[str, dict[str, Any]] = {
    "POST /api/v1/export-tasks": {"kind": "timetable", "courseId": "{course_id}"},
    "POST /api/v1/attendance/recounts": {"mend": False},
    "POST /api/v1/checkin": {"scheduleId": "{session_id}", "clientId": "k"},
    "POST /api/v1/checkout": {"scheduleId": "{session_id}", "clientId": "k"},
    "PUT /api/v1/courses/<course_id>/check-in-rules": {"rules": {"late_minutes": 15}},
    "POST /api/v1/receipts/verify": {"receipt": "{receipt}"},
    "POST /api/v1/sessions/<session_id>/extend": {"minutes": 5},
    "POST /api/v1/checkin/manual": {
        "scheduleId": "{session_id}",
        "marks": [{"student": "{code}", "status": "ATTENDED"}],
    },
    "POST /api/v1/checkin/roll": {"scheduleId": "{session_id}", "csv": "学号,状态\n{code},到"},
}
