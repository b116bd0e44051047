"""Stage aggregate: rows of the import become offerings, sessions and rolls."""

from db.engine import reading
from db.tables import AnyRow
from observability.failpoints import failpoint
from usecases.sync import aggregating
from usecases.sync.stages.base import Done, More, Running, Step


def make_sessions(on: Running, stage: AnyRow) -> Step:
    """A page of offerings after the other."""
    deps = on.deps
    cursor, done = stage.cursor, stage.done
    with reading(deps.engine) as tx:
        total = aggregating.total(tx, tenant=deps.tenant, import_no=on.import_no)
    while not on.stopping:
        page = aggregating.step(
            deps.engine, tenant=deps.tenant, import_no=on.import_no, cursor=cursor, zone=deps.zone, fence=on.fence
        )
        failpoint("sessions.after_page")
        cursor, done = page.cursor, done + page.offerings_done
        on.progress(stage.position, cursor=cursor, done=min(done, total), total=total)
        if page.finished:
            on.has_read()
            return Done()
    return More()
