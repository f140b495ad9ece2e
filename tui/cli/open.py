"""Opening the UI, if there is a terminal to open it on."""

from __future__ import annotations

from pathlib import Path

import click

from .find import find_sweep
from .output import BAD_INPUT, is_terminal, say


def open_ui(root: Path | None, *, readonly: bool = False, ascii_only: bool = False) -> int:
    """Open the UI on all sweeps or on one; returns the exit status."""
    if not is_terminal():
        say("there is no terminal, so the UI is not started; see `spawn-tui status SWEEP`, `spawn-tui list`")
        return BAD_INPUT
    from ..app import run_app

    return run_app(root, readonly=readonly, ascii=ascii_only)


@click.command("open", hidden=True)
@click.argument("sweep")
@click.pass_context
def open_sweep(ctx: click.Context, sweep: str) -> int:
    """Open the UI on one sweep."""
    options = ctx.obj
    return open_ui(find_sweep(sweep), readonly=options["readonly"], ascii_only=options["ascii"])
