"""A plan's command, ready for values."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from .model import ArgsStyle, PlannedTask
from .shell import Script, ShellProblem, Words, compile_argv, compile_line
from .template import pieces_of, placeholders_of

Command = str | tuple[str, ...]


def parameter_names(tasks: Iterable[PlannedTask]) -> dict[str, None]:
    """The names of all parameters of all tasks, in the order they first occur."""
    names: dict[str, None] = {}
    for task in tasks:
        if not names.keys() >= task.params.keys():
            names.update(dict.fromkeys(task.params))
    return names


def compile_command(command: Command, args: ArgsStyle, known: Collection[str]) -> Words | Script:
    """`command` for parameters named `known`. Raises ShellProblem if a value could not be passed safely."""
    if not isinstance(command, str):
        return compile_argv([pieces_of(word, known) for word in command])
    # A block in YAML ends in a line break that is no part of the command.
    compiled = compile_line(pieces_of(command.strip(), known))
    appends = args in ("hydra", "flags") or (args == "json" and not names_params_file(command, known))
    if appends and isinstance(compiled, Script) and compiled.no_append:
        raise ShellProblem(
            f"cannot be followed by the parameters of `args: {args}`, because {compiled.no_append}",
            "name the parameters where they belong, as in {lr}, and leave `args` out",
        )
    return compiled


def names_params_file(command: Command, known: Collection[str]) -> bool:
    """True if `command` says itself where the file of `args: json` goes."""
    texts = (command,) if isinstance(command, str) else command
    return any("params_file" in placeholders_of(text, known) for text in texts)
