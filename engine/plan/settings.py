"""How a sweep is run: our own settings, valid at the top level and in `defaults` of every dialect."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast, get_args

from .durations import HOW_TO_WRITE, parse_duration
from .environ import NAME, OURS
from .model import ArgsStyle, Retries, RetryKind, Value
from .problems import NULL, Findings, Path, did_you_mean, kind_of
from .values import text_flaw, text_of

SETTINGS = (
    "command", "args", "env", "workdir", "sources", "retries", "timeout", "max_concurrent",
    "launch_delay", "sweep_name",
)  # fmt: skip
ALIASES = {"user_command": "command"}
NOTES = ("comment", "comments", "date", "description", "author", "notes", "metadata", "version")
"""Keys of the top level that are kept and shown, and never interpreted; so are those that start with `_` or
`x-`.
"""

ARGS_STYLES = cast("tuple[ArgsStyle, ...]", get_args(ArgsStyle))
RETRY_KINDS = cast("tuple[RetryKind, ...]", get_args(RetryKind))
_SWEEP_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the command line says; it wins over the file. Times are in seconds."""

    command: str | tuple[str, ...] | None = None
    args: ArgsStyle | None = None
    sources: tuple[str, ...] = ()
    sweep_name: str | None = None
    retries: int | Retries | None = None
    timeout: float | None = None
    max_concurrent: int | None = None
    launch_delay: float | None = None
    env: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(slots=True)
class Settings:
    """The settings of a file, as far as it has them, and where its templates stand."""

    command: str | tuple[str, ...] | None = None
    args: ArgsStyle | None = None
    env: dict[str, str] = field(default_factory=dict[str, str])
    workdir: str | None = None
    sources: tuple[str, ...] = ()
    retries: Retries | None = None
    timeout: float | None = None
    max_concurrent: int | None = None
    launch_delay: float | None = None
    sweep_name: str | None = None
    script: str | None = None
    places: dict[str, Path] = field(default_factory=dict[str, Path])


Level = tuple[Path, Mapping[str, Value]]


def is_setting(key: str) -> bool:
    """True if `key` is one of our settings."""
    return key in SETTINGS or key in ALIASES


def is_note(key: str) -> bool:
    """True if `key`, at the top level, is for people."""
    return key in NOTES or key.startswith(("_", "x-"))


def read_settings(levels: list[Level], findings: Findings) -> Settings:
    """The settings found at `levels` (the top level and `defaults`); one that is at both must be the same."""
    given: dict[str, tuple[Path, Value]] = {}
    for path, mapping in levels:
        for key, value in mapping.items():
            name = ALIASES.get(key, key)
            if name not in SETTINGS and not (name in ("name", "script") and not path):
                continue
            if name == "name":
                name = "sweep_name"
            if name not in given:
                given[name] = ((*path, key), value)
            elif given[name][1] != value:
                other = ".".join(map(str, given[name][0]))
                findings.error(
                    (*path, key), f"differs from `{other}`", value=value, remedy="keep one of them"
                )
    settings = Settings(places={name: path for name, (path, _) in given.items()})
    if "command" in given and "script" in given:
        findings.error(given["script"][0], "stands beside `command`", remedy="keep one of them")
    for name, (path, value) in given.items():
        if value is not None:
            setattr(settings, name, _READERS[name](value, path, findings))
    settings.env = settings.env or {}
    settings.sources = settings.sources or ()
    return settings


def sweep_name(text: str) -> str:
    """`text` with what no sweep's name may hold replaced; a sweep's name begins its id and names its
    directory.
    """
    if _SWEEP_NAME.fullmatch(text):
        return text
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:100] or "sweep"


def is_sweep_name(text: str) -> bool:
    """True if `text` can be a sweep's name as it is."""
    return _SWEEP_NAME.fullmatch(text) is not None


def read_env(value: Value, path: Path, findings: Findings) -> dict[str, str]:
    """Environment variables: a mapping of legal names to single values."""
    if not isinstance(value, dict):
        findings.error(
            path, "must be a mapping of names to values", value=value, remedy="write {OMP_NUM_THREADS: 1}"
        )
        return {}
    env: dict[str, str] = {}
    for name, item in value.items():
        if not NAME.fullmatch(name):
            findings.error(
                (*path, name), "is not a name that a shell keeps", remedy="use letters, digits and _"
            )
        elif item is None or isinstance(item, list | dict):
            shown = NULL if item is None else item
            findings.error(
                (*path, name),
                f"must be one value, not {kind_of(item)}",
                value=shown,
                remedy='write "" for empty',
            )
        elif (flaw := text_flaw(text_of(item))) is not None:
            findings.error((*path, name), flaw[0], value=item, remedy=flaw[1])
        elif name.startswith(OURS):
            findings.warn((*path, name), "is set by spawn-tui itself; this value is ignored")
        else:
            env[name] = text_of(item)
    return env


def read_texts(value: Value, path: Path, findings: Findings) -> tuple[str, ...]:
    """A list of texts; numbers and true or false count as the text they are written as."""
    if not isinstance(value, list):
        findings.error(path, f"must be a list of texts, not {kind_of(value)}", value=value)
        return ()
    words: list[str] = []
    for index, item in enumerate(value):
        if item is None or isinstance(item, list | dict):
            shown = NULL if item is None else item
            findings.error(
                (*path, index), f"must be text, not {kind_of(item)}", value=shown, remedy="put it in quotes"
            )
        elif (flaw := text_flaw(text_of(item))) is not None:
            findings.error((*path, index), flaw[0], value=item, remedy=flaw[1])
        else:
            words.append(text_of(item))
    return tuple(words)


