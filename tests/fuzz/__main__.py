"""`python -m tests.fuzz --cases 100000 --seed 1` ends with one JSON object, and with exit code 1 where something was wrong."""

from __future__ import annotations

import argparse
import json
import sys
import time

from tests.fuzz.rounds import prove

_SHARE = 60


def main() -> int:
    """0: nothing was wrong."""
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    began = time.monotonic()
    tally = prove(asked.cases, asked.seed)
    right = not tally.failures and tally.share >= _SHARE
    summary = {"ok": right, "seed": asked.seed, "took_s": round(time.monotonic() - began, 1), **tally.as_dict()}
    print(json.dumps(summary, ensure_ascii=False))
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
