"""Stage prepare: the source is read into a numbered import."""

import json

from db import sync_runs
from db.tables import AnyRow
from observability.log import get_logger
from remote.wps.errors import WpsError, WpsMisconfigured
from usecases.sync import importing, sources
from usecases.sync.stages.base import CREDENTIALS_REMEDY, Done, More, RunFailed, Running, Step

log = get_logger("runs")


def read_source(on: Running, stage: AnyRow) -> Step:
    """Read on, a page at a time; at the end judge the import as a whole."""
    if on.run.kind == "full":
        _check_credentials(on)
    deps = on.deps
    source = sources.of_scope(deps, json.loads(on.run.scope)).open()
    import_no = importing.begin(deps.engine, tenant=deps.tenant, run_id=on.run_id, source=source, fence=on.fence)
    on.unit(lambda tx: sync_runs.change_run(tx, on.run_id, import_no=import_no))
    while not on.stopping:
        done = importing.step(
            deps.engine, tenant=deps.tenant, import_no=import_no, source=source, zone=deps.zone, fence=on.fence
        )
        on.progress(stage.position, done=done.rows_done, total=done.rows_done, note=done.part)
        if done.finished:
            report = importing.complete(deps.engine, tenant=deps.tenant, import_no=import_no, fence=on.fence)
            held, rejected = sum(report.held.values()), report.rejected
            on.progress(stage.position, done=report.rows_in, total=report.rows_in)
            return Done(f"{rejected:,} rejected, {held:,} held")
    return More()


def _check_credentials(on: Running) -> None:
    """A wrong key is found out before anything is read. WPS being away is no reason: the lanes wait for it."""
    try:
        on.deps.remote.transport.check_credentials()
    except WpsMisconfigured as error:
        raise RunFailed(f"WPS refuses us: {error.message}. {CREDENTIALS_REMEDY}") from error
    except WpsError as error:
        log.warning("runs.credentials_unchecked", run_id=on.run_id, reason=str(error))
