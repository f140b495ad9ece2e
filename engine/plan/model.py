"""What a sweep shall do, resolved: one `Plan`, whatever dialect its file was written in.

A plan is a value. It is made once by `read_plan`, stored in the sweep's directory, and never read again from
the user's file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"
"""A parameter's value: what JSON can say."""

Dialect = Literal["spawn", "hsm", "mfcl"]
ArgsStyle = Literal["hydra", "flags", "env", "json", "template"]
RetryKind = Literal[
    "exit",
    "signal",
    "timeout",
    "out_of_memory",
    "launch_failed",
    "spot_interrupted",
    "source_lost",
    "terminated",
]


@dataclass(frozen=True, slots=True)
class Retries:
    """How often, after how long and after which kinds of failure a task is tried again.

    `max` counts the tries after the first. The n-th retry waits `backoff * 2**(n-1)` seconds, at most
    one hour.
    """

    max: int = 0
    backoff: float = 1.0
    on: tuple[RetryKind, ...] = (
        "exit", "signal", "timeout", "out_of_memory", "launch_failed", "spot_interrupted", "source_lost",
        "terminated",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """One set of parameters. Task n of a sweep (from 1) is `plan.tasks[n - 1]`."""

    label: str
    """What the user calls it (`lr-0.1`, `001_resnet18_simclr`); empty where the file gives no name."""
    params: Mapping[str, Value]
    launch: Mapping[str, Value] = field(default_factory=dict[str, Value])
    """Launch fields of the spawn dialect (`instance_type`, `region`, `ttl`, …), by their canonical names."""
    overrides: tuple[str, ...] = ()
    """Literal Hydra overrides that stand before those made from `params` (MFCL)."""
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    """Environment of this task alone (MFCL entries)."""
    metadata: Mapping[str, Value] = field(default_factory=dict[str, Value])


@dataclass(frozen=True, slots=True)
class Plan:
    """A sweep's tasks and how to run them; immutable, and free of any reference to the file it came from."""

    dialect: Dialect
    name: str
    """Letters, digits, `.`, `_` and `-`; the start of the sweep's id."""
    tasks: tuple[PlannedTask, ...]
    command: str | tuple[str, ...] | None = None
    """A shell command line (a string) or an argument vector, each with `{param}` placeholders."""
    args: ArgsStyle = "template"
    """How parameters reach the command besides the environment; `template`: only where it names them."""
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    workdir: str | None = None
    """Where tasks run, relative to the project directory; the project directory itself if None."""
    sources: tuple[str, ...] = ()
    """The file's own choice, as in `--sources`; empty: the command line's or `local`."""
    retries: Retries = field(default_factory=Retries)
    timeout: float | None = None
    """Seconds a task's command may run; None: for ever."""
    max_concurrent: int | None = None
    launch_delay: float = 0.0
    """Seconds between two launches."""
    metadata: Mapping[str, Value] = field(default_factory=dict[str, Value])
    """`metadata`, `comment`, `date`, … of the file: shown, never interpreted."""
    warnings: tuple[str, ...] = ()
    """What the user should know though it stops nothing."""
