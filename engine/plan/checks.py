"""What can only be checked when a plan is whole: its templates against the parameters of every task."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from . import hydra
from .compiled import compile_command, parameter_names
from .draft import Draft
from .environ import NAME, OURS, variables_of
from .fields import launch_field
from .model import Plan, PlannedTask, Value
from .problems import Findings, Path, Problem, cut, did_you_mean, shown
from .settings import ARGS_STYLES, Overrides, Settings, is_sweep_name, sweep_name
from .shell import ShellProblem
from .template import OWN_PLACEHOLDERS, placeholders_of
from .values import text_flaw

CheckSource = Callable[[str], str | None]
"""Why a source cannot be used as it is written (`ssh:host:8`), in words; None if it can."""

COMMAND_LINE = "command line"
_MOST_LISTED = 12


def check_overrides(overrides: Overrides, findings: Findings) -> None:
    """Note what the command line says wrong."""

    def wrong(option: str, value: str, message: str, remedy: str = "") -> None:
        findings.add(Problem(COMMAND_LINE, None, option, value, message, remedy))

    name = overrides.sweep_name
    if name is not None and not is_sweep_name(name):
        wrong(
            "--sweep-name",
            shown(name),
            "a name has letters, digits, . _ and - only",
            f'write "{sweep_name(name)}"',
        )
    words = (overrides.command,) if isinstance(overrides.command, str) else overrides.command
    if words is not None:
        if not words or not words[0].strip():
            wrong("--command", "", "is empty", 'write "python train.py --lr {lr}"')
        for word in words:
            if (flaw := text_flaw(word)) is not None:
                wrong("--command", shown(word), *flaw)
    if overrides.args is not None and overrides.args not in ARGS_STYLES:
        wrong(
            "--args", shown(overrides.args), "is no way to pass parameters", f"write {', '.join(ARGS_STYLES)}"
        )
    for key, text in overrides.env.items():
        if not NAME.fullmatch(key) or key.startswith(OURS):
            wrong("--env", shown(key), "is not a variable that can be set", "use letters, digits and _")
        elif (flaw := text_flaw(text)) is not None:
            wrong("--env", key, *flaw)
    for option, number, least in (
        ("--max-concurrent", overrides.max_concurrent, 1),
        ("--retries", overrides.retries if isinstance(overrides.retries, int) else None, 0),
        ("--launch-delay", overrides.launch_delay, 0),
    ):
        if number is not None and number < least:
            wrong(option, str(number), f"must be at least {least}")
    if overrides.timeout is not None and overrides.timeout <= 0:
        wrong("--timeout", str(overrides.timeout), "leaves no time to run")


def check_sources(
    settings: Settings,
    data: dict[str, Value],
    overrides: Overrides,
    check_source: CheckSource | None,
    findings: Findings,
) -> None:
    """Note every source that `check_source` has something against; those of the command line replace the
    file's.
    """
    if check_source is None:
        return
    path = settings.places.get("sources", ())
    written: Value = data
    for part in path:
        written = written.get(str(part)) if isinstance(written, dict) else None
    for index, text in enumerate(overrides.sources or settings.sources):
        reason = check_source(text)
        if reason is not None:
            place = (*path, index) if isinstance(written, list) else path
            _note(place, "--sources" if overrides.sources else "", "", reason, "", findings)


def check_plan(
    plan: Plan, draft: Draft, data: dict[str, Value], overrides: Overrides, findings: Findings
) -> None:
    """Note every placeholder that some task cannot fill, and every command or name that cannot be passed
    safely.
    """
    if not plan.tasks:
        return
    known = parameter_names(plan.tasks)
    templates = list(_templates(plan, draft, overrides))
    for slip in draft.slips:
        if not _is_used(slip.name, [text for _, _, text in templates], plan, known):
            findings.warn(slip.path, f'is taken as a parameter; did you mean "{slip.meant}"?')
    for path, option, text in templates:
        for name in placeholders_of(text, known):
            problem = _placeholder_problem(name, plan, known)
            if problem is not None:
                _note(path, option, f"{{{name}}}", *problem, findings)
    if plan.command is None:
        return
    path, option = _command_place(draft, overrides)
    try:
        compile_command(plan.command, plan.args, known)
    except ShellProblem as problem:
        _note(path, option, "", problem.message, problem.remedy, findings)
    if plan.args == "hydra" and plan.dialect != "mfcl":
        _check_for_hydra(plan, known, data, findings)


def _is_used(name: str, templates: Iterable[str], plan: Plan, known: dict[str, None]) -> bool:
    """Whether a template, or a script of an instance, names this parameter: then it was meant as one."""
    scripts = {id(task.launch): str(task.launch.get("user_data") or "") for task in plan.tasks}
    texts = [*templates, *dict.fromkeys(scripts.values())]
    variables = "|".join(re.escape(variable) for variable, _ in variables_of((name,), (), lambda _: False))
    read = re.compile(rf"\$\{{?(?:{variables})(?![A-Za-z0-9_])")
    return any(name in placeholders_of(text, known) or read.search(text) for text in texts)


def _templates(plan: Plan, draft: Draft, overrides: Overrides) -> Iterable[tuple[Path, str, str]]:
    """(path, option, text) of every template; the option's name stands where the command line gave it."""
    path, option = _command_place(draft, overrides)
    if isinstance(plan.command, str):
        yield path, option, plan.command
    else:
        for index, word in enumerate(plan.command or ()):
            yield (*path, index) if path and path[-1] == "command" else path, option, word
    for name, text in plan.env.items():
        given = name in overrides.env
        yield (*draft.settings.places.get("env", ()), name), f"--env {name}" if given else "", text
    if plan.workdir is not None:
        yield draft.settings.places.get("workdir", ()), "", plan.workdir


