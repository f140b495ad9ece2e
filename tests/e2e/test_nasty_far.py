"""Values that shells, YAML and Hydra would mangle, through whole sweeps elsewhere: what comes home is byte for byte.

Over SSH under four login shells, on Slurm and PBS on this machine, and on both through a login node.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from tests.engine.test_command import NASTY
from tests.parts.fixtures import SHELLS
from tests.parts.need import missing, need, program
from tests.parts.pbs import Pbs
from tests.parts.slurm import Slurm, no_slurm
from tests.parts.sshd import Sshd, no_sshd
from tests.parts.users import no_users

from .field import Field

pytestmark = [pytest.mark.parts, pytest.mark.timeout(200)]

PYTHON = program("/usr/bin/python3") or sys.executable
"""One that every user may run."""
DUMP = """
import json, os, sys
shown = {"argv": sys.argv[1:], "env": os.environ.get("PARAM_x"), "alias": os.environ.get("X")}
path = os.environ.get("SWEEP_PARAMS_FILE")
if path:
    shown["file"] = json.load(open(path))["x"]
json.dump(shown, open(os.environ["SWEEP_TASK_DIR"] + "/arrived.json", "w"))
"""
WAYS: dict[str, dict[str, Any]] = {
    # A line for a shell, with values in quotes and without, and a file of them.
    "line": {"command": f'cd . && {PYTHON} -S dump.py "{{x}}" {{x}} --x={{x}}!', "args": "json"},
    "hydra": {"command": [PYTHON, "-S", "dump.py"], "args": "hydra"},
}


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    need(no_slurm())
    with Slurm(1, 16) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def pbs() -> Iterator[Pbs]:
    with Pbs() as server:
        yield server


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Callable[..., Field]]:
    """Makes a field whose project is also in the home of an account behind SSH."""
    need(no_sshd() or no_users())
    with contextlib.ExitStack() as stack:

        def make(**settings: Any) -> Field:
            server = stack.enter_context(Sshd(**settings))
            assert server.account is not None
            field = Field(tmp_path, home=server.home)
            prepare(field)
            field.copy_to(server.account.home, server.account.uid, server.account.gid)
            return field

        yield make


def prepare(field: Field) -> None:
    field.write("dump.py", DUMP)
    for name, way in WAYS.items():
        field.write(f"{name}.json", json.dumps({**way, "params": [{"x": value} for value in NASTY]}))


def check(field: Field, source: str) -> None:
    """Both sweeps run there to their end, and every value has arrived in every way."""
    line, hydra = (arrived(field, name, source) for name in WAYS)
    for shown in (line, hydra):
        assert [one["env"] for one in shown] == NASTY
        assert [one["alias"] for one in shown] == NASTY
    # The last word names the file.
    assert [one["argv"][:-1] for one in line] == [[value, value, f"--x={value}!"] for value in NASTY]
    assert [one["file"] for one in line] == NASTY
    parser = OverridesParser.create()
    overrides = [parser.parse_override(word) for one in hydra for word in one["argv"]]
    assert [(word.key_or_group, str(word.value())) for word in overrides] == [("x", value) for value in NASTY]
    assert not Path("/tmp/p").exists(), "a value was run as a command"


def arrived(field: Field, name: str, source: str) -> list[dict[str, Any]]:
    done = field.run("launch", f"{name}.json", "--sources", source, "--no-ui", "-y")
    assert done.status == 0, done
    root = field.root
    tasks = [root / "tasks" / f"task_{index + 1:03d}" for index in range(len(NASTY))]
    shown = [json.loads((task / "arrived.json").read_text()) for task in tasks]
    field.forget()
    return shown


@pytest.mark.parametrize("shell", ["dash", "bash", "fish", "csh"])
def test_over_ssh(shell: str, there: Callable[..., Field]) -> None:
    need(missing({shell: SHELLS[shell]}))
    field = there(shell=shell)
    check(field, "ssh:server1:8")


def test_on_slurm(slurm: Slurm, tmp_path: Path) -> None:
    field = Field(tmp_path, slurm.environment())
    prepare(field)
    field.configure(sources={"far": {"type": "slurm", "poll_interval": 0.3}})
    check(field, "far:16")


def test_on_slurm_through_a_login_node(slurm: Slurm, there: Callable[..., Field]) -> None:
    field = there(alias="login", shell="bash", options={"SetEnv": f"SLURM_CONF={slurm.conf}"})
    field.configure(
        sources={"far": {"type": "slurm", "host": "login", "poll_interval": 0.3}},
        sync={"exclude": ["spawn.yaml"]},
    )
    check(field, "far:16")


def test_on_pbs(pbs: Pbs, tmp_path: Path) -> None:
    field = Field(tmp_path, pbs.environment())
    prepare(field)
    field.configure(sources={"far": {"type": "pbs", "poll_interval": 0.3}})
    check(field, "far:16")


def test_on_pbs_through_a_login_node(pbs: Pbs, there: Callable[..., Field]) -> None:
    field = there(alias="login", options={"SetEnv": f"PATH={pbs.path}"})
    field.configure(
        sources={"far": {"type": "pbs", "host": "login", "poll_interval": 0.3}},
        sync={"exclude": ["spawn.yaml"]},
    )
    check(field, "far:16")
