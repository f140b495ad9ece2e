"""The tree that people read: `tasks/`, `logs/`, the YAML files of the guide.

Everything here is made from the plan and the events and could be made again; nothing of it is ever read back to decide
anything. What belongs to the attempt that counts is found at `tasks/task_001/`, a link into `attempts/`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from ..state.disk import DIR_MODE, FILE_MODE
from ..state.layout import PARAMS, RESULTS, STATUS, SweepLayout
from . import events as ev
from .ids import task_name
from .logs import SweepLogs
from .plan.model import Plan, Value
from .sweep import ENDED, Attempt, Sweep, Task
from .words import describe, iso

__all__ = ["Home", "describe", "iso", "status_of", "to_yaml"]

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_SIMPLE = re.compile(r"[A-Za-z0-9_.:/+ -]*\Z")
_PRINTABLE = re.compile(r"[\x20-\x7e]*\Z")
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf"})


class Home:
    """Writes the readable tree of one sweep."""

    def __init__(self, layout: SweepLayout, plan: Plan) -> None:
        self._layout = layout
        self._plan = plan
        self._attempts, self._tasks = str(layout.attempts), str(layout.tasks)
        self._logs = SweepLogs(layout)

    def create(self, config_text: bytes) -> None:
        """Make the folders, and keep the user's file as it was."""
        layout = self._layout
        for folder in (
            layout.tasks,
            layout.attempts,
            layout.logs,
            layout.runner.parent,
            layout.failed_tasks.parent,
        ):
            folder.mkdir(mode=DIR_MODE, parents=True, exist_ok=True)
        _write(layout.runner, Path(__file__).with_name("runner.sh").read_bytes())
        _write(layout.config, config_text)

    def prepare(self, index: int, number: int) -> None:
        """Make the directory of an attempt that is about to be launched, and point the task's link to it.

        May be done again for the same attempt. Raises `OSError`.
        """
        # On the way of every task: strings, for a Path costs more than the system call it serves.
        name = task_name(index)
        path = f"{self._attempts}/{name}.{number}"
        try:
            os.mkdir(path, DIR_MODE)  # noqa: PTH102
            os.mkdir(f"{path}/{RESULTS}", DIR_MODE)  # noqa: PTH102
        except FileExistsError:
            Path(f"{path}/{RESULTS}").mkdir(mode=DIR_MODE, exist_ok=True)
        _write(f"{path}/{PARAMS}", to_yaml(self._plan.tasks[index].params).encode())
        self._link(name, number)

    def _link(self, name: str, number: int) -> None:
        target, link = f"../attempts/{name}.{number}", f"{self._tasks}/{name}"
        try:
            os.symlink(target, link)  # noqa: PTH211
        except FileExistsError:
            temporary = f"{link}.tmp"
            Path(temporary).unlink(missing_ok=True)
            os.symlink(target, temporary)  # noqa: PTH211
            os.replace(temporary, link)  # noqa: PTH105

    def record(self, sweep: Sweep, records: Iterable[ev.Record]) -> None:
        """Follow what was journalled: the status of each ended attempt, and lines in `logs/sweep.log`."""
        for record in records:
            event = record.event
            match event:
                case ev.Ended() | ev.Recovered():
                    for end in event.attempts:
                        task = sweep.tasks[end.task]
                        self._write_status(task, task.attempts[end.attempt - 1])
                        if isinstance(event, ev.Recovered):
                            self._link(task_name(end.task), end.attempt)
                case ev.Withdrawn():
                    for ref in event.attempts:
                        task = sweep.tasks[ref.task]
                        self._write_status(task, task.attempts[ref.attempt - 1])
                case _:
                    pass
            self._logs.take(sweep, record)
        self._logs.write()

    def _write_status(self, task: Task, attempt: Attempt) -> None:
        path = f"{self._attempts}/{task_name(task.index)}.{attempt.number}/{STATUS}"
        with suppress(FileNotFoundError):  # the attempt's directory was deleted: its end says so
            _write(path, to_yaml(status_of(attempt)).encode())

    def repair(self, sweep: Sweep) -> None:
        """Write what an engine that was killed had journalled and not yet written; O(attempts)."""
        for task in sweep.tasks:
            for attempt in task.attempts:
                if attempt.state in ENDED:
                    directory = f"{self._attempts}/{task_name(task.index)}.{attempt.number}"
                    if os.path.exists(directory) and not _has_text(f"{directory}/{STATUS}"):  # noqa: PTH110
                        self._write_status(task, attempt)
            if task.counting:
                self._write_status(task, task.attempts[task.counting - 1])
                self._link(task_name(task.index), task.counting)

    def refresh(self, sweep: Sweep) -> None:
        """Bring the sweep-wide files up to date; O(tasks), done when an engine starts and stops."""
        layout = self._layout
        metadata: dict[str, Value] = {
            "sweep_id": sweep.id,
            "name": sweep.name,
            "status": sweep.status.value,
            "total_tasks": sweep.total,
            "compute_sources": [*sweep.sources],
            "strategy": sweep.strategy,
            "max_concurrent": sweep.max_concurrent,
            "project": sweep.project,
            "created_time": iso(sweep.created_at),
            "updated_time": iso(sweep.updated_at),
            "completed_time": iso(sweep.ended_at),
            "metadata": dict(self._plan.metadata),
        }
        _write(layout.metadata, to_yaml(metadata).encode())
        self._write_mapping(sweep)
        failed = [sweep.tasks[index] for index in sorted(sweep.failures)]
        _write(layout.failed_tasks, "".join(_failed_entry(task) for task in failed).encode() or b"{}\n")

    def _write_mapping(self, sweep: Sweep) -> None:
        """`task_mapping.yaml` in the guide's form; written as text, for PyYAML needs a minute for 100,000 tasks."""
        head = {"sweep_id": sweep.id, "total_tasks": sweep.total, "updated_time": iso(sweep.updated_at)}
        out = [to_yaml(head), "task_assignments:\n" if sweep.tasks else "task_assignments: {}\n"]
        for task in sweep.tasks:
            out.append(f"  {task_name(task.index)}:\n    status: {task.state.value.upper()}\n")
            attempt = task.attempt
            if attempt is not None:
                out.append(
                    f"    compute_source: {_scalar(attempt.source)}\n    attempts: {attempt.number}\n"
                    f"    start_time: {_scalar(iso(attempt.started_at))}\n"
                    f"    complete_time: {_scalar(iso(attempt.ended_at))}\n"
                    f"    exit_code: {_scalar(attempt.exit_code)}\n"
                    f"    error_message: {_scalar(attempt.message or None)}\n"
                )
        _write(self._layout.mapping, "".join(out).encode())

    def close(self) -> None:
        self._logs.close()


