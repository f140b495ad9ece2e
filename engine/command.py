"""From a task's parameters to what is executed: arguments, environment, directory, files.

Values travel as arguments and as environment variables, never as text that a shell reads (see
`plan/shell.py`).
"""

from __future__ import annotations

import json
import os
import posixpath
import shlex
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from .ids import task_name
from .plan import hydra
from .plan.compiled import compile_command, names_params_file, parameter_names
from .plan.environ import OURS, variables_of
from .plan.model import Plan, PlannedTask, Value
from .plan.problems import PlanError, Problem
from .plan.runnable import why_not_runnable
from .plan.shell import Script, ShellProblem, Words
from .plan.spelled import LONGEST_SPELLING
from .plan.template import Placeholder, compile_text, pieces_of
from .plan.torchrun import run_directory_overrides, torchrun_words
from .plan.values import ENTRY_LIMIT, TOTAL_LIMIT, text_of

PARAMS_FILE = "params.json"

Look = Callable[[str], str]
Fill = Callable[[Look], str]


@dataclass(frozen=True, slots=True)
class Invocation:
    """One attempt, ready to be executed."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    """What is added to the environment; it replaces variables of the same name."""
    workdir: str
    """An absolute path."""
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    """Text files, by name, to be written to the attempt's directory before it starts."""


def missing_program(plan: Plan, project_dir: str, path: str) -> str | None:
    """A warning if the program of `plan`'s command is not found on `path` (a `PATH`), or not where it is
    written.

    None if it is there, or if that cannot be said here: a shell line, a program that a parameter names, an
    environment of the plan's own.
    """
    if plan.command is None or "PATH" in plan.env:
        return None
    known = parameter_names(plan.tasks)
    try:
        compiled = compile_command(plan.command, plan.args, known)
    except ShellProblem:
        return None
    if not isinstance(compiled, Words) or not all(isinstance(piece, str) for piece in compiled.words[0]):
        return None
    program = "".join(piece for piece in compiled.words[0] if isinstance(piece, str))
    if "/" not in program and shutil.which(program, path=path):
        return None
    if any(isinstance(piece, Placeholder) for piece in pieces_of(plan.workdir or "", known)):
        return None if "/" in program else f"{program}: not found on PATH"
    workdir = posixpath.normpath(posixpath.join(posixpath.abspath(project_dir), plan.workdir or ""))
    file = posixpath.normpath(posixpath.join(workdir, program))
    exists = os.path.isfile(file)  # noqa: PTH113
    if "/" not in program:
        hint = f"; to run the one in {posixpath.dirname(file)}, write ./{program}" if exists else ""
        return f"{program}: not found on PATH{hint}"
    if not exists:
        return (
            f"{program}: there is no such file in {workdir}"
            if program[0] != "/"
            else f"{program}: does not exist"
        )
    return None if os.access(file, os.X_OK) else f"{program}: is not executable; chmod +x {shlex.quote(file)}"


def token(sweep_id: str, task: str, attempt: int) -> str:
    """The name of one attempt, the same everywhere: `SWEEP_TOKEN` of its processes, the tag of its instance."""
    return f"{sweep_id}.{task}.{attempt}"


