"""`test`: whether a source could take tasks now, each thing that is needed in a line."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from .completion import complete_sources
from .output import COMPLETED, SOME_FAILED, UserError, data, data_json

if TYPE_CHECKING:
    from ...engine.config.model import Config
    from ...engine.project.checks import Check
    from ...engine.sources.registry import SourceSpec


@click.command()
@click.argument("source", shell_complete=complete_sources)
@click.option(
    "--accept-new-host-key",
    is_flag=True,
    help="Trust an SSH host that is not in known_hosts yet; a changed key is refused all the same.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per check and line, the verdict last.")
def test(source: str, accept_new_host_key: bool, as_json: bool) -> int:
    """Check SOURCE from its connection to its scheduler: ssh:host, slurm, ec2:REGION, local, or a name of spawn.yaml.

    Asked are: connection and host key, login shell, programs, whether files can be written, disk, clock, the python of
    tasks, the project, and for clusters the scheduler, without submitting anything. What is wrong is said with what to
    do. Of EC2: account, region, image, a launch as a dry run, quota, and the bucket for results; nothing is made.

    Exit status: 0 it can take tasks, 1 it cannot, 2 bad usage.
    """
    from ...engine.project.checks import as_json as json_of
    from ...engine.project.checks import verdict
    from .configured import chosen_sources, configuration

    config = configuration()
    specs = chosen_sources((source,), config, accept_new_host_key=accept_new_host_key)
    if len(specs) != 1:
        raise UserError("test one source at a time")
    (spec,) = specs
    checks: list[Check] = []
    with _checks(spec, config) as found:
        for check in found:
            checks.append(check)
            if as_json:
                data_json({"source": spec.name, **json_of(check)})
            else:
                data(f"{check.level:<4}  {check.name:<11}  {check.words}")
    level, words = verdict(spec.name, checks)
    if as_json:
        data_json({"source": spec.name, "verdict": level.lower(), "words": words})
    else:
        data(words)
    return SOME_FAILED if level == "FAIL" else COMPLETED


@contextmanager
def _checks(spec: SourceSpec, config: Config) -> Generator[Iterator[Check]]:
    """What is to be checked, as it is checked."""
    from ...engine.collect.elsewhere import is_cloud

    if is_cloud(spec.kind):
        yield _of_region(spec)
        return
    from ...engine.project.checks import check_source
    from ...engine.project.files import ProjectRules
    from ...engine.project.project import Project
    from ...engine.remote.hosts import host_of

    project = Project(config.project, ProjectRules(config.sync.exclude, config.defaults.output_dir))
    host = host_of(spec.name, spec.options)
    try:
        yield check_source(host, spec, project, root=str(config.project) if spec.kind == "local" else None)
    finally:
        host.close()


def _of_region(spec: SourceSpec) -> Iterator[Check]:
    """Without a region it is the user's own that is checked."""
    from ...engine.aws.cloud import Cloud
    from ...engine.aws.errors import AwsError
    from ...engine.aws.region_check import check_region
    from .cloud import with_environment

    spec = with_environment(spec)
    cloud = Cloud(spec.options.get("profile", ""))
    try:
        region = spec.options.get("region") or cloud.home_region()
    except AwsError as error:
        raise UserError(f"{spec.name}: {error}", status=SOME_FAILED) from None
    return check_region(cloud, region, spec.options)
