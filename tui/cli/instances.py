"""The instances on which tasks of a sweep run now, as `status` shows them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ...engine.ids import task_name
from ...engine.sources.registry import KINDS
from ...engine.sweep import ACTIVE, Attempt, Sweep
from ...engine.viewer import Viewer
from ...engine.words import iso
from .. import format as fmt
from .output import say
from .table import print_table

if TYPE_CHECKING:
    from ...engine.aws.lookout import Place, Seen, Sighting

PATIENCE = 8.0
"""Seconds AWS has to answer before `status` shows what the journal knows."""
_MOST = 50
"""Rows that are shown; --json has all."""


def live_attempts(sweep: Sweep) -> list[tuple[int, Attempt]]:
    """Tasks whose attempt is, or may be, alive in a cloud."""
    clouds = {
        name for name, source in sweep.sources.items() if source.kind in KINDS and KINDS[source.kind].cloud
    }
    if not clouds:
        return []
    return [
        (task.index, task.attempts[-1])
        for task in sweep.tasks
        if task.state in ACTIVE and task.attempts and task.attempts[-1].source in clouds
    ]


def instance_documents(viewer: Viewer) -> list[dict[str, object]]:
    """What the journal knows of them, for programs; nobody is asked."""
    return [
        {
            "task": task_name(index), "name": viewer.plan.tasks[index].label, "attempt": attempt.number,
            "source": attempt.source, "instance_id": attempt.handle or None, "state": attempt.state.value,
            "started_at": iso(attempt.started_at), "per_hour": attempt.rate,
        }
        for index, attempt in live_attempts(viewer.sweep)
    ]  # fmt: skip


def print_instances(viewer: Viewer) -> None:
    """A table of them: what EC2 says of each, for how long it is up, and how long it has left."""
    from ...engine.aws.lookout import by_reason

    live = live_attempts(viewer.sweep)
    if not live:
        return
    seen = _look(viewer, {attempt.source for _, attempt in live})
    shown = {(sighting.ref.task, sighting.ref.attempt): sighting for sighting in seen.sightings}
    silent = {place.source for place, _ in seen.silent}
    for why, places in by_reason(seen.silent):
        names = ", ".join(place.source for place in places)
        say(f"  {names} cannot be asked: {why}; shown is what was known last")
    rows: list[list[str]] = []
    for index, attempt in live[:_MOST]:
        name = viewer.plan.tasks[index].label or task_name(index)
        sighting = shown.get((index, attempt.number))
        if sighting is None:
            state = "?" if attempt.source in silent else "not seen yet" if not attempt.handle else "not seen"
            up = fmt.duration(time.time() - attempt.started_at) if attempt.started_at else ""
            rows.append([name, attempt.handle or "-", state, up, "?"])
        else:
            rows.append(_row(viewer, name, sighting))
    print_table(["NAME", "INSTANCE-ID", "STATE", "UPTIME", "TTL-REMAINING"], rows)
    if len(live) > _MOST:
        say(f"  and {len(live) - _MOST:,} more; all of them: spawn-tui status {viewer.sweep.id} --json")


def _look(viewer: Viewer, sources: set[str]) -> Seen:
    from ...engine.aws.errors import AwsError
    from ...engine.aws.launches import LaunchDamaged
    from ...engine.aws.lookout import Clouds, Seen, look, places

    where: list[Place] = [place for place in places(viewer.sweep) if place.source in sources]
    try:
        return look(viewer.root, viewer.sweep.id, where, Clouds(), limit=PATIENCE)
    except (LaunchDamaged, OSError) as error:
        broken = AwsError("other", "", str(error))
        return Seen(silent=tuple((place, broken) for place in where))


def _row(viewer: Viewer, name: str, sighting: Sighting) -> list[str]:
    from ...engine.aws.lookout import ends_at
    from ...engine.aws.model import ALIVE

    instance, now = sighting.instance, time.time()
    up = fmt.duration(now - instance.launched_at)
    if instance.state not in ALIVE:
        return [name, instance.id, instance.state, up, ""]
    end = ends_at(instance, viewer.plan.tasks[sighting.ref.task].launch, sighting.place)
    left = "none" if end is None else fmt.duration(end - now) if end > now else "over"
    return [name, instance.id, instance.state, up, left]
