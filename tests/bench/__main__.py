"""All measurements, as the table of the README: `python -m tests.bench [NAME]...`, with the names of `SUITES`."""

from __future__ import annotations

import importlib
import sys

from .measure import Figure, table

SUITES = ("throughput", "scale", "startup", "ui", "remote", "ec2")


def main(names: list[str]) -> None:
    figures: list[Figure] = []
    for name in names or SUITES:
        print(f"measuring {name} …", file=sys.stderr)
        module = importlib.import_module(f"tests.bench.bench_{name}")
        figures += [f if isinstance(f, Figure) else Figure(*f) for f in module.run()]
    print(table(figures))


if __name__ == "__main__":
    main(sys.argv[1:])
