"""A part that cannot be had here: a reason to skip on somebody's laptop, a failure where everything must be there."""

from __future__ import annotations

import os
import shutil

import pytest


def required() -> bool:
    """Whether this run must not skip anything: in CI, or asked for with `SPAWN_CI=1`."""
    return os.environ.get("SPAWN_CI", "") not in ("", "0") or os.environ.get("CI", "") not in (
        "",
        "0",
        "false",
    )


def need(why_not: str | None) -> None:
    """Skip the test for that reason, if there is one; where nothing may be skipped, fail it."""
    if why_not is None:
        return
    if required():
        pytest.fail(f"must be tested here, but {why_not}", pytrace=False)
    pytest.skip(why_not)


def missing(programs: dict[str, str]) -> str | None:
    """Which of these programs (name → Debian package) is not installed, in words; None if all are."""
    absent = {name: package for name, package in programs.items() if program(name) is None}
    if not absent:
        return None
    return f"{', '.join(absent)} is not installed (apt-get install {' '.join(sorted(set(absent.values())))})"


def program(name: str) -> str | None:
    """Where a program is, also if it is one of the administrator's."""
    return shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")
