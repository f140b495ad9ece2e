"""What a viewer may ask of a sweep, and how an engine reads it.

A request never acts by itself: it is posted as a file, the engine that holds the lock journals it and obeys, and the
viewer sees the outcome in the journal like everybody else.
"""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from ..state.disk import Disk, LocalDisk
from ..state.layout import SweepLayout
from ..state.process import host_name
from ..state.requests import RequestFile, new_request_id, post
from . import events as ev
from .ids import task_index, task_name
from .sweep import Sweep

VERBS: tuple[ev.Verb, ...] = ("cancel", "pause", "resume", "retry", "slots", "limit")


def post_request(
    root: Path,
    verb: ev.Verb,
    *,
    tasks: Sequence[int] = (),
    source: str = "",
    value: int = 0,
    force: bool = False,
    disk: Disk | None = None,
) -> str:
    """Leave a request in the mailbox of the sweep in `root`; returns its id, under which the journal answers.

    `tasks` are indices from 0, empty for all (`retry`: all that failed). `slots` needs `source` and `value`; `limit`
    sets the sweep's max-concurrent to `value`, 0 for none. Raises `OSError`.
    """
    request_id = new_request_id()
    content: dict[str, object] = {"verb": verb, "by": f"{_user()}@{host_name()}"}
    if tasks:
        content["tasks"] = [task_name(index) for index in tasks]
    if source:
        content["source"] = source
    if value:
        content["value"] = value
    if force:
        content["force"] = True
    post(disk or LocalDisk(), SweepLayout(root).requests, request_id, content)
    return request_id


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def take(sweep: Sweep, request: RequestFile) -> ev.RequestTaken | ev.RequestRefused | None:
    """The event a request becomes; None if the journal holds it already."""
    if request.id in sweep.requests:
        return None
    try:
        return _taken(sweep, request.id, request.content)
    except ValueError as error:
        return ev.RequestRefused(request.id, str(error))


def _taken(sweep: Sweep, request_id: str, content: dict[str, object] | None) -> ev.RequestTaken:
    if content is None:
        raise ValueError("the request is not readable")
    verb = content.get("verb")
    if verb not in VERBS:
        raise ValueError(f"no request is called {verb!r}")
    names = content.get("tasks", [])
    if not isinstance(names, list):
        raise ValueError("tasks is not a list")
    tasks = tuple(task_index(str(name)) for name in cast("list[object]", names))
    if tasks and max(tasks) >= sweep.total:
        raise ValueError(f"{task_name(max(tasks))} is not among the sweep's {sweep.total} tasks")
    source, value = str(content.get("source", "")), content.get("value", 0)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is not a number of slots or tasks")
    if verb == "slots":
        if source not in sweep.sources:
            raise ValueError(
                f"no source is called {source!r}; there are {', '.join(sweep.sources) or 'none'}"
            )
        if value < 1:
            raise ValueError("a source has at least one slot; pause the sweep instead")
    if sweep.ended is not None and verb not in ("retry", "resume", "limit", "slots"):
        raise ValueError(f"the sweep has ended ({sweep.ended})")
    return ev.RequestTaken(
        request_id, verb, tasks, source, value, bool(content.get("force", False)), str(content.get("by", ""))
    )
