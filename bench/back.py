"""How long check-ins took to be back after something died."""

import math
from collections.abc import Mapping, Sequence

Key = tuple[str, str]
"""Session, student."""


def back_after(
    troubles: Sequence[float], pressed: Mapping[Key, float], answered: Mapping[Key, float], written: Mapping[Key, float]
) -> list[float]:
    """Seconds from each trouble until all that was acknowledged by then was written, and somebody too who pressed after it.

    All times by one clock. A trouble that another one followed before that is left out: what it had held up counts from the
    other one.
    """
    found = []
    ordered = sorted(troubles)
    for at, following in zip(ordered, [*ordered[1:], math.inf], strict=True):
        owed = [written[key] for key, answer in answered.items() if answer <= at and written.get(key, 0.0) > at]
        later = [written[key] for key, press in pressed.items() if press > at and key in written]
        if not later:
            continue
        back = max([min(later), *owed])
        if back <= following:
            found.append(back - at)
    return found
