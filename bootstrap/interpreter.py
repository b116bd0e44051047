"""The interpreter of a process whose threads wait for servers most of the time."""

import gc
import sys

# Threads here work in bursts of less than a millisecond between waits. One that comes back from a statement inside a unit,
# with the writer's lock in its hands, must not wait five of them (the default) for another one to end its burst.
_SWITCH_S = 0.001


def share_the_interpreter() -> None:
    """Once everything is loaded: it stays, and no thread has the interpreter to itself for long.

    Going through all that is loaded again, to find what is garbage of it, stops every thread for a tenth of a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    sys.setswitchinterval(_SWITCH_S)
