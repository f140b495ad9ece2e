"""Engines that meet, sleep or lose their clock; runners and tasks that misbehave while nobody looks."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from spawn_tui.engine.control import post_request
from spawn_tui.engine.sources.attempt import read_claim, read_outcome
from spawn_tui.engine.sweep import Sweep, TaskState
from spawn_tui.state.process import ProcessId, identify

from . import field as fields
from .field import (
    REFUSED,
    Field,
    check_completed,
    check_sound,
    ended,
    kill,
    run_to_end,
    start_engine,
    wait_until,
)


def gated(field_script: str, gate: Path) -> str:
    return f"while ! [ -e {gate} ]; do sleep 0.02; done; {field_script}"


def runner_of(field: Field, task: int, number: int = 1) -> ProcessId:
    claim = read_claim(field.attempt(task, number))
    assert claim is not None and claim.process is not None
    return claim.process


def on_record(field: Field, state: TaskState, count: int) -> None:
    wait_until(lambda: field.sweep().counts[state] == count, f"{count} tasks on record as {state}")


# --- several engines ---------------------------------------------------------------------------------------------


def test_two_engines_at_once(new_field: Callable[..., Field], tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    field = new_field(gated("true", gate))
    first = start_engine(field)
    on_record(field, TaskState.RUNNING, 2)
    assert ended(start_engine(field)) == REFUSED
    host = os.uname().nodename
    assert f"LockHeld: this sweep's engine is already running: pid {first} on {host}" in field.log.read_text()
    gate.touch()
    assert ended(first) == 0
    check_completed(field)


def test_ten_engines_at_once(new_field: Callable[..., Field]) -> None:
    """Each runs the sweep, finds it taken, or finds it over."""
    field = new_field("sleep 0.05", tasks=6)
    engines = [start_engine(field) for _ in range(10)]
    codes = [ended(engine) for engine in engines]
    assert set(codes) <= {0, REFUSED} and 0 in codes
    check_completed(field)


def test_an_engine_that_slept_through_a_takeover(new_field: Callable[..., Field], tmp_path: Path) -> None:
    """It wakes up, finds its lock gone, and stops without launching or journalling anything."""
    gate = tmp_path / "gate"
    field = new_field(gated("true", gate), tasks=6)
    sleeper = start_engine(field)
    on_record(field, TaskState.RUNNING, 2)
    os.kill(sleeper, signal.SIGSTOP)
    heir = start_engine(field, take_over=True)
    wait_until(lambda: field.sweep().epoch == 2, "the next engine")
    journal = {path.name: path.read_bytes() for path in field.layout.journal.iterdir()}
    gate.touch()  # its own two tasks end: it would launch the next two
    wait_until(lambda: read_outcome(field.attempt(0)), "an end")
    os.kill(sleeper, signal.SIGCONT)
    assert ended(sleeper) == REFUSED
    assert "LockLost" in field.log.read_text()
    assert ended(heir) == 0
    for name in list(journal)[:2]:
        assert (field.layout.journal / name).read_bytes() == journal[name]
    check_completed(field)


@pytest.mark.parametrize("at", range(1, 36, 3))
@pytest.mark.parametrize("layer", ["journal", "source"])
def test_an_engine_that_slept_anywhere(new_field: Callable[..., Field], layer: str, at: int) -> None:
    """Stopped between any two steps, replaced, then woken: what is done is done once."""
    field = new_field("sleep 0.02", tasks=4)
    sleeper = start_engine(field, layer, at, signal.SIGSTOP)
    _, status = os.waitpid(sleeper, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        try:
            run_to_end(field, take_over=True)
        finally:
            os.kill(sleeper, signal.SIGCONT)
        # At its very last steps it may not notice, for it does nothing more.
        assert ended(sleeper) in (0, REFUSED)
    else:
        fields.forked.remove(sleeper)
    check_completed(field)


def test_a_lock_of_another_host_is_respected(new_field: Callable[..., Field]) -> None:
    field = new_field()
    ghost = ProcessId(1, "1", "boot", "elsewhere")
    field.layout.lock.write_text(
        f'{{"host": "{ghost.host}", "boot": "{ghost.boot}", "pid": {ghost.pid}, "start": "{ghost.start}"}}\n'
    )
    assert ended(start_engine(field)) == REFUSED
    assert "pid 1 on elsewhere" in field.log.read_text() and "--take-over" in field.log.read_text()
    run_to_end(field, take_over=True)
    check_completed(field)


# --- time --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [-86400.0, 86400.0 * 400])
def test_a_clock_that_jumps(new_field: Callable[..., Field], tmp_path: Path, jump: float) -> None:
    """The wall clock moves by days while tasks run, again before the next engine starts: no order, no wait changes."""
    gate = tmp_path / "gate"
    field = new_field(gated('[ "$SWEEP_ATTEMPT" = 2 ]', gate), tasks=2, retries=1)
    state = tmp_path / "jumped"

    def shift() -> None:
        real = time.time
        time.time = lambda: real() + (jump if state.exists() else 0.0)  # type: ignore[assignment]

    first = start_engine(field, prelude=shift)
    on_record(field, TaskState.RUNNING, 2)
    state.touch()
    kill(first, "clock")
    second = start_engine(field, prelude=shift)
    wait_until(lambda: field.sweep().epoch == 2, "the next engine")
    state.unlink()
    gate.touch()
    assert ended(second) == 0
    sweep = check_completed(field, attempts=2)
    times = event_times(field)
    assert times == sorted(times)
    assert all((a.ended_at or 0) >= 0 for task in sweep.tasks for a in task.attempts)


def event_times(field: Field) -> list[float]:
    import json

    times: list[float] = []
    for path in sorted(field.layout.journal.iterdir()):
        times += [line["at"] for line in map(json.loads, path.read_text().splitlines()) if "at" in line]
    return times


# --- runners and tasks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine_lives", [True, False])
def test_a_killed_runner_whose_command_lives_on(
    new_field: Callable[..., Field], tmp_path: Path, engine_lives: bool
) -> None:
    """The command, and its child in another session, are ended first; then comes the record; then the next try."""
    trace = tmp_path / "trace"
    field = new_field(
        f'[ "$SWEEP_ATTEMPT" = 2 ] || {{ trap "echo ended >>{trace}; exit" TERM; setsid sleep 60 &'
        f" while :; do sleep 0.01; done; }}; echo again >>{trace}",
        tasks=1,
        retries=1,
    )
    engine = start_engine(field)
    on_record(field, TaskState.RUNNING, 1)
    wait_until(field.tokens, "the command")
    if not engine_lives:
        kill(engine, "runner")
    os.kill(runner_of(field, 0).pid, signal.SIGKILL)
    if not engine_lives:
        engine = start_engine(field)
    assert ended(engine) == 0
    assert trace.read_text().split() == ["ended", "again"]
    first, second = check_sound(field).tasks[0].attempts
    assert first.kind == ("signal" if engine_lives else "source_lost")
    assert second.state is TaskState.COMPLETED and first.ended_at is not None
    assert second.launched_at >= first.ended_at


@pytest.mark.parametrize("engine_lives", [True, False])
@pytest.mark.parametrize(
    "how", ["setsid sleep 60", "(setsid sleep 60 &)", "nohup setsid sh -c 'trap \"\" TERM; sleep 60'"]
)
def test_a_task_that_left_its_group_is_found_on_cancel(
    new_field: Callable[..., Field], how: str, engine_lives: bool
) -> None:
    field = new_field(f"{how} & sleep 60", tasks=2, grace=0.2)
    engine = start_engine(field)
    on_record(field, TaskState.RUNNING, 2)
    wait_until(lambda: len(field.processes()) >= 8, "both with their offspring")
    if not engine_lives:
        kill(engine, "escape")
        engine = start_engine(field)
    post_request(field.root, "cancel")
    assert ended(engine) == 0
    assert check_sound(field).status.value == "cancelled"


def test_a_cancel_of_what_ignores_term(new_field: Callable[..., Field]) -> None:
    """Cancelling, not cancelled, until the last process is gone."""
    field = new_field("trap '' TERM; sleep 60 & sleep 60; sleep 60", tasks=2, grace=0.5)
    engine = start_engine(field)
    wait_until(lambda: len(field.processes()) >= 8, "both tasks")
    post_request(field.root, "cancel")
    on_record(field, TaskState.CANCELLING, 2)
    assert field.processes()
    wait_until(lambda: field.sweep().counts[TaskState.CANCELLED], "a cancelled task")
    assert ended(engine) == 0
    assert check_sound(field).status.value == "cancelled"


def test_a_cancel_survives_its_engine(new_field: Callable[..., Field]) -> None:
    field = new_field("trap '' TERM; sleep 60; sleep 60", tasks=2, grace=30.0)
    engine = start_engine(field)
    on_record(field, TaskState.RUNNING, 2)
    post_request(field.root, "cancel")
    on_record(field, TaskState.CANCELLING, 2)
    kill(engine, "cancel")
    run_to_end(replace(field, times={**field.times, "grace": 0.1}))
    assert check_sound(field).status.value == "cancelled"


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_timeout_is_kept_though_no_engine_lives(
    new_field: Callable[..., Field], monkeypatch: pytest.MonkeyPatch, stubborn: bool
) -> None:
    monkeypatch.setenv("SPAWN_KILL_AFTER", "0.2")
    ignore = "trap '' TERM; " if stubborn else ""
    field = new_field(f"{ignore}sleep 60 & sleep 60; sleep 60", tasks=2, timeout=0.5)
    engine = start_engine(field)
    on_record(field, TaskState.RUNNING, 2)
    kill(engine, "timeout")
    wait_until(lambda: not field.processes(), "that the runners end their tasks by themselves")
    run_to_end(field)
    for task in check_sound(field).tasks:
        assert [attempt.kind for attempt in task.attempts] == ["timeout"]
        assert task.attempts[0].message == "ran longer than its timeout of 0.5 s"


def test_a_pid_used_again(new_field: Callable[..., Field]) -> None:
    """Claims that name a living stranger: with another start time or boot it is gone, on another host unknown."""
    field = new_field("sleep 60", tasks=3, slots=3)
    engine = start_engine(field)
    on_record(field, TaskState.RUNNING, 3)
    wait_until(lambda: len(field.tokens()) == 3, "three tasks")
    kill(engine, "forged")
    field.kill_processes()
    stranger = os.fork()
    if stranger == 0:
        while True:
            signal.pause()
    try:
        it = identify(stranger)
        assert it is not None
        forged = [replace(it, start="1"), replace(it, boot="an earlier one"), replace(it, host="elsewhere")]
        for task, process in enumerate(forged):
            (field.attempt(task) / "claim").write_text(f"{process}\n")
        engine = start_engine(field)
        on_record(field, TaskState.FAILED, 2)
        sweep = field.sweep()
        assert [task.attempts[0].kind for task in sweep.tasks[:2]] == ["source_lost"] * 2
        assert sweep.tasks[2].state is TaskState.RUNNING and sweep.is_unknown(2)
        post_request(field.root, "cancel", force=True)
        on_record(field, TaskState.CANCELLING, 1)
        # It says how it ended through the directory, or never.
        (field.attempt(2) / "exit").write_text("143 term end\n")
        assert ended(engine) == 0
        assert check_sound(field).tasks[2].state is TaskState.CANCELLED
        assert os.waitpid(stranger, os.WNOHANG) == (0, 0), "a stranger was killed"
    finally:
        os.kill(stranger, signal.SIGKILL)
        os.waitpid(stranger, 0)


def test_what_may_not_be_killed_stays_cancelling(as_root: None, new_field: Callable[..., Field]) -> None:
    """The engine becomes another user than the task's: the slot stays taken, and it says so."""
    field = new_field("sleep 60", tasks=1, grace=0.1)

    def begin_as_nobody() -> None:
        from spawn_tui.engine.sources import local

        local.STUBBORN = 0.1  # type: ignore[misc]
        real = local.LocalSource.cancel

        def cancel(self: local.LocalSource, attempts: object, *, force: bool) -> None:
            os.setresuid(65534, 65534, 0)
            real(self, attempts, force=force)  # type: ignore[arg-type]
            os.seteuid(0)

        def as_nobody(function: Callable[..., None]) -> Callable[..., None]:
            def act(*arguments: object) -> None:
                os.setresuid(65534, 65534, 0)
                try:
                    function(*arguments)
                finally:
                    os.seteuid(0)

            return act

        local.LocalSource.cancel = cancel  # type: ignore[method-assign]
        local._kill_group = as_nobody(local._kill_group)  # type: ignore[attr-defined]
        local._kill = as_nobody(local._kill)  # type: ignore[attr-defined]

    engine = start_engine(field, prelude=begin_as_nobody)
    on_record(field, TaskState.RUNNING, 1)
    post_request(field.root, "cancel")
    wait_until(lambda: field.sweep().is_unknown(0), "that it says so")
    sweep: Sweep = field.sweep()
    assert sweep.tasks[0].state is TaskState.CANCELLING
    assert "does not end on KILL" in (field.layout.logs / "sweep.log").read_text()
    field.kill_processes()
    assert ended(engine) == 0
    assert check_sound(field).status.value == "cancelled"


def test_a_daemon_left_by_a_command_that_ended_well(new_field: Callable[..., Field]) -> None:
    """In its group it is ended with it; in a session of its own it may stay."""
    field = new_field(
        "[ $SWEEP_INDEX = 0 ] && { sleep 60 & }; [ $SWEEP_INDEX = 1 ] && { setsid sleep 60 & }; sleep 0.1",
        tasks=2,
    )
    run_to_end(field)
    assert list(field.processes().values()) == [field.token(1)]
    field.kill_processes()
    check_completed(field)


def test_an_empty_claim(new_field: Callable[..., Field]) -> None:
    """A runner that was killed between making its claim and writing it: the command had not begun, and does now."""
    field = new_field("true", tasks=2)
    assert ended(start_engine(field, "source", 4)) == -9
    wait_until(lambda: not field.processes(), "the end of what was begun")
    assert not field.tokens()
    for task in (0, 1):
        field.attempt(task).mkdir(exist_ok=True)
        (field.attempt(task) / "claim").touch()
    run_to_end(field)
    check_completed(field)
