"""The names of the variables in which a task finds its parameters."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable

_ILLEGAL = re.compile(r"[^A-Za-z0-9_]")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""A variable every shell keeps (POSIX.1-2017, Base Definitions, §3.235)."""

OURS = ("SWEEP_", "MFCL_SWEEP_")
"""Variables with these beginnings are ours: neither a parameter's alias nor the file's `env` changes them."""

_OF_PLACEHOLDERS: dict[str, str | None] = {
    "task_dir": "SWEEP_TASK_DIR", "task": "SWEEP_TASK", "index": "SWEEP_INDEX", "sweep_id": "SWEEP_ID",
    "attempt": "SWEEP_ATTEMPT", "params_file": "SWEEP_PARAMS_FILE", "name": None,
}  # fmt: skip

_RESERVED = frozenset({
    "_", "BASH", "BASHOPTS", "BASH_ENV", "CDPATH", "COLUMNS", "CUDA_VISIBLE_DEVICES", "DISPLAY",
    "EDITOR", "ENV", "EUID", "FPATH", "GLOBIGNORE", "HIP_VISIBLE_DEVICES", "HISTFILE", "HOME",
    "HOSTNAME", "IFS", "LANG", "LANGUAGE", "LINENO", "LINES", "LOGNAME", "MAIL", "MAILCHECK", "MAILPATH",
    "MANPATH", "NLSPATH", "OLDPWD", "OPTARG", "OPTERR", "OPTIND", "PAGER", "PATH", "POSIXLY_CORRECT",
    "PPID", "PROMPT_COMMAND", "PS1", "PS2", "PS3", "PS4", "PWD", "RANDOM", "ROCR_VISIBLE_DEVICES", "SECONDS",
    "SHELL", "SHELLOPTS", "SHLVL", "TEMP", "TERM", "TERMCAP", "TERMINFO", "TMP", "TMPDIR", "TMUX", "TZ",
    "UID", "USER", "USERNAME", "VISUAL", "XAUTHORITY", "ZDOTDIR",
})  # fmt: skip
_RESERVED_BEGINNINGS = (
    "AWS_", "BASH_FUNC", "CONDA_", "DBUS_", "DYLD_", "GIT_", "GLIBC_", "JAVA_", "KRB5", "LC_", "LD_",
    "MALLOC_", "MFCL_SWEEP_", "NODE_", "NPM_", "PBS_", "PERL", "PIP_", "PYTHON", "RUBY",
    "SLURM_", "SPAWN_", "SSH_", "SSL_", "SUDO_", "SWEEP_", "VIRTUAL_ENV", "XDG_",
)  # fmt: skip


def is_reserved(name: str) -> bool:
    """True if no parameter may be exported as `name`, which changes how programs are found, loaded or run."""
    return name in _RESERVED or name.startswith(_RESERVED_BEGINNINGS)


def variables_of(
    keys: Iterable[str], taken: Collection[str], exists: Callable[[str], bool]
) -> tuple[tuple[str, str], ...]:
    """(variable, key) for every variable that `keys` are exported as.

    `PARAM_<key>` for each key; where a key has characters that shells drop, they become `_`, unless another
    key has that variable. Then the upper-case alias (`learning_rate` → `LEARNING_RATE`, `optimizer.lr` →
    `OPTIMIZER_LR`; also `param_value` → `PARAM_VALUE`, as in spawn's tutorial): never a reserved name, never
    one in `taken` (the file's own `env`), and never one that `exists` in the environment `launch` was called
    in, which stays as it is.
    """
    names = list(keys)
    found = {f"PARAM_{key}": key for key in names if not _ILLEGAL.search(key)}
    for key in names:
        found.setdefault(f"PARAM_{_ILLEGAL.sub('_', key)}", key)
    # A key that needs no change has the first claim on an alias, then the first in order.
    for key in sorted(names, key=lambda name: _ILLEGAL.search(name) is not None):
        alias = _ILLEGAL.sub("_", key).upper()
        if NAME.fullmatch(alias) and not is_reserved(alias) and alias not in taken and not exists(alias):
            found.setdefault(alias, key)
    return tuple(found.items())


def variable_of(name: str, known: Collection[str]) -> str | None:
    """The variable that holds what the placeholder `{name}` stands for, beside parameters named `known`; None
    if there is none.
    """
    if name in _OF_PLACEHOLDERS and name not in known:
        return _OF_PLACEHOLDERS[name]
    variable = f"PARAM_{_ILLEGAL.sub('_', name)}"
    owner = dict(variables_of((*known, *(() if name in known else (name,))), (), lambda _: True))[variable]
    return variable if owner == name else None


def how_to_read(name: str, variable: str | None) -> tuple[str, str]:
    """(variable, what to write first) for a script that shall read `{name}` from the environment."""
    if variable is not None:
        return variable, ""
    variable = f"MY_{_ILLEGAL.sub('_', name).upper()}"
    return variable, f'add `env: {{{variable}: "{{{name}}}"}}`, '
