"""How fast is a term planned, and in how much memory? `python -m bench.planning [--json]`

Two plans of the same term: the first, for which every calendar, roll and event becomes a job, and one after all of that was
sent and nothing has changed since. Each is done by a process of its own, as a `jobs` worker does it (pages, units, fences),
on a private database that the bench has filled before.

Counted from outside: peak memory from the operating system's account of the ended process, jobs from the database. The
seconds are those of the planning alone; a process that starts takes one or two before.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.mariadb import private_mariadb
from bench.planning_world import Shape, fill, mark_as_sent, planned, sizes
from bench.report import Figure, report
from bootstrap.addresses import sqlite_url
from bootstrap.wiring import new_id
from db import tasks
from db.engine import in_unit, make_engine
from db.imports import latest_complete
from db.migrate import upgrade
from db.tables import tenants
from usecases.sync.planning import Planner

ROOT = Path(__file__).resolve().parent.parent
TENANT = "main"
_SECRET = b"the secret of the bench, of no use elsewhere"
_VISIBILITY_MS = 600_000
_DATABASES = ("sqlite", "mariadb")


class NotMeasured(Exception):
    """A step of the bench failed; the message is what it said."""


# --- steps: each a process of its own -----------------------------------------------------------------------------------


def _seed(url: str, shape: Shape) -> dict[str, float]:
    engine = make_engine(url, patience_s=600)
    upgrade(engine)
    row = {"id": TENANT, "zone": "Asia/Shanghai", "settings": "{}", "wps_app_id": "", "wps_app_key": ""}
    in_unit(engine, lambda tx: tx.execute(tenants.insert().values(last_import_no=0, created_ms=0, **row)))
    fill(engine, shape, tenant=TENANT)
    return {}


def _sent(url: str) -> dict[str, float]:
    mark_as_sent(make_engine(url, patience_s=600), tenant=TENANT)
    return {}


def _plan(url: str) -> dict[str, float]:
    """What a run does in its stage of planning, page by page under the fence of its task."""
    engine = make_engine(url)
    task_id = in_unit(
        engine,
        lambda tx: tasks.put_task(
            tx, tenant=TENANT, queue="sync", kind="bench", target="plan", payload="{}", run_id=None, new_id=new_id
        ),
    )
    task = in_unit(
        engine,
        lambda tx: tasks.claim_task(
            tx, tenant=TENANT, job_id=task_id, claim="bench", visibility_ms=_VISIBILITY_MS, max_attempts=1
        ),
    )
    assert task is not None
    with engine.connect() as tx:
        import_no = latest_complete(tx, TENANT) or 0
    began, operations = time.monotonic(), 0
    planner = Planner(engine, TENANT, _SECRET)
    for _, plans in planner.pages():
        planner.put(
            plans,
            import_no=import_no,
            run_id=task.id,
            new_id=new_id,
            fence=lambda tx: tasks.keep_task(tx, task, visibility_ms=_VISIBILITY_MS),
        )
        operations += sum(len(plan.operations) for plan in plans)
    took_s = time.monotonic() - began
    in_unit(engine, lambda tx: tasks.finish_task(tx, task))
    return {"seconds": took_s, "operations": operations}


# --- the measurement ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """What a step said, and the most memory its process had resident."""

    said: dict[str, float]
    peak_mib: float
    cpu_s: float


def _run(step: str, url: str, shape: Shape) -> Step:
    """Carry a step out in a process of its own. Raises NotMeasured."""
    asked = json.dumps([step, url, shape.sessions, shape.of_course, shape.roll, shape.students, shape.colleges])
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.planning", "--step", asked], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode:
        raise NotMeasured(f"{step} ended with {process.returncode}")
    peak_mib = usage.ru_maxrss / (1024 if sys.platform != "darwin" else 1024 * 1024)
    return Step(json.loads(said), peak_mib, usage.ru_utime + usage.ru_stime)


def measure(database: str, shape: Shape, *, pool_mib: int) -> dict[str, Figure]:
    """The figures of one size on one database."""
    with tempfile.TemporaryDirectory(prefix="obb-") as directory, _database(database, Path(directory), pool_mib) as url:
        _run("seed", url, shape)
        first = _run("plan", url, shape)
        engine = make_engine(url)
        jobs = planned(engine, tenant=TENANT)
        _run("sent", url, shape)
        again = _run("plan", url, shape)
        left = planned(engine, tenant=TENANT)
        engine.dispose()
    return {
        "first_s": round(first.said["seconds"], 2),
        "first_sessions_per_s": round(shape.sessions / first.said["seconds"]),
        "first_peak_mib": round(first.peak_mib, 1),
        "first_cpu_s": round(first.cpu_s, 2),
        "first_jobs": sum(jobs.values()),
        "first_event_jobs": jobs.get("event", 0),
        "no_change_s": round(again.said["seconds"], 2),
        "no_change_sessions_per_s": round(shape.sessions / again.said["seconds"]),
        "no_change_peak_mib": round(again.peak_mib, 1),
        "no_change_cpu_s": round(again.cpu_s, 2),
        "no_change_jobs": sum(left.values()),
    }


@contextlib.contextmanager
def _database(wanted: str, directory: Path, pool_mib: int) -> Iterator[str]:
    if wanted == "sqlite":
        yield sqlite_url(directory / "bench.db")
        return
    with private_mariadb(directory, f"--innodb-buffer-pool-size={pool_mib}M") as server:
        yield server.make_database("bench")


def _step(asked: str) -> None:
    step, url, sessions, of_course, roll, students, colleges = json.loads(asked)
    if step == "seed":
        said = _seed(url, Shape(sessions, of_course, roll, students, colleges))
    else:
        said = {"plan": _plan, "sent": _sent}[step](url)
    print(json.dumps(said), flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.planning", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="only the JSON object")
    parser.add_argument("--sessions", type=int, nargs="+", default=[50_000, 500_000], help="sizes to measure")
    parser.add_argument("--databases", nargs="+", choices=_DATABASES, default=list(_DATABASES))
    parser.add_argument("--of-course", type=int, default=25, help="classes of a course")
    parser.add_argument("--roll", type=int, default=30, help="students of a course")
    parser.add_argument("--colleges", type=int, default=40)
    parser.add_argument("--pool-mib", type=int, default=1024, help="MariaDB's memory for data")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.step:
        _step(given.step)
        return
    measured: dict[str, Figure] = {}
    for shape in sizes(given.sessions, of_course=given.of_course, roll=given.roll, colleges=given.colleges):
        for database in given.databases:
            figures = measure(database, shape, pool_mib=given.pool_mib)
            measured |= {f"{database}_{shape.sessions}_{name}": figure for name, figure in figures.items()}
    parameters: dict[str, Figure] = {
        "sessions": ", ".join(map(str, given.sessions)),
        "databases": ", ".join(given.databases),
        "classes_of_course": given.of_course,
        "students_of_course": given.roll,
        "colleges": given.colleges,
        "mariadb_pool_mib": given.pool_mib,
    }
    report("planning", measured, parameters, json_only=given.json)


if __name__ == "__main__":
    main()
