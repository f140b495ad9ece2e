"""What the instances of one launch need, in one archive: our scripts, and a folder for each launch index.

bootstrap/          bootstrap.sh and what it runs: guards.sh, work.sh, send.sh, spored.sh, runner.sh
<index>/start.sh    the attempt's environment, then the runner; every value quoted for POSIX sh
<index>/env         the same environment for login shells (/etc/profile.d)
<index>/settings    `key=value` lines, read without eval
<index>/user_data   the user's script, byte for byte; only if there is one
<index>/files/      what the attempt's directory holds before it begins
<index>/previous    lines `URL PATH` of the files of the attempt before it; only if there are any

The same attempts make the same bytes: a launch that is repeated names the same checksum.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import re
import shlex
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from .model import OnComplete

ROOT_THERE = "/var/lib/spawn"
"""Where everything lies on an instance. Where `SPAWN_ROOT` says otherwise (the demo), these paths follow it."""
PROJECT_THERE = f"{ROOT_THERE}/project"
ATTEMPTS_THERE = f"{ROOT_THERE}/attempts"
PREVIOUS_THERE = f"{ROOT_THERE}/previous"

_BOOTSTRAP_THERE = f"{ROOT_THERE}/pack/bootstrap"
_SCRIPTS = {
    "bootstrap.sh": "bootstrap.sh",
    "guards.sh": "boot_guards.sh",
    "send.sh": "boot_send.sh",
    "spored.sh": "spored.sh",
    "work.sh": "boot_work.sh",
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN = re.compile(rb"[A-Za-z0-9/._+=,@:-]")


@dataclass(frozen=True, slots=True)
class PackedAttempt:
    """One attempt as its instance will run it. `argv` empty: the user's script alone is the task."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    files: Mapping[str, bytes]
    """By name, below the attempt's directory."""
    user_data: str
    timeout: float | None
    """Seconds."""
    previous: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Path and URL of each file of the attempt before it."""
    workdir: str = PROJECT_THERE


@dataclass(frozen=True, slots=True)
class PackSettings:
    """What all attempts of a launch share. Times in seconds; `project_url` empty: there is no project."""

    ttl: float | None
    idle_timeout: float | None
    on_complete: OnComplete
    completion_delay: float
    project_url: str = field(repr=False)
    project_sha256: str
    upload_every: float = 15.0


def build_pack(attempts: Sequence[PackedAttempt], settings: PackSettings, runner: bytes) -> bytes:
    """The archive for attempts in the order of their launch indices; `runner`: the sweep's runner.sh.

    Raises ValueError, in words, for what no instance could run: text with a NUL, a file outside of the attempt's
    directory, user data that is not a script.
    """
    here = Path(__file__)
    files = {f"bootstrap/{name}": here.with_name(there).read_bytes() for name, there in _SCRIPTS.items()}
    files["bootstrap/runner.sh"] = runner
    for index, attempt in enumerate(attempts):
        files |= _attempt(index, attempt, settings)
    return gzip.compress(_tar(files), compresslevel=9, mtime=0)


def _attempt(index: int, attempt: PackedAttempt, settings: PackSettings) -> dict[str, bytes]:
    if not _NAME.fullmatch(attempt.name):
        raise ValueError(f"{attempt.name!r} is no name of an attempt")
    if not attempt.argv and not attempt.user_data.strip():
        raise ValueError(f"{attempt.name} has neither a command nor user_data: there is nothing to run")
    for text in (*attempt.argv, *attempt.env.values(), attempt.user_data, attempt.workdir):
        if "\0" in text:
            raise ValueError(f"{attempt.name}: a value holds a NUL, which no program can be given")
    out = {
        f"{index}/start.sh": _start(index, attempt),
        f"{index}/env": _profile(attempt.env),
        f"{index}/settings": _settings(attempt, settings),
    }
    if attempt.user_data.strip():
        _check_script(attempt)
        out[f"{index}/user_data"] = os.fsencode(attempt.user_data)
    for name, content in attempt.files.items():
        out[f"{index}/files/{_inside(attempt.name, name)}"] = content
    if attempt.previous:
        out[f"{index}/previous"] = b"".join(
            _url(attempt.name, url).encode() + b" " + _escaped(_inside(attempt.name, path)) + b"\n"
            for path, url in attempt.previous
        )
    return out


def _start(index: int, attempt: PackedAttempt) -> bytes:
    lines, odd = ["#!/bin/sh", f'SPAWN_ROOT="${{SPAWN_ROOT:-{ROOT_THERE}}}"'], list[str]()
    for key, value in attempt.env.items():
        if _IDENTIFIER.fullmatch(key):
            lines.append(f"export {key}={_quoted(value)}")
        else:
            odd.append(f"{key}={value}")
    argv = [*(["env", "--", *odd] if odd else [])]
    if attempt.user_data.strip():
        argv += ["sh", f"{_BOOTSTRAP_THERE}/work.sh", f"{ROOT_THERE}/pack/{index}/user_data"]
    words = [
        f"{ATTEMPTS_THERE}/{attempt.name}",
        _seconds(attempt.timeout or 0),
        attempt.workdir,
        *argv,
        *attempt.argv,
    ]
    lines.append("set -- " + " ".join(_quoted(word) for word in words))
    lines.append(f". {_quoted(f'{_BOOTSTRAP_THERE}/runner.sh')}")
    return os.fsencode("\n".join(lines) + "\n")


def _profile(env: Mapping[str, str]) -> bytes:
    """What makes a login shell of any user see the task's parameters; names no shell can hold stay out of it."""
    lines = [f'SPAWN_ROOT="${{SPAWN_ROOT:-{ROOT_THERE}}}"; export SPAWN_ROOT']
    lines += [f"export {key}={_quoted(value)}" for key, value in env.items() if _IDENTIFIER.fullmatch(key)]
    return os.fsencode("\n".join(lines) + "\n")


