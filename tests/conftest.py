"""What every test needs: a home of its own, and no trace of the user's."""

from __future__ import annotations

import pytest

pytest_plugins = ["tests.parts.fixtures"]


@pytest.fixture(autouse=True)
def spawn_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("SPAWN_HOME", str(home))
    return home
