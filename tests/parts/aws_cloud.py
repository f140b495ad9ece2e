"""The emulator with instances in namespaces, as a process: `unshare … python -m tests.parts.aws_cloud --dir D`.

It wants mount and pid namespaces of its own, so that whatever becomes of it, no mount and no process of it is left.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from spawn_tui.tui.demo.cloud.__main__ import serve

from .aws_namespaces import Namespaces


def main() -> int:
    parser = argparse.ArgumentParser(prog="aws_cloud")
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--boot", type=float)
    parser.add_argument("--minute", type=float)
    told = parser.parse_args()
    return serve(lambda served: Namespaces(told.dir, served), "127.0.0.1", 0, told.boot, told.minute)


if __name__ == "__main__":
    sys.exit(main())
