"""MFCL's own command line, as `tools/sweep.py` of MFCL builds it: shown now, launched by a later version."""

from __future__ import annotations

from .hydra import quoted
from .model import Plan, PlannedTask, Value

DEFAULT_ENTRYPOINT = "train.py"


def run_directory_overrides(run_dir: str) -> list[str]:
    """The overrides that send a run's files to its own directory; they stand last."""
    place = quoted(run_dir, '"')
    return [
        f"train.save_dir={place}",
        f"hydra.run.dir={place}",
        "hydra.output_subdir=null",
        "hydra.job.chdir=false",
    ]


def torchrun_words(plan: Plan, task: PlannedTask, run_dir: str) -> list[str]:
    """The argument vector that starts `task` under torchrun."""
    launcher = _mapping(task.metadata.get("mfcl"))
    rendezvous = _mapping(launcher.get("rendezvous"))
    nnodes, node_rank = launcher.get("nnodes"), launcher.get("node_rank")
    words = ["torchrun"]
    if nnodes is not None:
        words.append(f"--nnodes={nnodes}")
    if node_rank is not None:
        words.append(f"--node_rank={node_rank}")
    words += [
        f"--rdzv_{key}={rendezvous[key]}"
        for key in ("backend", "endpoint", "id", "conf")
        if key in rendezvous
    ]
    if not rendezvous and nnodes is None and node_rank is None:
        words.append("--standalone")
    words.append(f"--nproc_per_node={launcher.get('world_size', 1)}")
    words.append(str(_mapping(plan.metadata.get("mfcl")).get("entrypoint", DEFAULT_ENTRYPOINT)))
    return [*words, *task.overrides, *run_directory_overrides(run_dir)]


def _mapping(value: Value) -> dict[str, Value]:
    return value if isinstance(value, dict) else {}
