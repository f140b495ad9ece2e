"""The pictures of a sweep over many machines: this one, two hosts behind SSH in network namespaces, and a real Slurm.

    python -m screenshots.machines [FOLDER]        as root, with the packages of .ci/run

One host's network is cut on the way. What it starts, it also ends.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from spawn_tui.engine.sweep import FINAL
from spawn_tui.engine.viewer import Viewer

from tests.parts.client import ClientHome
from tests.parts.netns import NetHosts
from tests.parts.slurm import Slurm

from .make import newest, shoot, spawn, to_png, wait

TASK = """\
echo "epoch 0 on $SWEEP_SOURCE"
n=1; while [ $n -lt $(($1 % 7 + 8)) ]; do sleep 1; echo "epoch $n  loss 0.$((900 / n))"; n=$((n + 1)); done
[ $(($1 % 11)) != 0 ] || { echo 'ValueError: loss is nan' >&2; exit 3; }
"""


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        home = ClientHome(Path(name) / "home")
        project = home.path / "resnet"
        project.mkdir()
        (project / "train.sh").write_text(TASK)
        numbers = ", ".join(str(n) for n in range(1, 121))
        (project / "resnet.yaml").write_text(f"grid:\n  seed: [{numbers}]\ncommand: sh train.sh {{seed}}\n")
        with NetHosts(2, home=home) as hosts, Slurm(nodes=1, cpus=4) as slurm:
            os.environ.update(slurm.environment(), HOME=str(home.path), SPAWN_HOME=str(Path(name) / "spawn"))
            os.chdir(project)
            spawn("sync", "--target", "ssh:h1", "--target", "ssh:h2")
            spawn("launch", "resnet.yaml", "--sources", "local:2,ssh:h1:4,ssh:h2:4,slurm:8", "--detach", "-y")
            root = newest()
            try:
                wait(root, lambda viewer: viewer.sweep.counts["completed"] >= 14)  # type: ignore[index]
                hosts.cut(2)
                wait(root, lambda viewer: viewer.sweep.sources["h2"].unreachable_since is not None)
                asyncio.run(shoot(folder, "machines-120x36", (120, 36), root, *"jjjjjjj"))
                asyncio.run(shoot(folder, "machines-80x24", (80, 24), root, "2"))
            finally:
                hosts.heal(2)
                if Viewer(root).status() not in FINAL:
                    spawn("cancel", str(root), "--force", "-y")
    for picture in sorted(folder.glob("machines-*.svg")):
        to_png(picture)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent).resolve())
