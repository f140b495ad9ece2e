"""The parts as pytest fixtures. A suite asks for them with `pytest_plugins = ["tests.parts.fixtures"]`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from . import netns
from .need import missing, need
from .netns import NetHosts
from .sshd import Sshd, no_sshd
from .users import User, no_users

SHELLS = {"sh": "dash", "dash": "dash", "bash": "bash", "fish": "fish", "csh": "tcsh", "tcsh": "tcsh"}
"""Login shells and the Debian packages they come from."""


@pytest.fixture(scope="session")
def users() -> Iterator[Callable[[str], User]]:
    """A user per login shell, made when first asked for and kept for the session."""
    need(no_users())
    made: dict[str, User] = {}
    with contextlib.ExitStack() as stack:

        def user(shell: str = "sh") -> User:
            if shell not in made:
                need(missing({shell: SHELLS[shell]}))
                made[shell] = stack.enter_context(User(shell))
            return made[shell]

        yield user


@pytest.fixture(scope="session")
def sshd() -> Iterator[Sshd]:
    """One server for tests that leave it as they found it."""
    need(no_sshd())
    with Sshd() as server:
        yield server


@pytest.fixture
def new_sshd() -> Iterator[Callable[..., Sshd]]:
    """Makes servers that end with the test; takes what `Sshd` takes."""
    need(no_sshd())
    with contextlib.ExitStack() as stack:

        def make(**settings: Any) -> Sshd:
            if (shell := settings.get("shell")) is not None:
                need(no_users())
                need(missing({shell: SHELLS[shell]}))
            return stack.enter_context(Sshd(**settings))

        yield make


@pytest.fixture(scope="session")
def net_hosts() -> Iterator[NetHosts]:
    """Three hosts for tests that heal what they cut and turn on what they turn off."""
    need(netns.available())
    with NetHosts(3) as hosts:
        yield hosts


@pytest.fixture
def new_net_hosts() -> Iterator[Callable[..., NetHosts]]:
    """Makes hosts that end with the test; takes what `NetHosts` takes."""
    need(netns.available())
    with contextlib.ExitStack() as stack:
        yield lambda count=1, **settings: stack.enter_context(NetHosts(count, **settings))
