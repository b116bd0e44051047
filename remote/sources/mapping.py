"""Which column of a source is read under which of our names: a setting of the source, applied before anything is read.

    {"meetings": {"kkh": "COURSE_NO", "xnxq": {"value": "2024-2025-1"}}}

reads the column `COURSE_NO` as `kkh`, and puts the same term into every row; `{"column": "COURSE_NO", "rules": […]}` also
says what becomes of its values (see `rules`). Columns that it does not name are read under
their own names, but one that another is put in place of is not read at all. Case does not matter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from domain.text import clean
from remote.sources.base import PARTS, READ_COLUMNS, BadSource, check_once
from remote.sources.rules import compiled

_PLACE: Final = "mapping"
_REMEDY: Final = 'Write it as {"meetings": {"kkh": "THEIR_COLUMN", "xnxq": {"value": "2024-2025-1"}}}'


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """By part: our column → theirs, and our column → the value of every row."""

    renamed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    constant: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    rules: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]] = field(default_factory=dict)

    def says(self, part: str) -> bool:
        """Whether it says anything of `part`."""
        return bool(self.renamed.get(part) or self.constant.get(part))

    def constants(self, part: str) -> Mapping[str, str]:
        """The values that every row of `part` has."""
        return self.constant.get(part, {})

    def picks(self, part: str, there: Sequence[str], *, file: str) -> list[tuple[str, int]]:
        """(our name, place in `there`) of each column to read. Raises BadSource when a column it names is missing."""
        renamed = self.renamed.get(part, {})
        if renamed:
            check_once(list(there), file=file)
        lowered = [name.lower() for name in there]
        for ours, theirs in renamed.items():
            if theirs not in lowered:
                has = ", ".join(name for name in there if name) or "none"
                problem = (
                    f"column {theirs}, which the mapping reads as {ours}, is missing; it has the columns {has[:400]}"
                )
                raise BadSource(file, problem, f"Mend the mapping of {part}, or give the file its column back")
        replaced = {*renamed, *self.constants(part)}
        hidden = replaced | (set(renamed.values()) - set(READ_COLUMNS[part]))
        own = [(name, place) for place, name in enumerate(lowered) if name not in hidden]
        return own + [(ours, lowered.index(theirs)) for ours, theirs in renamed.items()]

    def described(self) -> str:
        """The same text exactly for the same mapping."""
        kinds = (self.renamed, self.constant)
        return repr([sorted((part, sorted(said.items())) for part, said in kind.items()) for kind in kinds])


NOTHING: Final = ColumnMapping()
"""Every column is read under its own name."""


def read_mapping(said: Mapping[str, Any] | None) -> ColumnMapping:
    """The mapping that a setting says; None and an empty one map nothing. Raises BadSource naming what is wrong."""
    renamed: dict[str, dict[str, str]] = {}
    constant: dict[str, dict[str, str]] = {}
    rules: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    if said is not None and not isinstance(said, Mapping):
        raise BadSource(_PLACE, "it is not an object", _REMEDY)
    for part, columns in (said or {}).items():
        if part not in PARTS:
            raise BadSource(_PLACE, f"{part} is no part of a source", f"The parts are {', '.join(PARTS)}")
        if not isinstance(columns, Mapping):
            raise BadSource(_PLACE, f"what it says of {part} is not an object", _REMEDY)
        for ours, theirs in columns.items():
            _check_known(part, ours)
            if isinstance(theirs, str) and clean(theirs):
                renamed.setdefault(part, {})[ours] = clean(theirs).lower()
            elif isinstance(theirs, Mapping) and set(theirs) == {"value"} and isinstance(theirs["value"], str | int):
                constant.setdefault(part, {})[ours] = str(theirs["value"])
            elif _is_ruled(theirs):
                if "column" in theirs:
                    renamed.setdefault(part, {})[ours] = clean(theirs["column"]).lower()
                rules.setdefault(part, {})[ours] = list(theirs["rules"])
            else:
                problem = f"column {ours} of {part} is neither the name of a column nor a value for all rows"
                raise BadSource(_PLACE, problem, _REMEDY)
    compiled(rules)
    return ColumnMapping(renamed, constant, rules)


def _is_ruled(theirs: object) -> bool:
    if not isinstance(theirs, Mapping) or not {"rules"} <= set(theirs) <= {"rules", "column"}:
        return False
    column = theirs.get("column", "?")
    return isinstance(theirs["rules"], list) and isinstance(column, str) and bool(clean(column))


def _check_known(part: str, ours: str) -> None:
    if ours not in READ_COLUMNS[part]:
        known = ", ".join(READ_COLUMNS[part])
        raise BadSource(_PLACE, f"nothing reads a column {ours} of {part}", f"Name one of {known} on the left")
