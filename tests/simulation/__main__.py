"""`python -m tests.simulation`: prove at size, or replay one history and read it."""

from __future__ import annotations

import argparse
import json
import os
import sys

from tests.simulation.history import play
from tests.simulation.prove import prove


def main() -> int:
    """Exit 0 when every promise was kept, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--histories", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1_000_000, help="the first one")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--replay", type=int, metavar="SEED", help="play this one history and print it")
    options = parser.parse_args()
    if options.replay is not None:
        log: list[str] = []
        verdict = play(options.replay, log)
        print("\n".join(log))
        print(f"\n{verdict.broken or 'every promise was kept'}")
        return 1 if verdict.broken else 0
    summary = prove(options.histories, first=options.seed, processes=options.processes)
    for one in summary.broken[:10]:
        print(f"seed {one['seed']}: {one['broken']}\n  {one['replay']}", file=sys.stderr)
    print(json.dumps(summary.as_dict(), ensure_ascii=False))
    return 1 if summary.broken else 0


if __name__ == "__main__":
    sys.exit(main())
