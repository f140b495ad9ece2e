"""One sweep on one source, in this process; prints what it cost as JSON. A program of its own: the engine wants a main
thread, and its start-up counts.

    python -m tests.bench.remote_run TASKS SPEC PROJECT [OPTION=VALUE]...
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from spawn_tui.engine.create import create_sweep
from spawn_tui.engine.plan.model import Plan, PlannedTask
from spawn_tui.engine.run import Parts, run_engine
from spawn_tui.engine.sources.registry import SourceSpec, make_source, parse_sources


def main(tasks: int, text: str, project: Path, options: dict[str, str]) -> None:
    begun = time.perf_counter()
    plan = Plan("bench", "spawn", tuple(PlannedTask("", {"i": i}) for i in range(tasks)), command=("true",))
    (spec,) = parse_sources((text,))
    spec = SourceSpec(spec.name, spec.kind, spec.slots, {**spec.options, **options})
    made = []

    def make(spec, context):
        source = make_source(spec, context)
        made.append(source)
        if spec.queue:
            _time_submission(source, times)
        return source

    times: list[float] = []

    root = create_sweep(plan, [spec], project=project)
    sweep = run_engine(root, parts=Parts(source=make))
    usage = made[0].host.usage
    calls = getattr(getattr(made[0], "scheduler", None), "calls", {})
    print(json.dumps({
        "status": sweep.status.value, "seconds": time.perf_counter() - begun, "connections": usage.connections,
        "round_trips": usage.round_trips, "sent": usage.sent, "received": usage.received, "commands": usage.commands,
        "submit": times[-1] - times[0] if times else 0.0, "calls": calls,
    }))  # fmt: skip


def _time_submission(source, times: list[float]) -> None:
    """From the engine's launch, staging and all, to the scheduler's last answer."""
    launch, submit = source.launch, source.scheduler.submit

    def launched(*words, **more):
        times.append(time.perf_counter())
        launch(*words, **more)

    def submitted(*words, **more):
        answer = submit(*words, **more)
        times.append(time.perf_counter())
        return answer

    source.launch, source.scheduler.submit = launched, submitted


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), dict(word.split("=", 1) for word in sys.argv[4:]))
