"""Completion scripts, as click makes them."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

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
