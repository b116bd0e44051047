"""Two clocks: the wall as the log sees it, and the service's own clock, which a test may push forward."""

import time


class Clock:
    """Epoch seconds that never step back within one process."""

    def __init__(self) -> None:
        self._origin_s = time.time() - time.monotonic()
        self.offset_s = 0.0

    def wall_s(self) -> float:
        """Epoch seconds from the monotonic clock; what the call log carries."""
        return self._origin_s + time.monotonic()

    def now_s(self) -> float:
        """The service's time: the wall plus what was advanced by hand."""
        return self.wall_s() + self.offset_s
