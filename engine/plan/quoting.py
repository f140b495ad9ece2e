"""The quoting state of a shell command line, followed from its first character to its last.

Rules: POSIX.1-2017, Shell Command Language, §2.2 (quoting), §2.3 (tokens), §2.6 (expansions), §2.7.4
(here-documents). Where shells differ from them or from each other, a placeholder is refused rather than
guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from .script import Script, ShellProblem, not_here, refuse_code
from .template import Piece, Placeholder

_BEFORE_A_COMMAND = frozenset({
    "if", "then", "elif", "else", "while", "until", "do", "!", "{", "command", "builtin", "exec", "time",
})  # fmt: skip
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
# These change or read the positional parameters that carry the values.
_TOUCH_POSITIONALS = frozenset({"set", "shift", "getopts", "function", ".", "source"})
_ENDS_A_COMPOUND = frozenset({"fi", "done", "esac", "}"})


def read_script(pieces: Sequence[Piece]) -> Script:
    """The script that a command line stands for. Raises ShellProblem for a placeholder where it cannot be
    safe.
    """
    return _Reader(pieces).read()


@dataclass(slots=True)
class _Frame:
    """One level of quoting or nesting: `code`, `(`, `$(`, `'`, `"`, `${`, `"${`, `$((` or a backquote."""

    kind: str
    depth: int = 0
    words: list[str] = field(default_factory=list[str])
    word: list[str] | None = None
    redirects: bool = False
    """The next word is the file of a redirection."""

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
                self._place(item)
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

    # -- one character ----------------------------------------------------------------------------------

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
        redirects = char in "<>"
        duplicates = char == "&" and frame.redirects and frame.word is None
        if redirects and frame.word is not None and "".join(frame.word).isdecimal():
            frame.word = None  # the number of a file descriptor, as in `2>`
        self._end_word()
        frame.redirects = redirects or duplicates
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
                if len(self._stack) == 1:
                    self._last = ")"
                if frame.kind == "$(":
                    self._word().append("$()")
        elif char == "\n" and self._here:
            self._here = "body"
        if char in ";&|\n(" and not duplicates:
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

    # -- a placeholder ----------------------------------------------------------------------------------

    def _place(self, placeholder: Placeholder) -> None:
        level = next(n for n in range(len(self._stack) - 1, -1, -1) if self._stack[n].is_code)
        inside = [frame.kind for frame in self._stack[level + 1 :]]
        code = self._stack[level]
        for kind, words in (("`", "backquotes"), ("$((", "`$((…))`"), ("${", "`${…}`"), ('"${', "`${…}`")):
            if kind in inside:
                raise not_here(placeholder, f"cannot stand inside {words}")
        if self._here == "body":
            raise not_here(placeholder, "cannot stand in or after a here-document")
        if self._unsure:
            raise not_here(placeholder, f"cannot stand after {self._unsure}")
        before = _command_words(code.words)
        if before and before[0] == "eval":
            raise not_here(placeholder, "would be read as code by `eval`")
        refuse_code(before, placeholder)
        name = placeholder.name
        number = self._names.setdefault(name, len(self._names) + 1)
        around = {'"': ("", ""), "'": ("'\"", "\"'")}.get(inside[-1] if inside else "", ('"', '"'))
        self._out += [around[0], number, around[1]]
        (code.word if code.word is not None else self._word(code)).append("{}")

    # -- bookkeeping ------------------------------------------------------------------------------------

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
        if frame.redirects:
            frame.redirects = False  # The file of a redirection is no word of the command.
        else:
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
    """`words` from the command's name on: without assignments and the reserved words that may stand before
    it.
    """
    for at, word in enumerate(words):
        if word not in _BEFORE_A_COMMAND and not _ASSIGNMENT.match(word):
            return words[at:]
    return []
