"""All tables. They come into being only through the migrations; a test compares both.

Instants are BIGINT milliseconds UTC of the database's clock. Names and identifiers compare byte by byte (`utf8mb4_bin`).
The big tables carry `term` in the primary key and have no foreign keys: on MySQL sessions, rolls, mirror and members are
partitioned by it.
"""

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, Row, String, Table, Text, UniqueConstraint
from sqlalchemy.dialects.mysql import LONGTEXT

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_MYSQL: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin", "mysql_engine": "InnoDB"}

ID = String(36)
TENANT = String(60)
NAME = String(60)
TERM = String(20)
LANE = String(80)
TARGET = String(48)
HASH = String(40)
LONG = Text().with_variant(LONGTEXT(), "mysql", "mariadb")


AnyRow = Row[*tuple[Any, ...]]


def _table(name: str, *parts: Column[Any] | Index | UniqueConstraint) -> Table:
    table: Table = Table(name, metadata, *parts, **_MYSQL)
    return table


def _instant(name: str, *, nullable: bool = True) -> Column[Any]:
    return Column(name, BigInteger, nullable=nullable)


tenants = _table(
    "tenants",
    Column("id", TENANT, primary_key=True),
    Column("zone", String(60), nullable=False),
    Column("settings", Text, nullable=False),
    Column("wps_app_id", String(80), nullable=False),
    Column("wps_app_key", Text, nullable=False),  # encrypted: see usecases/tenants.py
    Column("last_import_no", BigInteger, nullable=False),
    Column("reading_run", ID),  # the run that reads a source or makes sessions now: one at a time
    _instant("created_ms", nullable=False),
)

# --- timetable: what the sources say -------------------------------------------------------------------------------

terms = _table(
    "terms",
    Column("tenant_id", TENANT, primary_key=True),
    Column("xnxq", TERM, primary_key=True),
    Column("first_monday", String(10)),
    Column("weeks", Integer),
    Column("status", String(10), nullable=False),  # open, frozen, archived
    Column("exchange", Text, nullable=False),  # JSON: {made-up date: teaching date}
    _instant("archived_ms"),  # when its work was removed for good; NULL = it was not
    Column("removed", Text),  # JSON: what of it was removed, and how much
)

periods = _table(
    "periods",
    Column("tenant_id", TENANT, primary_key=True),
    Column("xnxq", TERM, primary_key=True),
    Column("xq", NAME, primary_key=True),  # campus; blank = every campus
    Column("since", String(10), primary_key=True),  # first date of this clock; blank = from the start
    Column("jc", Integer, primary_key=True),
    Column("st", String(5), nullable=False),
    Column("ed", String(5), nullable=False),
)

