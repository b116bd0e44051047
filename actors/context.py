"""What the actors of this process work with; set once by bootstrap, after the fork and before the first message."""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from usecases.deps import Deps
from usecases.lanes import Holdings


@dataclass(frozen=True)
class Context:
    """Deps, the lanes this process holds, threads for calls in flight, and how many lanes may be drained at once."""

    deps: Deps
    holdings: Holdings
    executor: Executor
    cap: Callable[[], int]


_bound: list[Context] = []


def bind(context: Context) -> None:
    """Give the actors of this process their context."""
    _bound[:] = [context]


def context() -> Context:
    """The context of this process; an actor that runs before `bind` is a defect in the start-up."""
    if not _bound:
        raise LookupError("actors.context.bind was not called in this process")
    return _bound[0]