def _command(value: Value, path: Path, findings: Findings) -> str | tuple[str, ...] | None:
    if isinstance(value, str):
        if not value.strip():
            findings.error(path, "is empty", remedy="write the program to run: python train.py --lr {lr}")
            return None
        flaw = text_flaw(value)
        if flaw is not None:
            findings.error(path, flaw[0], value=value, remedy=flaw[1])
        return value
    if isinstance(value, list):
        words = read_texts(value, path, findings)
        if not value:
            findings.error(path, "is empty", value=value, remedy='write ["python", "train.py"]')
        elif words and not words[0]:
            findings.error(
                path, "begins with an empty word", value=value, remedy="begin with the program to run"
            )
        return words or None
    findings.error(path, f"must be text or a list of words, not {kind_of(value)}", value=value,
                   remedy="write python train.py --lr {lr}")  # fmt: skip
    return None


def _text(value: Value, path: Path, findings: Findings) -> str | None:
    if isinstance(value, str) and value.strip():
        flaw = text_flaw(value)
        if flaw is not None:
            findings.error(path, flaw[0], value=value, remedy=flaw[1])
        return value
    findings.error(path, f"must be text, not {'empty' if value == '' else kind_of(value)}", value=value)
    return None


def _args(value: Value, path: Path, findings: Findings) -> ArgsStyle | None:
    if value in ARGS_STYLES:
        return value
    near = did_you_mean(value, ARGS_STYLES) if isinstance(value, str) else ""
    findings.error(
        path,
        "is no way to pass parameters",
        value=value,
        remedy=near or "write hydra, flags, env, json or template",
    )
    return None


def _sources(value: Value, path: Path, findings: Findings) -> tuple[str, ...]:
    words = value.split(",") if isinstance(value, str) else value
    if isinstance(words, list) and words and all(isinstance(word, str) and word.strip() for word in words):
        return tuple(str(word).strip() for word in words)
    findings.error(
        path,
        "must be text or a list of texts",
        value=value,
        remedy="write local:4 or [local:4, ssh:server1:8]",
    )
    return ()


def _retries(value: Value, path: Path, findings: Findings) -> Retries | None:
    if isinstance(value, int) and not isinstance(value, bool):
        value = {"max": value}
    if not isinstance(value, dict):
        findings.error(path, f"must be a number or a mapping, not {kind_of(value)}", value=value,
                       remedy="write 2, or {max: 2, backoff: 30s, on: [exit, timeout]}")  # fmt: skip
        return None
    most, backoff, kinds = 1 if value else 0, Retries().backoff, RETRY_KINDS
    for key, item in value.items():
        here = (*path, key)
        match key:
            case "max":
                most = _whole(item, here, findings, least=0) or 0
            case "backoff":
                backoff = _seconds(item, here, findings) or 0.0
            case "on":
                kinds = _kinds(item, here, findings)
            case _:
                findings.error(
                    here,
                    "is unknown",
                    remedy=did_you_mean(key, ("max", "backoff", "on")) or "known are max, backoff and on",
                )
    return Retries(most, backoff, kinds)


def _kinds(value: Value, path: Path, findings: Findings) -> tuple[RetryKind, ...]:
    items = value if isinstance(value, list) else [value]
    for index, item in enumerate(items):
        if item not in RETRY_KINDS:
            here = (*path, index) if isinstance(value, list) else path
            near = did_you_mean(item, RETRY_KINDS) if isinstance(item, str) else ""
            findings.error(
                here,
                "is no kind of failure",
                value=item,
                remedy=near or f"known are {', '.join(RETRY_KINDS)}",
            )
    return tuple(item for item in items if item in RETRY_KINDS)


def _timeout(value: Value, path: Path, findings: Findings) -> float | None:
    seconds = _seconds(value, path, findings)
    if seconds == 0:
        findings.error(path, "leaves no time to run", value=value, remedy="leave it out for no limit")
    return seconds


def _seconds(value: Value, path: Path, findings: Findings) -> float | None:
    """A duration; a bare number is in seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e11:
        return float(value)
    if isinstance(value, str):
        try:
            return parse_duration(value)
        except ValueError:
            pass
    findings.error(path, "is not a duration", value=value, remedy=HOW_TO_WRITE)
    return None


def _whole(value: Value, path: Path, findings: Findings, least: int = 1) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return value
    findings.error(
        path, f"must be a whole number of at least {least}", value=NULL if value is None else value
    )
    return None


def _name(value: Value, path: Path, findings: Findings) -> str | None:
    text = text_of(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    if not text.strip():
        findings.error(
            path, "is not a name for a sweep", value=value, remedy="use letters, digits, . _ and -"
        )
        return None
    name = sweep_name(text)
    if name != text:
        findings.warn(path, f'the sweep is called "{name}": a name has letters, digits, . _ and - only')
    return name


_READERS: dict[str, Callable[[Value, Path, Findings], object]] = {
    "command": _command,
    "args": _args,
    "env": read_env,
    "workdir": _text,
    "sources": _sources,
    "retries": _retries,
    "timeout": _timeout,
    "max_concurrent": _whole,
    "launch_delay": _seconds,
    "sweep_name": _name,
    "script": _text,
}
