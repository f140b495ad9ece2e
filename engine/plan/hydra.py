"""Parameters as Hydra overrides, quoted so that Hydra reads back the very value: its type and its every byte.

Grammar: Hydra 1.3, `hydra/grammar/OverrideLexer.g4` and `OverrideParser.g4`.
"""

from __future__ import annotations

import re
from typing import Literal

from .model import Value
from .spelled import Spelled

# Text that cannot be taken for anything but text: no leading digit or sign, none of Hydra's punctuation.
_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(?:[./][A-Za-z0-9_-]+)*")
_KEYWORD = re.compile(r"(?i:true|false|null|nan|inf)")
_KEY_PART = r"[A-Za-z_$][A-Za-z0-9_$-]*"
_PACKAGE = rf"(?:{_KEY_PART}(?:\.(?:{_KEY_PART}|0|[1-9][0-9]*))*|[0-9]+(?:\.(?:{_KEY_PART}|0|[1-9][0-9]*))+)"
_GROUP = r"[A-Za-z_][A-Za-z0-9_-]*(?:/[A-Za-z_][A-Za-z0-9_-]*)+"
_KEY = re.compile(rf"(?:~|\+\+?)?(?:{_PACKAGE}|{_GROUP})(?:@{_PACKAGE})?")
# The key of a mapping cannot be quoted, only escaped; numbers and keywords would lose their type.
_ITEM_KEY = re.compile(r"[A-Za-z0-9_/\\+.%*@?|$()\[\]{}:=, -]+")
_LOOKS_TYPED = re.compile(r"(?i:[+-]?(?:[0-9._]+(?:e[+-]?[0-9_]+)?|inf|nan)|true|false|null)")
_ESCAPED = re.compile(r"([\\()\[\]{}:=, ])")


def override(key: str, value: Value) -> str:
    """`key=value` as one word of Hydra's command line. `~key` with null deletes, as Hydra means it."""
    if value is None and key.startswith("~"):
        return key
    return f"{key}={value.text if isinstance(value, Spelled) else literal(value)}"


def literal(value: Value) -> str:
    """`value` in Hydra's grammar; text is quoted only where it could be read as something else."""
    if isinstance(value, str):
        return value if is_bare(value) else quoted(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return f"[{','.join(map(literal, value))}]"
    items = [_ESCAPED.sub(r"\\\1", key) + ":" + literal(item) for key, item in value.items()]
    return "{" + ",".join(items) + "}"


def is_bare(text: str) -> bool:
    """True if `text` needs no quotes."""
    return _BARE.fullmatch(text) is not None and _KEYWORD.fullmatch(text) is None


def quoted(text: str, quote: Literal["'", '"'] = "'") -> str:
    """`text` in quotes. Hydra takes a backslash for itself unless backslashes stand before a quote."""
    inner = re.sub(rf"(\\*){quote}", rf"\1\1\\{quote}", text)
    inner = re.sub(r"(\\+)\Z", r"\1\1", inner)
    return f"{quote}{inner}{quote}"


def is_key(key: str) -> bool:
    """True if Hydra can be given an override of `key`: `a.b`, `+a`, `~a`, `group/option`, `optimizer@x`."""
    return _KEY.fullmatch(key) is not None


def unwritable_key(value: Value) -> str | None:
    """The first key inside of `value` that Hydra's grammar cannot hold, or None."""
    if isinstance(value, list):
        return next((bad for item in value if (bad := unwritable_key(item)) is not None), None)
    if isinstance(value, dict):
        for key, item in value.items():
            if not _ITEM_KEY.fullmatch(key) or _LOOKS_TYPED.fullmatch(key):
                return key
            if (bad := unwritable_key(item)) is not None:
                return bad
    return None
