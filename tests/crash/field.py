"""The field of the crash suite: real sweeps in real directories, engines in forks of this warm process, and the checks.

Nothing here sleeps for a fixed time: every wait is for a condition, with a limit.
"""

from __future__ import annotations

import gc
import os
import shlex
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spawn_tui.engine import engine as engine_module
from spawn_tui.engine import events as ev
from spawn_tui.engine.control import post_request
from spawn_tui.engine.create import create_sweep
from spawn_tui.engine.ids import task_name
from spawn_tui.engine.plan.model import Plan, PlannedTask, Retries
from spawn_tui.engine.run import Parts, run_engine
from spawn_tui.engine.snapshot import to_documents
from spawn_tui.engine.sources.registry import SourceSpec
from spawn_tui.engine.store import load_sweep, replay
from spawn_tui.engine.sweep import Sweep, TaskState
from spawn_tui.engine.trouble import DiskTrouble
from spawn_tui.state.disk import LocalDisk
from spawn_tui.state.index import SweepIndex
from spawn_tui.state.journal import Position
from spawn_tui.state.layout import SweepLayout
from spawn_tui.state.lock import LockHeld, LockLost

from .faults import parts

LIMIT = 30.0
"""Seconds any single wait may take before it counts as a hang."""
QUICK = {"grace": 1.0, "leftover_grace": 0.2, "watch": 0.02}
REFUSED = 3
"""Exit status of an engine that said why it cannot run."""

forked: list[int] = []
"""Children of this process that a test started."""

kills = Counter[str]()
"""SIGKILLs so far, by what they hit."""


def wait_until(condition: Callable[[], object], what: str, limit: float = LIMIT) -> None:
    """Wait for a condition; the test fails if it does not come."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"waited {limit:g} s for: {what}"
        time.sleep(0.005)


@dataclass(frozen=True)
class Field:
    """One sweep on trial. `effects` is the file that tasks append their token to."""

    root: Path
    effects: Path
    times: dict[str, float]

    @property
    def layout(self) -> SweepLayout:
        return SweepLayout(self.root)

    @property
    def log(self) -> Path:
        """What engines said; beside the sweep's disk, which may be full."""
        return self.root.parent.parent.with_name("engines.log")

    def attempt(self, task: int, number: int = 1) -> Path:
        return self.layout.attempt(task_name(task), number)

    def token(self, task: int, number: int = 1) -> str:
        return f"{self.root.name}.{task_name(task)}.{number}"

    def tokens(self) -> list[str]:
        """The side effects that happened."""
        return self.effects.read_text().split() if self.effects.exists() else []

    def sweep(self) -> Sweep:
        return load_sweep(self.root, LocalDisk())[1]

    def processes(self, token: str = "") -> dict[int, str]:
        """Living processes of this sweep, or of one attempt: pid → token. Reads `/proc` by itself."""
        return {
            pid: own for pid, own in tokens_in_proc().items() if own.startswith(token or self.root.name + ".")
        }

    def kill_processes(self) -> None:
        """For a test's end, whatever happened: nothing of it may outlive it."""
        deadline = time.monotonic() + LIMIT
        while (left := self.processes()) and time.monotonic() < deadline:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def tokens_in_proc() -> dict[int, str]:
    found: dict[int, str] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            environ = Path(f"/proc/{entry}/environ").read_bytes()
            state = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        for item in environ.split(b"\0"):
            if item.startswith(b"SWEEP_TOKEN=") and state not in "ZX":
                found[int(entry)] = item.partition(b"=")[2].decode()
    return found


# --- sweeps ------------------------------------------------------------------------------------------------------


def append_token(effects: Path) -> str:
    """The shell words by which a task makes its side effect."""
    return f'echo "$SWEEP_TOKEN" >>{shlex.quote(str(effects))}'


def new_field(
    base: Path,
    script: str = "",
    *,
    tasks: int = 4,
    slots: int = 2,
    retries: int = 0,
    timeout: float | None = None,
    command: Sequence[str] = (),
    workdir: str | None = None,
    source: SourceSpec | None = None,
    effects: Path | None = None,
    **times: float,
) -> Field:
    """A sweep of tasks that append their token, then do `script`; nothing of it runs yet.

    `source`: where it runs, this machine by default; `effects`: a file that tasks can write there. `times`: the keyword
    parameters of `LocalSource`, quick ones by default.
    """
    base.mkdir(parents=True, exist_ok=True)
    effects = effects or base / "effects"
    plan = Plan(
        dialect="spawn",
        name="crash",
        tasks=tuple(PlannedTask("", {"n": n}) for n in range(tasks)),
        command=tuple(command) or ("sh", "-c", f"{append_token(effects)}; {script or 'true'}"),
        retries=replace(Retries(), max=retries, backoff=0.0),
        timeout=timeout,
        workdir=workdir,
    )
    root = create_sweep(
        plan,
        [source or SourceSpec("local", "local", slots)],
        project=base,
        output_dir=base / "out",
        command_line=["crash"],
        index=SweepIndex(base / "home"),
    )
    return Field(root, effects, {**QUICK, **times})


# --- engines -----------------------------------------------------------------------------------------------------


