"""Sending the project to a copy of it, which nobody else's work there survives by luck.

What we put there is written down there (`record.py`). A file that is there, differs, and was neither put there by us
nor is as the project's commit has it is a conflict: nothing is sent then, unless it is asked for with `force`, which
keeps what is replaced in `~/.spawn/sync/KEY/kept-…`. What vanished at home is deleted there if it is as we put it;
folders stay. A file is checked by its sum when it is in its place.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..remote.host import Host, HostRefused
from .compare import by_commit, difference, is_home, is_stale
from .far import Copy, look
from .git import GitFailed, committed_digests
from .manifest import Entry
from .project import Project
from .transfer import Conflict, Plan, Progress, PushFailed, Transfer

__all__ = ["Conflict", "Progress", "PushFailed", "Pushed", "make_plan", "push"]


@dataclass(frozen=True, slots=True)
class Pushed:
    """What was done, or would be."""

    there: str
    send: tuple[str, ...] = ()
    delete: tuple[str, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    size: int = 0
    """Bytes of content of the files to send."""
    sent: int = 0
    """Bytes that went over the wire for them."""
    way: str = ""
    """`rsync` or `tar`; empty if nothing was sent."""
    kept: str = ""
    """Where there what was replaced by force is kept."""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    refused: bool = False
    """Whether conflicts keep everything from being sent."""


def push(
    host: Host,
    project: Project,
    there: str,
    *,
    options: Mapping[str, str] | None = None,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress = lambda done, total: None,
) -> Pushed:
    """Make the copy at `there` (may begin with `~/`) what the project is.

    `options`: how the source's host is reached, if it is by SSH; then rsync is used where both ends have it.
    Raises `PushFailed`, `HostAway`, `HostRefused` and `ProjectError`.
    """
    began = time.monotonic()
    if is_home(host, project, there):
        return Pushed(str(project.folder), notes=("it is the project itself",))
    known = by_commit(host, project, there)
    if known is not None and known.in_sync:
        return Pushed(known.there, notes=("the same commit, clean",))
    copy = look(host, there, sorted(project.entries))
    if copy.closed:
        raise HostRefused(f"{host.name}: {copy.closed} is no folder that can be entered there")
    plan = make_plan(project, copy, force=force)
    result = Pushed(
        copy.path or copy.absent,
        tuple(entry.name for entry in plan.send),
        tuple(plan.delete),
        tuple(plan.conflicts),
        sum(entry.size for entry in plan.send),
        refused=any(not (force and conflict.forcible) for conflict in plan.conflicts),
    )
    if dry_run or result.refused or not (plan.send or plan.delete):
        return replace(result, seconds=time.monotonic() - began)
    transfer = Transfer(host, project, there, copy, plan, options or {}, progress)
    transfer.run()
    return replace(
        result, there=transfer.path, sent=transfer.sent, way=transfer.way, kept=transfer.kept if plan.keep else "",
        notes=(*result.notes, *transfer.notes), seconds=time.monotonic() - began,
    )  # fmt: skip


def make_plan(project: Project, copy: Copy, *, force: bool) -> Plan:
    """What is to be sent and deleted, and what stands in the way. Pure, but for what the commit holds."""
    plan = Plan()
    doubtful: list[Entry] = []
    for name, entry in project.entries.items():
        if copy.is_blocked(name):
            plan.conflicts.append(Conflict(name, "its folder is a link or a file there", False))
        elif not copy.path or copy.kinds[name] == "-":
            plan.send.append(entry)
        elif copy.kinds[name] in "ou":
            why = "cannot be read there" if copy.kinds[name] == "u" else "is no file there"
            plan.conflicts.append(Conflict(name, why, False))
        elif difference(entry, copy) is None:
            continue
        elif copy.sums[name] == entry.digest or copy.record.is_ours(name, copy.sums[name]):
            plan.send.append(entry)
        else:
            doubtful.append(entry)
    committed = _committed(project, doubtful)
    for entry in doubtful:
        name = entry.name
        # What is as the commit at home has it is in no danger: git keeps it.
        if committed.get(name) != copy.sums[name]:
            by_us = name in copy.record.sums
            plan.conflicts.append(
                Conflict(name, "changed there since it was sent" if by_us else "not put there by us")
            )
            plan.keep.append(name)
        plan.send.append(entry)
    for name in copy.record.sums:
        if is_stale(name, project, copy):
            if copy.kinds[name] in "ou":
                plan.conflicts.append(Conflict(name, "deleted here, and no file of ours there", False))
                continue
            if not copy.record.is_ours(name, copy.sums.get(name)):
                plan.conflicts.append(Conflict(name, "deleted here, changed there"))
                plan.keep.append(name)
            plan.delete.append(name)
    if not force:
        refused = {conflict.name for conflict in plan.conflicts}
        plan.send = [entry for entry in plan.send if entry.name not in refused]
        plan.delete = [name for name in plan.delete if name not in refused]
    return plan


def _committed(project: Project, entries: Sequence[Entry]) -> dict[str, str]:
    if project.git is None or not project.git.head:
        return {}
    try:
        return committed_digests(project.folder, [entry.name for entry in entries if not entry.link])
    except GitFailed:
        return {}  # then they are conflicts, which is the safe side
