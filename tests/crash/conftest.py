from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from . import field as fields
from .field import Field


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.crash)
            if not sys.platform.startswith("linux"):
                item.add_marker(pytest.mark.skip(reason="reads /proc"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if fields.kills:
        each = ", ".join(f"{count} {what}" for what, count in sorted(fields.kills.items()))
        terminalreporter.write_line(f"{sum(fields.kills.values())} engines killed: {each}")


@pytest.fixture
def new_field(tmp_path: Path) -> Iterator[Callable[..., Field]]:
    """Makes sweeps, each in a directory of its own, and sees to it that nothing of them outlives the test."""
    made: list[Field] = []

    def make(script: str = "", **options: object) -> Field:
        field = fields.new_field(tmp_path / f"field{len(made)}", script, **options)  # type: ignore[arg-type]
        made.append(field)
        return field

    yield make
    fields.kill_engines()
    for field in made:
        field.kill_processes()


@pytest.fixture
def as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: mounts a file system")
