"""Rules that turn what a column of a source says into what we read: a setting of the source, part of its mapping.

    {"meetings": {"kkh": {"column": "COURSE_NO", "rules": [{"prefix": "PG-"}, {"map": {"本部": "东校区"}}]}}}

Rules are applied one after the other, to values that are not blank; `default` fills blank ones.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from remote.sources.base import BadSource, ChangeSet, SourceRow, TimetableSource, part_of

Rule = Callable[[str], str]
Rules = Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]
"""By part and column of ours: the rules as they were written."""

NAMES: Final = ("prefix", "suffix", "strip_prefix", "upper", "lower", "replace", "match", "map", "default")
_PLACE: Final = "mapping"
_REMEDY: Final = f"A rule is an object with one of {', '.join(NAMES)}"


def _bad(said: object) -> BadSource:
    return BadSource(_PLACE, f"{str(said)[:200]} is no rule", _REMEDY)


def _pair(said: Any) -> tuple[str, str]:
    if isinstance(said, list) and len(said) == 2 and all(isinstance(one, str) for one in said):
        return said[0], said[1]
    raise _bad(said)


def read_rule(said: Any) -> Rule:
    """The rule that an object says. Raises BadSource."""
    if not isinstance(said, Mapping) or len(said) != 1:
        raise _bad(said)
    name, value = next(iter(said.items()))
    if name in ("upper", "lower") and value is True:
        return str.upper if name == "upper" else str.lower
    if name == "replace":
        before, after = _pair(value)
        return lambda text: text.replace(before, after)
    if name == "match":
        return _matching(said, *_pair(value))
    if name == "map" and isinstance(value, Mapping):
        known = {str(key): str(to) for key, to in value.items()}
        return lambda text: known.get(text, text)
    if isinstance(value, str) and name in _WITH_TEXT:
        return _WITH_TEXT[name](value)
    raise _bad(said)


def _matching(said: object, pattern: str, to: str) -> Rule:
    """A regular expression that the whole value has to match; another value stays as it is."""
    try:
        found = re.compile(pattern)
        found.sub(to, "")
    except (re.error, IndexError) as error:
        raise BadSource(_PLACE, f"{str(said)[:200]} cannot be read ({error})", "Mend the regular expression") from error

    def rule(text: str) -> str:
        whole = found.fullmatch(text)
        return text if whole is None else whole.expand(to)

    return rule


_WITH_TEXT: Final[Mapping[str, Callable[[str], Rule]]] = {
    "prefix": lambda value: lambda text: f"{value}{text}",
    "suffix": lambda value: lambda text: f"{text}{value}",
    "strip_prefix": lambda value: lambda text: text.removeprefix(value),
    "default": lambda value: lambda text: text or value,
}


@dataclass(frozen=True, slots=True)
class _Compiled:
    rules: tuple[Rule, ...]
    fills: bool

    def __call__(self, value: str | None) -> str | None:
        if not (value or "").strip() and not self.fills:
            return value
        text = (value or "").strip()
        for rule in self.rules:
            text = rule(text)
        return text


def compiled(rules: Rules) -> dict[str, dict[str, _Compiled]]:
    """By part and column: what turns a value into another one. Raises BadSource."""
    return {
        part: {
            column: _Compiled(tuple(map(read_rule, listed)), any("default" in one for one in listed))
            for column, listed in columns.items()
        }
        for part, columns in rules.items()
    }


class Transformed:
    """A source, or a change set of one, whose values go through rules."""

    def __init__(self, inner: Any, rules: Rules) -> None:
        self._inner = inner
        self._rules = rules
        self._by_part = compiled(rules)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def fingerprint(self) -> str:
        """Of the rows and of the rules: other rules are another timetable."""
        return hashlib.sha256(f"{self._inner.fingerprint()}{self._rules!r}".encode()).hexdigest()

    def rows(self, part: str, *, after: int, limit: int) -> list[SourceRow]:
        """The rows as the rules make them."""
        rules = self._by_part.get(part_of(part)[0], {})
        rows: list[SourceRow] = self._inner.rows(part, after=after, limit=limit)
        if not rules:
            return rows
        return [SourceRow(row.line, _applied(row.values, rules)) for row in rows]

    def changes(self, *, since: str | None) -> ChangeSet | None:
        """The changes, through the same rules."""
        found = self._inner.changes(since=since)
        return None if found is None else Transformed(found, self._rules)


def _applied(values: Mapping[str, str | None], rules: Mapping[str, _Compiled]) -> dict[str, str | None]:
    changed = {name: rule(values.get(name)) for name, rule in rules.items() if name in values or rule.fills}
    return {**values, **changed}


def transformed(source: TimetableSource, rules: Rules) -> TimetableSource:
    """The source itself where there is no rule. Raises BadSource."""
    made: TimetableSource = Transformed(source, rules) if rules else source
    return made
