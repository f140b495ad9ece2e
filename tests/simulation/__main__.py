"""A longer run: `python -m tests.simulation --seeds 100000 [--start N] [--jobs 2]`; one seed, told: `--seed N`."""

from __future__ import annotations

import argparse
import sys
import time

from .play import command_for, explain, play_many


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="Play this one and print what happens.")
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=10_000, help="How many, beginning with --start.")
    parser.add_argument("--jobs", type=int, default=2, help="Processes to play them in.")
    parser.add_argument(
        "--keep-going", action="store_true", help="List all that fail instead of explaining the first."
    )
    options = parser.parse_args()
    if options.seed is not None:
        failed, text = explain(options.seed)
        print(text)
        return int(failed)
    began = time.perf_counter()
    failed = 0
    for failure in play_many(range(options.start, options.start + options.seeds), options.jobs):
        failed += 1
        print(f"{command_for(failure.seed)}\n    {failure.what}", flush=True)
        if not options.keep_going:
            print(explain(failure.seed)[1])
            return 1
    seconds = time.perf_counter() - began
    print(f"{options.seeds} seeds, {failed} failed, {seconds:.0f} s, {options.seeds / seconds:.0f} a second")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
