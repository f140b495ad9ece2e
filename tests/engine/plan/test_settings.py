"""Our own settings, at both levels, in every dialect, and the command line over them."""

# One case, one line: the tables are read down.
# ruff: noqa: E501

from __future__ import annotations

from typing import get_args

import pytest
from spawn_tui.engine.events import FailureKind
from spawn_tui.engine.plan import Retries, RetryKind

from .helpers import params, plan, refused

DIALECTS = {"spawn": "params: [{lr: 1}]", "hsm": "grid: {lr: [1]}", "mfcl": "grid: [{params: {lr: 1}}]"}
SETTINGS = {
    "command": "python t.py {lr}",
    "args": "flags",
    "env": "{A: 1, B: 'x {lr}'}",
    "workdir": "sub/{lr}",
    "sources": "'local:4, ssh:s:8'",
    "retries": "{max: 2, backoff: 30s, on: [exit, timeout]}",
    "timeout": "2h",
    "max_concurrent": "5",
    "launch_delay": "5s",
    "sweep_name": "mine",
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("level", ["top", "defaults"])
def test_every_setting_at_both_levels_of_every_dialect(dialect: str, level: str):
    if level == "top":
        text = "\n".join(f"{key}: {value}" for key, value in SETTINGS.items())
    else:
        text = "defaults:\n" + "\n".join(f"  {key}: {value}" for key, value in SETTINGS.items())
    made = plan(f"{text}\n{DIALECTS[dialect]}\n")
    assert made.dialect == dialect
    assert params(made) == [{"lr": 1}]
    assert made.command == "python t.py {lr}"
    assert made.args == "flags"
    assert made.env == {"A": "1", "B": "x {lr}"}
    assert made.workdir == "sub/{lr}"
    assert made.sources == ("local:4", "ssh:s:8")
    assert made.retries == Retries(2, 30.0, ("exit", "timeout"))
    assert (made.timeout, made.max_concurrent, made.launch_delay, made.name) == (7200, 5, 5.0, "mine")


def test_the_command_line_wins():
    text = "\n".join(f"{key}: {value}" for key, value in SETTINGS.items())
    made = plan(
        f"{text}\n{DIALECTS['spawn']}",
        command=("echo", "{lr}"), args="env", sources=("local",), sweep_name="theirs", retries=7, timeout=1.0,
        max_concurrent=9, launch_delay=0.0, env={"B": "y", "C": "z"},
    )  # fmt: skip
    assert (made.command, made.args, made.sources, made.name) == (
        ("echo", "{lr}"),
        "env",
        ("local",),
        "theirs",
    )
    assert made.retries == Retries(7, 30.0, ("exit", "timeout"))
    assert (made.timeout, made.max_concurrent, made.launch_delay) == (1.0, 9, 0.0)
    assert made.env == {"A": "1", "B": "y", "C": "z"}
    assert plan(DIALECTS["hsm"], retries=Retries(1)).retries == Retries(1)


def test_defaults_without_any_setting():
    made = plan(DIALECTS["hsm"], "my sweep.yaml")
    assert (made.command, made.args, made.sources, made.retries) == (None, "template", (), Retries())
    assert (made.timeout, made.max_concurrent, made.launch_delay, made.workdir) == (None, None, 0.0, None)
    assert made.name == "my-sweep"


def test_both_levels_may_agree_but_not_differ():
    assert plan("timeout: 2h\ndefaults: {timeout: 2h}\nparams: [{a: 1}]").timeout == 7200
    assert refused("timeout: 2h\ndefaults: {timeout: 3h}\nparams: [{a: 1}]") == (
        'sweep.yaml:2: defaults.timeout: "3h" differs from `timeout`; keep one of them'
    )
    assert 'user_command: "b" differs from `command`' in refused(
        "command: a\nuser_command: b\nparams: [{a: 1}]"
    )


@pytest.mark.parametrize(
    ("written", "expected"),
    [("2", Retries(2)), ("{on: timeout}", Retries(1, 1.0, ("timeout",))), ("0", Retries())],
)
def test_short_forms_of_retries(written: str, expected: Retries):
    assert plan(f"retries: {written}\ngrid: {{a: [1]}}").retries == expected


@pytest.mark.parametrize(
    ("written", "seconds"), [("90s", 90), ("4h30m", 16200), ("1.5", 1.5), ("90", 90), ("1d", 86400)]
)
def test_times_of_our_own_may_be_seconds(written: str, seconds: float):
    assert plan(f"timeout: {written}\ngrid: {{a: [1]}}").timeout == seconds


def test_commands_are_text_or_words():
    assert plan("command: [python, t.py, 3, 1e-3, true]\ngrid: {a: [1]}").command == (
        "python",
        "t.py",
        "3",
        "1e-3",
        "true",
    )
    assert plan("command: |\n  cd x\n  python t.py\ngrid: {a: [1]}").command == "cd x\npython t.py\n"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("command: ''", "command: is empty; write the program to run"),
        ("command: []", "command: [] is empty"),
        ("command: {a: 1}", "must be text or a list of words, not a mapping"),
        ("command: 3", "command: 3 must be text or a list of words, not a number"),
        ("command: [python, [x]]", 'command[1]: ["x"] must be text, not a list; put it in quotes'),
        ("command: [python, null]", "command[1]: null must be text, not null"),
        ("command: ['', x]", "begins with an empty word"),
        ("args: hydr", 'args: "hydr" is no way to pass parameters; did you mean "hydra"?'),
        ("args: 3", "args: 3 is no way to pass parameters; write hydra, flags, env, json or template"),
        ("env: [A]", 'env: ["A"] must be a mapping of names to values; write {OMP_NUM_THREADS: 1}'),
        ("env: {A-B: 1}", "env.A-B: is not a name that a shell keeps; use letters, digits and _"),
        ("env: {A: [1]}", "env.A: [1] must be one value, not a list"),
        ("env: {A: null}", 'env.A: null must be one value, not null; write "" for empty'),
        ("workdir: [a]", 'workdir: ["a"] must be text, not a list'),
        ("sources: 3", "sources: 3 must be text or a list of texts; write local:4"),
        ("sources: []", "must be text or a list of texts"),
        ("sources: 'local,,x'", "must be text or a list of texts"),
        ("retries: -1", "must be a whole number of at least 0"),
        ("retries: many", 'retries: "many" must be a number or a mapping, not text; write 2, or {max: 2'),
        ("retries: {max: 1.5}", "retries.max: 1.5 must be a whole number of at least 0"),
        ("retries: {backof: 3s}", 'retries.backof: is unknown; did you mean "backoff"?'),
        ("retries: {backoff: soon}", 'retries.backoff: "soon" is not a duration; write it like 30m'),
        ("retries: {on: [exit, timeot]}", 'retries.on[1]: "timeot" is no kind of failure; did you mean "timeout"?'),
        ("retries: {on: 5}", "retries.on: 5 is no kind of failure; known are exit, signal, timeout, out_of_memory"),
        ("timeout: 2 hours", 'timeout: "2 hours" is not a duration; write it like 30m, 2h, 4h30m, 1d or 90s'),
        ("timeout: '90'", 'timeout: "90" is not a duration'),
        ("timeout: -5", "timeout: -5 is not a duration"),
        ("timeout: true", "is not a duration"),
        ("timeout: 0", "timeout: 0 leaves no time to run; leave it out for no limit"),
        ("launch_delay: x", "launch_delay: \"x\" is not a duration"),
        ("max_concurrent: 0", "max_concurrent: 0 must be a whole number of at least 1"),
        ("max_concurrent: two", "must be a whole number"),
        ("sweep_name: [a]", "is not a name for a sweep; use letters, digits, . _ and -"),
    ],
)  # fmt: skip
def test_wrong_settings(setting: str, message: str):
    found = refused(f"# first\n{setting}\ngrid: {{a: [1]}}\n")
    assert message in found
    assert found.startswith("sweep.yaml:2: ")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"command": " "}, "command line: --command: is empty"),
        ({"command": ("a", "x\0y")}, "command line: --command: \"x\\u0000y\" holds a NUL character"),
        ({"args": "hydr"}, "command line: --args: \"hydr\" is no way to pass parameters"),
        ({"sweep_name": "a/b"}, 'command line: --sweep-name: "a/b" a name has letters, digits, . _ and - only; write "a-b"'),
        ({"env": {"A B": "1"}}, "command line: --env: \"A B\" is not a variable"),
        ({"env": {"SWEEP_ID": "1"}}, "is not a variable that can be set"),
        ({"max_concurrent": 0}, "command line: --max-concurrent: 0 must be at least 1"),
        ({"retries": -1}, "command line: --retries: -1 must be at least 0"),
        ({"timeout": 0.0}, "command line: --timeout: 0.0 leaves no time to run"),
        ({"command": "echo {lrr}"}, "command line: --command: {lrr} is not a parameter; did you mean \"lr\"?"),
        ({"command": "echo", "env": {"X": "{lrr}"}}, "command line: --env X: {lrr} is not a parameter"),
        ({"command": "echo `date {lr}`"}, "command line: --command: {lr} cannot stand inside backquotes"),
    ],
)  # fmt: skip
def test_what_the_command_line_says_wrong(overrides: dict[str, object], message: str):
    assert message in refused("grid: {lr: [1]}", **overrides)


