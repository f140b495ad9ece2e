"""What every test needs: a home of its own, and no trace of the user's."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

pytest_plugins = ["tests.parts.fixtures", "tests.parts.aws"]

_REAL = frozenset({"sshd", "new_sshd", "net_hosts", "new_net_hosts", "users", "aws"})
"""Fixtures that start real parts."""
_REAL_MODULES = (
    "remote/test_ssh_host.py", "parts/test_parts.py", "sources/test_slurm.py", "sources/test_slurm_elsewhere.py",
    "cli/test_test_source.py", "sources/test_pbs.py", "sources/test_pbs_standin.py", "collect/test_over_ssh.py",
    "parts/test_aws_parts.py", "aws/test_bootstrap.py", "aws/test_emulator.py",
    "sources/test_ec2.py", "sources/test_ec2_launch.py", "sources/test_ec2_strict.py", "sources/test_ec2_reader.py",
    "aws/test_verbs.py", "aws/test_last_look.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever needs a real part is of the suite `parts`, whoever asks for it."""
    for item in items:
        fixtures: list[str] = getattr(item, "fixturenames", [])
        if not _REAL.isdisjoint(fixtures) or str(item.path).endswith(_REAL_MODULES):
            item.add_marker(pytest.mark.parts)


KILLS: pytest.StashKey[Counter[str]] = pytest.StashKey()
"""Engines that the crash suite killed, by what they were about to do."""


def pytest_configure(config: pytest.Config) -> None:
    config.stash[KILLS] = Counter()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker of xdist has ended."""
    node.config.stash[KILLS].update(getattr(node, "workeroutput", {}).get("kills", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    kills = config.stash[KILLS]
    if kills:
        each = ", ".join(f"{count} {what}" for what, count in sorted(kills.items()))
        terminalreporter.write_line(f"{sum(kills.values())} engines killed: {each}")


@pytest.fixture(autouse=True)
def spawn_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("SPAWN_HOME", str(home))
    return home
