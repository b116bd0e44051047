"""Finding the one to blame: what is refused as a whole is tried by halves, down to the single item."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

HALVINGS = 64  # attempts before what is left goes one by one


def write_parts(
    whole: Sequence[T],
    write: Callable[[Sequence[T]], None],
    bury: Callable[[T, Exception], None],
    *,
    is_refusal: Callable[[Exception], bool],
) -> int:
    """Write all but the items that are refused alone, which are buried. Returns how many attempts it took: of 500 with one to
    blame at most 19. Raises what is no refusal; what was written until then stays written."""
    parts: deque[Sequence[T]] = deque([whole])
    attempts = 0
    while parts:
        part = parts.popleft()
        attempts += 1
        try:
            write(part)
        except Exception as error:
            if not is_refusal(error):
                raise
            if len(part) == 1:
                bury(part[0], error)
                continue
            size = (len(part) + 1) // 2 if attempts < HALVINGS else 1
            parts.extendleft(reversed([part[at : at + size] for at in range(0, len(part), size)]))
    return attempts
