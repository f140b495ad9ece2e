"""What the command line costs before it does anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .measure import Figure, alternate


def run(rounds: int = 21) -> list[Figure]:
    program = Path(sys.executable).parent / "spawn-tui"

    def quiet(*words: str) -> None:
        subprocess.run(words, stdout=subprocess.DEVNULL, check=True)

    seconds = alternate(
        {"help": lambda: quiet(str(program), "--help"), "bare": lambda: quiet(sys.executable, "-c", "pass")},
        rounds,
    )
    more = (seconds["help"] - seconds["bare"]) * 1000
    detail = f"{seconds['help'] * 1000:.0f} ms against {seconds['bare'] * 1000:.0f} ms, median of {rounds}"
    return [Figure("`spawn-tui --help` beyond `python -c pass`", more, "ms", "<= 100", detail)]


if __name__ == "__main__":
    from .measure import table

    print(table(run()))
