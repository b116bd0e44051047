"""How much of anything the service takes: the sizes of the contract, and the rate of calls it tolerates."""

import math

CALENDAR_SUMMARY_MAX = 40
CALENDAR_PAGE_MAX = 20
PERMISSION_PAGE_MAX = 20
PERMISSION_BATCH_MAX = 100
EVENT_BATCH_MAX = 100
EVENT_PAGE_MAX = 100
EVENT_PAGE_DEFAULT = 30
EVENT_WINDOW_MAX_S = 31 * 86_400
EVENT_SUMMARY_MAX = 1200
EVENT_DESCRIPTION_MAX = 2000
EVENT_REMINDERS_MAX = 10
EVENT_LOCATIONS_MAX = 1
SEARCH_PAGE_MAX = 500
SEARCH_KEYWORD_MAX = 100
TEXT_MAX = 1024
EX_IDS_MAX = 100
EX_ID_TEXT_MAX = 128
USER_IDS_MAX = 50
USER_PAGE_MAX = 50
USER_PAGE_DEFAULT = 10
STATUSES_MAX = 3
PRIMARY_BATCH_MAX = 20
REQUEST_BODY_MAX_BYTES = 1_048_576


class RateLimit:
    """A token bucket. `rate_per_s` 0 means no limit; the burst is half a second's worth unless told, at least one."""

    def __init__(self, rate_per_s: float, burst: float | None = None) -> None:
        self.rate_per_s = rate_per_s
        self.burst = burst if burst is not None else max(1.0, math.ceil(rate_per_s / 2))
        self._tokens = self.burst
        self._at_s: float | None = None

    def take(self, at_s: float) -> bool:
        """Whether a call at this moment (seconds of a clock that never steps back) is tolerated."""
        if self.rate_per_s <= 0:
            return True
        if self._at_s is not None:
            self._tokens = min(self.burst, self._tokens + (at_s - self._at_s) * self.rate_per_s)
        self._at_s = at_s
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    @property
    def retry_after_s(self) -> int:
        """Whole seconds until the next token, as Retry-After wants them; at least 1."""
        if self.rate_per_s <= 0:
            return 1
        return max(1, math.ceil((1.0 - self._tokens) / self.rate_per_s))
