"""An existing HSM configuration (`hsm_config.yaml`, `.hsm/config.yaml`) in the terms of `spawn.yaml`.

Read are the keys of HSM 2.0 (`hpc`, `paths`, `compute`), those its guides show though no version ever parsed them
(`compute_sources`), and those of its present main branch (`slurm`, `distributed`). What has no meaning here is named in
one warning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from ..plan.model import Value
from ..plan.problems import Findings, Located, Path
from ..sources.registry import KINDS
from .translation import Reading, Translated

_SYSTEMS = {"slurm": "slurm", "pbs": "pbs", "torque": "pbs"}
_SOURCE = {
    "max_parallel_tasks": "max_tasks", "max_parallel_jobs": "max_tasks", "max_tasks": "max_tasks", "host": "host",
    "hostname": "host", "user": "user", "username": "user", "port": "port", "ssh_port": "port", "ssh_key": "ssh_key",
    "project_dir": "project_dir", "workdir": "project_dir", "remote_root": "remote_root", "conda_env": "conda_env",
    "python_interpreter": "python", "python_path": "python", "queue": "partition", "default_queue": "partition",
    "partition": "partition", "account": "account", "qos": "qos", "walltime": "walltime",
    "default_walltime": "walltime", "cpus": "cpus", "cpus_per_task": "cpus", "mem": "mem", "gpus": "gpus",
    "modules": "modules", "pre_script": "setup",
}  # fmt: skip
"""HSM's keys of a source, and ours."""
_SLURM = {
    "--cpus-per-task": "cpus", "--mem": "mem", "--gpus": "gpus", "--partition": "partition", "--qos": "qos",
    "--account": "account", "--time": "walltime",
}  # fmt: skip
_PBS = {"ncpus": "cpus", "mem": "mem", "ngpus": "gpus"}
_STRATEGIES = {"capability_based": "least_loaded"}
_COMPUTE = {
    "default_timeout": ("defaults", "timeout"),
    "retry_attempts": ("defaults", "retries"),
    "result_collection_interval": ("collect", "interval"),
    "source_failure_threshold": ("health", "failure_rate"),
    "health_check_failure_threshold": ("health", "strikes"),
}
_INHERITED: Mapping[str, tuple[Path, ...]] = {
    "conda_env": (("distributed", "conda_env"), ("paths", "conda_env")),
    "python": (("distributed", "python_path"), ("paths", "python_interpreter")),
    "remote_root": (("distributed", "remote_root"),),
}


def translate(data: dict[str, Value], document: Located, findings: Findings) -> Translated:
    """`data` in our terms. What is not used is warned of in `findings`."""
    reading = Reading(data, findings)
    _clusters(reading)
    _remotes(reading)
    _own_entries(reading)
    _settings(reading)
    unused = reading.unused()
    if unused:
        findings.warn((), f"{document.file}: these settings of HSM mean nothing here: {', '.join(unused)}")
    return Translated(document.file, reading.made, reading.written, document)


def _clusters(reading: Reading) -> None:
    """`compute_sources:` of the guides."""
    system = reading.at(("hpc", "system"))
    for name, entry in reading.mapping("compute_sources").items():
        path: Path = ("compute_sources", name)
        if not isinstance(entry, dict):
            reading.put(path, ("sources", name), entry)
            continue
        kind = entry.get("type")
        if kind == "hpc":
            kind = _SYSTEMS.get(str(entry.get("system") or system).lower(), "hpc")
            reading.use((*path, "system"))
        reading.use((*path, "type"))
        if reading.source(name, kind, path):
            _entry(reading, name, path, entry)


def _remotes(reading: Reading) -> None:
    """`distributed.remotes:` of the main branch."""
    for name, entry in reading.mapping("distributed", "remotes").items():
        path: Path = ("distributed", "remotes", name)
        if not isinstance(entry, dict) or entry.get("enabled") is False:
            continue
        for key in ("backend", "enabled"):
            reading.use((*path, key))
        if not reading.source(name, entry.get("backend") or "ssh", path):
            continue
        reading.option(name, "host", (*path, "host"), entry.get("host") or name)
        _entry(reading, name, path, entry)
        spec = entry.get("spec")
        if isinstance(spec, dict):
            _entry(reading, name, (*path, "spec"), spec)


