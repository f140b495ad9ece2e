"""`sync`: the project, sent to the machines it shall run on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from .completion import complete_sources
from .output import COMPLETED, SOME_FAILED, UserError, data_json, say

if TYPE_CHECKING:
    from ...engine.project.project import Project
    from ...engine.project.push import Pushed
    from ...engine.sources.registry import SourceSpec

_SHOWN = 10
"""Files of one kind that are named per target; `--json` names all."""
_TOLD_EVERY = 5.0
"""Seconds between two lines about a transfer that takes long."""
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class _Outcome:
    spec: SourceSpec
    pushed: Pushed | None
    error: str = ""

    @property
    def ok(self) -> bool:
        return self.pushed is not None and not self.pushed.refused


@click.command()
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="SOURCE",
    shell_complete=complete_sources,
    help="Where to: ssh:host or a name of spawn.yaml; may be repeated (default: all machines it names).",
)
@click.option(
    "--force",
    is_flag=True,
    help="Replace files there that are somebody's work too; what is replaced is kept in ~/.spawn/sync there.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be sent and deleted; change nothing.")
@click.option(
    "--accept-new-host-key",
    is_flag=True,
    help="Trust SSH hosts that are not in known_hosts yet; a changed key is refused all the same.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per target and line.")
def sync(
    targets: tuple[str, ...], force: bool, dry_run: bool, accept_new_host_key: bool, as_json: bool
) -> int:
    """Send the project to the machines it shall run on.

    Sent is what git tracks or would track (without git: what no .gitignore names), less sync.exclude of spawn.yaml and
    the sweeps' outputs, as far as it differs there. A file there that sync did not put there, or that was changed
    since, is not replaced without --force. Deleted is only what sync put there, that is gone here and unchanged there.

    Exit status: 0 all is in sync, 1 something is in the way or failed, 2 bad usage.
    """
    from ...engine.project.files import ProjectError, ProjectRules
    from ...engine.project.project import Project
    from ...engine.sources.registry import KINDS
    from .configured import chosen_sources, configuration

    config = configuration()
    texts = targets or tuple(config.sources)
    specs = chosen_sources(texts, config, accept_new_host_key=accept_new_host_key) if texts else []
    remote = [spec for spec in specs if KINDS[spec.kind].remote]
    if targets and len(remote) < len(specs):
        names = ", ".join(spec.name for spec in specs if spec not in remote)
        raise UserError(f"{names} is this very machine; name another: --target ssh:host")
    if not remote:
        raise UserError(
            "no configuration names a machine to send the project to; name one: --target ssh:host"
        )
    project = Project(config.project, ProjectRules(config.sync.exclude, config.defaults.output_dir))
    try:
        notes = project.notes
    except ProjectError as error:
        raise UserError(str(error)) from None
    for note in notes:
        say(f"spawn-tui: warning: {note}")
    outcomes = _all(remote, project, force=force, dry_run=dry_run)
    if as_json:
        for outcome in outcomes:
            data_json(_as_json(outcome, dry_run))
    else:
        _print(outcomes, dry_run)
    return COMPLETED if all(outcome.ok for outcome in outcomes) else SOME_FAILED


def _all(specs: Sequence[SourceSpec], project: Project, *, force: bool, dry_run: bool) -> list[_Outcome]:
    """All targets at once, but for those that are the same copy: they go one after the other."""
    from ...engine.project.compare import place_of

    groups: dict[tuple[str, ...], list[SourceSpec]] = {}
    for spec in specs:
        machine = (spec.options.get("host", ""), spec.options.get("user", ""), spec.options.get("port", ""))
        groups.setdefault((*machine, place_of(spec, project.folder)), []).append(spec)
    done: dict[str, _Outcome] = {}

    def work(group: list[SourceSpec]) -> None:
        for spec in group:
            done[spec.name] = _one(spec, project, force=force, dry_run=dry_run)

    with ThreadPoolExecutor(min(len(groups), _AT_ONCE), thread_name_prefix="sync") as pool:
        for future in [pool.submit(work, group) for group in groups.values()]:
            future.result()
    return [done[spec.name] for spec in specs]


def _one(spec: SourceSpec, project: Project, *, force: bool, dry_run: bool) -> _Outcome:
    from contextlib import closing

    from ...engine.project.compare import place_of
    from ...engine.project.files import ProjectError
    from ...engine.project.manifest import megabytes
    from ...engine.project.push import PushFailed, push
    from ...engine.remote.host import HostAway, HostRefused
    from ...engine.remote.hosts import host_of

    told = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told >= _TOLD_EVERY:
            told = time.monotonic()
            say(f"  {spec.name}: {megabytes(done)} of {megabytes(total)} sent")

    try:
        with closing(host_of(spec.name, spec.options)) as host:
            return _Outcome(
                spec,
                push(
                    host, project, place_of(spec, project.folder), options=spec.options, force=force, dry_run=dry_run,
                    progress=progress,
                ),
            )  # fmt: skip
    except (HostAway, HostRefused, PushFailed, ProjectError) as error:
        return _Outcome(spec, None, str(error))


def _state(outcome: _Outcome, dry_run: bool) -> str:
    pushed = outcome.pushed
    if pushed is None:
        return "failed"
    if pushed.refused:
        return "conflict"
    if pushed.send or pushed.delete:
        return "would send" if dry_run else "sent"
    return "in sync"


def _print(outcomes: Sequence[_Outcome], dry_run: bool) -> None:
    from ...engine.project.manifest import megabytes
    from .table import print_table

    rows: list[list[str]] = []
    for outcome in outcomes:
        pushed = outcome.pushed
        state = _state(outcome, dry_run)
        if pushed is None:
            rows.append([outcome.spec.name, state, "", "", "", "", "", ""])
            continue
        wire = f"{megabytes(pushed.sent)} ({pushed.way})" if pushed.way else ""
        rows.append([
            outcome.spec.name, state, str(len(pushed.send)), str(len(pushed.delete)), megabytes(pushed.size), wire,
            f"{pushed.seconds:.1f} s", pushed.there,
        ])  # fmt: skip
    print_table(["target", "state", "files", "deleted", "size", "on the wire", "time", "there"], rows)
    for outcome in outcomes:
        _tell(outcome, dry_run)


def _tell(outcome: _Outcome, dry_run: bool) -> None:
    """What the table has no room for."""
    from ...engine.project.compare import target_of

    name, pushed = outcome.spec.name, outcome.pushed
    if pushed is None:
        # Most messages name the host themselves.
        say(f"spawn-tui: {outcome.error if outcome.error.startswith(name) else f'{name}: {outcome.error}'}")
        return
    for note in pushed.notes:
        say(f"  {name}: {note}")
    if dry_run:
        _list(f"  {name}: would send", pushed.send)
        _list(f"  {name}: would delete", pushed.delete)
    if pushed.conflicts:
        _list(f"  {name}: in the way", [f"{conflict.name} ({conflict.why})" for conflict in pushed.conflicts])
    if pushed.kept:
        say(f"  {name}: what was replaced is kept there in {pushed.kept}")
    elif pushed.refused:
        what = "nothing would be sent" if dry_run else "nothing was sent"
        if all(conflict.forcible for conflict in pushed.conflicts):
            say(
                f"  {name}: {what}; if these may be replaced: spawn-tui sync --target {target_of(outcome.spec)} --force"
            )
        else:
            say(f"  {name}: {what}; what is no plain file there must be moved away by hand")


def _list(head: str, names: Sequence[str]) -> None:
    from ...engine.project.manifest import first_of

    if names:
        say(f"{head}: {first_of(names, _SHOWN)}")


def _as_json(outcome: _Outcome, dry_run: bool) -> dict[str, object]:
    """Names that are no text are escaped, for JSON has no bytes."""
    from ...engine.project.manifest import show

    pushed = outcome.pushed
    if pushed is None:
        return {"target": outcome.spec.name, "state": "failed", "error": outcome.error}
    return {
        "target": outcome.spec.name,
        "state": _state(outcome, dry_run),
        "there": pushed.there,
        "send": [show(name) for name in pushed.send],
        "delete": [show(name) for name in pushed.delete],
        "conflicts": [{"name": show(conflict.name), "why": conflict.why} for conflict in pushed.conflicts],
        "size": pushed.size,
        "sent": pushed.sent,
        "way": pushed.way,
        "kept": pushed.kept,
        "seconds": round(pushed.seconds, 3),
        "notes": list(pushed.notes),
    }
