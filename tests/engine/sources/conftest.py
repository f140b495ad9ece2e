"""A source of EC2 over the emulator, for every test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from spawn_tui.engine.aws.cloud import Cloud
from spawn_tui.tui.demo.cloud.emulator import Emulator

from tests.engine.sources.ec2_place import Places, emulated, shorten


@pytest.fixture(scope="module")
def played() -> Iterator[tuple[Emulator, Cloud]]:
    with emulated() as made:
        yield made


@pytest.fixture
def places(
    played: tuple[Emulator, Cloud], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Places]:
    """Makes places; in the end no attempt has had two instances, and no end was told twice."""
    shorten(monkeypatch)
    made = Places(tmp_path, *played)
    yield made
    made.close()
    made.check()
