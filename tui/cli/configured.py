"""The configuration as a verb uses it, and the sources it asks for: problems become words, warnings are said."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ...engine.config.load import ConfigError, load_config
from ...engine.config.model import Config
from ...engine.create import DEFAULT_OUTPUT
from ...engine.plan import Overrides, asks_for_ec2
from ...engine.plan.model import Plan
from ...engine.sources.registry import KINDS, SourceError, SourceSpec, parse_sources
from .output import UserError, say


def configuration(folder: Path | None = None) -> Config:
    """What holds in `folder` (default: the current one). Raises `UserError`; says the warnings."""
    try:
        config = load_config(folder or Path.cwd())
    except ConfigError as error:
        raise UserError(f"cannot use this configuration\n{error}") from None
    for warning in config.warnings:
        say(f"spawn-tui: warning: {warning}")
    return config


def chosen_sources(
    texts: Sequence[str],
    config: Config,
    *,
    verify: bool = True,
    accept_new_host_key: bool = False,
    outputs: Path | None = None,
) -> list[SourceSpec]:
    """The sources that `texts` choose, with what the configuration and the command line say of sync and host keys.

    `outputs`: where sweeps are kept, which is no part of the project; None for the usual place. Raises `UserError`.
    """
    try:
        specs = parse_sources(texts, config.sources, warn=lambda text: say(f"spawn-tui: warning: {text}"))
    except SourceError as error:
        raise UserError(str(error)) from None
    common = config.remote_options()
    if not verify:
        common["verify"] = "no"
    if accept_new_host_key:
        common["accept_new_host_key"] = "yes"
    if outputs is not None and outputs.resolve() != (config.project / DEFAULT_OUTPUT).resolve():
        common["sync_outputs"] = str(outputs.resolve())
    return [
        _with(spec, common) if KINDS[spec.kind].remote or KINDS[spec.kind].cloud else spec for spec in specs
    ]


def _with(spec: SourceSpec, common: Mapping[str, str]) -> SourceSpec:
    return replace(spec, options={**common, **spec.options})


def source_check(config: Config) -> Callable[[str], str | None]:
    """Says why a source that a file names cannot be used."""

    def check(text: str) -> str | None:
        try:
            parse_sources((text,), config.sources)
        except SourceError as error:
            return str(error)
        return None

    return check


def with_defaults(plan: Plan, overrides: Overrides, config: Config) -> Plan:
    """`plan` with the configuration's defaults where neither its file nor the command line says anything."""
    defaults = config.defaults
    retries = plan.retries
    if defaults.retries is not None and overrides.retries is None and not retries.max:
        retries = replace(retries, max=defaults.retries)
    return replace(
        plan,
        sources=plan.sources or (("ec2",) if asks_for_ec2(plan) else defaults.sources),
        retries=retries,
        timeout=defaults.timeout if plan.timeout is None else plan.timeout,
        max_concurrent=defaults.max_concurrent if plan.max_concurrent is None else plan.max_concurrent,
    )


def prepared(specs: Sequence[SourceSpec], project: Path) -> list[SourceSpec]:
    """`specs` with every `hpc` found to be Slurm or PBS, and every machine asked whether its copy of the project is
    what the project is. A machine that cannot be asked is told of, and left to the engine while there are others.

    Raises `UserError`: nothing has been launched then.
    """
    specs = _resolved(specs)
    _compare_projects(specs, project)
    return specs


def _resolved(specs: Sequence[SourceSpec]) -> list[SourceSpec]:
    """Where nobody can tell what an `hpc` is, it is told; beside other sources it stays what it is, and is disabled."""
    from ...engine.config.cluster import prepare_sources

    known: list[SourceSpec] = []
    problems: list[str] = []
    for spec in specs:
        try:
            known += prepare_sources([spec])
        except SourceError as error:
            known.append(spec)
            problems.append(str(error))
    if problems and len(problems) == len(specs):
        raise UserError("\n".join(problems), status=3)
    for problem in problems:
        say(f"spawn-tui: warning: {problem}")
    return known


def _compare_projects(specs: Sequence[SourceSpec], project: Path) -> None:
    remote = [spec for spec in specs if spec.host and spec.kind != "hpc"]
    if not remote:
        return
    from ...engine.project.compare import preflight
    from ...engine.project.files import ProjectError, ProjectRules
    from ...engine.project.project import Project

    try:
        findings = preflight(remote, Project(project, ProjectRules.of_options(remote[0].options)))
    except ProjectError as error:
        raise UserError(str(error), status=3) from None
    differing = [f"{finding.source}: {finding.words}" for finding in findings if finding.state == "differs"]
    if differing:
        raise UserError("\n".join(differing), status=3)
    silent = [
        f"{finding.source}: {finding.words}"
        for finding in findings
        if finding.state in ("unreachable", "refused")
    ]
    if len(silent) == len(specs):
        raise UserError("\n".join(["no source can be used", *silent]), status=3)
    for words in silent:
        say(f"spawn-tui: warning: {words}")
