"""Which configuration files count, and all of them together as one `Config`.

The project's is `spawn.yaml` in the current folder or, inside a git repository, in one above it up to its root; the
user's is `~/.spawn/config.yaml` (`SPAWN_HOME`). Without a `spawn.yaml` an HSM configuration is read in its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TypeVar

from ..plan.problems import Findings, Located, PlanError, Problem
from ..plan.source import read_source
from ..sources.registry import SourceError, parse_sources
from .hsm import translate
from .model import Config, NamedSource
from .read import Layer, read_layer

T = TypeVar("T")
PROJECT_FILE = "spawn.yaml"
USER_FILE = "config.yaml"
HSM_FILES = (Path("sweeps") / "hsm_config.yaml", Path("hsm_config.yaml"), Path(".hsm") / "config.yaml")


class ConfigError(PlanError):
    """Configuration files that cannot be used; `str()` is the text for the user, with all their problems."""


def load_config(folder: Path, *, user_folder: Path | None = None) -> Config:
    """What holds in `folder`. `user_folder`: where the user's own file is (default `~/.spawn`).

    Raises `ConfigError` with every problem of every file.
    """
    folder = folder.resolve()
    found = find_project_file(folder)
    config = Config(found.parent if found is not None else folder)
    problems: list[Problem] = []
    warnings: list[str] = []
    named_defaults: tuple[Located, Path] | None = None
    for path, is_hsm in _files(folder, found, user_folder):
        try:
            layer, document, said = _read_file(path, is_hsm)
        except PlanError as error:
            problems += error.problems
            continue
        warnings += said
        if layer.defaults.sources:
            named_defaults = document, path
        config = _over(config, layer, path)
    if not problems and named_defaults is not None:
        # They may name what another file defines, so they are checked when all are read.
        problems += _default_sources(config, named_defaults[0])
    if problems:
        raise ConfigError(tuple(problems))
    return replace(config, warnings=tuple(warnings))


def find_project_file(folder: Path) -> Path | None:
    """`spawn.yaml` in `folder` or above it, not beyond the root of its git repository."""
    return next((path for above in _upward(folder) if (path := above / PROJECT_FILE).is_file()), None)


def _upward(folder: Path) -> Iterator[Path]:
    """`folder`, and the folders above it up to a git root; without one `folder` alone: whose are those above?"""
    chain = [folder, *folder.parents]
    root = next((n for n, above in enumerate(chain) if (above / ".git").exists()), 0)
    yield from chain[: root + 1]


def _files(folder: Path, found: Path | None, user_folder: Path | None) -> list[tuple[Path, bool]]:
    """The files that count, the one that wins last, and whether each is an HSM configuration."""
    if user_folder is None:
        # It brings TinyDB along, which whoever names a folder does not need.
        from ...state.index import spawn_home

        user_folder = spawn_home()
    files = [(path, False) for path in (user_folder / USER_FILE,) if path.is_file()]
    if found is not None:
        return [*files, (found, False)]
    own = next((folder / path for path in HSM_FILES if (folder / path).is_file()), None)
    machine = Path.home() / HSM_FILES[-1]
    if not files and machine.is_file() and machine != own:
        files.append((machine, True))
    return [*files, (own, True)] if own is not None else files


def _read_file(path: Path, is_hsm: bool) -> tuple[Layer, Located, tuple[str, ...]]:
    # PyYAML is imported for those who have a file.
    from ..plan.yaml_reader import read_yaml

    document: Located = (yaml := read_yaml(read_source(_shown(path))))
    data = yaml.data
    findings = Findings(document)
    for problem in yaml.problems:
        findings.add(problem)
    if is_hsm and isinstance(data, dict):
        document = translated = translate(data, yaml, findings)
        data = translated.data
    layer = read_layer(data, document, findings)
    findings.raise_if_any()
    return layer, document, findings.warnings()


def _shown(path: Path) -> Path:
    """The path as a message shows it: relative to the current folder if it is below that."""
    current = Path.cwd()
    return path.relative_to(current) if path.is_relative_to(current) else path


def _over(config: Config, layer: Layer, path: Path) -> Config:
    """`config` with `layer` on top: a source replaces the one of its name, a setting the one of its name."""
    sources: Mapping[str, NamedSource] = {**config.sources, **layer.sources}
    return replace(
        config,
        files=(*config.files, path),
        sources=sources,
        defaults=_merged(config.defaults, layer.defaults),
        health=_merged(config.health, layer.health),
        sync=_merged(config.sync, layer.sync),
        collect=_merged(config.collect, layer.collect),
    )


def _merged(below: T, above: T) -> T:
    given = {field.name: getattr(above, field.name) for field in fields(above)}  # type: ignore[arg-type]
    return replace(below, **{name: value for name, value in given.items() if value not in (None, ())})  # type: ignore[type-var]


def _default_sources(config: Config, document: Located) -> list[Problem]:
    key = ("defaults", "sources")
    try:
        parse_sources(config.defaults.sources, config.sources)
    except SourceError as error:
        return [Problem(document.file, document.lines([key]).get(key), ".".join(key), "", str(error))]
    return []
