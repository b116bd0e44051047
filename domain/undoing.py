"""Taking a run back: what each target was before, and whether anybody has changed it since.

    created by the run ─▶ gone again      changed ─▶ the content of before      deleted ─▶ back again

Only the last word about a target is taken back: where a later run has spoken, its word stands.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Why(StrEnum):
    """Why a target is left as it is."""

    LATER = "a later run changed it"
    FORGOTTEN = "what it was before is not known any more"


@dataclass(frozen=True, slots=True)
class Word:
    """What was done last for a target: by which run, when (ms), and the hash of what was asked for; blank = to be gone."""

    run_id: str | None
    at_ms: int
    hash: str


@dataclass(frozen=True, slots=True)
class Before:
    """What WPS had for a target before the run; `payload` None = nobody knows any more."""

    hash: str
    payload: str | None


@dataclass(frozen=True, slots=True)
class TakenBack:
    """A target that becomes what it was: `source_hash` is what the run made of it, `hash` what it was; blank = nothing."""

    target: str
    source_hash: str
    hash: str
    payload: str | None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A target that stays as it is."""

    target: str
    why: Why


def take_back(
    run_id: str, *, calendar: str, words: Mapping[str, Word], before: Mapping[str, Before]
) -> list[TakenBack | Skipped]:
    """For each target of a calendar that the run touched, what becomes of it.

    `words` has the last word about each target of the calendar; `before` what was there before the run changed it. What went
    with its calendar has no word of the run's own.
    """
    whole = words.get(calendar)
    deleted = whole if whole is not None and whole.run_id == run_id and not whole.hash else None
    found: list[TakenBack | Skipped] = []
    for target in sorted({*before, *(target for target, word in words.items() if word.run_id == run_id)}):
        word, was = words.get(target), before.get(target)
        went_with_it = deleted is not None and (word is None or word.at_ms <= deleted.at_ms)
        if (word is None or word.run_id != run_id) and not went_with_it:
            found.append(Skipped(target, Why.LATER))
        elif was is not None and was.payload is None:
            found.append(Skipped(target, Why.FORGOTTEN))
        else:
            source = word.hash if word is not None and word.run_id == run_id else ""
            found.append(TakenBack(target, source, was.hash if was else "", was.payload if was else None))
    return found
