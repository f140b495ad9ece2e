"""`init`: a configuration and an example sweep for a project, from what it and this machine have."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .output import UserError, ask, data, is_terminal, say

if TYPE_CHECKING:
    from ...engine.config.detect import Detected
    from ...engine.config.starter import Starter

CONFIG = Path("spawn.yaml")
EXAMPLE = Path("sweeps") / "example.yaml"


@click.command()
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(path_type=Path))
@click.option("-y", "--yes", is_flag=True, help="Take what is detected; ask nothing, overwrite nothing.")
@click.option("--force", is_flag=True, help="Overwrite spawn.yaml and sweeps/example.yaml if they are there.")
def init(folder: Path, yes: bool, force: bool) -> int:
    """Write spawn.yaml and sweeps/example.yaml for the project in DIR (default: this folder).

    Detected are the script, the interpreter or conda environment, Slurm or PBS on this machine, and the hosts of
    ~/.ssh/config. An empty answer takes what is shown in brackets; to a question of yes or no it means no. Nothing is
    overwritten without a yes or --force.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder")
    if not yes and not is_terminal():
        raise UserError("there is no terminal to ask questions; spawn-tui init -y takes what is detected")
    there = [path for path in (CONFIG, EXAMPLE) if (folder / path).exists()]
    if yes and there and not force:
        names = " and ".join(str(folder / path) for path in there)
        raise UserError(f"{names} {'is' if len(there) == 1 else 'are'} there already; --force overwrites")
    from ...engine.config.detect import detect
    from ...engine.config.starter import config_text, sweep_text

    project = folder.resolve()
    found = detect(project, os.environ, Path.home())
    _tell(found)
    starter = _proposal(found)
    if not yes:
        starter = _ask(project, found, starter)
    texts = {CONFIG: config_text(starter), EXAMPLE: sweep_text(starter)}
    written = [
        path for path, text in texts.items() if _write(folder / path, text, force or path not in there)
    ]
    _tell_of_hsm(project, written)
    if EXAMPLE in written:
        where = "" if folder == Path() else f"cd {folder} && "
        say(f"  see what it would run: {where}spawn-tui launch {EXAMPLE} --dry-run")
    return 0


def _tell(found: Detected) -> None:
    also = f" (also found: {', '.join(found.others[:3])})" if found.others else ""
    rows = {
        "script": f"{found.script}{also}"
        if found.script
        else "none found; the example only prints its parameters",
        "interpreter": found.python + (f" (conda environment {found.conda_env})" if found.conda_env else ""),
        "cluster": (found.scheduler or "none on this machine")
        + (f", partitions {', '.join(found.partitions)}" if found.partitions else ""),
        "SSH hosts": ", ".join(found.ssh_hosts[:10]) or "none in ~/.ssh/config",
    }
    for name, text in rows.items():
        say(f"{name + ':':<13} {text}")
    for note in found.notes:
        say(f"note: {note}")


def _proposal(found: Detected) -> Starter:
    from ...engine.config.starter import Starter
    from ...engine.sources.registry import cores

    return Starter(
        slots=cores(),
        script=found.script,
        python=found.python,
        uses_hydra=found.uses_hydra,
        scheduler=found.scheduler,
        scheduler_is_guess=found.scheduler == "slurm" and not found.partitions,
        partitions=found.partitions,
        conda_env=found.conda_env,
        ssh_guesses=found.ssh_hosts[:10],
    )


def _ask(project: Path, found: Detected, starter: Starter) -> Starter:
    """The proposal as a person wants it."""
    from ...engine.config.detect import uses_hydra

    script = _prompt("Script to run (- for none)", starter.script or "-")
    if script != "-" and not (project / script).is_file():
        say(f"{script} is not there yet; the example names it all the same")
    starter = replace(
        starter,
        script=None if script == "-" else script,
        uses_hydra=script != "-" and uses_hydra(project / script),
        python=_prompt("Interpreter", starter.python) if script != "-" else starter.python,
        slots=click.prompt(
            "Tasks at a time on this machine",
            default=starter.slots,
            type=click.IntRange(1, 100_000),
            err=True,
        ),
    )
    if found.scheduler is not None:
        kind = "Slurm" if found.scheduler == "slurm" else "PBS"
        if not ask(f"Use the {kind} cluster that this machine submits to?"):
            starter = replace(starter, scheduler=None, partitions=())
        else:
            starter = replace(starter, scheduler_is_guess=False, used=(*starter.used, found.scheduler))
        if starter.scheduler is not None and found.partitions:
            first = click.prompt(
                "Partition", default=found.partitions[0], type=click.Choice(found.partitions), err=True
            )
            starter = replace(
                starter, partitions=(first, *(name for name in found.partitions if name != first))
            )
    words = _prompt("SSH hosts to use, comma separated (- for none)", "-")
    hosts = tuple(word.strip() for word in words.split(",") if word.strip() not in ("", "-"))
    guesses = tuple(name for name in starter.ssh_guesses if name not in hosts)
    return replace(starter, ssh_hosts=hosts, ssh_guesses=guesses, used=(*starter.used, *hosts))


def _prompt(question: str, default: str) -> str:
    answer: str = click.prompt(question, default=default, err=True)
    return answer.strip()


def _write(path: Path, text: str, may: bool) -> bool:
    """Write a file; one that is there only after a yes. Whether it was written."""
    if not may and not ask(f"{path} is there already. Overwrite it?"):
        say(f"{path} stays as it is")
        return False
    try:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None
    data(str(path))
    return True


def _tell_of_hsm(project: Path, written: list[Path]) -> None:
    from ...engine.config.load import HSM_FILES

    own = [str(path) for path in HSM_FILES if (project / path).is_file()]
    if own and CONFIG in written:
        say(f"note: {own[0]} was read so far, and is not any more: {CONFIG} takes its place")