def test_names_of_sweeps():
    made = plan("name: Mein Versuch!\ngrid: {a: [1]}")
    assert made.name == "Mein-Versuch"
    assert made.warnings == (
        'sweep.yaml:1: name: the sweep is called "Mein-Versuch": a name has letters, digits, . _ and - only',
    )
    assert plan("name: 7\ngrid: {a: [1]}").name == "7"
    assert plan("grid: {a: [1]}", ".yaml").name
    assert plan("grid: {a: [1]}", "für.yaml").name == "f-r"


def test_our_own_variables_cannot_be_set():
    made = plan("env: {SWEEP_ID: x, MFCL_SWEEP_RUN_ID: y, OK: z}\ngrid: {a: [1]}")
    assert made.env == {"OK": "z"}
    assert "env.SWEEP_ID: is set by spawn-tui itself; this value is ignored" in made.warnings[0]


@pytest.mark.parametrize(
    ("script", "command"),
    [
        ("train.py", ("python3", "train.py")),
        ("src/train", ("python3", "src/train")),
        ("-x.py", ("python3", "./-x.py")),
        ("run.sh", ("./run.sh",)),
        ("bin/run.sh", ("bin/run.sh",)),
    ],
)
def test_scripts(script: str, command: tuple[str, ...]):
    made = plan(f"script: {script}\ngrid: {{a: [1]}}")
    assert (made.command, made.args) == (command, "hydra")


def test_a_script_takes_other_styles_and_gives_way_to_the_command_line():
    assert plan("script: t.py\nargs: flags\ngrid: {a: [1]}").args == "flags"
    made = plan("script: t.py\ngrid: {a: [1]}", command="echo {a}")
    assert (made.command, made.args) == ("echo {a}", "template")
    assert "script: stands beside `command`; keep one of them" in refused(
        "script: t.py\ncommand: x\ngrid: {a: [1]}"
    )


def test_every_kind_of_failure_can_be_tried_again_and_is_unless_others_are_named():
    assert set(get_args(RetryKind)) == set(get_args(FailureKind)) == set(Retries().on)
    assert plan("retries: {max: 1, on: [terminated]}\ngrid: {a: [1]}").retries == Retries(
        1, on=("terminated",)
    )
