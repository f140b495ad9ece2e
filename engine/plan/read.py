"""From a parameter file, and what the command line adds to it, to one `Plan`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path as FilePath
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from .bulk import without_collector
from .checks import CheckSource, check_overrides, check_plan, check_sources
from .dialect import tell, top_level, without_dialect
from .draft import Draft, levels_of
from .hsm import read_hsm
from .json_reader import JsonDocument, read_json
from .mfcl import read_mfcl
from .model import ArgsStyle, Plan, Retries
from .problems import Findings
from .settings import Overrides, read_settings, sweep_name
from .source import Format, SourceText, decode, read_source
from .spawn import read_spawn

if TYPE_CHECKING:
    from .csv_reader import CsvDocument
    from .yaml_reader import YamlDocument

_NO_OVERRIDES = Overrides()
_PYTHON = "python3"
_READERS = {"spawn": read_spawn, "hsm": read_hsm, "mfcl": read_mfcl}


def read_plan(
    path: FilePath, *, overrides: Overrides = _NO_OVERRIDES, check_source: CheckSource | None = None
) -> Plan:
    """The plan in the file at `path`, in any dialect, with `overrides` on top.

    The format is told by the extension (.json, .yaml, .yml, .csv), else by how the content begins.
    `check_source` says why a source, as it is written, cannot be used; what sources there are is not for this
    package to know. Raises PlanError with every problem of the file.
    """
    with without_collector():
        return _plan(read_source(path), path.stem, overrides, check_source)


def plan_from_text(
    content: str | bytes,
    *,
    name: str,
    format: Format | None = None,
    overrides: Overrides = _NO_OVERRIDES,
    check_source: CheckSource | None = None,
) -> Plan:
    """As `read_plan`, from `content`; `name` is the file's name for messages and for the sweep's default
    name.
    """
    with without_collector():
        return _plan(decode(content, file=name, format=format), FilePath(name).stem, overrides, check_source)


def count_tasks(path: FilePath, overrides: Overrides = _NO_OVERRIDES) -> int:
    """How many tasks the file at `path` makes; it needs no command. Raises PlanError as `read_plan` does."""
    return len(read_plan(path, overrides=overrides).tasks)


def _plan(source: SourceText, stem: str, overrides: Overrides, check_source: CheckSource | None) -> Plan:
    document = _document(source)
    findings = Findings(document)
    for problem in document.problems:
        findings.add(problem)
    check_overrides(overrides, findings)
    data = top_level(document.data, findings)
    dialect = tell(data, findings)
    if dialect is None:
        data = without_dialect(data, findings)
        settings = read_settings(levels_of(data), findings)
        check_sources(settings, data, overrides, check_source, findings)
        findings.raise_if_any()
        raise AssertionError("a file without a dialect has a problem")
    draft = _READERS[dialect](data, findings)
    check_sources(draft.settings, data, overrides, check_source, findings)
    plan = _resolve(draft, stem, overrides)
    check_plan(plan, draft, data, overrides, findings)
    findings.raise_if_any()
    return replace(plan, warnings=(*getattr(document, "warnings", ()), *findings.warnings()))


def _document(source: SourceText) -> JsonDocument | YamlDocument | CsvDocument:
    match source.format:
        case "json":
            return read_json(source)
        case "yaml":
            # PyYAML and csv are imported for the files that need them.
            from .yaml_reader import read_yaml

            return read_yaml(source)
        case "csv":
            from .csv_reader import read_csv

            return read_csv(source)


def _resolve(draft: Draft, stem: str, overrides: Overrides) -> Plan:
    """The plan of `draft` with what the command line says on top."""
    settings = draft.settings
    command = settings.command
    default_args: ArgsStyle = "template"
    if command is None and settings.script is not None:
        command = script_command(settings.script)
        if overrides.command is None:
            default_args = "hydra"
    retries = settings.retries or Retries()
    if isinstance(overrides.retries, int):
        retries = replace(retries, max=overrides.retries)
    elif overrides.retries is not None:
        retries = overrides.retries
    delay = settings.launch_delay if overrides.launch_delay is None else overrides.launch_delay
    return Plan(
        dialect=draft.dialect,
        name=overrides.sweep_name or settings.sweep_name or sweep_name(stem),
        tasks=tuple(draft.tasks),
        command=command if overrides.command is None else overrides.command,
        args=overrides.args or settings.args or default_args,
        env={**settings.env, **overrides.env},
        workdir=settings.workdir,
        sources=overrides.sources or settings.sources,
        retries=retries,
        timeout=settings.timeout if overrides.timeout is None else overrides.timeout,
        max_concurrent=settings.max_concurrent
        if overrides.max_concurrent is None
        else overrides.max_concurrent,
        launch_delay=delay or 0.0,
        metadata=draft.metadata,
    )


def script_command(script: str) -> tuple[str, ...]:
    """How a `script:` is run: by the `python3` found on PATH, or by itself if its name says it is no Python.

    HSM runs its script with Python, whatever its mode and first line; so do we for `.py` and for names
    without an extension. The path is relative to the directory that tasks run in.
    """
    path = PurePosixPath(script)
    if path.suffix not in ("", ".py"):
        return (script if "/" in script else f"./{script}",)
    return (_PYTHON, script if not script.startswith("-") else f"./{script}")
