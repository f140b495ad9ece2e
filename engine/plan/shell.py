"""A command line with placeholders, made safe: a value is never read by a shell as code.

Placeholders of a shell command become references to positional parameters, quoted for the place they stand in, and
the values travel as arguments: `cd x && python t.py --lr {lr}` runs as `sh -c 'cd x && python t.py --lr "${1}"' sh 0.1`.
The quoting rules followed are those of POSIX.1-2017, Shell Command Language, §2.2, §2.3 and §2.6. Where shells differ,
or a value would be read as code after all, the placeholder is refused in words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from .template import Piece, Placeholder

USE_ENVIRONMENT = 'write "$PARAM_{name}" there instead: every parameter is also in the environment'

_SHELLS = frozenset({"sh", "ash", "bash", "dash", "fish", "ksh", "mksh", "zsh"})
_RUN_A_STRING = frozenset({"su", "runuser", "flock", "script", "sg"})
_DASH_C = re.compile(r"-[A-Za-z]*c[A-Za-z]*")

# What can run without a shell: plain words, and quotes without expansions in them.
_PLAIN = re.compile(r"""(?:[ \t]+|'[^']*'|"[^"$`\\]*"|[^\s'"|&;<>()$`\\*?\[~#!{}])+""")
_NEEDS_SHELL = frozenset(
    ". : [[ ]] alias bg break builtin case cd command continue coproc declare disown do done elif else enable esac "
    "eval exec exit export fc fg fi for function getopts hash history if in jobs let local logout popd pushd read "
    "readonly return select set shift shopt source suspend then time times trap type typeset ulimit umask unalias "
    "unset until wait while".split()
)
_BEFORE_A_COMMAND = frozenset("if then elif else while until do ! { command builtin exec time".split())
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
# These change or read the positional parameters that carry the values.
_TOUCH_POSITIONALS = frozenset({"set", "shift", "getopts", "function", ".", "source"})
_ENDS_A_COMPOUND = frozenset({"fi", "done", "esac", "}"})
_MARKS = (
    0xF0000  # the first code point of a private-use plane: stands for a placeholder while words are split
)


class ShellProblem(ValueError):
    """A command that cannot be run as it is written."""

    def __init__(self, message: str, remedy: str = "") -> None:
        self.message = message
        self.remedy = remedy
        super().__init__(f"{message}; {remedy}" if remedy else message)


@dataclass(frozen=True, slots=True)
class Words:
    """A command that needs no shell: one tuple of pieces for each argument."""

    words: tuple[tuple[Piece, ...], ...]


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


def compile_argv(words: Sequence[tuple[Piece, ...]]) -> Words:
    """An argument vector as it is. Raises ShellProblem if it hands a placeholder to a shell as code."""
    before: list[str] = []
    for word in words:
        literal = "".join(piece for piece in word if isinstance(piece, str))
        for piece in word:
            if isinstance(piece, Placeholder):
                _refuse_code(before, piece.name)
        before.append(literal)
    return Words(tuple(words))


def compile_line(pieces: Sequence[Piece]) -> Words | Script:
    """A command line as it would be typed into `sh`; without a shell where that makes no difference.

    Raises ShellProblem for a placeholder where its value would be read as code, and for an unclosed quote.
    """
    words = _plain_words(pieces)
    return compile_argv(words) if words is not None else _Reader(pieces).read()


def _plain_words(pieces: Sequence[Piece]) -> list[tuple[Piece, ...]] | None:
    import shlex

    names = [piece.name for piece in pieces if isinstance(piece, Placeholder)]
    marks = iter(range(_MARKS, _MARKS + len(names)))
    text = "".join(piece if isinstance(piece, str) else chr(next(marks)) for piece in pieces)
    foreign = any(ord(char) >= _MARKS for piece in pieces if isinstance(piece, str) for char in piece)
    if foreign or not _PLAIN.fullmatch(text):
        return None
    marked = shlex.split(text)
    if not marked or marked[0] in _NEEDS_SHELL or "=" in marked[0]:
        return None
    return [_unmark(word, names) for word in marked]


def _unmark(word: str, names: list[str]) -> tuple[Piece, ...]:
    found: list[Piece] = []
    for part in re.split(f"([{chr(_MARKS)}-{chr(_MARKS + max(len(names), 1))}])", word):
        if len(part) == 1 and ord(part) >= _MARKS:
            found.append(Placeholder(names[ord(part) - _MARKS]))
        elif part:
            found.append(part)
    return tuple(found)


def _refuse_code(before: Sequence[str], name: str) -> None:
    """Raise if the word after `before` is a script for another shell, so that a value in it would be code."""
    for at, word in enumerate(before):
        program = PurePosixPath(word).name
        options = before[at + 1 :]
        only_options = all(
            option[:1] in "-+" or options[i - 1] in ("-o", "-O") for i, option in enumerate(options)
        )
        if program in _SHELLS and only_options and any(_DASH_C.fullmatch(option) for option in options):
            break
        if program in _RUN_A_STRING and options and options[-1] in ("-c", "--command"):
            break
    else:
        return
    raise ShellProblem(
        f"{{{name}}} stands in a script for `{program}`, which would read its value as code",
        USE_ENVIRONMENT.format(name=name) + "; or give the whole command as one string",
    )


