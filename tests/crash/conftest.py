from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..conftest import KILLS
from . import field as fields
from .field import Field


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.crash)
            if not sys.platform.startswith("linux"):
                item.add_marker(pytest.mark.skip(reason="reads /proc"))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """What was killed is told at the end by tests/conftest.py, which hears of all workers."""
    session.config.stash[KILLS].update(fields.kills)
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["kills"] = dict(fields.kills)


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