class Renderer:
    """Renders the tasks of one plan. What all tasks share is worked out once, so that one task costs
    microseconds.

    `base_env` is the environment `launch` was called in: a variable that exists there is not replaced by a
    parameter's upper-case alias (`PARAM_<key>` always works). Raises PlanError if the command cannot be run
    safely as written, or if a task's arguments or environment are more than the operating system takes.
    """

    def __init__(self, plan: Plan, *, sweep_id: str, project_dir: str, base_env: Mapping[str, str]) -> None:
        self._plan = plan
        self._sweep_id = sweep_id
        self._project_dir = posixpath.abspath(project_dir)
        self._base_env = base_env
        self._json = plan.args == "json"
        self._names_params_file = False
        self._shared = {"SWEEP_ID": sweep_id, "SWEEP_NAME": plan.name, "SWEEP_SIZE": str(len(plan.tasks))}
        known = parameter_names(plan.tasks)
        self._env = {
            name: compile_text(text, known) for name, text in plan.env.items() if not name.startswith(OURS)
        }
        self._variables: dict[tuple[str, ...], tuple[tuple[str, str], ...]] = {}
        self._workdir = None if plan.workdir is None else compile_text(plan.workdir, known)
        self._words: tuple[Fill, ...] = ()
        self._script: Script | None = None
        self._scripts: dict[int, str] = {}
        self._compile(known)
        self._check_sizes()

    def render(
        self,
        index: int,
        *,
        task_dir: str,
        attempt: int,
        source: str,
        previous_dir: str | None = None,
        project: str | None = None,
    ) -> Invocation:
        """What attempt `attempt` (from 1) of the task at `index` (from 0) executes.

        `task_dir` is the attempt's own directory, `previous_dir` that of the attempt before it, if there was
        one, `project` the project's directory where it runs (None: as at home). May be called from any thread.
        Raises PlanError if the plan has no command that can run here.
        """
        task = self._plan.tasks[index]
        params = task.params
        texts = {key: text_of(value) for key, value in params.items()}
        name = task_name(index)
        number = str(attempt)

        def look(key: str) -> str:
            text = texts.get(key)
            if text is not None:
                return text
            match key:
                case "task_dir":
                    return task_dir
                case "task":
                    return name
                case "index":
                    return str(index)
                case "sweep_id":
                    return self._sweep_id
                case "name":
                    return task.label or name
                case "attempt":
                    return number
                case _:
                    return f"{task_dir}/{PARAMS_FILE}"

        keys = tuple(params)
        variables = self._variables.get(keys)
        if variables is None or task.env:
            variables = self._variables_of(keys, task)
        env = {variable: texts[key] for variable, key in variables}
        if self._env:
            for variable, fill in self._env.items():
                env[variable] = fill(look)
        if task.env:
            env.update({key: text for key, text in task.env.items() if not key.startswith(OURS)})
        env.update(self._shared)
        env["SWEEP_INDEX"] = str(index)
        env["SWEEP_TASK"] = name
        env["SWEEP_TASK_DIR"] = task_dir
        env["SWEEP_ATTEMPT"] = number
        env["SWEEP_TOKEN"] = token(self._sweep_id, name, attempt)
        env["SWEEP_SOURCE"] = source
        if previous_dir is not None:
            env["SWEEP_PREVIOUS_DIR"] = previous_dir
        if self._plan.dialect == "mfcl":
            env.update(_mfcl_variables(task, task_dir))
        files: dict[str, str] = {}
        if self._json:
            files[PARAMS_FILE] = json.dumps(params, ensure_ascii=False, indent=2) + "\n"
            env["SWEEP_PARAMS_FILE"] = f"{task_dir}/{PARAMS_FILE}"
        argv = self._argv(look, self._extra(task, texts, task_dir))
        workdir = self._project_dir if project is None else project
        if self._workdir is not None:
            workdir = posixpath.normpath(posixpath.join(workdir, self._workdir(look)))
        return Invocation(argv, env, workdir, files)

    def show(
        self, index: int, *, task_dir: str = "$SWEEP_TASK_DIR", attempt: int = 1, source: str = "local"
    ) -> str:
        """The exact command of a task as one line that a shell reads back to the same arguments."""
        if self._plan.command is None and self._plan.dialect == "mfcl":
            return shlex.join(torchrun_words(self._plan, self._plan.tasks[index], task_dir))
        shown = self.render(index, task_dir=task_dir, attempt=attempt, previous_dir=None, source=source)
        return shlex.join(shown.argv)

    # -- once for a plan --------------------------------------------------------------------------------

    def _compile(self, known: Collection[str]) -> None:
        plan = self._plan
        if plan.command is None:
            return
        self._names_params_file = names_params_file(plan.command, known)
        try:
            compiled = compile_command(plan.command, plan.args, known)
        except ShellProblem as problem:
            raise self._error("command", problem.message, problem.remedy) from None
        if isinstance(compiled, Script):
            self._script = compiled
        else:
            self._words = _fills(compiled)

    def _variables_of(self, keys: tuple[str, ...], task: PlannedTask) -> tuple[tuple[str, str], ...]:
        taken = {*self._plan.env, *task.env}
        variables = variables_of(keys, taken, self._base_env.__contains__)
        if not task.env:
            self._variables[keys] = variables
        return variables

    def _check_sizes(self) -> None:
        """Render, only to measure, every task that is not plainly small."""
        if self._plan.command is None:
            return
        base = sum(len(name) + len(text) + 2 for name, text in self._base_env.items())
        templates = json.dumps([self._plan.command, dict(self._plan.env), self._plan.workdir])
        # Each value is in the environment twice, and once more for each time a template names it.
        copies = 4 + templates.count("{")
        for index, task in enumerate(self._plan.tasks):
            characters = sum([_characters(value) for value in task.params.values()])
            most_bytes = 4 * (len(templates) + copies * characters)
            if most_bytes >= ENTRY_LIMIT or base + most_bytes >= TOTAL_LIMIT:
                self._measure(index, base)

    def _measure(self, index: int, base: int) -> None:
        # Directories are not known yet; no system of ours makes longer ones.
        rendered = self.render(index, task_dir="/" * 1024, attempt=1, previous_dir="/" * 1024, source="local")
        entries = [(f"argument {n}", word) for n, word in enumerate(rendered.argv)]
        entries += [(name, f"{name}={text}") for name, text in rendered.env.items()]
        total = base
        for name, entry in entries:
            size = len(os.fsencode(entry))
            total += size + 9
            if size > ENTRY_LIMIT:
                raise self._error(
                    f"{task_name(index)}, {name}",
                    f"has {size} bytes, more than the {ENTRY_LIMIT} a program can be given",
                    "write the data to a file and pass its name",
                )
        if total > TOTAL_LIMIT:
            raise self._error(
                task_name(index),
                f"has {total} bytes of arguments and environment; a program can be given {TOTAL_LIMIT}",
                "write the data to a file and pass its name",
            )

    def _error(self, key: str, message: str, remedy: str) -> PlanError:
        return PlanError((Problem(self._plan.name, None, key, "", message, remedy),))

    # -- for each task ----------------------------------------------------------------------------------

    def _argv(self, look: Look, extra: list[str]) -> tuple[str, ...]:
        script = self._script
        if script is None:
            if not self._words:
                if self._plan.command is None and self._plan.dialect == "spawn":
                    return ()  # an instance runs its `user_data`
                reason = why_not_runnable(self._plan, ()) or "there is no command"
                raise self._error("command", reason, "")
            return (*[fill(look) for fill in self._words], *extra)
        text = self._scripts.get(len(extra))
        if text is None:
            text = self._scripts[len(extra)] = script.text(len(extra))
        return ("sh", "-c", text, "sh", *[look(name) for name in script.names], *extra)

    def _extra(self, task: PlannedTask, texts: dict[str, str], task_dir: str) -> list[str]:
        match self._plan.args:
            case "hydra":
                if self._plan.dialect == "mfcl":
                    return [*task.overrides, *run_directory_overrides(task_dir)]
                return [*task.overrides, *[hydra.override(key, value) for key, value in task.params.items()]]
            case "flags":
                return _flags(task.params, texts)
            case "json":
                return [] if self._names_params_file else [f"{task_dir}/{PARAMS_FILE}"]
            case _:
                return []


