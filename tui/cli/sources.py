"""`sources`: what the configuration names."""

from __future__ import annotations

from pathlib import Path

import click

from ...engine.config.model import NamedSource
from ...engine.sources.registry import KINDS
from .configured import configuration
from .output import data_json, say
from .table import print_table

_WHERE = ("host", "user", "port", "region")
_LISTS = ("modules", "setup", "extra", "iam_policy", "security_group", "subnet", "az")
"""Options that hold one item a line."""


@click.command()
@click.option("--json", "json_lines", is_flag=True, help="Print one JSON object a line.")
def sources(json_lines: bool) -> int:
    """List the sources that spawn.yaml and ~/.spawn/config.yaml name.

    \b
    Each can be said to --sources by its name, with or without a number of slots: server1, server1:8.
    Without a name, these can be used at once:
      local[:N]                     processes on this machine (N: one per core)
      ssh:[user@]host[:port][:N]    a machine reached by SSH (N: 4)
      slurm[:NAME][:N]              a Slurm cluster (N: 16 tasks at a time)
      pbs[:NAME][:N]                a PBS cluster (N: 16)
      hpc[:NAME][:N]                whichever of the two is found
      ec2[:REGION][:N]              AWS EC2, one instance for each task; without a region those that the tasks name
                                    (N: all at once)
    """
    config = configuration()
    for source in config.sources.values():
        if json_lines:
            data_json(
                {
                    "name": source.name,
                    "type": source.kind,
                    "slots": _slots(source),
                    "options": {key: _value(key, text) for key, text in source.options.items()},
                    "place": source.place,
                }
            )
    if json_lines:
        return 0
    if not config.sources:
        say("no configuration names a source; `spawn-tui init` writes spawn.yaml for this project")
        return 0
    rows = [
        [source.name, source.kind, _where(source), str(_slots(source)), _rest(source), source.place]
        for source in config.sources.values()
    ]
    print_table(["name", "type", "where", "slots", "options", "from"], rows)
    say(f"\nread: {', '.join(_short(path) for path in config.files)}")
    return 0


def _slots(source: NamedSource) -> int:
    return source.slots or KINDS[source.kind].slots()


def _where(source: NamedSource) -> str:
    """`user@host:port`, a region, or whose own machine it is."""
    options = source.options
    if KINDS[source.kind].cloud:
        return options.get("region", "as the tasks say")
    if source.kind == "local" or ("host" not in options and KINDS[source.kind].form == "name"):
        return "this machine"
    user = f"{options['user']}@" if "user" in options else ""
    port = f":{options['port']}" if "port" in options else ""
    return f"{user}{options.get('host', source.name)}{port}"


def _rest(source: NamedSource) -> str:
    pairs = ((key, text) for key, text in source.options.items() if key not in _WHERE)
    return ", ".join(f"{key}={'; '.join(text.splitlines())}" for key, text in pairs)


def _value(key: str, text: str) -> str | list[str]:
    return text.splitlines() if key in _LISTS else text


def _short(path: Path) -> str:
    home, current = Path.home(), Path.cwd()
    if path.is_relative_to(current):
        return str(path.relative_to(current))
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
