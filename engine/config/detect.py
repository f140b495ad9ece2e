"""What a project and its machine have, for `init` to propose: nothing here is more than a guess."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import islice
from pathlib import Path

SCRIPTS = (
    "scripts/train.py", "src/train.py", "train.py", "main.py", "run.py", "scripts/main.py", "src/main.py",
)  # fmt: skip
"""Where a training script usually is, in the order HSM looks."""
_PATTERNS = ("*train*.py", "*main*.py", "*run*.py")
_NOT_SOURCES = frozenset(
    {
        "venv",
        "env",
        "node_modules",
        "site-packages",
        "__pycache__",
        "tests",
        "test",
        "outputs",
        "build",
        "dist",
    }
)
_MOST_FILES = 20_000
_DEEPEST = 5
_SINFO_LIMIT = 10.0
_GIT_HOSTS = frozenset({"github.com", "gitlab.com", "bitbucket.org", "ssh.github.com"})


@dataclass(frozen=True, slots=True)
class Detected:
    """The proposals. `script` is relative to the project; None where none was found."""

    script: str | None = None
    others: tuple[str, ...] = ()
    """Further scripts that could have been meant."""
    uses_hydra: bool = False
    python: str = "python3"
    conda_env: str | None = None
    scheduler: str | None = None
    """`slurm` or `pbs`, if this machine can submit to one."""
    partitions: tuple[str, ...] = ()
    """Of Slurm, the default one first."""
    ssh_hosts: tuple[str, ...] = ()
    """Aliases of `~/.ssh/config`."""
    notes: tuple[str, ...] = ()
    """What could not be found out, and why."""


def detect(project: Path, environ: Mapping[str, str], home: Path) -> Detected:
    """Look around. Takes some seconds at most; never raises for what it cannot read."""
    notes: list[str] = []
    found = list(islice(_scripts(project), 10))
    script = found[0] if found else None
    path = environ.get("PATH", "")
    scheduler = next(
        (k for name, k in (("sbatch", "slurm"), ("qsub", "pbs")) if shutil.which(name, path=path)), None
    )
    conda = environ.get("CONDA_DEFAULT_ENV")
    return Detected(
        script=script,
        others=tuple(found[1:]),
        uses_hydra=script is not None and uses_hydra(project / script),
        python=_python(project, environ),
        conda_env=conda if conda and conda != "base" else None,
        scheduler=scheduler,
        partitions=_partitions(environ, notes) if scheduler == "slurm" else (),
        ssh_hosts=_ssh_hosts(home / ".ssh" / "config", notes),
        notes=tuple(notes),
    )


def uses_hydra(script: Path) -> bool:
    """Whether a script takes its parameters as Hydra overrides (`key=value`)."""
    try:
        text = script.read_text(errors="replace")
    except OSError:
        return False  # its parameters are then proposed as flags, which the file says
    return re.search(r"^\s*(import hydra\b|from hydra\b|@hydra\.main)", text, re.MULTILINE) is not None


def _scripts(project: Path) -> Iterator[str]:
    seen: set[str] = set()
    for name in SCRIPTS:
        if (project / name).is_file():
            seen.add(name)
            yield name
    names = list(islice(_python_files(project), _MOST_FILES))
    for pattern in _PATTERNS:
        for name in names:
            if name not in seen and fnmatch(Path(name).name, pattern):
                seen.add(name)
                yield name


def _python_files(project: Path) -> Iterator[str]:
    """Python files below `project`, the shallow ones of each folder first, in the order of their names."""
    for folder, inner, files in os.walk(project):
        here = Path(folder).relative_to(project)
        inner[:] = sorted(
            name for name in inner
            if not name.startswith(".") and name not in _NOT_SOURCES and len(here.parts) < _DEEPEST
        )  # fmt: skip
        for name in sorted(files):
            if name.endswith(".py"):
                yield (here / name).as_posix()


def _python(project: Path, environ: Mapping[str, str]) -> str:
    """The interpreter as a task finds it: of the active environment, else the project's own, else of PATH."""
    path = environ.get("PATH", "")
    if environ.get("CONDA_DEFAULT_ENV") or environ.get("VIRTUAL_ENV"):
        return "python"
    own = next((name for name in (".venv", "venv") if (project / name / "bin" / "python").exists()), None)
    if own is not None:
        return f"{own}/bin/python"
    return next((name for name in ("python", "python3") if shutil.which(name, path=path)), "python3")


def _partitions(environ: Mapping[str, str], notes: list[str]) -> tuple[str, ...]:
    """Slurm's partitions by `sinfo -h -o %P`, which marks the default one with `*` (sinfo(1))."""
    program = shutil.which("sinfo", path=environ.get("PATH", ""))
    if program is None:
        notes.append("sinfo is not on PATH, so the partitions are not known")
        return ()
    try:
        done = subprocess.run(
            [program, "-h", "-o", "%P"], capture_output=True, text=True, timeout=_SINFO_LIMIT, check=False,
            stdin=subprocess.DEVNULL, env=dict(environ),
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        notes.append(f"sinfo cannot be asked for partitions: {error}")
        return ()
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        notes.append(
            f"sinfo cannot be asked for partitions: {said[-1] if said else f'status {done.returncode}'}"
        )
        return ()
    names = [name for line in done.stdout.splitlines() if (name := line.strip())]
    return tuple(name.rstrip("*") for name in sorted(names, key=lambda name: not name.endswith("*")))


def _ssh_hosts(path: Path, notes: list[str]) -> tuple[str, ...]:
    if not path.is_file():
        return ()
    from paramiko import SSHConfig
    from paramiko.ssh_exception import ConfigParseError

    try:
        names = SSHConfig.from_path(str(path)).get_hostnames()
    except (OSError, UnicodeDecodeError, ConfigParseError) as error:
        notes.append(f"{path} cannot be read: {error}")
        return ()
    return tuple(sorted(name for name in names if not set(name) & set("*?!") and name not in _GIT_HOSTS))