def _fills(compiled: Words) -> tuple[Fill, ...]:
    fills: list[Fill] = []
    for word in compiled.words:
        if len(word) == 1 and not isinstance(word[0], str):
            fills.append(lambda look, name=word[0].name: look(name))
        elif all(isinstance(piece, str) for piece in word):
            constant = "".join(piece for piece in word if isinstance(piece, str))
            fills.append(lambda look, constant=constant: constant)
        else:
            fills.append(
                lambda look, word=word: "".join(
                    [piece if isinstance(piece, str) else look(piece.name) for piece in word]
                )
            )
    return tuple(fills)


def _flags(params: Mapping[str, Value], texts: dict[str, str]) -> list[str]:
    """`--key value` for each parameter; null is left out, a value like `-1` is tied to its key with `=`."""
    words: list[str] = []
    for key, value in params.items():
        if value is None:
            continue
        flag = key if key.startswith("-") else f"--{key}"
        if texts[key].startswith("-"):
            words.append(f"{flag}={texts[key]}")
        else:
            words += (flag, texts[key])
    return words


def _mfcl_variables(task: PlannedTask, task_dir: str) -> dict[str, str]:
    metadata = {key: value for key, value in task.metadata.items() if key != "mfcl"}
    return {
        "MFCL_SWEEP_RUN_ID": task.label,
        "MFCL_SWEEP_RUN_DIR": task_dir,
        "MFCL_SWEEP_PARAMS": json.dumps(task.params, ensure_ascii=False),
        "MFCL_SWEEP_METADATA": json.dumps(metadata, ensure_ascii=False),
    }


def _characters(value: Value) -> int:
    """About how long the text of `value` is, and never too little."""
    if isinstance(value, str):
        return len(value)
    return len(text_of(value)) if isinstance(value, list | dict) else LONGEST_SPELLING
