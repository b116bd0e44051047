"""What all bulk writers keep to: how many rows a transaction has, and a pause between two."""

from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection

Fence = Callable[[Connection], None]
"""First in every unit: raises when the caller's job is no longer its own."""

PAGE_ROWS: Final = 500
STEP_ROWS: Final = 2000
PAUSE_S: Final = 0.005
"""Between two units of a bulk writer, so that others get a turn at the database."""