def _own_entries(reading: Reading) -> None:
    """`hpc:` and `slurm:`, which speak of every cluster of that kind, and what every source inherits."""
    block = reading.mapping("hpc")
    if any(
        block.get(key)
        for key in ("default_walltime", "default_resources", "default_queue", "module_commands")
    ):
        for name in [*_made_of(reading, ("slurm", "pbs", "hpc"), "compute_sources")]:
            _entry(reading, name, ("hpc",), block)
        if reading.source("hpc", _SYSTEMS.get(str(block.get("system")).lower(), "hpc"), ("hpc",)):
            _entry(reading, "hpc", ("hpc",), block)
    if "system" in block and (block["system"] in (None, "local") or str(block["system"]).lower() in _SYSTEMS):
        reading.use(("hpc", "system"))
    block = reading.mapping("slurm")
    if block and reading.source("slurm", "slurm", ("slurm",)):
        _entry(reading, "slurm", ("slurm",), block)
    for name in [*_made_of(reading, tuple(KINDS))]:
        for key, places in _INHERITED.items():
            place = next((path for path in places if reading.at(path) is not None), None)
            if place is not None and not (key == "python" and "conda_env" in reading.made_of(name)):
                reading.option(name, key, place, reading.at(place))
    for name in [*_made_of(reading, ("ssh",))]:
        path: Path = ("compute", "max_concurrent_remote")
        reading.option(name, "max_tasks", path, reading.at(path))


def _made_of(reading: Reading, kinds: tuple[str, ...], block: str = "") -> Iterable[str]:
    """The names of the sources of these kinds, in `block` only if it is given."""
    sources = reading.made.get("sources")
    for name, entry in list(sources.items()) if isinstance(sources, dict) else ():
        if (
            isinstance(entry, dict)
            and entry.get("type") in kinds
            and (not block or name in reading.mapping(block))
        ):
            yield name


def _entry(reading: Reading, name: str, path: Path, entry: Mapping[str, Value]) -> None:
    """All that `entry`, which stands at `path`, says of the source `name`."""
    for key, value in entry.items():
        here = (*path, key)
        if key in _SOURCE:
            if key == "gpus" and isinstance(entry.get("gpu_type"), str) and isinstance(value, int):
                value = f"{entry['gpu_type']}:{value}"
                reading.use((*path, "gpu_type"))
            reading.option(name, _SOURCE[key], here, value)
        elif key in ("default_resources", "resources") and isinstance(value, str):
            _resources(reading, name, here, value)
        elif key == "module_commands" and isinstance(value, list):
            _modules(reading, name, here, value)
        elif key == "extra_directives" and isinstance(value, dict):
            # HSM prints `#SBATCH key=value`, which Slurm takes with the dashes only.
            lines: list[Value] = [f"--{flag.lstrip('-')}={item}" for flag, item in value.items()]
            reading.option(name, "extra", here, lines)
        elif key == "mem_per_cpu" and isinstance(value, str):
            reading.option(name, "extra", here, [f"--mem-per-cpu={value}"])


def _resources(reading: Reading, name: str, path: Path, text: str) -> None:
    """`select=1:ncpus=4:mem=64gb:ngpus=1` as PBS has it, or `--cpus-per-task=4 --mem=16G` as Slurm has it."""
    known, extra = (
        (_SLURM, text.split()) if text.lstrip().startswith("--") else (_PBS, re.split("[:,]", text))
    )
    left: list[Value] = []
    for word in extra:
        key, _, value = word.strip().partition("=")
        if key in known:
            number: Value = int(value) if value.isdigit() else value
            reading.option(name, known[key], path, number)
        elif known is _SLURM:
            left.append(word)
        elif word.strip() != "select=1":
            left.append(f"-l {word.strip()}")
    if left:
        reading.option(name, "extra", path, left)


def _modules(reading: Reading, name: str, path: Path, items: list[Value]) -> None:
    """`module load X` and bare names are modules; any other command is one of the set-up."""
    modules: list[Value] = []
    setup: list[Value] = []
    for item in items:
        word = str(item).strip()
        if word.startswith("module load "):
            modules += word.removeprefix("module load ").split()
        else:
            (setup if " " in word else modules).append(word)
    if modules:
        reading.option(name, "modules", path, modules)
    if setup:
        reading.option(name, "setup", path, setup)


def _settings(reading: Reading) -> None:
    """What concerns the launch as a whole."""

    def move(path: Path, target: Path, convert: Callable[[Value], Value] = lambda value: value) -> None:
        value = reading.at(path)
        if value is not None:
            reading.put(path, target, convert(value))

    for key, target in _COMPUTE.items():
        move(("compute", key), target)
    most = reading.at(("compute", "max_concurrent_local")) or reading.at(("distributed", "local_max_jobs"))
    key = ("compute", "max_concurrent_local") if reading.at(("compute", "max_concurrent_local")) else (
        "distributed", "local_max_jobs")  # fmt: skip
    if most and (reading.source("local", "local", key) or "max_tasks" not in reading.made_of("local")):
        reading.option("local", "max_tasks", key, most)
    move(("distributed", "strategy"), ("defaults", "strategy"), lambda v: _STRATEGIES.get(str(v), v))
    move(("paths", "output_dir"), ("defaults", "output_dir"))
    move(("distributed", "collect_interval"), ("collect", "interval"))
    move(("distributed", "keep_remote_on_success"), ("collect", "keep_remote"))
    move(("distributed", "rsync_excludes"), ("sync", "exclude"))
