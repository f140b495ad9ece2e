"""Which scheduler `hpc` is: found out once, when a sweep is prepared, by asking where its jobs will be submitted."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from ..remote.host import Host, HostAway, HostRefused
from ..remote.hosts import host_of
from ..sources.registry import SourceError, SourceSpec

ASK_LIMIT = 60.0
"""Seconds a login node may take to say what it has."""
SCHEDULERS = {"sbatch": "slurm", "qsub": "pbs"}
"""The command that submits, and the kind it means. Slurm first: its PBS wrappers bring a qsub along."""
_MARK = b"spawn-tui found "
_SCRIPT = b"".join(
    b"command -v %s >/dev/null 2>&1 && echo '%s%s'\n" % (name.encode(), _MARK, name.encode())
    for name in SCHEDULERS
) + b"exit 0\n"  # fmt: skip


def resolve_here(spec: SourceSpec) -> SourceSpec:
    """`spec` as slurm or pbs, by what is on this machine's PATH. Raises `SourceError` if there is neither."""
    return _resolved(spec, [name for name in SCHEDULERS if shutil.which(name)], "this machine")


def resolve_hpc(spec: SourceSpec, host: Host) -> SourceSpec:
    """`spec` as slurm or pbs, by what `host` has. Raises `SourceError`, also when the host cannot be asked."""
    try:
        answer = host.run(["sh", "-s"], _SCRIPT, limit=ASK_LIMIT)
    except (HostAway, HostRefused) as error:
        raise SourceError(f"source {spec.name}: {error}") from None
    if answer.status != 0:
        raise SourceError(
            f"source {spec.name}: {host.name} cannot be asked for its scheduler: {answer.words}"
        )
    # A login shell may print a greeting first: only marked lines count.
    lines = [line.strip() for line in answer.out.splitlines()]
    return _resolved(spec, [name for name in SCHEDULERS if _MARK + name.encode() in lines], host.name)


def prepare_sources(
    specs: Iterable[SourceSpec], connect: Callable[[str, Mapping[str, str]], Host] = host_of
) -> list[SourceSpec]:
    """`specs` with every `hpc` resolved; `connect` as `host_of`. Raises `SourceError`."""
    return [_prepared(spec, connect) if spec.kind == "hpc" else spec for spec in specs]


def _prepared(spec: SourceSpec, connect: Callable[[str, Mapping[str, str]], Host]) -> SourceSpec:
    if "host" not in spec.options:
        return resolve_here(spec)
    host = connect(spec.name, spec.options)
    try:
        return resolve_hpc(spec, host)
    finally:
        host.close()


def _resolved(spec: SourceSpec, found: list[str], where: str) -> SourceSpec:
    if not found:
        raise SourceError(
            f"source {spec.name}: neither Slurm (sbatch) nor PBS (qsub) is on the PATH of {where}; name the login "
            "node with `host:` in spawn.yaml, or write `type: slurm` or `type: pbs` there"
        )
    kind = SCHEDULERS[found[0]]
    options = dict(spec.options)
    if kind == "pbs" and "partition" in options:
        options["queue"] = options.pop("partition")
    return replace(spec, kind=kind, options=options)
