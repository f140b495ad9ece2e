"""`demo`: a small real sweep on this machine, for people who want to see before they read."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import click

from ...engine.config.model import Config
from ...engine.control import post_request
from ...engine.plan import Overrides, read_plan
from ...engine.run import wait_for
from ...engine.sources.registry import SourceSpec
from ...engine.sweep import FINAL
from ...engine.viewer import Viewer
from ...state.index import spawn_home
from .configured import chosen_sources
from .engines import start_engine
from .launch import create, start
from .output import UserError, say

END_LIMIT, STOP_LIMIT = 30.0, 10.0
"""Seconds that what is left of a demo may take to end, and its engine to stop after that."""
_FOLDER = Path(__file__).parent.parent / "demo"


@click.command()
@click.option(
    "--sources",
    multiple=True,
    metavar="LIST",
    help='Where to run, e.g. "local:4" (default: one slot per core).',
)
@click.option(
    "--ec2", is_flag=True, help="On instances of an AWS that is only played here; no account is needed."
)
@click.option("--detach", is_flag=True, help="Start it and return at once.")
@click.option("--no-ui", is_flag=True, help="Run in this terminal without the UI.")
@click.option("--json", "json_lines", is_flag=True, help="Print events as JSON lines (implies --no-ui).")
@click.pass_context
def demo(
    ctx: click.Context, sources: tuple[str, ...], ec2: bool, detach: bool, no_ui: bool, json_lines: bool
) -> int:
    """Run a small real sweep on this machine, and watch it.

    24 training runs in pure Python; a few fail, each for another reason. It needs no account and no configuration.
    Its files are kept in ~/.spawn/demo.

    With --ec2 twelve of them get an instance each, in two regions, with prices, logs and outputs as on EC2: AWS is
    played by a process of this command (pip install 'spawn-tui[demo]'), and its instances are processes of yours that
    run nothing but these trainings. They end with the command.
    """
    if ec2:
        if sources or detach:
            raise click.UsageError("--ec2 has its own sources, and its instances end with this command")
        return _demo_ec2(no_ui=no_ui or json_lines, json_lines=json_lines, options=ctx.obj)
    project = _project("demo", "train.py", "demo.yaml")
    path = project / "demo.yaml"
    plan = read_plan(path, overrides=Overrides(sources=sources))
    root = create(plan, chosen_sources(sources, Config(project)), path=path, project=project)
    say(f"spawn-tui: {len(plan.tasks)} small training runs in {root}")
    options = ctx.obj
    return start(
        root, detach=detach, no_ui=no_ui or json_lines, json_lines=json_lines, readonly=options["readonly"],
        ascii_only=options["ascii"],
    )  # fmt: skip


def _project(folder: str, *files: str) -> Path:
    """The demo's own project in SPAWN_HOME, with fresh copies of these files."""
    project = spawn_home() / folder
    project.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in files:
        shutil.copyfile(_FOLDER / name, project / name)
    return project


def _demo_ec2(*, no_ui: bool, json_lines: bool, options: dict[str, bool]) -> int:
    from ..demo.cloud.started import NotStarted, Started
    from .cloud import with_cloud

    project = _project("demo-ec2", "train.py", "demo-ec2.yaml")
    path = project / "demo-ec2.yaml"
    say("spawn-tui: starting an AWS that is only played; nothing leaves this machine")
    with tempfile.TemporaryDirectory(prefix="spawn-demo-") as folder:
        try:
            cloud = Started(Path(folder), machines="process", boot=2.0)
        except NotStarted as error:
            raise UserError(str(error), status=3) from None
        with cloud:
            os.environ.update(cloud.env())
            plan = read_plan(path)
            specs = chosen_sources(("ec2",), Config(project))
            plan, specs = with_cloud(plan, [_played(spec, cloud.endpoint) for spec in specs], {})
            root = create(plan, specs, path=path, project=project, budget=1.0)
            say(f"spawn-tui: {len(plan.tasks)} small training runs, an instance each, in {root}")
            try:
                return start(
                    root, no_ui=no_ui, json_lines=json_lines, readonly=options["readonly"],
                    ascii_only=options["ascii"],
                )  # fmt: skip
            finally:
                _end(root)


def _played(spec: SourceSpec, endpoint: str) -> SourceSpec:
    """At the AWS of this demo and at no other, whatever the settings of who asks; and looked at more often than AWS
    would like: here nobody minds.
    """
    return replace(spec, options={**spec.options, "profile": endpoint, "poll_interval": "1"})


def _end(root: Path) -> None:
    """Cancel what is left of it: without its AWS it could never end."""
    if _rests(root):
        return
    if Viewer(root).status() not in FINAL:
        say("spawn-tui: ending what still runs, as its AWS ends with this command")
        post_request(root, "cancel", force=True)
        # After Ctrl-C in a terminal without the UI the engine is gone, and nobody would take the request.
        start_engine(root)
    try:
        ended = wait_for(lambda: _rests(root), END_LIMIT, every=0.2)
    except KeyboardInterrupt:
        ended = False
    if not ended:
        _stop_engine(root)
        say(f"spawn-tui: warning: {root.name} has not ended in order, and its AWS is gone; its files: {root}")


def _rests(root: Path) -> bool:
    """Whether it has ended, and its engine has looked whether anything is left."""
    viewer = Viewer(root)
    return viewer.status() in FINAL and viewer.holder() is None


def _stop_engine(root: Path) -> None:
    """No engine goes on asking an AWS that is gone. Its instances end with it."""
    holder = Viewer(root).holder()
    if holder is not None:
        with suppress(ProcessLookupError):
            os.kill(holder.process.pid, signal.SIGTERM)
        wait_for(lambda: Viewer(root).holder() is None, STOP_LIMIT, every=0.1)
