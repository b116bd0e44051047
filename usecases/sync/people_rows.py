"""A page of the lists of people becomes users; rows of other people than those asked for are left alone."""

from collections.abc import Sequence

from sqlalchemy import Connection

from db import people, quarantine
from db.imports import Gain, Import
from domain.scopes import Scope
from domain.timetable import Calendar, Person, Refused, read_student, read_teacher
from remote.sources.base import SourceRow, part_of
from usecases.sync.findings import UNKNOWN_STUDENT, UNKNOWN_TEACHER
from usecases.sync.staging import Stage, rejected

_KINDS = {
    "students": (people.STUDENT, read_student, UNKNOWN_STUDENT),
    "teachers": (people.TEACHER, read_teacher, UNKNOWN_TEACHER),
}


class PeopleRows:
    """Counts in `kept` how many people were read so far by this object."""

    def __init__(self, tenant: str, scope: Scope) -> None:
        self._tenant = tenant
        self._scope = scope
        self.kept = 0

    def stage(self, at: Import, rows: Sequence[SourceRow], _calendar: Calendar | None, file: str) -> Stage:
        """Read a page now; the result writes it."""
        kind, read, finding = _KINDS[part_of(at.part)[0]]
        wanted: list[Person] = []
        rejects = []
        for row in rows:
            try:
                person = read(row.values)
            except Refused as refused:
                rejects.append(rejected(row, file, refused.reason, refused.sentence))
            else:
                if self._asked_for(person):
                    wanted.append(person)
        self.kept += len(wanted)

        def write(connection: Connection) -> Gain:
            people.save_listed(connection, wanted, tenant=self._tenant, kind=kind, import_no=at.import_no)
            quarantine.put_repeatable(connection, rejects, tenant=self._tenant, import_no=at.import_no)
            listed = [(person.code,) for person in wanted]
            quarantine.clear_findings(connection, tenant=self._tenant, reasons=[finding], identities=listed)
            return Gain()

        return write

    def _asked_for(self, person: Person) -> bool:
        scope = self._scope
        by_code = not scope.users or person.code in scope.users
        return by_code and (not scope.colleges or person.college in scope.colleges)
