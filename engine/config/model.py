"""The configuration as values: what `spawn.yaml` and `~/.spawn/config.yaml` say, merged and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from ..health import HealthRules

STRATEGIES = ("round_robin", "least_loaded", "random", "fastest")


@dataclass(frozen=True, slots=True)
class NamedSource:
    """A source that the configuration names. `options`: what its kind understands, as text, lists one item a line."""

    name: str
    kind: str
    slots: int | None = None
    """`max_tasks`: how many tasks may run there at a time, unless the command line says."""
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    place: str = ""
    """File and line, for people."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a launch does where neither the command line nor the sweep's file says. `timeout` in seconds."""

    sources: tuple[str, ...] = ()
    strategy: str | None = None
    max_concurrent: int | None = None
    retries: int | None = None
    timeout: float | None = None
    output_dir: Path | None = None
    """Absolute: the file's own folder is where a relative one begins."""


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """When a source is disabled and tried again; None leaves the engine's own rule. Times in seconds."""

    grace: float | None = None
    strikes: int | None = None
    failure_rate: float | None = None
    failure_tasks: int | None = None
    cooldown: float | None = None
    probes: int | None = None
    withdraw_after: float | None = None

    def rules(self) -> HealthRules:
        """The engine's rules with these on top."""
        pairs = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(HealthRules(), **{name: value for name, value in pairs.items() if value is not None})


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """How the project is compared with its copies elsewhere. `exclude`: patterns as in `.gitignore`."""

    exclude: tuple[str, ...] = ()
    verify: bool | None = None


@dataclass(frozen=True, slots=True)
class CollectSettings:
    """How outputs come home. `interval` in seconds; `include` and `exclude`: patterns of file names."""

    interval: float | None = None
    max_size: int | None = None
    """Bytes; larger files stay where they are."""
    keep_remote: bool | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Config:
    """All of it. `project` is the folder tasks run in: the one of the project's file, else the current one."""

    project: Path
    files: tuple[Path, ...] = ()
    sources: Mapping[str, NamedSource] = field(default_factory=dict[str, NamedSource])
    defaults: Defaults = field(default_factory=Defaults)
    health: HealthSettings = field(default_factory=HealthSettings)
    sync: SyncSettings = field(default_factory=SyncSettings)
    collect: CollectSettings = field(default_factory=CollectSettings)
    warnings: tuple[str, ...] = ()

    def remote_options(self) -> dict[str, str]:
        """What every source elsewhere is told of sync and collection, as options of its `SourceSpec`.

        `verify` (`no`), `sync_exclude`, `collect_interval` (seconds), `collect_max_size` (bytes), `collect_keep_remote`
        (`yes`, `no`), `collect_include`, `collect_exclude` (one pattern a line); only what the files say.
        """
        options: dict[str, str] = {}
        if self.sync.verify is False:
            options["verify"] = "no"
        if self.collect.interval is not None:
            options["collect_interval"] = f"{self.collect.interval:g}"
        if self.collect.max_size is not None:
            options["collect_max_size"] = str(self.collect.max_size)
        if self.collect.keep_remote is not None:
            options["collect_keep_remote"] = "yes" if self.collect.keep_remote else "no"
        for name, patterns in (
            ("sync_exclude", self.sync.exclude),
            ("collect_include", self.collect.include),
            ("collect_exclude", self.collect.exclude),
        ):
            if patterns:
                options[name] = "\n".join(patterns)
        return options
