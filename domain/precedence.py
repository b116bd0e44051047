"""Which of several sources an offering belongs to: all its classes come from one, and everybody who takes it from all."""

from collections.abc import Collection, Sequence


def first_of(order: Sequence[int], present: Collection[int]) -> int:
    """The source whose rows count: the first in the order of precedence; one that is in no order any more comes last.

    Raises ValueError where nobody is present.
    """
    return min(present, key=lambda number: (order.index(number) if number in order else len(order), number))
