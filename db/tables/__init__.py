"""All tables, a file for each feature. They come into being only through the migrations; a test compares both."""

from db.tables.api import answers
from db.tables.base import AnyRow, metadata
from db.tables.history import audit, failure_families, failures
from db.tables.progress import pins, run_changes, run_counts, run_offerings, run_questions, run_stages, runs
from db.tables.promises import throughput, tier_syncs
from db.tables.school import periods, rooms, tenants, terms, users
from db.tables.staging import change_buffer, enrolments, imports, meetings, quarantine, touched
from db.tables.timetable import offerings, rolls, sessions
from db.tables.timing import schedule_slots, schedules, ticks
from db.tables.verification import discrepancies, verifications
from db.tables.work import jobs, lanes
from db.tables.wps import members, mirror, walk_calendars, walks

__all__ = [
    "AnyRow",
    "answers",
    "audit",
    "change_buffer",
    "discrepancies",
    "enrolments",
    "failure_families",
    "failures",
    "imports",
    "jobs",
    "lanes",
    "meetings",
    "members",
    "metadata",
    "mirror",
    "offerings",
    "periods",
    "pins",
    "quarantine",
    "rolls",
    "rooms",
    "run_changes",
    "run_counts",
    "run_offerings",
    "run_questions",
    "run_stages",
    "runs",
    "schedule_slots",
    "schedules",
    "sessions",
    "tenants",
    "terms",
    "throughput",
    "ticks",
    "tier_syncs",
    "touched",
    "users",
    "verifications",
    "walk_calendars",
    "walks",
]