imports = _table(
    "imports",
    Column("tenant_id", TENANT, primary_key=True),
    Column("import_no", BigInteger, primary_key=True),
    Column("run_id", ID),
    Column("source", String(500), nullable=False),
    Column("files", Text, nullable=False),  # JSON: {part: the file it was read from}
    Column("fingerprint", String(64), nullable=False),
    Column("state", String(10), nullable=False),  # staging, held, complete, failed
    Column("part", String(20), nullable=False),  # the file being read
    Column("cursor", BigInteger, nullable=False),  # rows of that file already staged
    Column("rows_in", BigInteger, nullable=False),
    Column("staged", BigInteger, nullable=False),
    Column("rejected", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("findings", BigInteger, nullable=False),
    Column("sessions", BigInteger, nullable=False),
    Column("kind", String(10), nullable=False, server_default="whole"),  # whole, changes, people
    Column("base_no", BigInteger),  # the whole import whose staging it goes on with; NULL = its own
    Column("buffer_no", BigInteger),  # under which number its changes wait in `change_buffer`
    Column("watermark", String(60)),  # the newest `sj` of the source, taken before it was read
    Column("planned", Boolean, nullable=False, server_default="0"),  # all of it was compared with the mirror once
    Column("error", Text),
    _instant("started_ms", nullable=False),
    _instant("finished_ms"),
)

# Staging: one row per accepted or held source row. Rows of an import that is not complete are never read.
meetings = _table(
    "meetings",
    Column("tenant_id", TENANT, primary_key=True),
    Column("import_no", BigInteger, primary_key=True),
    Column("offering_id", HASH, primary_key=True),
    Column("line", BigInteger, primary_key=True),
    Column("term", TERM, nullable=False),
    Column("kkh", NAME, nullable=False),
    Column("kcbh", NAME, nullable=False),
    Column("kcmc", String(200), nullable=False),
    Column("kkxy", NAME, nullable=False),
    Column("xq", NAME, nullable=False),
    Column("lq", String(200), nullable=False),
    Column("room", String(200), nullable=False),
    Column("ghs", String(500), nullable=False),
    Column("xms", String(500), nullable=False),
    Column("jxz", Integer),
    Column("zc", Integer),
    Column("jc", Integer),
    Column("date", String(10)),
    Column("start_ms", BigInteger),
    Column("end_ms", BigInteger),
    Column("sfdk", String(10), nullable=False),
    Column("held", String(20)),  # no_period_table, no_first_monday, deleted, frozen_term; NULL = used
    Column("row_hash", HASH, nullable=False),
    UniqueConstraint("tenant_id", "import_no", "row_hash"),
)

# Staging of who takes what; its key is in the order in which offerings are aggregated.
enrolments = _table(
    "enrolments",
    Column("tenant_id", TENANT, primary_key=True),
    Column("import_no", BigInteger, primary_key=True),
    Column("term", TERM, primary_key=True),
    Column("kkh", NAME, primary_key=True),
    Column("kcbh", NAME, primary_key=True),  # blank = every course of the offering number
    Column("code", NAME, primary_key=True),
    Column("line", BigInteger, nullable=False),
)

# Changes that were read and are not in the staging yet. A page is applied and removed by one transaction.
change_buffer = _table(
    "change_buffer",
    Column("tenant_id", TENANT, primary_key=True),
    Column("buffer_no", BigInteger, primary_key=True),
    Column("part", String(12), primary_key=True),  # meetings, enrolments
    Column("term", TERM, primary_key=True),
    Column("kkh", NAME, primary_key=True),
    Column("slot", HASH, primary_key=True),  # what the rows replace together; blank = everything of the number
    Column("line", BigInteger, primary_key=True),
    Column("op", String(8), nullable=False),  # add, update, delete, whole
    Column("sj", String(40), nullable=False),  # when the source changed it; blank = it does not say
    Column("row", Text, nullable=False),  # JSON: the row as it will be staged
)

# Offerings that changes have touched, until a run has carried them to the lanes.
touched = _table(
    "touched",
    Column("tenant_id", TENANT, primary_key=True),
    Column("term", TERM, primary_key=True),
    Column("offering_id", HASH, primary_key=True),
    Column("import_no", BigInteger, nullable=False),  # the newest import that touched it
    Column("made_no", BigInteger, nullable=False),  # the import as of which its sessions were made
)

quarantine = _table(
    "quarantine",
    Column("tenant_id", TENANT, primary_key=True),
    Column("id", HASH, primary_key=True),
    Column("kind", String(10), nullable=False),  # reject, finding, held
    Column("reason", String(40), nullable=False),
    Column("file", String(200), nullable=False),
    Column("line", BigInteger, nullable=False),
    Column("row", LONG, nullable=False),  # JSON of the source row
    Column("sentence", Text, nullable=False),
    Column("first_import", BigInteger, nullable=False),
    Column("last_import", BigInteger, nullable=False),
    _instant("opened_ms", nullable=False),
    _instant("cleared_ms"),
    Index(None, "tenant_id", "cleared_ms", "kind", "reason"),
)

offerings = _table(
    "offerings",
    Column("tenant_id", TENANT, primary_key=True),
    Column("term", TERM, primary_key=True),
    Column("id", HASH, primary_key=True),
    Column("kkh", NAME, nullable=False),
    Column("kcbh", NAME, nullable=False),
    Column("name", String(200), nullable=False),
    Column("college", NAME, nullable=False),  # where its rows say it belongs; blank = unknown
    Column("lane", LANE),  # written at the first plan, then kept for the term
    Column("import_no", BigInteger, nullable=False),
    Index(None, "tenant_id", "term", "kkh"),
)

sessions = _table(
    "sessions",
    Column("tenant_id", TENANT, primary_key=True),
    Column("term", TERM, primary_key=True),
    Column("id", HASH, primary_key=True),
    Column("offering_id", HASH, nullable=False),
    Column("jxz", Integer),
    Column("zc", Integer),
    Column("jc_s", String(200), nullable=False),  # its periods, "3/4"
    Column("date", String(10), nullable=False),
    _instant("start_ms", nullable=False),
    _instant("end_ms", nullable=False),
    Column("rooms", Text, nullable=False),  # JSON list of [campus, building, room], sorted
    Column("teachers", Text, nullable=False),  # JSON list of names, sorted
    Column("source_rows", Integer, nullable=False),
    Column("import_no", BigInteger, nullable=False),
    Column("event_hash", HASH),  # of the event it asks for; NULL = not worked out, the planner does
    Index(None, "tenant_id", "term", "offering_id"),
)

users = _table(
    "users",
    Column("tenant_id", TENANT, primary_key=True),
    Column("kind", String(10), primary_key=True),  # student, teacher
    Column("code", NAME, primary_key=True),  # xh or gh
    Column("name", String(200), nullable=False),
    Column("college", NAME, nullable=False),
    Column("listed", Boolean, nullable=False),  # in the people files, not only named by a row
    Column("wps_id", String(200)),
    _instant("checked_ms"),
    Column("import_no", BigInteger, nullable=False),
    Index(None, "tenant_id", "code"),
)

rolls = _table(
    "rolls",
    Column("tenant_id", TENANT, primary_key=True),
    Column("term", TERM, primary_key=True),
    Column("offering_id", HASH, primary_key=True),
    Column("kind", String(10), primary_key=True),
    Column("code", NAME, primary_key=True),
    Column("import_no", BigInteger, nullable=False),
    Index(None, "tenant_id", "kind", "code"),
)

rooms = _table(
    "rooms",
    Column("tenant_id", TENANT, primary_key=True),
    Column("xq", NAME, primary_key=True),
    Column("lq", String(100), primary_key=True),
    Column("room", String(100), primary_key=True),
    Column("lat", String(20), nullable=False),
    Column("lon", String(20), nullable=False),
)

# --- WPS: what exists there, and what should ------------------------------------------------------------------------

mirror = _table(
    "mirror",
    Column("tenant_id", TENANT, primary_key=True),
    Column("term", TERM, primary_key=True),
    Column("target", TARGET, primary_key=True),
    Column("kind", String(10), nullable=False),  # calendar, members, event
    Column("group_id", TARGET, nullable=False),  # the target of its calendar
    Column("lane", LANE, nullable=False),
    Column("source_id", NAME),  # layout personal: whose calendar, of which session an event; NULL = the target says it
    Column("state", String(10), nullable=False),  # none, live, gone
    Column("remote_id", String(200)),
    Column("marker", String(26)),
    Column("name", String(60)),  # calendars: the whole name sent
    Column("generation", Integer, nullable=False),
    Column("sent_hash", HASH, nullable=False),
    Column("from_ms", BigInteger),  # events: the times last sent
    Column("until_ms", BigInteger),
    Column("import_no", BigInteger, nullable=False),
    Column("list_max", Integer, nullable=False),
    _instant("parked_until", nullable=False),  # calendars: nothing of the group is sent before
    Column("intent_verb", String(10)),  # NULL = no open intent
    Column("intent_hash", HASH),
    Column("intent_rev", Integer),
    _instant("intent_ms"),
    Column("intent_from_ms", BigInteger),
    Column("intent_until_ms", BigInteger),
    Column("intent_ids", Text),  # members: JSON of the ids and roles named by the call
    _instant("settle_at"),  # calendars: when open intents of the group can be settled
    UniqueConstraint("tenant_id", "marker", "term"),
    UniqueConstraint("tenant_id", "name", "term"),
    Index(None, "settle_at"),  # of the few calendars in doubt; alone, so that it is a range for every question
    Index(None, "tenant_id", "term", "group_id"),
)

members = _table(
    "members",
    Column("tenant_id", TENANT, primary_key=True),
    Column("term", TERM, primary_key=True),
    Column("group_id", TARGET, primary_key=True),
    Column("user_id", String(200), primary_key=True),
    Column("role", String(20), nullable=False),
    Column("permission_id", String(200), nullable=False),
)

walks = _table(
    "walks",
    Column("tenant_id", TENANT, primary_key=True),
    Column("id", ID, primary_key=True),
    _instant("started_ms", nullable=False),
    _instant("finished_ms"),
    Column("page_token", String(1100)),
    Column("pages", Integer, nullable=False),
)

walk_calendars = _table(
    "walk_calendars",
    Column("tenant_id", TENANT, primary_key=True),
    Column("walk_id", ID, primary_key=True),
    Column("remote_id", String(200), primary_key=True),
    Column("name", String(60), nullable=False),
    Index(None, "tenant_id", "walk_id", "name"),
)

# What verifications found. A row is never removed: healed is a state, and its history says what was done about it.
discrepancies = _table(
    "discrepancies",
    Column("tenant_id", TENANT, primary_key=True),
    Column("id", HASH, primary_key=True),
    Column("term", TERM, nullable=False),
    Column("group_id", TARGET, nullable=False),
    Column("lane", LANE, nullable=False),
    Column("kind", String(10), nullable=False),  # calendar, event, member
    Column("what", String(20), nullable=False),
    Column("target", TARGET, nullable=False),  # blank: nothing of ours is meant
    Column("thing", String(200), nullable=False),
    Column("ours", Text, nullable=False),  # JSON: what was sent
    Column("theirs", Text, nullable=False),  # JSON: what WPS shows
    Column("state", String(10), nullable=False),  # open, repairing, healed, ticket
    Column("scans", Integer, nullable=False),  # walks that have seen it since it is open
    _instant("first_scan_ms", nullable=False),
    _instant("last_scan_ms", nullable=False),
    _instant("healed_ms"),
    Column("run_id", ID),  # the run that saw it last
    Column("history", LONG, nullable=False),  # JSON list of {at_ms, run, did}
    Index(None, "tenant_id", "state", "term", "group_id"),
    Index(None, "run_id"),
)

# The last verification of each calendar; `walk` has what an unfinished one has seen so far.
verifications = _table(
    "verifications",
    Column("tenant_id", TENANT, primary_key=True),
    Column("term", TERM, primary_key=True),
    Column("target", TARGET, primary_key=True),
    Column("run_id", ID),
    _instant("verified_ms", nullable=False),  # 0: never to the end
    Column("events", Integer, nullable=False),
    Column("strangers", Integer, nullable=False),  # events of other people
    Column("members", Integer, nullable=False),
    Column("differences", Integer, nullable=False),
    Column("walk", LONG),  # JSON
    Index(None, "run_id"),
)

# --- work -----------------------------------------------------------------------------------------------------------

jobs = _table(
    "jobs",
    Column("id", ID, primary_key=True),
    Column("tenant_id", TENANT, nullable=False),
    Column("lane", LANE),  # NULL: a task for a queue
    Column("queue", String(20)),
    Column("kind", String(20), nullable=False),
    Column("target", TARGET, nullable=False),
    Column("open_key", TARGET),  # = target while queued, paused or blocked; NULL once closed
    Column("term", TERM, nullable=False),
    Column("group_id", TARGET, nullable=False),
    Column("payload", Text, nullable=False),  # JSON; desired state of a target, NULL-like "null" = gone
    Column("desired_hash", HASH, nullable=False),
    Column("schema_ver", Integer, nullable=False),
    Column("rev", Integer, nullable=False),
    Column("import_no", BigInteger, nullable=False),
    Column("tier", Integer, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("state", String(12), nullable=False),  # queued paused blocked done dead cancelled superseded
    _instant("run_at", nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("claim", ID),
    Column("error_code", String(40)),
    Column("last_error", Text),
    Column("run_id", ID),
    _instant("created_ms", nullable=False),
    _instant("finished_ms"),
    UniqueConstraint("tenant_id", "kind", "open_key"),
    Index(None, "tenant_id", "lane", "state", "tier", "priority", "id"),
    # Without the state: closing a job touches each index that has it.
    Index(None, "tenant_id", "group_id"),
    Index(None, "queue", "run_at"),
    Index(None, "tenant_id", "state", "kind"),
)

lanes = _table(
    "lanes",
    Column("tenant_id", TENANT, primary_key=True),
    Column("lane", LANE, primary_key=True),
    Column("owner", ID),
    Column("fence", BigInteger, nullable=False),
    _instant("lease_until", nullable=False),
    _instant("not_before", nullable=False),
    Column("paused", Boolean, nullable=False),
    Column("effects", BigInteger, nullable=False),
    Column("note", String(200)),
    Column("event_list", Integer, nullable=False, server_default="100"),  # what a list may hold: domain/list_size.py
    Column("member_list", Integer, nullable=False, server_default="100"),
    _instant("created_ms", nullable=False),
)

runs = _table(
    "runs",
    Column("id", ID, primary_key=True),
    Column("tenant_id", TENANT, nullable=False),
    Column("kind", String(12), nullable=False),  # full, incremental, users, import, verify, repair
    Column("trigger", String(12)),  # user, schedule; NULL = before it was written down
    Column("scope", Text, nullable=False),  # JSON
    Column("mutex", String(80)),  # NULL once ended
    Column("priority", String(10), nullable=False, server_default="normal"),  # normal, urgent
    Column("waits_for", ID),  # the run with an overlapping scope that goes first; NULL = it waits for nobody
    Column("state", String(24), nullable=False),
    Column("asked", String(12)),  # pause, resume, cancel: what a person wants of it and is not done yet
    Column("stage", String(12), nullable=False),
    Column("term", TERM),
    Column("import_no", BigInteger),
    Column("error", Text),
    Column("report", LONG),
    _instant("created_ms", nullable=False),
    _instant("started_ms"),
    _instant("finished_ms"),
    UniqueConstraint("tenant_id", "mutex"),
    Index(None, "tenant_id", "created_ms"),
)

run_stages = _table(
    "run_stages",
    Column("run_id", ID, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("stage", String(12), nullable=False),
    Column("step", String(40), nullable=False),
    Column("state", String(12), nullable=False),  # waiting running done failed
    Column("total", BigInteger, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("cursor", String(200)),
    Column("note", Text),
    _instant("started_ms"),
    _instant("finished_ms"),
)

# What a run plans, where that is not everything.
run_offerings = _table(
    "run_offerings",
    Column("run_id", ID, primary_key=True),
    Column("term", TERM, primary_key=True),
    Column("offering_id", HASH, primary_key=True),
    Column("needs", Integer, nullable=False),  # bits: 1 deletes, 2 updates, 4 creates; 0 = not compared, or nothing
)

# One row per (run, lane, kind): lanes never wait for each other's counters; readers add them up.
run_counts = _table(
    "run_counts",
    Column("run_id", ID, primary_key=True),
    Column("lane", LANE, primary_key=True),
    Column("kind", String(10), primary_key=True),
    Column("planned", BigInteger, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("superseded", BigInteger, nullable=False),
)

# What a run asked a person before it went on, and the answer. One row for each time it asked.
run_questions = _table(
    "run_questions",
    Column("run_id", ID, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("tenant_id", TENANT, nullable=False),
    Column("questions", LONG, nullable=False),  # JSON list of {guard, subject, count, of, limit}
    Column("shown", LONG, nullable=False),  # JSON: a row for each lane or college, and a sample in words
    Column("state", String(12), nullable=False),  # open, confirmed, dropped
    _instant("asked_ms", nullable=False),
    _instant("answered_ms"),
    Column("answered_by", String(80)),
)

# What WPS had for a target before a run changed or deleted it. What a run created has no row here.
run_changes = _table(
    "run_changes",
    Column("tenant_id", TENANT, primary_key=True),
    Column("run_id", ID, primary_key=True),
    Column("term", TERM, primary_key=True),
    Column("target", TARGET, primary_key=True),
    Column("kind", String(10), nullable=False),
    Column("group_id", TARGET, nullable=False),
    Column("lane", LANE, nullable=False),
    Column("verb", String(10), nullable=False),
    Column("before_hash", HASH, nullable=False),
    Column("payload", LONG),  # what that content was; NULL = it is not known any more
    Index(None, "tenant_id", "run_id", "term", "group_id"),
)

# Targets that a person had taken back: they stay so until the source says something else, or the pin is lifted.
pins = _table(
    "pins",
    Column("tenant_id", TENANT, primary_key=True),
    Column("term", TERM, primary_key=True),
    Column("target", TARGET, primary_key=True),
    Column("kind", String(10), nullable=False),
    Column("group_id", TARGET, nullable=False),
    Column("lane", LANE, nullable=False),
    Column("source_hash", HASH, nullable=False),  # what the source wanted then; blank = nothing
    Column("desired_hash", HASH, nullable=False),  # what is wanted instead; blank = nothing
    Column("payload", LONG, nullable=False),
    Column("undone_run", ID, nullable=False),
    Column("run_id", ID, nullable=False),  # the run that took it back
    Index(None, "tenant_id", "term", "group_id"),
    Index(None, "tenant_id", "undone_run"),
    Index(None, "tenant_id", "run_id", "term", "group_id"),
)

# A family is one fault (see domain/failures.py). What is counted of it is counted from its failures.
failure_families = _table(
    "failure_families",
    Column("tenant_id", TENANT, primary_key=True),
    Column("id", HASH, primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("verb", String(10), nullable=False),  # blank: a task of a queue
    Column("error_class", String(40), nullable=False),
    Column("remote_code", BigInteger),
    Column("pattern", String(200), nullable=False),
    Column("note", Text),  # of the person who resolved it
    Column("resolved_by", String(120)),
    _instant("resolved_ms"),
)

# One row for each job that ever died. The job is the truth about the target; this is what happened to it, and is kept.
failures = _table(
    "failures",
    Column("tenant_id", TENANT, primary_key=True),
    Column("job_id", ID, primary_key=True),
    Column("family", HASH, nullable=False),
    Column("lane", LANE),
    Column("kind", String(20), nullable=False),
    Column("target", TARGET, nullable=False),
    Column("term", TERM, nullable=False),
    Column("group_id", TARGET, nullable=False),
    Column("offering_id", HASH, nullable=False),  # blank: not about one course
    Column("run_id", ID),
    Column("error_class", String(40), nullable=False),
    Column("remote_code", BigInteger),
    Column("people", Integer, nullable=False),  # affected beside those of the course's roll
    Column("waiting", Integer, nullable=False),  # jobs that were blocked with it
    _instant("died_ms", nullable=False),
    Column("dead", Boolean, nullable=False),
    Column("ended", String(12)),  # again, discarded, unwanted; NULL while dead
    _instant("ended_ms"),
    _instant("resolved_ms"),
    Index(None, "tenant_id", "dead", "died_ms", "job_id"),
    Index(None, "tenant_id", "family", "dead", "died_ms", "job_id"),
    Index(None, "tenant_id", "target"),
    Index(None, "run_id"),
)

# --- what people did ------------------------------------------------------------------------------------------------

audit = _table(
    "audit",
    Column("tenant_id", TENANT, primary_key=True),
    Column("id", ID, primary_key=True),
    _instant("at_ms", nullable=False),
    Column("actor", String(120), nullable=False),  # "cli:root"
    Column("action", String(60), nullable=False),  # "failures.resolve"
    Column("thing", String(200), nullable=False),
    Column("before", LONG),  # JSON
    Column("after", LONG),  # JSON
    Column("request", String(64)),  # the id of the request it came by; NULL: none
    Index(None, "tenant_id", "at_ms", "id"),
    Index(None, "tenant_id", "thing"),
)

# --- time -----------------------------------------------------------------------------------------------------------

schedules = _table(
    "schedules",
    Column("tenant_id", TENANT, primary_key=True),
    Column("name", String(30), primary_key=True),
    Column("kind", String(20), nullable=False),  # what a slot starts: run
    Column("payload", Text, nullable=False),  # JSON: what exactly
    Column("cron", String(200), nullable=False),  # five fields; several expressions are joined by ;
    Column("zone", String(10), nullable=False),  # utc, tenant
    Column("policy", String(10), nullable=False),  # run_once, skip, each
    Column("enabled", Boolean, nullable=False),
    Column("max_queued", Integer),  # a slot is skipped while more lane jobs wait; NULL = never for that
    _instant("since_ms", nullable=False),  # slots up to this instant do not count
    _instant("last_slot", nullable=False),  # slots up to this one are decided
)

schedule_slots = _table(
    "schedule_slots",
    Column("tenant_id", TENANT, primary_key=True),
    Column("name", String(30), primary_key=True),
    Column("slot", BigInteger, primary_key=True),  # when it was due
    Column("job_id", ID),  # NULL: decided without a job
    Column("run_id", ID),
    Column("state", String(10), nullable=False),  # waiting, started, skipped, failed
    Column("reason", Text),
    _instant("made_ms", nullable=False),
    _instant("decided_ms"),
)

# The newest tick that went through; a keeper that finds it old does the next one itself.
ticks = _table(
    "ticks",
    Column("tenant_id", TENANT, primary_key=True),
    Column("ran_by", String(12), nullable=False),  # scheduler, keeper
    _instant("at_ms", nullable=False),
)
