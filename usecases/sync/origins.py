"""The request that the calls of a run come of, asked for once a process and run."""

import threading
from collections import OrderedDict

from sqlalchemy import Engine

from db import sync_runs
from db.engine import reading
from observability.tracing import UNKNOWN, Origin

_KEPT = 256
_known: OrderedDict[tuple[str, str], Origin] = OrderedDict()
_lock = threading.Lock()


def of_run(engine: Engine, run_id: str | None, *, tenant: str) -> Origin:
    """The origin of a run; nobody's where there is no such run. Raises `DBAPIError`."""
    if run_id is None:
        return UNKNOWN
    with _lock:
        found = _known.get((tenant, run_id))
    if found is None:
        with reading(engine) as tx:
            found = sync_runs.origin_of(tx, run_id, tenant=tenant) or UNKNOWN
        with _lock:
            _known[tenant, run_id] = found
            while len(_known) > _KEPT:
                _known.popitem(last=False)
    return found
