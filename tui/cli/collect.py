"""`collect`: bring home what tasks wrote elsewhere, merge what they measured, copy it, delete it there."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import click

from ...engine.ids import parse_task_numbers
from ...engine.viewer import Viewer
from .collect_after import copy, delete, merge, print_best
from .collect_bring import bring_home
from .collect_ssh import bring_over_ssh
from .find import readable, sweep_argument
from .output import SOME_FAILED, UserError, say

_BEST = 10


@click.command()
@sweep_argument()
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Then copy tasks/ to DIR (hard links), and the merged results.",
)
@click.option("--tasks", metavar="1,5,10-20", help="Only these tasks.")
@click.option(
    "--metric", metavar="NAME", help='Then print the tasks that are best by this metric, e.g. "loss".'
)
@click.option(
    "--best",
    type=click.IntRange(1),
    metavar="N",
    help=f"How many of them (default: {_BEST}); needs --metric.",
)
@click.option("--minimize", is_flag=True, help="The smallest is the best, as with a loss; needs --metric.")
@click.option(
    "--delete-remote",
    is_flag=True,
    help="When all is home and verified: delete it on the other machines and in the bucket.",
)
@click.option(
    "--over-ssh",
    is_flag=True,
    help="Not from the bucket: straight from EC2 instances that run, what their tasks have written so far.",
)
@click.option("--user", metavar="NAME", help="With --over-ssh: log in as this user, as in connect.")
@click.option(
    "--key",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="With --over-ssh: private key (default: as in connect).",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per attempt, a summary, the best.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def collect(
    root: Path,
    output: Path | None,
    tasks: str | None,
    metric: str | None,
    best: int | None,
    minimize: bool,
    delete_remote: bool,
    over_ssh: bool,
    user: str | None,
    key: str | None,
    as_json: bool,
    yes: bool,
) -> int:
    """Bring home what tasks of SWEEP wrote on other machines and in S3, as far as it is not home.

    A running engine does this by itself. What completed tasks wrote to results.json or metrics.json is merged with
    their parameters into results.json and results.csv of the sweep: one row for each task.

    \b
    spawn-tui collect latest --metric val_acc --best 3
    spawn-tui collect latest --metric loss --minimize --output results/
    spawn-tui collect latest --over-ssh --tasks 1,3-5

    With --over-ssh, SFTP looks at instances while they run (or run again: kept ones that were started by hand). What
    comes so is partial while the task runs, and counts for nothing: every attempt is collected from the bucket when it
    has ended, all the same, and what came from there stays.

    Exit status: 0 all is home (--over-ssh: as far as it is written), 1 something is not.
    """
    from ...engine.collect.gather import far_sources

    if metric is None and (best is not None or minimize):
        raise UserError("--best and --minimize need --metric NAME: best by what?")
    if not over_ssh and (user is not None or key is not None):
        raise UserError("--user and --key say how to log in to instances; they need --over-ssh")
    if over_ssh and delete_remote:
        raise UserError("--delete-remote deletes what came from the bucket; it does not go with --over-ssh")
    viewer = readable(lambda: Viewer(root))
    chosen = _chosen(viewer, tasks)
    if delete_remote:
        _require_deletable(viewer, tasks)
    sources = far_sources(viewer.sweep, chosen)
    holder = readable(viewer.holder)
    if over_ssh:
        all_home = bring_over_ssh(viewer, chosen, user or "", key or "", as_json)
    elif holder is not None:
        say(f"the engine of {viewer.sweep.id} ({holder.describe()}) brings results home itself, as tasks end")
        all_home = False
    else:
        all_home = bring_home(viewer, sources, as_json)
    results = merge(viewer, chosen, output)
    if output is not None:
        all_home = copy(viewer, chosen, output) and all_home
    if metric is not None:
        print_best(results, metric, best or _BEST, minimize=minimize, as_json=as_json)
    if delete_remote:
        if not all_home:
            raise UserError("nothing was deleted: not everything is home", status=SOME_FAILED)
        all_home = delete(viewer, sources, yes)
    return 0 if all_home else SOME_FAILED


def _chosen(viewer: Viewer, text: str | None) -> Collection[int] | None:
    if text is None:
        return None
    try:
        return frozenset(parse_task_numbers(text, viewer.sweep.total))
    except ValueError as error:
        raise UserError(f"{viewer.sweep.id}: {error}") from None


def _require_deletable(viewer: Viewer, tasks: str | None) -> None:
    sweep = viewer.sweep
    if tasks is not None:
        raise UserError("--delete-remote deletes all of a finished sweep; it does not go with --tasks")
    if sweep.ended is None or readable(viewer.holder) is not None:
        raise UserError(
            f"{sweep.id} has not ended ({readable(viewer.status)}); --delete-remote waits for its end"
        )