def fork(action: Callable[[], object], log: Path) -> int:
    """Do `action` in a child that shares nothing but what is imported; returns its pid."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        forked.append(pid)
        return pid
    status = 70
    try:
        gc.disable()
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(out, 1)
        os.dup2(out, 2)
        try:
            action()
            status = 0
        except (LockHeld, LockLost, DiskTrouble) as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            status = REFUSED
    except BaseException:  # noqa: BLE001 - a child must never go on as the test that forked it
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)


def start_engine(
    field: Field,
    layer: str = "",
    at: int = 0,
    number: int = signal.SIGKILL,
    *,
    cancel_when: Callable[[Sweep], bool] | None = None,
    cancel_tasks: Sequence[int] = (),
    take_over: bool = False,
    prelude: Callable[[], object] | None = None,
    made_of: Callable[[], Parts] | None = None,
) -> int:
    """An engine of the sweep in a fork, which sends itself `number` at point `at` of `layer`; returns its pid.

    `cancel_when`: when this holds of the sweep, somebody asks for its cancel (once), or for that of `cancel_tasks`.
    `made_of` makes other parts, in the fork.
    """

    def run() -> None:
        engine_module.REQUEST_POLL = 0.02  # type: ignore[misc]
        if prelude is not None:
            prelude()
        engines: list[Any] = []
        posted: list[str] = []

        def listen(records: Sequence[ev.Record]) -> None:
            if not engines or cancel_when is None or posted:
                return
            sweep = engines[0].sweep
            if not sweep.cancel_requested and cancel_when(sweep):
                posted.append(post_request(field.root, "cancel", tasks=cancel_tasks))

        def began(engine: Any) -> None:
            engines.append(engine)
            listen(())

        run_engine(
            field.root,
            take_over=take_over,
            listeners=[listen],
            on_start=began,
            on_signal=lambda engine, number: engine.stop(f"signal {number}"),
            index=SweepIndex(field.root.parent.parent / "home"),
            parts=made_of() if made_of else parts(layer, at, number, **field.times),
        )

    return fork(run, field.log)


def ended(pid: int, limit: float = LIMIT) -> int:
    """Wait for a child; its exit code, negative for a signal."""
    deadline = time.monotonic() + limit
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            forked.remove(pid)
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            raise AssertionError(f"the engine {pid} did not end within {limit:g} s")
        time.sleep(0.002)


def run_to_end(field: Field, **options: Any) -> Sweep:
    """An engine that nobody kills; the sweep as it left it."""
    code = ended(start_engine(field, **options))
    assert code == 0, f"the engine ended with {code}:\n{field.log.read_text()[-3000:]}"
    return field.sweep()


def kill(pid: int, what: str) -> None:
    """SIGKILL a child of ours and reap it; counts if it still ran."""
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    forked.remove(pid)
    kills[what] += os.WIFSIGNALED(status)


def kill_engines() -> None:
    """For a test's end: no engine may outlive it."""
    while forked:
        pid = forked.pop()
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.kill(pid, signal.SIGCONT)
            os.waitpid(pid, 0)


# --- checks ------------------------------------------------------------------------------------------------------


def check_sound(field: Field) -> Sweep:
    """What must hold of every sweep at rest, however it got there; returns it."""
    disk = LocalDisk()
    plan, sweep, _ = load_sweep(field.root, disk)
    again = replay(field.root, disk)
    assert _picture(plan, sweep) == _picture(plan, again), (
        "the journal tells another sweep than snapshot and tail"
    )
    tokens = Counter(field.tokens())
    twice = [token for token, count in tokens.items() if count > 1]
    assert not twice, f"ran twice: {twice}"
    for task in sweep.tasks:
        for attempt in task.attempts:
            ended = attempt.state in (TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED)
            assert ended, f"{task_name(task.index)} attempt {attempt.number} is {attempt.state}"
            status = field.attempt(task.index, attempt.number) / "status.yaml"
            if status.parent.exists():
                assert f'"{attempt.state.value.upper()}"' in status.read_text()
            if attempt.state is TaskState.COMPLETED:
                assert field.token(task.index, attempt.number) in tokens, "completed, but it never ran"
    known = {field.token(task.index, a.number) for task in sweep.tasks for a in task.attempts}
    assert tokens.keys() <= known, f"ran, but is not on record: {tokens.keys() - known}"
    left = field.processes()
    assert not left, f"still alive: {left}"
    assert not field.layout.lock.exists()
    return sweep


def _picture(plan: Plan, sweep: Sweep) -> object:
    documents = to_documents(plan, sweep, Position())
    active = {name: sorted(source.active) for name, source in sweep.sources.items()}
    return documents, dict(sweep.counts), active, sorted(sweep.delayed), dict(sweep.unknown)


def check_completed(field: Field, attempts: int = 1) -> Sweep:
    """Sound, and every task has exactly one completed attempt: its last."""
    sweep = check_sound(field)
    assert sweep.status.value == "completed", sweep.reason
    for task in sweep.tasks:
        states = [attempt.state.value for attempt in task.attempts]
        assert states == ["failed"] * (attempts - 1) + ["completed"], (
            f"{task_name(task.index)}: {task.attempts}"
        )
    assert len(field.tokens()) == attempts * sweep.total
    return sweep
