"""Completion scripts, as click makes them, and what is completed besides verbs and options."""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

from .output import data


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for your shell.

    \b
    bash:  spawn-tui completion bash > ~/.local/share/bash-completion/completions/spawn-tui
    zsh:   spawn-tui completion zsh > "${fpath[1]}/_spawn-tui"
    fish:  spawn-tui completion fish > ~/.config/fish/completions/spawn-tui.fish
    """
    from .main import cli

    maker = get_completion_class(shell)
    assert maker is not None
    data(maker(cli, {}, "spawn-tui", "_SPAWN_TUI_COMPLETE").source())


def complete_sources(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The sources that fit the last of a comma separated list: kinds, and names of the configuration."""
    from ...engine.config.load import ConfigError, load_config
    from ...engine.sources.registry import KINDS

    before, comma, word = incomplete.rpartition(",")
    if word.startswith("ec2:"):
        return [
            CompletionItem(f"{before}{comma}ec2:{name}")
            for name in _regions()
            if f"ec2:{name}".startswith(word)
        ]
    known = {
        f"{kind}:" if traits.form == "host" else kind: traits.description for kind, traits in KINDS.items()
    }
    try:
        for source in load_config(Path.cwd()).sources.values():
            known[source.name] = f"{source.kind}, {source.place}"
    except ConfigError:
        # A shell that completes has nowhere to say it; the command itself will.
        pass
    return [
        CompletionItem(before + comma + name, help=text)
        for name, text in known.items()
        if name.startswith(word)
    ]


def _regions() -> list[str]:
    """Those botocore knows; nobody is asked."""
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        return boto3.session.Session().get_available_regions("ec2")
    except BotoCoreError:
        # A profile that is not there: the command itself will say it.
        return []
