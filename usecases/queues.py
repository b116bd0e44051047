"""Which queues are paused, as a process of workers knows it."""

from sqlalchemy import Engine

from db import paused_queues
from db.engine import reading


class PausedQueues:
    """Asked for each second by the keeper, and looked at before anything is begun. While the database is away it stays."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._names: frozenset[str] = frozenset()

    def __call__(self) -> frozenset[str]:
        return self._names

    def refresh(self) -> None:
        """Raises `DBAPIError`."""
        with reading(self._engine) as tx:
            self._names = paused_queues.names(tx)
