"""`{placeholders}` in commands, the environment and the working directory."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from .environ import variable_of

OWN_PLACEHOLDERS = ("task_dir", "task", "index", "sweep_id", "name", "attempt", "params_file")
"""What a template may name besides parameters; a parameter of the same name wins.

`task_dir`: the attempt's directory · `task`: `task_001` · `index`: from 0 · `sweep_id` · `name`: the task's
label, else its id · `attempt`: from 1 · `params_file`: the JSON file of `args: json`.
"""

_SPECIAL = re.compile(r"\$\{(?:[^{}]*\})?|\{\{|\}\}|\{([^{}]*)\}")
# A dot, slash or hyphen stands between two parts only, so that the shell's {a..c} and {1..3} are left alone.
_NAME = re.compile(r"[A-Za-z_+~][A-Za-z0-9_]*(?:[.\-/@:+][A-Za-z0-9_]+)*")


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A `{name}` found in a template."""

    name: str
    variable: str | None = field(default=None, compare=False)
    """The variable of a task's environment that holds the same, if there is one."""


Piece = str | Placeholder


def pieces_of(template: str, known: Collection[str]) -> tuple[Piece, ...]:
    """`template` as literal text and placeholders.

    `{name}` is a placeholder if it is one of `known`, or looks like a name (whether it is known is for the
    caller to say). `{{` and `}}` are literal braces. Every other brace stays as written: `{print $1}`,
    `{a,b}`, `{}`, JSON; and `${name}` is the shell's. A `}}` that closes no `{{` stays, so that the end of
    nested JSON is not eaten.
    """
    pieces: list[Piece] = []
    literal: list[str] = []
    at = doubled = 0
    while (match := _SPECIAL.search(template, at)) is not None:
        literal.append(template[at : match.start()])
        found = match[0]
        at = match.end()
        name = match[1]
        if found == "{{":
            doubled += 1
            literal.append("{")
        elif found == "}}":
            literal.append("}" if doubled else found)
            doubled = max(0, doubled - 1)
        elif name is not None and (name in known or _NAME.fullmatch(name)):
            if text := "".join(literal):
                pieces.append(text)
            literal.clear()
            pieces.append(Placeholder(name, variable_of(name, known)))
        else:
            literal.append(found)
    literal.append(template[at:])
    if text := "".join(literal):
        pieces.append(text)
    return tuple(pieces)


def placeholders_of(template: str, known: Collection[str]) -> list[str]:
    """The names of the placeholders in `template`, in order, each once."""
    return list(
        dict.fromkeys(piece.name for piece in pieces_of(template, known) if isinstance(piece, Placeholder))
    )


def compile_text(template: str, known: Collection[str]) -> Callable[[Callable[[str], str]], str]:
    """A function that fills `template` in: given how to look a name up, it returns the text."""
    pieces = pieces_of(template, known)
    if not any(isinstance(piece, Placeholder) for piece in pieces):
        constant = "".join(piece for piece in pieces if isinstance(piece, str))
        return lambda look_up: constant
    if len(pieces) == 1 and isinstance(only := pieces[0], Placeholder):
        name = only.name
        return lambda look_up: look_up(name)

    def fill(look_up: Callable[[str], str]) -> str:
        return "".join([piece if isinstance(piece, str) else look_up(piece.name) for piece in pieces])

    return fill
