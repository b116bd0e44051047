"""What people decided about classes, laid over the sessions that the source's rows come to."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from db import quarantine, teaching_changes, timetable
from db.quarantine import FINDING, Entry
from domain.aggregation import Session
from domain.alterations import CHINESE
from domain.teaching_changes import Around, Change, Verdict, overlay
from domain.terms import PeriodTable, Term

CONTRADICTED: Final = "change_contradicted"
CLASSLESS: Final = "change_without_class"


@dataclass(slots=True)
class Decided:
    """The changes of a page of offerings, the exchange days of its terms, and what becomes of them."""

    changes: Mapping[str, list[Change]] = field(default_factory=dict)
    around: Mapping[str, Around] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    _by_id: dict[str, tuple[Change, str]] = field(default_factory=dict)

    def laid_over(self, sessions: list[Session], *, term: str, offering_id: str, course: str) -> list[Session]:
        """The sessions of an offering as they are to be."""
        changes, around = self.changes.get(offering_id, []), self.around.get(term)
        if around is None or not (changes or around.days):
            return sessions
        found = overlay(sessions, changes, around)
        self.verdicts |= found.verdicts
        self._by_id |= {one.id: (one, course) for one in changes}
        return found.sessions

    def settle(self, connection: Connection, *, tenant: str, import_no: int) -> None:
        """Keep what became of the changes, and tell people of those that the source does not agree with."""
        teaching_changes.settle(connection, self.verdicts, tenant=tenant)
        entries = [
            entry for change_id, one in sorted(self.verdicts.items()) if (entry := self._finding(change_id, one))
        ]
        met = {entry.identity for entry in entries}
        for reason in (CONTRADICTED, CLASSLESS):
            theirs = {entry.identity for entry in entries if entry.reason == reason}
            gone = [(one,) for one in sorted(self.verdicts) if (one,) not in theirs]
            quarantine.clear_findings(connection, tenant=tenant, reasons=[reason], identities=gone)
        if met:
            quarantine.put(connection, entries, tenant=tenant, import_no=import_no)

    def _finding(self, change_id: str, verdict: Verdict) -> Entry | None:
        change, course = self._by_id[change_id]
        remedy = f"`obsync changes withdraw {change_id}`"
        word = CHINESE[change.type]
        if verdict.says:
            chinese = (
                f"{course} 已登记{word}，数据源又改为 {verdict.says}：以登记为准，如以数据源为准请撤回（{remedy}）"
            )
            english = f"the source now says {verdict.says} of a changed class; the change stands until it is withdrawn"
            reason = CONTRADICTED
        elif verdict.classless:
            chinese = f"{course} 已登记{word}，数据源中已没有这节课：该登记暂不起作用，可撤回（{remedy}）"
            english = "the source no longer has the class of a change; it waits for the class, or can be withdrawn"
            reason = CLASSLESS
        else:
            return None
        row = json.dumps({"change": change_id, "type": change.type, "session": change.session_id}, ensure_ascii=False)
        return Entry(FINDING, reason, "", 0, row, f"{chinese} · {english}", (change_id,))


def decided(connection: Connection, offering_ids: Sequence[str], *, tenant: str, zone: ZoneInfo) -> Decided:
    """What people decided about a page of offerings."""
    changes = teaching_changes.of_offerings(connection, offering_ids, tenant=tenant)
    days = teaching_changes.days(connection, tenant=tenant)
    if not changes and not days:
        return Decided()
    calendar = timetable.load_calendar(connection, tenant=tenant, zone=zone)
    return Decided(
        changes,
        {
            code: Around(zone, term, calendar.periods, days.get(code, {}))
            for code, term in calendar.terms.items()
            if changes or code in days
        },
    )


def around(connection: Connection, *, tenant: str, term: str, zone: ZoneInfo) -> Around:
    """What a class of one term is seen against."""
    calendar = timetable.load_calendar(connection, tenant=tenant, zone=zone)
    days = teaching_changes.days(connection, tenant=tenant, term=term)
    known: Term = calendar.term(term)
    periods: PeriodTable = calendar.periods
    return Around(zone, known, periods, days.get(term, {}))
