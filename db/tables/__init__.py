"""All tables, a file for each feature. They come into being only through the migrations; a test compares both."""

from db.tables.api import answers
from db.tables.attendance import (
    attendance_facts,
    attendance_roster,
    attendance_roster_detail,
    checkin_records,
    checkin_refusals,
    geofences,
)
from db.tables.base import AnyRow, metadata
from db.tables.cluster import paused_queues, processes
from db.tables.exports import export_parts, exports
from db.tables.feeds import calendar_feeds
from db.tables.history import audit, failure_families, failures
from db.tables.identity import (
    api_keys,
    checkin_settings,
    config_history,
    identity_providers,
    login_attempts,
    login_roles,
    login_states,
    logins,
    revoked_tokens,
    roles,
    system_configs,
    token_families,
    user_configs,
)
from db.tables.notices import notices
from db.tables.plans import plan_rows, plans
from db.tables.progress import pins, run_changes, run_counts, run_offerings, run_questions, run_stages, runs
from db.tables.promises import throughput, tier_syncs
from db.tables.school import periods, rooms, tenants, terms, users
from db.tables.sources import alarms, import_sources, opt_outs, sources
from db.tables.staging import change_buffer, enrolments, imports, meetings, quarantine, touched
from db.tables.statistics import attendance_drift, attendance_recounts, attendance_roster_teachers, attendance_stats
from db.tables.switches import stats_owed, switches
from db.tables.timetable import offerings, rolls, sessions, teaching_changes
from db.tables.timing import schedule_slots, schedules, ticks
from db.tables.verification import discrepancies, verifications
from db.tables.work import jobs, lanes
from db.tables.wps import members, mirror, walk_calendars, walks

__all__ = [
    "AnyRow",
    "alarms",
    "answers",
    "api_keys",
    "attendance_drift",
    "attendance_facts",
    "attendance_recounts",
    "attendance_roster",
    "attendance_roster_detail",
    "attendance_roster_teachers",
    "attendance_stats",
    "audit",
    "calendar_feeds",
    "change_buffer",
    "checkin_records",
    "checkin_refusals",
    "checkin_settings",
    "config_history",
    "discrepancies",
    "enrolments",
    "export_parts",
    "exports",
    "failure_families",
    "failures",
    "geofences",
    "identity_providers",
    "import_sources",
    "imports",
    "jobs",
    "lanes",
    "login_attempts",
    "login_roles",
    "login_states",
    "logins",
    "meetings",
    "members",
    "metadata",
    "mirror",
    "notices",
    "offerings",
    "opt_outs",
    "paused_queues",
    "periods",
    "pins",
    "plan_rows",
    "plans",
    "processes",
    "quarantine",
    "revoked_tokens",
    "roles",
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
    "sources",
    "stats_owed",
    "switches",
    "system_configs",
    "teaching_changes",
    "tenants",
    "terms",
    "throughput",
    "ticks",
    "tier_syncs",
    "token_families",
    "touched",
    "user_configs",
    "users",
    "verifications",
    "walk_calendars",
    "walks",
]