def _settings(attempt: PackedAttempt, settings: PackSettings) -> bytes:
    if bool(settings.project_url) != bool(settings.project_sha256):
        raise ValueError("a project needs both its URL and its checksum")
    values = {
        "attempt": attempt.name,
        "token": attempt.env.get("SWEEP_TOKEN", ""),
        "ttl": _whole(settings.ttl),
        "idle_timeout": _whole(settings.idle_timeout),
        "on_complete": settings.on_complete,
        "completion_delay": _whole(settings.completion_delay),
        "upload_every": _seconds(settings.upload_every),
        "project_url": settings.project_url and _url("the project", settings.project_url),
        "project_sha256": settings.project_sha256,
    }
    return "".join(f"{key}={_line(key, value)}\n" for key, value in values.items()).encode()


def _quoted(text: str) -> str:
    """For POSIX sh: the text byte for byte, but that our own root follows `SPAWN_ROOT`."""
    return '"$SPAWN_ROOT"'.join(shlex.quote(part) if part else "" for part in text.split(ROOT_THERE)) or "''"


def _check_script(attempt: PackedAttempt) -> None:
    first = attempt.user_data.lstrip().split("\n", 1)[0].strip()
    if first.startswith(
        ("#cloud-config", "#cloud-boothook", "#include", "## template", "Content-Type:", "<powershell")
    ):
        raise ValueError(
            f"{attempt.name}: user_data begins with {first!r}; here it must be a script (#!/bin/bash …)"
        )
    if attempt.user_data.startswith("#!") and "\r" in attempt.user_data.split("\n", 1)[0]:
        raise ValueError(
            f"{attempt.name}: user_data has line ends of Windows; no interpreter is found by that name"
        )


def _inside(attempt: str, path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or path.endswith("/") or ".." in parts or "\0" in path:
        raise ValueError(f"{attempt}: {path!r} is no path of a file below its directory")
    return path


def _url(what: str, url: str) -> str:
    if re.search(r"[\s\"\\\x00-\x1f]", url) or "://" not in url:
        raise ValueError(
            f"{what}: the URL of a file holds characters that no URL has"
        )  # not shown: it is signed
    return url


def _escaped(path: str) -> bytes:
    """As `printf %b` reads it back: every byte that is not plain in octal."""
    return b"".join(
        bytes([byte]) if _PLAIN.match(bytes([byte])) else b"\\0%03o" % byte for byte in os.fsencode(path)
    )


def _line(key: str, value: str) -> str:
    if "\n" in value or "\0" in value:
        raise ValueError(f"{key} must be one line")
    return value


def _seconds(value: float) -> str:
    """As `sleep` reads it: no exponent."""
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _whole(value: float | None) -> str:
    """Whole seconds, for the arithmetic of a shell, never less than asked for; empty for none."""
    return "" if value is None else str(math.ceil(value))


def _tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(files):
            info = tarfile.TarInfo(path)
            info.size, info.mode = len(files[path]), 0o600
            tar.addfile(info, io.BytesIO(files[path]))
    return buffer.getvalue()
