"""The simulation would notice: each of twenty mistakes is found, and the code without it plays the same seeds well."""

from __future__ import annotations

import pytest

from tests.simulation import history
from tests.simulation.history import play
from tests.simulation.mutants import MUTANTS, OF_LOOKS, OF_PROMISES, Mutant, mutated


def test_there_are_twenty_of_them() -> None:
    """One that is dropped by accident proves nothing any more."""
    assert len({one.name for one in MUTANTS}) == 20


@pytest.mark.parametrize("mutant", (*MUTANTS, *OF_PROMISES), ids=lambda one: one.name)
def test_the_mistake_is_found(mutant: Mutant) -> None:
    """A proof that cannot fail is worth nothing."""
    _is_found(mutant)


@pytest.mark.parametrize("mutant", OF_LOOKS, ids=lambda one: one.name)
def test_a_mistake_in_looking_is_found(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repair acts on what looks have seen: what they only seem to see must not come out well by chance."""
    monkeypatch.setattr(history, "LOOKED_AT", 1.0)
    _is_found(mutant)


def _is_found(mutant: Mutant) -> None:
    with mutated(mutant):
        found = next((seed for seed in range(mutant.seeds) if play(seed).broken), None)
    assert found is not None, f"{mutant.name} was not found in {mutant.seeds} histories: {mutant.breaks}"
    assert play(found).broken is None, "it is the mistake that breaks the history, not the history"
