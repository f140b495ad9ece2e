"""A script for `sh -c` whose values travel as arguments, and why some command lines cannot be one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .environ import how_to_read
from .template import Placeholder

SHELLS = frozenset({"sh", "ash", "bash", "dash", "fish", "ksh", "mksh", "zsh"})
_RUN_A_STRING = frozenset({"su", "runuser", "flock", "script", "sg"})
_DASH_C = re.compile(r"-[A-Za-z]*c[A-Za-z]*")
_TAKES_A_WORD = re.compile(r"[-+][A-Za-z]*[oO]")


class ShellProblem(ValueError):
    """A command that cannot be run as it is written."""

    def __init__(self, message: str, remedy: str = "") -> None:
        self.message = message
        self.remedy = remedy
        super().__init__(f"{message}; {remedy}" if remedy else message)


class CodeProblem(ShellProblem):
    """A placeholder in a script that the command hands to another shell."""


@dataclass(frozen=True, slots=True)
class Script:
    """A command for `sh -c`; the n-th of `names` is what its n-th reference stands for."""

    parts: tuple[str | int, ...]
    """Text, and references (from 1) as integers with their quotes in the text around."""
    names: tuple[str, ...]
    bound: bool
    """The values are copied to variables first, because the script has positional parameters of its own."""
    no_append: str
    """Why words cannot be added at the end; empty if they can."""

    def text(self, extra: int = 0) -> str:
        """The script, with references to `extra` more words at its end."""
        prefix = "_sweep_" if self.bound else ""
        body = "".join(part if isinstance(part, str) else f"${{{prefix}{part}}}" for part in self.parts)
        count = len(self.names) + extra
        body += "".join(f' "${{{prefix}{n}}}"' for n in range(len(self.names) + 1, count + 1))
        if not self.bound or not count:
            return body
        copies = " ".join(f'_sweep_{n}="${{{n}}}"' for n in range(1, count + 1))
        return f"{copies}; shift {count}; {body}"


def not_here(placeholder: Placeholder, where: str) -> ShellProblem:
    """The problem of a placeholder at a place where no quoting is safe."""
    variable, first = how_to_read(placeholder.name, placeholder.variable)
    return ShellProblem(
        f"{{{placeholder.name}}} {where}",
        f'{first}write "${variable}" there instead: every task has it in its environment',
    )


def refuse_code(before: Sequence[str], placeholder: Placeholder) -> None:
    """Raise if the word after `before` is a script for another shell, so that a value in it would be code."""
    for at, word in enumerate(before):
        program = word.rpartition("/")[2]
        if program in SHELLS and _wants_a_script(before[at + 1 :]):
            break
        if program in _RUN_A_STRING and before[at + 1 :] and before[-1] in ("-c", "--command"):
            break
    else:
        return
    variable, first = how_to_read(placeholder.name, placeholder.variable)
    raise CodeProblem(
        f"{{{placeholder.name}}} stands in a script for `{program}`, which would read its value as code",
        f'{first}put that script in single quotes and write "${variable}" in it',
    )


def _wants_a_script(options: Sequence[str]) -> bool:
    """True if a shell with these options takes its next word as a script."""
    for at, option in enumerate(options):
        if option[:1] not in "-+" and not (at and _TAKES_A_WORD.fullmatch(options[at - 1])):
            return False
    return any(_DASH_C.fullmatch(option) for option in options)