def status_of(attempt: Attempt) -> dict[str, Value]:
    """The fields of `status.yaml`, in the guide's words."""
    out: dict[str, Value] = {
        "status": attempt.state.value.upper(),
        "source": attempt.source,
        "attempt": attempt.number,
        "start_time": iso(attempt.started_at),
        "complete_time": iso(attempt.ended_at),
        "exit_code": attempt.exit_code,
    }
    if attempt.kind:
        out["kind"] = attempt.kind
    if attempt.signal is not None:
        out["signal"] = attempt.signal
    if attempt.message:
        out["error_message"] = attempt.message
    return out


def to_yaml(values: Mapping[str, Value]) -> str:
    """A flat YAML mapping that every YAML 1.1 and 1.2 reader reads back as these values.

    Values are written as JSON, which is YAML; only what the two read differently is left to PyYAML.
    """
    return "".join(f"{_key(key)}: {_scalar(value)}\n" for key, value in values.items()) or "{}\n"


def _key(key: str) -> str:
    return key if _PLAIN.match(key) and key.lower() not in _WORDS else _scalar(key)


def _scalar(value: Value) -> str:
    if isinstance(value, str):
        if _SIMPLE.match(value):
            return f'"{value}"'
        return json.dumps(value) if _PRINTABLE.match(value) else _by_library(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        text = repr(value)
        if "e" in text and "." not in text:  # YAML 1.1 reads 1e-05 as a string
            text = text.replace("e", ".0e")
        return text if "n" not in text else _by_library(value)  # inf, nan
    if isinstance(value, list):
        return "[" + ", ".join(_scalar(item) for item in value) + "]"
    return "{" + ", ".join(f"{_scalar(key)}: {_scalar(item)}" for key, item in value.items()) + "}"


def _by_library(value: str | float) -> str:
    import yaml

    text: str = yaml.safe_dump(value, default_style='"' if isinstance(value, str) else None, width=1 << 30)
    return text.removesuffix("\n").removesuffix("\n...")


def _failed_entry(task: Task) -> str:
    attempt = task.attempts[-1]
    fields: dict[str, Value] = {
        "source": attempt.source,
        "attempts": len(task.attempts),
        "kind": attempt.kind,
        "exit_code": attempt.exit_code,
        "error_message": attempt.message,
        "complete_time": iso(attempt.ended_at),
    }
    return f"{task_name(task.index)}:\n" + "".join(
        f"  {key}: {_scalar(value)}\n" for key, value in fields.items()
    )


def _has_text(path: str) -> bool:
    """Whether the file is there and its writer was not killed between making it empty and filling it."""
    try:
        return os.stat(path).st_size > 0  # noqa: PTH116
    except FileNotFoundError:
        return False


def _write(path: str | Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
    try:
        done = 0
        while done < len(data):
            done += os.write(fd, data[done:])
    finally:
        os.close(fd)
