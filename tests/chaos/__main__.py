"""`python -m tests.chaos --seconds 120 --seed 7`: what `make chaos` runs. Exit code 1: something was lost or doubled."""

from __future__ import annotations

import argparse
import json
import sys

from tests.chaos.play import play


def main() -> int:
    """Parse, play, print; the last line is the account."""
    parser = argparse.ArgumentParser(prog="chaos", description="Hurt a whole product for a while and count.")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    outcome = play(
        seconds=options.seconds, seed=options.seed, say=lambda line: print(line, file=sys.stderr, flush=True)
    )
    for difference in outcome.account.differences:
        print(f"- {difference}", file=sys.stderr)
    for name, count in outcome.disasters.items():
        print(f"{name}: {count}", file=sys.stderr)
    print(json.dumps(outcome.as_json(), ensure_ascii=False) if options.json else outcome.last_line)
    return 0 if outcome.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