@dataclass(slots=True)
class _Frame:
    """One level of quoting or nesting: `code`, `(`, `$(`, `'`, `"`, `${`, `"${`, `$((` or a backquote."""

    kind: str
    depth: int = 0
    words: list[str] = field(default_factory=list[str])
    word: list[str] | None = None

    @property
    def is_code(self) -> bool:
        return self.kind in ("code", "(", "$(")


class _Reader:
    """Walks a command line once, keeping what each placeholder needs to know: in which quotes it stands."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._items: list[str | Placeholder] = []
        for piece in pieces:
            self._items.extend(piece if isinstance(piece, str) else [piece])
        self._at = 0
        self._out: list[str | int] = []
        self._names: dict[str, int] = {}
        self._stack = [_Frame("code")]
        self._bound = False
        self._unsure = ""
        self._here = ""  # "<<" until the end of the line, then "body"
        self._last = ""  # the last word or operator of the outermost level

    def read(self) -> Script:
        while self._at < len(self._items):
            item = self._items[self._at]
            self._at += 1
            if isinstance(item, Placeholder):
                self._place(item.name)
            elif self._here == "body":
                self._out.append(item)
            else:
                self._step(item)
        comment = self._stack[-1].kind == "code" and self._last == "#"
        self._end_word()
        if len(self._stack) > 1 and not self._unsure and not self._here:
            opened = {'"': "double quote", "'": "single quote", "`": "backquote"}
            kind = self._stack[-1].kind
            raise ShellProblem(f"has a {opened.get(kind, f'`{kind}`')} that is never closed")
        return Script(tuple(self._out), tuple(self._names), self._bound, self._why_no_append(comment))

    def _why_no_append(self, comment: bool) -> str:
        if self._here or self._unsure:
            return "its end is not the end of a simple command"
        if comment:
            return "it ends in a comment"
        if self._last in _ENDS_A_COMPOUND or self._last in tuple(";&|()"):
            return f"it ends in `{self._last}`"
        return ""

    # -- one character --------------------------------------------------------------------------------------------

    def _step(self, char: str) -> None:
        frame = self._stack[-1]
        match frame.kind:
            case "'":
                self._emit(char)
                if char == "'":
                    self._stack.pop()
            case '"':
                self._in_double_quotes(char)
            case "`":
                self._emit(char)
                if char == "\\":
                    self._emit_next()
                elif char == "`":
                    self._stack.pop()
            case "$((":
                self._in_arithmetic(frame, char)
            case "${" | '"${':
                self._in_expansion(frame, char)
            case _:
                self._in_code(frame, char)

    def _in_double_quotes(self, char: str) -> None:
        if char == "\\":
            following = self._peek()
            # A backslash is literal here, unless one of these follows; a placeholder will become a `$`.
            self._emit("\\\\" if isinstance(following, Placeholder) else "\\")
            if isinstance(following, str) and following in '$`"\\\n':
                self._emit_next()
            return
        if char == "$":
            self._dollar(quoted=True)
            return
        self._emit(char)
        if char == '"':
            self._stack.pop()
        elif char == "`":
            self._stack.append(_Frame("`"))

    def _in_arithmetic(self, frame: _Frame, char: str) -> None:
        self._emit(char)
        frame.depth += {"(": 1, ")": -1}.get(char, 0)
        if char in "'\"\\`":
            self._unsure = "quotes inside `$((…))`"
        if frame.depth == 0:
            self._stack.pop()

    def _in_expansion(self, frame: _Frame, char: str) -> None:
        if char == "$":
            self._dollar(quoted=frame.kind == '"${')
            return
        self._emit(char)
        if char == "}":
            self._stack.pop()
        elif char == "\\":
            self._emit_next()
        elif char == "'" and frame.kind == '"${':
            self._unsure = 'a single quote inside `"${…}"`, which shells read differently'
        elif char in "'\"`":
            self._stack.append(_Frame(char))

    def _in_code(self, frame: _Frame, char: str) -> None:
        if char == "\\":
            following = self._peek()
            if isinstance(following, Placeholder):
                # `\{` is the shell's own way to write a literal brace.
                self._at += 1
                self._emit(f"\\{{{following.name}}}")
            else:
                self._emit("\\")
                self._emit_next()
        elif char == "$":
            self._dollar(quoted=False)
        elif char in "'\"`":
            self._emit(char)
            self._stack.append(_Frame(char))
        elif char == "#" and frame.word is None:
            self._comment()
        elif char in " \t":
            self._end_word()
            self._out.append(char)
        elif char in ";&|()<>\n":
            self._operator(frame, char)
        else:
            self._emit(char)

    def _operator(self, frame: _Frame, char: str) -> None:
        self._end_word()
        self._out.append(char)
        if len(self._stack) == 1 and char != "\n":
            self._last = char
        if char == "<" and self._peek() == "<":
            self._out.append("<")
            self._at += 1
            if self._peek() == "<":
                self._out.append("<")
                self._at += 1
            else:
                self._here = "<<"
                self._here_delimiter()
        elif char == "(":
            if self._peek() == ")":
                self._bound = True  # a function: `${1}` would be its own first argument
            self._stack.append(_Frame("("))
        elif char == ")":
            if frame.kind != "code":
                self._stack.pop()
                if not self._stack[-1].is_code:
                    return
                if frame.kind == "$(":
                    self._word().append("$()")
        elif char == "\n" and self._here:
            self._here = "body"
        if char in ";&|\n(":
            self._stack[-1].words.clear()

    def _here_delimiter(self) -> None:
        at = self._at
        while at < len(self._items) and self._items[at] in ("-", " ", "\t"):
            at += 1
        while at < len(self._items) and (item := self._items[at]) not in tuple(" \t\n;&|<>"):
            if isinstance(item, Placeholder):
                raise ShellProblem(f"{{{item.name}}} cannot be the delimiter of a here-document")
            at += 1

    def _comment(self) -> None:
        """Copy a comment as it is; a placeholder in it means nothing."""
        if len(self._stack) == 1:
            self._last = "#"
        self._out.append("#")
        while self._at < len(self._items) and self._items[self._at] != "\n":
            item = self._items[self._at]
            self._out.append(item if isinstance(item, str) else f"{{{item.name}}}")
            self._at += 1

    def _dollar(self, *, quoted: bool) -> None:
        following = self._peek()
        if following == "(":
            self._at += 1
            if self._peek() == "(":
                self._at += 1
                self._emit("$((")
                self._stack.append(_Frame("$((", depth=2))
            else:
                self._emit("$(")
                self._stack.append(_Frame("$("))
            return
        self._emit("$")
        if following == "{":
            self._emit_next()
            self._note_positional(self._peek())
            self._stack.append(_Frame('"${' if quoted else "${"))
        elif following == "'" and not quoted:
            self._unsure = "`$'…'`, which shells read differently"
        elif isinstance(following, str) and following in "0123456789@*#$?!-":
            self._note_positional(following)
            self._emit_next()

    # -- a placeholder --------------------------------------------------------------------------------------------

    def _place(self, name: str) -> None:
        level = next(n for n in range(len(self._stack) - 1, -1, -1) if self._stack[n].is_code)
        inside = [frame.kind for frame in self._stack[level + 1 :]]
        code = self._stack[level]
        for kind, words in (("`", "backquotes"), ("$((", "`$((…))`"), ("${", "`${…}`"), ('"${', "`${…}`")):
            if kind in inside:
                raise ShellProblem(
                    f"{{{name}}} cannot stand inside {words}", USE_ENVIRONMENT.format(name=name)
                )
        if self._here == "body":
            raise ShellProblem(
                f"{{{name}}} cannot stand in or after a here-document", USE_ENVIRONMENT.format(name=name)
            )
        if self._unsure:
            raise ShellProblem(
                f"{{{name}}} cannot stand after {self._unsure}", USE_ENVIRONMENT.format(name=name)
            )
        before = _command_words(code.words)
        if before and before[0] == "eval":
            raise ShellProblem(
                f"{{{name}}} would be read as code by `eval`", USE_ENVIRONMENT.format(name=name)
            )
        _refuse_code(before, name)
        number = self._names.setdefault(name, len(self._names) + 1)
        around = {'"': ("", ""), "'": ("'\"", "\"'")}.get(inside[-1] if inside else "", ('"', '"'))
        self._out += [around[0], number, around[1]]
        (code.word if code.word is not None else self._word(code)).append("{}")

    # -- bookkeeping ----------------------------------------------------------------------------------------------

    def _peek(self) -> str | Placeholder | None:
        return self._items[self._at] if self._at < len(self._items) else None

    def _emit(self, text: str) -> None:
        self._out.append(text)
        for frame in reversed(self._stack):
            if frame.is_code:
                self._word(frame).append("" if text in ("'", '"') else text)
                break

    def _emit_next(self) -> None:
        following = self._peek()
        if isinstance(following, str):
            self._at += 1
            self._emit(following)

    def _word(self, frame: _Frame | None = None) -> list[str]:
        frame = frame or self._stack[-1]
        if frame.word is None:
            frame.word = []
        return frame.word

    def _end_word(self) -> None:
        frame = self._stack[-1]
        if frame.word is None:
            return
        word = "".join(frame.word)
        frame.word = None
        frame.words.append(word)
        if len(self._stack) == 1:
            self._last = word
        if word in _TOUCH_POSITIONALS:
            self._bound = True
        if word == "case" and any(outer.kind == "$(" for outer in self._stack):
            # The `)` of its patterns cannot be told from the one that closes the substitution.
            self._unsure = "`case` inside `$(…)`"

    def _note_positional(self, item: str | Placeholder | None) -> None:
        if isinstance(item, str) and item in "123456789@*#":
            self._bound = True


def _command_words(words: list[str]) -> list[str]:
    """`words` from the command's name on: without assignments and the reserved words that may stand before it."""
    for at, word in enumerate(words):
        if word not in _BEFORE_A_COMMAND and not _ASSIGNMENT.match(word):
            return words[at:]
    return []
