"""A command line with placeholders, made safe: a value is never read by a shell as code.

Placeholders of a shell command become references to positional parameters, quoted for the place they stand
in, and the values travel as arguments: `cd x && python t.py --lr {lr}` runs as `sh -c 'cd x && python t.py
--lr "${1}"' sh 0.1`. A command that needs no shell is run without one.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from .quoting import read_script
from .script import SHELLS, CodeProblem, Script, ShellProblem, refuse_code
from .template import Piece, Placeholder

__all__ = ["Script", "ShellProblem", "Words", "compile_argv", "compile_line"]

# What can run without a shell: plain words, and quotes without expansions in them.
_PLAIN = re.compile(r"""(?:[ \t]|'[^']*'|"[^"$`\\]*"|[^\s'"|&;<>()$`\\*?\[~#!{}])+""")
_NEEDS_SHELL = frozenset({
    ".", ":", "[[", "]]", "alias", "bg", "break", "builtin", "case", "cd", "command", "continue",
    "coproc", "declare", "disown", "do", "done", "elif", "else", "enable", "esac", "eval", "exec",
    "exit", "export", "fc", "fg", "fi", "for", "function", "getopts", "hash", "history", "if", "in",
    "jobs", "let", "local", "logout", "popd", "pushd", "read", "readonly", "return", "select", "set",
    "shift", "shopt", "source", "suspend", "then", "time", "times", "trap", "type", "typeset", "ulimit",
    "umask", "unalias", "unset", "until", "wait", "while",
})  # fmt: skip
# A line that is nothing but a shell and its script, in quotes or one word.
_WRAPPED = re.compile(
    rf"""\s*((?:/\S*/)?(?:{"|".join(sorted(SHELLS))})(?:\s+-\S+)*\s+-[A-Za-z]*c)\s+"""
    r"""(?:'[^']*'|"(?:[^"\\]|\\.)*"|[^\s'";&|<>()]+)\s*""",
    re.DOTALL,
)
# The first code point of a private-use plane; these stand for placeholders while words are split.
_MARKS = 0xF0000


@dataclass(frozen=True, slots=True)
class Words:
    """A command that needs no shell: one tuple of pieces for each argument."""

    words: tuple[tuple[Piece, ...], ...]


def compile_argv(words: Sequence[tuple[Piece, ...]]) -> Words:
    """An argument vector as it is. Raises ShellProblem if it hands a placeholder to a shell as code."""
    before: list[str] = []
    for word in words:
        literal = "".join(piece for piece in word if isinstance(piece, str))
        for piece in word:
            if isinstance(piece, Placeholder):
                refuse_code(before, piece)
        before.append(literal)
    return Words(tuple(words))


def compile_line(pieces: Sequence[Piece]) -> Words | Script:
    """A command line as it would be typed into `sh`; without a shell where that makes no difference.

    Raises ShellProblem for a placeholder where its value would be read as code, and for an unclosed quote.
    """
    words = _plain_words(pieces)
    try:
        return compile_argv(words) if words is not None else read_script(pieces)
    except CodeProblem as problem:
        wrapper = _WRAPPED.fullmatch("".join(piece if isinstance(piece, str) else "x" for piece in pieces))
        if wrapper is None:
            raise
        advice = f"drop the `{wrapper[1]} '…'` around it, since a string already is a command line for `sh`"
        raise ShellProblem(problem.message, f"{advice}; or {problem.remedy}") from None


def _plain_words(pieces: Sequence[Piece]) -> list[tuple[Piece, ...]] | None:
    placeholders = [piece for piece in pieces if isinstance(piece, Placeholder)]
    marks = iter(range(_MARKS, _MARKS + len(placeholders)))
    text = "".join(piece if isinstance(piece, str) else chr(next(marks)) for piece in pieces)
    foreign = any(ord(char) >= _MARKS for piece in pieces if isinstance(piece, str) for char in piece)
    if foreign or not _PLAIN.fullmatch(text):
        return None
    marked = shlex.split(text)
    if not marked or marked[0] in _NEEDS_SHELL or "=" in marked[0]:
        return None
    return [_unmark(word, placeholders) for word in marked]


def _unmark(word: str, placeholders: list[Placeholder]) -> tuple[Piece, ...]:
    found: list[Piece] = []
    for part in re.split(f"([{chr(_MARKS)}-{chr(_MARKS + max(len(placeholders), 1))}])", word):
        if len(part) == 1 and ord(part) >= _MARKS:
            found.append(placeholders[ord(part) - _MARKS])
        elif part:
            found.append(part)
    return tuple(found)
