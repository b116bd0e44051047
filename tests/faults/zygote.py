"""Has imported the product once and forks worker processes from that: starting one takes a tenth of a second, not two.

Speaks JSON lines. {"start": {"name", "environ", "log", "prelude"}} answers with the id of the process, {"poll": id} with its
exit code, or null while it lives. What it forks is a process of its own in every respect a signal can tell.
"""

import gc
import json
import os
import signal
import sys
import threading
import time
from typing import Any

from sqlalchemy import event
from sqlalchemy.pool import Pool

import usecases.sso
import usecases.wps_login  # noqa: F401 (the actors import both, and those can be imported only by the worker itself)
import workers.batcher
import workers.main
import workers.scheduler  # noqa: F401 (the command reads each when it is asked for)
from observability import failpoints
from workers.cli import main as obsync


class Gate:
    """Lets a worker stop itself only while no other thread of it holds a connection.

    A transaction that is stopped half-way keeps its locks, and the test would wait for them as long as it waits for the
    worker. Which thread is where at that moment is chance, and not what a test of a stopped worker is about.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._closed = False
        self._held: dict[int, int] = {}  # record of a connection in use → thread
        event.listen(Pool, "checkout", self._enter)
        event.listen(Pool, "checkin", self._leave)

    def _enter(self, _connection: Any, record: Any, _proxy: Any) -> None:
        mine = threading.get_ident()
        with self._changed:
            self._changed.wait_for(lambda: not self._closed or mine in self._held.values())
            self._held[id(record)] = mine

    def _leave(self, _connection: Any, record: Any) -> None:
        with self._changed:
            self._held.pop(id(record), None)
            self._changed.notify_all()

    def stop(self, _: str) -> bool:
        """Stop the process; the action of a failpoint."""
        mine = threading.get_ident()
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: all(one == mine for one in self._held.values()))
            os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(0.05)  # the signal may reach another thread first
            self._closed = False
            self._changed.notify_all()
        return False


def serve() -> None:
    """Answer until standard input ends."""
    gc.collect()
    gc.freeze()  # what a worker collects at its start would else be all of this, and each page of it copied
    for line in sys.stdin:
        asked = json.loads(line)
        if "start" in asked:
            answer: int | None = os.fork()
            if answer == 0:
                _become(asked["start"])
        else:
            pid, status = os.waitpid(asked["poll"], os.WNOHANG)
            answer = None if pid == 0 else os.waitstatus_to_exitcode(status)
        print(json.dumps(answer), flush=True)


def _become(asked: dict[str, Any]) -> None:
    """The worker itself; does not return."""
    os.setsid()
    log, nothing = (
        os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        os.open(os.devnull, os.O_RDONLY),
    )
    for number, source in enumerate((nothing, log, log)):
        os.dup2(source, number)
    os.environ.clear()
    os.environ.update(asked["environ"])
    code: object = 1
    failpoints.ACTIONS["stop"] = Gate().stop
    try:
        exec(asked["prelude"], {})
        obsync(["worker", asked["name"]])
    except SystemExit as ended:
        code = ended.code
    finally:
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    serve()
