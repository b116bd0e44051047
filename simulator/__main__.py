"""`python -m simulator`: WPS 365 as seen from outside, on one port.

Prints one line of JSON when it listens: `{"ready": true, "port": …}`. Ends cleanly on SIGTERM and SIGINT.
With `--state` everything but the log survives a restart, however the process ended.
"""

import argparse
import asyncio
import gc
import json
import signal
import sys
from pathlib import Path

from simulator.clock import Clock
from simulator.control import Control
from simulator.faults import BadScript, Faults
from simulator.journal import BrokenJournal, Journal
from simulator.log import CallLog
from simulator.people import UnreadableDirectory
from simulator.quotas import RateLimit
from simulator.routes import Api
from simulator.server import Service
from simulator.state import State
from simulator.wire import Connection

_BACKLOG = 1024


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulator", description="Pretends to be WPS 365.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=0, help="0: any free port, printed when ready")
    parser.add_argument("--latency-ms", type=float, default=20.0, help="time every call takes (20)")
    parser.add_argument("--rate", type=float, default=0.0, help="calls per second it tolerates; 0: any number (0)")
    parser.add_argument("--burst", type=float, help="calls it tolerates at once (half a second's worth)")
    parser.add_argument("--seed", type=int, default=1, help="of ids, orders and faults (1)")
    parser.add_argument("--faults", type=Path, help="fault script, JSON")
    parser.add_argument("--directory", type=Path, help="campus folder with students and teachers")
    parser.add_argument("--app-id", default="sim-app", help="APPID it knows (sim-app)")
    parser.add_argument("--app-key", default="sim-key", help="APPKEY of that app (sim-key)")
    parser.add_argument("--state", type=Path, help="file that keeps what clients wrote")
    parser.add_argument("--signature", choices=("required", "optional"), default="required", help="KSO-1 (required)")
    return parser.parse_args()


def _build(args: argparse.Namespace, clock: Clock) -> Service:
    """Puts the parts together. Raises BadScript, BrokenJournal, UnreadableDirectory, OSError, ValueError."""
    script = json.loads(args.faults.read_text(encoding="utf-8")) if args.faults else []
    state = State(args.seed, clock, Journal(args.state) if args.state else None)
    if args.directory:
        state.people.load(args.directory)
    api = Api(
        state,
        app_id=args.app_id,
        app_key=args.app_key,
        seed=args.seed,
        signature_required=args.signature == "required",
    )
    control = Control(state, args.directory)
    control.service = Service(
        api,
        clock=clock,
        log=CallLog(),
        faults=Faults(args.seed, script),
        rate=RateLimit(args.rate, args.burst),
        latency_ms=args.latency_ms,
        control=control.receive,
    )
    return control.service


async def _serve(service: Service, clock: Clock, host: str, port: int, wire: type[Connection]) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    connections: set[Connection] = set()
    server = await loop.create_server(
        lambda: wire(service.receive, clock.wall_s, connections), host, port, backlog=_BACKLOG
    )
    chosen = server.sockets[0].getsockname()[1]
    sys.stdout.write(json.dumps({"ready": True, "port": chosen}) + "\n")
    sys.stdout.flush()
    await stop.wait()
    server.close()
    for connection in list(connections):
        connection.drop(reset=True)


def main(wire: type[Connection] = Connection) -> int:
    """Exit code: 0 after a signal, 1 when it cannot start. `wire` is what serves a connection."""
    args = _arguments()
    clock = Clock()
    try:
        service = _build(args, clock)
        # What was loaded stays: full collections over it would hold every call up for nothing.
        gc.freeze()
        gc.set_threshold(50_000, 50, 100)
        asyncio.run(_serve(service, clock, args.host, args.port, wire))
    except (BadScript, BrokenJournal, UnreadableDirectory, OSError, ValueError) as problem:
        sys.stderr.write(f"simulator: {problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
