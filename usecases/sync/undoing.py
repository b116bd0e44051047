"""Taking back what a run did at WPS: an undo is a run of its own, with a guard, lanes and a report.

    undo:  guard ─▶ pins and puts, calendar by calendar ─▶ calendars ─▶ events ─▶ finish

A target that is taken back is *pinned*: it stays as it is now although the source says otherwise, until the source says something
else than it said then, or a person lifts the pins (`redo`). Without that the next hourly run would do again what was undone.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection

from db import audit, guards, imports, mirror, pins, run_changes, sync_runs
from db.engine import in_unit, reading
from db.tables import AnyRow
from domain.guards import LaneLoss
from domain.rolls import roll_hash
from domain.undoing import Skipped, TakenBack, take_back
from usecases.deps import Deps
from usecases.sync import layout, run_tasks, turns
from usecases.sync.plan_rows import kind_of
from usecases.sync.run_commands import Refused, UnknownRun

KIND: Final = "undo"
STAGES: Final = (
    ("undo", "undo_guard"),
    ("calendars", "undo_put"),
    ("calendars", "calendars"),
    ("calendars", "members"),
    ("events", "events"),
    ("finish", "report"),
)
_PAGE = 40  # calendars; with what is in them about 2,000 targets
_PINS = 500
_NOT_UNDONE = {
    "import": "it sent nothing to WPS",
    "verify": "it only looked",
    "change": "what people decided about classes is taken back by `obsync changes withdraw` or `obsync days undo`",
    "repair": "it only put back what had been sent before",
    KIND: "it took another run back; `obsync runs redo` lifts that",
}


@dataclass(slots=True)
class Page:
    """What becomes of the targets of some calendars (term, target, lane)."""

    calendars: list[tuple[str, str, str]]
    cursor: str
    back: list[tuple[AnyRow, TakenBack]] = field(default_factory=list)
    skipped: list[tuple[AnyRow, Skipped]] = field(default_factory=list)


def begin(deps: Deps, run_id: str, *, actor: str) -> tuple[str, bool]:
    """Start taking a run back. Returns the id of the undo and whether it is new: twice is once.

    Raises `UnknownRun`, `Refused` (it has not ended, or did nothing at WPS), `RunActive`.
    """
    undo_id = deps.new_id()

    def work(tx: Connection) -> tuple[str, bool]:
        check(tx, deps, run_id)
        known = pins.by_whom(tx, tenant=deps.tenant, undone_run=run_id)
        if known is not None:
            return known, False
        sync_runs.hold_order(tx, tenant=deps.tenant)
        turns.refuse_beside_others(tx, tenant=deps.tenant)
        run_tasks.begin(tx, deps, undo_id, kind=KIND, scope={"undoes": run_id}, stages=STAGES)
        # What is put counts as said by the last import: a newer one goes before it.
        sync_runs.change_run(tx, undo_id, tenant=deps.tenant, import_no=imports.latest_complete(tx, deps.tenant) or 0)
        _note(tx, deps, run_id, actor=actor, action="run.undo", after={"run": undo_id})
        return undo_id, True

    return in_unit(deps.engine, work)


def check(tx: Connection, deps: Deps, run_id: str) -> None:
    """Raise `UnknownRun`, or `Refused` where there is nothing that could be taken back."""
    run = sync_runs.get(tx, run_id, tenant=deps.tenant)
    if run is None:
        raise UnknownRun(run_id)
    if run.kind in _NOT_UNDONE:
        raise Refused(run_id, KIND, _NOT_UNDONE[run.kind], "`obsync runs` lists the runs and their kinds.")
    if run.state not in sync_runs.ENDED:
        raise Refused(run_id, KIND, "it has not ended", f"End it first: `obsync runs cancel {run_id}`.")


def redo(deps: Deps, run_id: str, *, actor: str) -> int:
    """Lift the pins of a run that was taken back: the next sync asks again for what the source says. Returns how many."""
    with reading(deps.engine) as tx:
        if sync_runs.get(tx, run_id, tenant=deps.tenant) is None:
            raise UnknownRun(run_id)
    count = 0
    while some := in_unit(deps.engine, lambda tx: pins.lift_some(tx, tenant=deps.tenant, undone_run=run_id)):
        count += some

    if count:
        after = {"targets": count}
        in_unit(deps.engine, lambda tx: _note(tx, deps, run_id, actor=actor, action="run.redo", after=after))
    return count


def _note(tx: Connection, deps: Deps, run_id: str, *, actor: str, action: str, after: dict[str, Any]) -> None:
    """Who did what to a run, for the audit."""
    audit.write(tx, tenant=deps.tenant, new_id=deps.new_id, actor=actor, action=action, thing=run_id, after=after)


def pages(deps: Deps, run_id: str, *, after: str | None = None) -> Iterator[Page]:
    """What becomes of each target that the run touched, a few calendars at a time."""
    term, target = json.loads(after) if after else ("", "")
    while True:
        with reading(deps.engine) as tx:
            found = run_changes.calendars_after(tx, tenant=deps.tenant, after=(term, target), limit=_PAGE)
            if not found:
                return
            term, target = found[-1].term, found[-1].target
            page = Page([(one.term, one.target, one.lane) for one in found], json.dumps([term, target]))
            for each in sorted({one.term for one in found}):
                _decide(tx, deps, run_id, [one for one in found if one.term == each], page)
        yield page


def _decide(tx: Connection, deps: Deps, run_id: str, calendars: list[AnyRow], page: Page) -> None:
    groups, term = [one.target for one in calendars], calendars[0].term
    words = run_changes.words(tx, tenant=deps.tenant, groups=groups)
    before = run_changes.before(tx, tenant=deps.tenant, run_id=run_id, term=term, groups=groups)
    for one in calendars:
        for each in take_back(
            run_id, calendar=one.target, words=words.get(one.target, {}), before=before.get(one.target, {})
        ):
            if isinstance(each, TakenBack):
                page.back.append((one, each))
            else:
                page.skipped.append((one, each))


def losses(deps: Deps, run_id: str) -> list[LaneLoss]:
    """For each lane what it has at WPS and how many events of it an undo would delete."""
    going: Counter[str] = Counter()
    for page in pages(deps, run_id):
        going.update(one.lane for one, each in page.back if not each.hash and kind_of(each.target) == "event")
    with reading(deps.engine) as tx:
        live = {one.lane: one.live for one in guards.losses(tx, tenant=deps.tenant)}
    return [
        LaneLoss(lane, live.get(lane, 0), count, count < live.get(lane, 0)) for lane, count in sorted(going.items())
    ]


def pin(tx: Connection, deps: Deps, page: Page, *, undone_run: str, undo_id: str) -> None:
    """Pin everything of a page that is taken back, at most 500 rows at a time."""
    rows = [_pin(one, each, deps.tenant, undone_run, undo_id) for one, each in page.back]
    for start in range(0, len(rows), _PINS):
        pins.put(tx, rows[start : start + _PINS])


def _pin(calendar: AnyRow, one: TakenBack, tenant: str, undone_run: str, undo_id: str) -> dict[str, Any]:
    kind, hash_ = kind_of(one.target), one.hash
    if kind == "members":
        hash_ = roll_hash(json.loads(one.payload)["people"]) if one.payload else ""
    payload = one.payload or json.dumps({"people": {}} if kind == "members" else {})
    return {
        "tenant_id": tenant,
        "term": calendar.term,
        "target": one.target,
        "kind": kind,
        "group_id": calendar.target,
        "lane": calendar.lane,
        "source_hash": one.source_hash,
        "desired_hash": hash_,
        "payload": payload,
        "undone_run": undone_run,
        "run_id": undo_id,
    }


def put(deps: Deps, page: Page, *, import_no: int, undo_id: str, fence: Any) -> tuple[set[str], int]:
    """Ask the lanes for what is pinned of a page. Returns the lanes and how many operations that were."""
    planner = layout.planner(deps.engine, deps.tenant, deps.secret)
    wanted = {each.target for _, each in page.back}
    touched = [one for one in page.calendars if any(calendar.target == one[1] for calendar, _ in page.back)]
    with reading(deps.engine) as tx:
        plans = planner.of_calendars(tx, touched)
    for plan in plans:
        # Whatever else is different is the next sync's business, not that of an undo.
        plan.operations = [one for one in plan.operations if one.target in wanted]
        plan.unwanted, plan.void = [], []
    plans = [plan for plan in plans if plan.operations]
    lanes = planner.put(plans, import_no=import_no, run_id=undo_id, new_id=deps.new_id, fence=fence)
    return lanes, sum(len(plan.operations) for plan in plans)


# --- shown before it is done ------------------------------------------------------------------------------------------


def shown(deps: Deps, run_id: str, *, limit: int) -> dict[str, Any]:
    """What an undo would do: totals, what it would leave and why, and the first `limit` rows. Raises as `begin`."""
    counts: Counter[tuple[str, str]] = Counter()
    skipped: Counter[str] = Counter()
    items: list[dict[str, Any]] = []
    with reading(deps.engine) as tx:
        check(tx, deps, run_id)
        known = pins.by_whom(tx, tenant=deps.tenant, undone_run=run_id)
    for page in pages(deps, run_id):
        skipped.update(each.why.value for _, each in page.skipped)
        counts.update((kind_of(each.target), _does(each)) for _, each in page.back)
        if len(items) < limit:
            with reading(deps.engine) as tx:
                items += _rows(tx, deps, page)[: limit - len(items)]
    return {
        "run": run_id,
        "undone_by": known,
        "targets": counts.total(),
        "counts": [{"kind": kind, "does": does, "count": n} for (kind, does), n in sorted(counts.items())],
        "skipped": [{"reason": reason, "count": n} for reason, n in sorted(skipped.items())],
        "items": items,
    }


def _does(one: TakenBack) -> str:
    """In a word: what becomes of the target."""
    if kind_of(one.target) == "members":
        return "change back"
    if not one.hash:
        return "delete"
    return "bring back" if not one.source_hash else "change back"


def _rows(tx: Connection, deps: Deps, page: Page) -> list[dict[str, Any]]:
    """The rows of a page: what is taken back, then what is left."""
    names = {
        one.target: there.name
        for one, _ in (*page.back, *page.skipped)
        if (there := mirror.read_one(tx, tenant=deps.tenant, term=one.term, target=one.target)) is not None
    }
    found = []
    for one, each in page.back:
        row = {"kind": kind_of(each.target), "target": each.target, "lane": one.lane, "term": one.term}
        before = json.loads(each.payload) if each.payload else None
        if before is not None and "people" in before:
            before = {"people": len(before["people"])}
        found.append({**row, "calendar": names.get(one.target), "does": _does(each), "becomes": before})
    for one, left in page.skipped:
        row = {"kind": kind_of(left.target), "target": left.target, "lane": one.lane, "term": one.term}
        found.append({**row, "calendar": names.get(one.target), "does": "leave", "reason": left.why.value})
    return found


def sample(deps: Deps, run_id: str) -> list[dict[str, Any]]:
    """Some of the events that an undo would delete, as a guard shows them."""
    for page in pages(deps, run_id):
        gone = [each.target for _, each in page.back if not each.hash and kind_of(each.target) == "event"]
        if gone:
            with reading(deps.engine) as tx:
                return guards.named(tx, tenant=deps.tenant, targets=gone[: guards.SAMPLE])
    return []
