"""From a plan to a sweep's directory: everything is on disk before anything is launched."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..state.disk import DIR_MODE, Disk, LocalDisk
from ..state.index import IndexEntry, SweepIndex
from ..state.layout import SweepLayout
from . import events as ev
from .health import DEFAULT_RULES, HealthRules
from .home import Home
from .ids import sweep_id
from .placement import needs_of
from .plan.model import Plan
from .provenance import write_provenance
from .sources.registry import SourceSpec
from .store import SweepStore
from .sweep import Sweep


@dataclass(frozen=True, slots=True)
class Budget:
    """What a sweep may cost, in USD (0: no limit), and what is done when it is spent."""

    usd: float = 0.0
    action: ev.BudgetAction = "pause"


NO_BUDGET = Budget()
DEFAULT_OUTPUT = Path("sweeps") / "outputs"


def create_sweep(
    plan: Plan,
    specs: Sequence[SourceSpec],
    *,
    project: Path,
    output_dir: Path | None = None,
    strategy: str = "round_robin",
    rules: HealthRules = DEFAULT_RULES,
    budget: Budget = NO_BUDGET,
    config_text: bytes = b"",
    command_line: Sequence[str] = (),
    disk: Disk | None = None,
    index: SweepIndex | None = None,
    clock: Callable[[], float] = time.time,
) -> Path:
    """Make `<output_dir>/<sweep-id>/` with plan, journal and readable tree, and list it in the index.

    `project`: the directory tasks run in; `output_dir` defaults to its `sweeps/outputs`. Returns the sweep's
    directory. Raises `OSError`.
    """
    disk = disk or LocalDisk()
    root = _new_directory((output_dir or project / DEFAULT_OUTPUT).resolve(), plan.name, clock())
    layout = SweepLayout(root)
    home = Home(layout, plan)
    home.create(config_text)
    write_provenance(layout.provenance, project, command_line or sys.argv)
    store = SweepStore.create(
        root, plan, first_events(plan, specs, root.name, project, strategy, rules, budget), disk, clock
    )
    home.close()
    (index or SweepIndex()).put(entry_of(store.sweep, root))
    return root


def first_events(
    plan: Plan,
    specs: Sequence[SourceSpec],
    name: str,
    project: Path,
    strategy: str = "round_robin",
    rules: HealthRules = DEFAULT_RULES,
    budget: Budget = NO_BUDGET,
) -> list[ev.Event]:
    """The events a new sweep begins with."""
    needs, groups = needs_of(plan, specs)
    created = ev.SweepCreated(
        sweep_id=name,
        name=plan.name,
        total=len(plan.tasks),
        project=str(project.resolve()),
        max_concurrent=plan.max_concurrent,
        launch_delay=plan.launch_delay,
        retry_max=plan.retries.max,
        retry_backoff=plan.retries.backoff,
        retry_on=tuple(plan.retries.on),
        strategy=strategy,
        grace=rules.grace,
        rules=rules.pairs(),
        needs=needs,
        groups=groups,
        budget=budget.usd,
        budget_action=budget.action,
    )
    return [created, *map(source_added, specs)]


def source_added(spec: SourceSpec) -> ev.SourceAdded:
    """The event by which a sweep learns of a source."""
    return ev.SourceAdded(
        spec.name,
        spec.kind,
        spec.slots,
        tuple(sorted(spec.options.items())),
        spec.queue,
        spec.elsewhere,
        spec.grace,
    )


def entry_of(sweep: Sweep, root: Path, status: str | None = None) -> IndexEntry:
    """What the index keeps of a sweep."""
    counts = sweep.counts
    return IndexEntry(
        sweep.id, sweep.name, str(root), status or sweep.status.value, sweep.created_at, sweep.total,
        counts["completed"], counts["failed"],  # type: ignore[index]
    )  # fmt: skip


def _new_directory(parent: Path, name: str, now: float) -> Path:
    parent.mkdir(mode=DIR_MODE, parents=True, exist_ok=True)
    while True:
        root = parent / sweep_id(name, datetime.fromtimestamp(now, UTC), secrets.token_hex(3))
        try:
            root.mkdir(mode=DIR_MODE)
        except FileExistsError:
            continue
        return root
