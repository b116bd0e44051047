"""Which stages a kind of run has, and which function does which step."""

from collections.abc import Callable, Mapping
from typing import Final

from db.tables import AnyRow
from usecases.sync import archiving, undoing, verify_runs
from usecases.sync.stages import (
    aggregate,
    carry_out,
    decide,
    detect,
    drain,
    finish,
    guard,
    look,
    people,
    plan,
    prepare,
    undo,
    users,
)
from usecases.sync.stages.base import Running, Step

_READ: Final = (("prepare", "import"), ("aggregate", "sessions"))
_FINISH: Final = (("finish", "report"),)

STAGES: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "import": (*_READ, *_FINISH),
    "full": (
        *_READ,
        ("aggregate", "guard"),
        ("users", "accounts"),
        ("calendars", "plan"),
        ("calendars", "calendars"),
        ("calendars", "members"),
        ("events", "events"),
        *_FINISH,
    ),
    "incremental": (
        ("detect", "changes"),
        ("detect", "apply"),
        ("detect", "touched"),
        ("detect", "accounts"),
        ("detect", "compare"),
        ("detect", "guard"),
        ("delete", "deletions"),
        ("update", "updates"),
        ("add", "additions"),
        ("status", "judge"),
        ("status", "report"),
    ),
    decide.KIND: (*decide.STAGES, *_FINISH),
    "users": (("extract", "people"), ("view", "accounts"), ("permissions", "permissions"), *_FINISH),
    "verify": verify_runs.VERIFY_STAGES,
    "repair": verify_runs.REPAIR_STAGES,
    undoing.KIND: undoing.STAGES,
    "archive": (*archiving.STAGES, *_FINISH),
}
"""Kind of run → its stages, each with the step done in it."""

STEPS: Final[Mapping[str, Callable[[Running, AnyRow], Step]]] = {
    "import": prepare.read_source,
    "sessions": aggregate.make_sessions,
    "guard": guard.ask_before_deleting,
    "damage": guard.ask_before_repairing,
    "undo_guard": undo.ask_before_undoing,
    "undo_put": undo.take_back,
    "accounts": users.find_accounts,
    "plan": plan.put_operations,
    "list": look.list_calendars,
    "changes": detect.read_changes,
    "apply": detect.apply_changes,
    "touched": detect.make_sessions,
    "decided": decide.make_sessions,
    "sent": decide.send,
    "compare": carry_out.compare,
    "deletions": carry_out.put_and_wait,
    "updates": carry_out.put_and_wait,
    "additions": carry_out.put_and_wait,
    "judge": detect.judge,
    "people": people.read_people,
    "permissions": people.put_permissions,
    "choose": look.ask_to_look,
    "suspects": look.ask_to_look,
    "again": look.ask_to_look,
    "calendars": drain.await_lanes,
    "members": drain.await_lanes,
    "events": drain.await_lanes,
    "verify": drain.await_lanes,
    "repair": drain.await_lanes,
    **{step: archiving.put_away for _, step in archiving.STAGES},
    "report": finish.report,
}
"""Step → what does it; called again until it answers `Done`."""
