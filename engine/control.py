"""What a viewer may ask of a sweep, and how an engine reads it.

A request never acts by itself: it is posted as a file, the engine that holds the lock journals it and obeys, and the
viewer sees the outcome in the journal like everybody else.
"""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from pathlib import Path
from typing import cast, get_args

from ..state.disk import Disk, LocalDisk
from ..state.layout import SweepLayout
from ..state.process import host_name
from ..state.requests import RequestFile, new_request_id, post
from . import events as ev
from .ids import task_index, task_name
from .sources.registry import SourceSpec
from .sweep import Sweep

VERBS = get_args(ev.Verb)
_AFTER_THE_END = frozenset(
    {"retry", "resume", "limit", "slots", "add_source", "remove_source", "enable_source", "budget"}
)
"""What may be asked of a sweep that has ended: it wakes it, or prepares for that."""


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
    sets the sweep's max-concurrent to `value`, 0 for none; `budget` its budget to `value` US cents; `remove_source` and
    `enable_source` need `source`. For `add_source` see `post_source`. Raises `OSError`.
    """
    content: dict[str, object] = {}
    if tasks:
        content["tasks"] = [task_name(index) for index in tasks]
    if source:
        content["source"] = source
    if value:
        content["value"] = value
    if force:
        content["force"] = True
    return _post(root, verb, content, disk)


def post_source(root: Path, spec: SourceSpec, *, disk: Disk | None = None) -> str:
    """Ask the sweep in `root` to use one more source, or one it knows with other slots or options; returns the
    request's id. Raises `OSError`.
    """
    content: dict[str, object] = {
        "source": spec.name,
        "kind": spec.kind,
        "value": spec.slots,
        "queue": spec.queue,
        "elsewhere": spec.elsewhere,
        "grace": spec.grace,
        "options": dict(spec.options),
    }
    return _post(root, "add_source", content, disk)


def _post(root: Path, verb: ev.Verb, content: dict[str, object], disk: Disk | None) -> str:
    request_id = new_request_id()
    content = {"verb": verb, "by": f"{_user()}@{host_name()}", **content}
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


def events_of(sweep: Sweep, request: RequestFile) -> list[ev.Event]:
    """What is journalled for a request, in one write; nothing if the journal holds it already.

    What it does to a source comes first: if only that line survives, the request is still there and is taken again.
    """
    event = take(sweep, request)
    if event is None:
        return []
    if not isinstance(event, ev.RequestTaken):
        return [event]
    match event.verb:
        case "add_source":
            return [_source_of(event, request.content or {}), event]
        case "remove_source":
            return [ev.SourceRemoved(event.source), event]
        case "enable_source":
            return [ev.SourceEnabled(event.source, f"by {event.by}" if event.by else ""), event]
        case _:
            return [event]


def _source_of(event: ev.RequestTaken, content: dict[str, object]) -> ev.SourceAdded:
    """The source as the request describes it; `_check_new_source` has seen it."""
    options = cast("dict[str, object]", content.get("options", {}))
    pairs = tuple(sorted((key, str(value)) for key, value in options.items()))
    return ev.SourceAdded(
        event.source,
        str(content["kind"]),
        event.value,
        pairs,
        bool(content.get("queue", False)),
        bool(content.get("elsewhere", False)),
        float(cast("float", content.get("grace", 0.0))),
    )


def _check_new_source(sweep: Sweep, name: str, content: dict[str, object]) -> None:
    kind = content.get("kind")
    if not name or not isinstance(kind, str) or not kind:
        raise ValueError("a new source needs a name and a kind")
    options = content.get("options", {})
    if not isinstance(options, dict) or not all(
        isinstance(value, str) for value in cast("dict[object, object]", options).values()
    ):
        raise ValueError(f"the options of {name} are not names with texts")
    known = sweep.sources.get(name)
    if known is not None and known.kind != kind:
        raise ValueError(
            f"{name} is a {known.kind} source of this sweep; give the {kind} source another name"
        )


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
    if verb in ("slots", "remove_source", "enable_source") and source not in sweep.sources:
        raise ValueError(f"no source is called {source!r}; there are {', '.join(sweep.sources) or 'none'}")
    if verb in ("slots", "add_source") and value < 1:
        raise ValueError("a source has at least one slot; pause the sweep instead")
    if verb == "add_source":
        _check_new_source(sweep, source, content)
    if verb == "budget" and value < 1:
        raise ValueError("a budget is more than nothing; cancel the sweep instead")
    if verb == "resume" and sweep.budget_spent:
        raise ValueError(
            f"the budget of ${sweep.budget:.2f} is spent; raise it with: spawn-tui resume {sweep.id} --budget N"
        )
    if sweep.ended is not None and verb not in _AFTER_THE_END:
        raise ValueError(f"the sweep has ended ({sweep.ended})")
    return ev.RequestTaken(
        request_id,
        cast("ev.Verb", verb),
        tasks,
        source,
        value,
        bool(content.get("force", False)),
        str(content.get("by", "")),
    )
