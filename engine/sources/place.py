"""How attempts are prepared for a machine that is not home: project directory, environment, the files that are sent."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from ..events import Ref
from ..ids import task_name
from ..remote.area import LIMIT, Area, Staged, start_script
from ..remote.facts import Facts
from ..remote.host import HostRefused
from .base import Job, SourceContext
from .local import limit_of
from .registry import SourceSpec

DEFAULT_ROOT = "~/.spawn/runs"
"""Where sweeps keep their attempts on other machines, unless the config says `remote_root`."""


def verify_project(area: Area, spec: SourceSpec, context: SourceContext) -> None:
    """Raises `HostRefused`, in words, if the project there is not what it is at home.

    Only before the sweep's first task there: what began with a project goes on with it.
    """
    # Per source: two may share the directory (a home on NFS), and have their projects in different places.
    mark = shlex.quote(f"{area.root}/scripts/verified.{spec.name}")
    if area.host.run(["sh", "-s"], f"[ -e {mark} ]\n".encode(), limit=LIMIT).status == 0:
        return
    _compare(area, spec, context)
    area.host.run(["sh", "-s"], f"umask 077; : >{mark}\n".encode(), limit=LIMIT)


def _compare(area: Area, spec: SourceSpec, context: SourceContext) -> None:
    if spec.options.get("verify") == "no":
        _require_folder(area, spec, context)
        return
    from ..project.compare import require_in_sync
    from ..project.files import ProjectRules
    from ..project.project import Project

    require_in_sync(area.host, spec, Project(context.project, ProjectRules.of_options(spec.options)))


def _require_folder(area: Area, spec: SourceSpec, context: SourceContext) -> None:
    """At least the folder must be there: else every task would fail over it, one by one."""
    assert area.facts is not None
    there = project_there(context.project, area.facts.home, spec.options.get("project_dir"))
    answer = area.host.run(["sh", "-s"], f"[ -d {shlex.quote(there)} ]\n".encode(), limit=LIMIT)
    if answer.status == 1:
        raise HostRefused(
            f"{spec.name}: there is no folder {there}, where its tasks would run; "
            f"send the project with: spawn-tui sync, or name the folder with project_dir in spawn.yaml"
        )


def attempt_name(ref: Ref) -> str:
    """The name of the attempt's directory, the same everywhere: `task_001.1`."""
    return f"{task_name(ref.task)}.{ref.attempt}"


def project_there(project: Path, home: str, option: str | None) -> str:
    """The project's directory on another machine: as configured, else the same path below the home directory there,
    else the same absolute path.
    """
    if option:
        return f"{home}/{option[2:]}" if option.startswith("~/") else option
    try:
        return f"{home}/{project.relative_to(Path.home())}"
    except ValueError:
        return str(project)


def setup_script(name: str, options: Mapping[str, str]) -> bytes | None:
    """A script that prepares what `modules`, `conda_env`, `python` and `setup` ask for, then becomes its arguments.

    None if nothing is asked for. These lines are the user's own config, run as they stand; a failing one ends the
    attempt with status 126 and says which source's set-up failed.
    """
    modules, conda = options.get("modules", "").split(), options.get("conda_env", "")
    python, lines = options.get("python", ""), options.get("setup", "")
    if not (modules or conda or python or lines):
        return None
    out = [
        "#!/bin/sh",
        # Modules and conda are functions of the login shell's start-up files, and written for bash.
        'if [ -z "${BASH_VERSION:-}" ] && command -v bash >/dev/null; then exec bash -l "$0" "$@"; fi',
        f"failed() {{ set +e; echo {shlex.quote(f'spawn-tui: the set-up of source {name} failed')} >&2; exit 126; }}",
        "trap failed EXIT",
        "set -e",
    ]
    out += [f"module load {shlex.quote(module)}" for module in modules]
    if conda:
        out += [
            'command -v conda >/dev/null || . "${CONDA_EXE%/bin/conda}/etc/profile.d/conda.sh"',
            'eval "$(conda shell.bash hook)"',
            f"conda activate {shlex.quote(conda)}",
        ]
    if "/" in python:
        out.append(f"PATH={shlex.quote(python.rpartition('/')[0])}:$PATH; export PATH")
    out += [line for line in lines.split("\n") if line]
    out += ["set +e", "trap - EXIT", 'exec "$@"']
    return ("\n".join(out) + "\n").encode()


def scripts_of(name: str, context: SourceContext, options: Mapping[str, str]) -> dict[str, bytes]:
    """What every area of this source needs under `scripts/`."""
    scripts = {"runner.sh": context.layout.runner.read_bytes()}
    setup = setup_script(name, options)
    if setup is not None:
        scripts[f"setup_scripts/{name}.sh"] = setup
    return scripts


def stage(
    job: Job, area: Area, facts: Facts, name: str, context: SourceContext, options: Mapping[str, str]
) -> Staged:
    """The files of one attempt for this machine. Raises `PlanError`."""
    attempt = attempt_name(job.ref)
    previous = None
    if job.previous_source == name:
        previous = area.directory(f"{task_name(job.ref.task)}.{job.previous_attempt}")
    call = job.render(
        task_dir=area.directory(attempt),
        project=project_there(context.project, facts.home, options.get("project_dir")),
        previous_dir=previous,
    )
    wrapper = None
    if setup_script(name, options) is not None:
        wrapper = f"{facts.root}/scripts/setup_scripts/{name}.sh"
    files = {file: text.encode(errors="surrogateescape") for file, text in call.files.items()}
    files["start.sh"] = start_script(facts.root, attempt, limit_of(job), call, wrapper)
    return Staged(attempt, files)
