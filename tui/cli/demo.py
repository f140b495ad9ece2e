"""`demo`: a small real sweep on this machine, for people who want to see before they read."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from ...engine.config.model import Config
from ...engine.plan import Overrides, read_plan
from ...state.index import spawn_home
from .configured import chosen_sources
from .launch import create, start
from .output import say

_FOLDER = Path(__file__).parent.parent / "demo"


@click.command()
@click.option(
    "--sources",
    multiple=True,
    metavar="LIST",
    help='Where to run, e.g. "local:4" (default: one slot per core).',
)
@click.option("--detach", is_flag=True, help="Start it and return at once.")
@click.option("--no-ui", is_flag=True, help="Run in this terminal without the UI.")
@click.option("--json", "json_lines", is_flag=True, help="Print events as JSON lines (implies --no-ui).")
@click.pass_context
def demo(ctx: click.Context, sources: tuple[str, ...], detach: bool, no_ui: bool, json_lines: bool) -> int:
    """Run a small real sweep on this machine, and watch it.

    24 training runs in pure Python; a few fail, each for another reason. It needs no account and no configuration.
    Its files are kept in ~/.spawn/demo.
    """
    project = spawn_home() / "demo"
    project.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in ("train.py", "demo.yaml"):
        shutil.copyfile(_FOLDER / name, project / name)
    path = project / "demo.yaml"
    plan = read_plan(path, overrides=Overrides(sources=sources))
    root = create(plan, chosen_sources(sources, Config(project)), path=path, project=project)
    say(f"spawn-tui: {len(plan.tasks)} small training runs in {root}")
    options = ctx.obj
    return start(
        root, detach=detach, no_ui=no_ui or json_lines, json_lines=json_lines, readonly=options["readonly"],
        ascii_only=options["ascii"],
    )  # fmt: skip
