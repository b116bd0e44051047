"""Has imported the product once and forks worker processes from that: starting one takes a tenth of a second, not two.

Speaks JSON lines. {"start": {"name", "environ", "log", "prelude"}} answers with the id of the process, {"poll": id} with its
exit code, or null while it lives. What it forks is a process of its own in every respect a signal can tell.
"""

import json
import os
import sys
from typing import Any

from workers.cli import main as obsync


def serve() -> None:
    """Answer until standard input ends."""
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