def _command_place(draft: Draft, overrides: Overrides) -> tuple[Path, str]:
    if overrides.command is not None:
        return (), "--command"
    places = draft.settings.places
    return places.get("command") or places.get("script", ()), ""


def _placeholder_problem(name: str, plan: Plan, known: dict[str, None]) -> tuple[str, str] | None:
    if name in known:
        lacking = next((n for n, task in enumerate(plan.tasks) if name not in task.params), None)
        if lacking is None or name in OWN_PLACEHOLDERS:
            return None
        return (
            f"is missing in {_task(plan.tasks[lacking], lacking)}",
            "give every task a value, or one in `defaults`",
        )
    if name == "params_file" and plan.args != "json":
        return "exists with `args: json` only", "add args: json"
    if name in OWN_PLACEHOLDERS:
        return None
    if launch_field(name) is not None and any(name in task.launch for task in plan.tasks):
        return "is a launch field, not a parameter", f"write parameters: {{{name}: …}} to make it one"
    near = did_you_mean(name, (*known, *OWN_PLACEHOLDERS))
    names = [cut(key) for key in known]
    listed = ", ".join(names[:_MOST_LISTED]) + (", …" if len(names) > _MOST_LISTED else "")
    have = f"the parameters are {listed}" if names else "there are no parameters"
    literal = f"write {{{{{name}}}}} for literal braces"
    return "is not a parameter", "; ".join(filter(None, (near, have, literal)))


def _check_for_hydra(plan: Plan, known: dict[str, None], data: dict[str, Value], findings: Findings) -> None:
    illegal = {key for key in known if not hydra.is_key(key)}
    told: set[str] = set()
    for index, task in enumerate(plan.tasks):
        for key, value in task.params.items():
            if key in illegal:
                if key not in told:
                    told.add(key)
                    remedy = "rename it, or use args: flags, env or json"
                    findings.error(_place_of(key, index, plan, data), "is no name for Hydra", remedy=remedy)
            elif (
                isinstance(value, list | dict)
                and (bad := hydra.unwritable_key(value)) is not None
                and key not in told
            ):
                told.add(key)
                message = f"Hydra's command line cannot hold the key {shown(bad)}"
                findings.error(_place_of(key, index, plan, data), message, remedy="use args: json")


def _place_of(key: str, index: int, plan: Plan, data: dict[str, Value]) -> Path:
    """Where `key` of a task stands in the file, as well as can be told."""
    inside = data.get("sweep")
    path: Path = ("sweep",) if isinstance(inside, dict) else ()
    level = inside if isinstance(inside, dict) else data
    rows = level.get("params")
    if isinstance(rows, list) and rows:
        row = index * len(rows) // len(plan.tasks)
        mapping = rows[row]
        if isinstance(mapping, dict) and key in mapping:
            return ("params", row, key)
    for section in ("defaults", "grid"):
        content = level.get(section)
        if isinstance(content, dict) and key in content:
            return (*path, section, key)
    return (*path, "grid", *key.split(".")) if "grid" in level else (*path, key)


def _note(path: Path, option: str, value: str, message: str, remedy: str, findings: Findings) -> None:
    if option:
        findings.add(Problem(COMMAND_LINE, None, option, value, message, remedy))
    else:
        findings.error(path, f"{value} {message}".strip(), remedy=remedy)


def _task(task: PlannedTask, index: int) -> str:
    return f"task {index + 1}" + (f" ({cut(task.label)})" if task.label else "")
