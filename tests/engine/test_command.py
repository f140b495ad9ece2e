"""From a plan to what is executed: every value arrives to the byte, in every style, in a real program."""

# One case, one line: the tables are read down.
# ruff: noqa: E501

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from spawn_tui.engine.command import Invocation, Renderer, missing_program
from spawn_tui.engine.plan import (
    Overrides,
    Plan,
    PlanError,
    PlannedTask,
    plan_from_json,
    plan_from_text,
    plan_to_json,
)

NASTY = [
    "", " ", "a b", "x; touch /tmp/p", "$(id)", "`id`", "'", '"', "it's \"q\"", "\\", "a\\", "$HOME", "*", "~", "#", "a\nb", "\n",
    "ünï 日本 🎉", "-x", "--", "[1, 2]", "{lr}", "{{x}}", "%s", "\t", "=", "a=b", "true", "1e5", "null", "\x01", "a\r\n", "!",
]  # fmt: skip
# Programs that tell what they were given, each item ended by a NUL.
ARGUMENTS = ("printf", "%s\\0", "begin")
ENVIRONMENT = ("env", "-0")


def make(text: str, name: str = "s.yaml", **overrides: object) -> Plan:
    return plan_from_text(text, name=name, overrides=Overrides(**overrides))  # type: ignore[arg-type]


def plan_of(values: list[object], command: object, **changes: object) -> Plan:
    tasks = tuple(PlannedTask("", {"x": value, "other.key": 1}) for value in values)  # type: ignore[dict-item]
    return Plan("spawn", "s", tasks, command, **changes)  # type: ignore[arg-type]


def renderer(plan: Plan, **changes: object) -> Renderer:
    settings: dict[str, object] = {"sweep_id": "s-20260116-abc123", "project_dir": "/project", "base_env": {}}
    return Renderer(plan, **{**settings, **changes})  # type: ignore[arg-type]


def render(plan: Plan, index: int = 0, **changes: object) -> Invocation:
    return renderer(plan, **changes).render(
        index, task_dir="/out/t", attempt=1, previous_dir=None, source="local"
    )


def execute(invocation: Invocation) -> list[str]:
    env = {"PATH": os.environ["PATH"], **invocation.env}
    done = subprocess.run(invocation.argv, env=env, capture_output=True, check=True, timeout=20)
    assert done.stderr == b""
    return done.stdout.decode().split("\0")[:-1]


# -- nasty values, in every style, in a real program ---------------------------------------------------------------


@pytest.mark.parametrize(
    "style", ["words", "plain line", "shell line", "flags", "hydra", "hydra line", "env", "json"]
)
def test_nasty_values_arrive_to_the_byte(style: str):
    values: list[object] = [*NASTY, True, None, 1e-4, 10**20, [1, 2], {"a": ["ü b"]}]
    line = "printf '%s\\0' begin"
    plan = {
        "words": plan_of(values, (*ARGUMENTS, "{x}", "--x={x}!")),
        "plain line": plan_of(values, f"{line} {{x}} --x={{x}}!"),
        "shell line": plan_of(values, f"cd / && {line} {{x}} '--x='\"{{x}}!\""),
        "flags": plan_of(values, ARGUMENTS, args="flags"),
        "hydra": plan_of(values, ARGUMENTS, args="hydra"),
        "hydra line": plan_of(values, f"cd /; {line}", args="hydra"),
        "env": plan_of(values, ENVIRONMENT, args="env"),
        "json": plan_of(values, ARGUMENTS, args="json"),
    }[style]
    made = renderer(plan)
    parser = OverridesParser.create()
    for index, value in enumerate(values):
        invocation = made.render(index, task_dir="/out/t", attempt=1, previous_dir=None, source="local")
        arrived = execute(invocation)
        text = value if isinstance(value, str) else _text(value)
        match style:
            case "words" | "plain line" | "shell line":
                assert arrived == ["begin", text, f"--x={text}!"]
            case "flags":
                expected = [] if value is None else [f"--x={text}"] if text.startswith("-") else ["--x", text]
                assert arrived == ["begin", *expected, "--other.key", "1"]
            case "env":
                assert {f"PARAM_x={text}", f"X={text}", "PARAM_other_key=1", "OTHER_KEY=1"} <= set(arrived)
            case "json":
                assert arrived == ["begin", "/out/t/params.json"]
                assert json.loads(invocation.files["params.json"]) == {"x": value, "other.key": 1}
                assert invocation.env["SWEEP_PARAMS_FILE"] == "/out/t/params.json"
            case _:
                assert repr(_plain(parser.parse_override(arrived[1]).value())) == repr(value)
                assert arrived[2:] == ["other.key=1"]


def _text(value: object) -> str:
    return {True: "true", None: "null"}[value] if value is True or value is None else (
        repr(value) if isinstance(value, int | float) else json.dumps(value, ensure_ascii=False)
    )  # fmt: skip


def _plain(value: object) -> object:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return getattr(value, "text", value)


def test_a_list_arrives_as_it_was_written():
    assert render(make("params: [{x: [1, 2]}]\ncommand: t {x}")).argv == ("t", "[1, 2]")


# -- commands -------------------------------------------------------------------------------------------------


def test_what_a_shell_is_given():
    plan = make("params: [{lr: 0.1}]\ncommand: cd x && python t.py --lr {lr} --again '{lr}'")
    assert render(plan).argv == (
        "sh", "-c", "cd x && python t.py --lr \"${1}\" --again ''\"${1}\"''", "sh", "0.1",
    )  # fmt: skip


def test_what_needs_no_shell_gets_none():
    assert render(make("params: [{lr: 0.1}]\ncommand: python t.py --lr {lr}")).argv == (
        "python",
        "t.py",
        "--lr",
        "0.1",
    )


def test_placeholders_of_our_own():
    plan = make(
        "params: [{a: 1}, {name: second}]\ncommand: t {task_dir} {task} {index} {sweep_id} {name} {attempt}"
    )
    made = renderer(plan)
    assert made.render(0, task_dir="/o", attempt=3, previous_dir="/p", source="local").argv == (
        "t", "/o", "task_001", "0", "s-20260116-abc123", "task_001", "3",
    )  # fmt: skip
    assert made.render(1, task_dir="/o", attempt=1, previous_dir=None, source="local").argv[5] == "second"


def test_a_parameter_wins_over_a_placeholder_of_our_own():
    plan = make("params: [{index: mine, name: n}, {x: 1}]\ncommand: t {index} {name}")
    assert render(plan).argv == ("t", "mine", "n")
    assert render(plan, 1).argv == ("t", "1", "task_002")


def test_flags():
    plan = make(
        "params: [{lr: -1, 'on': true, off: false, none: null, text: a b, --raw: 5, dash: -x}]\ncommand: t\nargs: flags"
    )
    assert render(plan).argv == (
        "t", "--lr=-1", "--on", "true", "--off", "false", "--text", "a b", "--raw", "5", "--dash=-x",
    )  # fmt: skip


def test_hydra_words_behind_a_shell_line():
    plan = make("params: [{a: 1, b: x y}, {c: null}]\ncommand: cd x && python t.py\nargs: hydra")
    assert render(plan).argv == ("sh", "-c", 'cd x && python t.py "${1}" "${2}"', "sh", "a=1", "b='x y'")
    assert render(plan, 1).argv == ("sh", "-c", 'cd x && python t.py "${1}"', "sh", "c=null")


def test_json_file_where_the_command_says():
    plan = make("params: [{a: 1}]\ncommand: t --config {params_file}\nargs: json")
    assert render(plan).argv == ("t", "--config", "/out/t/params.json")
    assert render(make("params: [{a: 1}]\ncommand: t\nargs: json")).argv == ("t", "/out/t/params.json")
    assert render(make("params: [{a: 1}]\ncommand: t")).files == {}
    assert render(make("params: [{a: ü}]\ncommand: t\nargs: json")).files == {
        "params.json": '{\n  "a": "ü"\n}\n'
    }


def test_a_script_of_hsm():
    plan = make("grid: {model.lr: [1e-4], name: [adam w]}\nscript: train.py")
    assert render(plan).argv == ("python3", "train.py", "model.lr=1e-4", "name='adam w'")


def test_mfcl_with_a_command_of_its_own():
    text = """
grid:
- name: a b
  params: {model: resnet18, amp_dtype: bf16}
  env: {X: 1, SWEEP_ID: no, MFCL_SWEEP_RUN_ID: no}
  metadata: {why: test}
env: {X: 0, Y: 2}
args: hydra
command: python t.py
"""
    made = render(make(text))
    assert made.argv == (
        "python", "t.py", "model=resnet18", "train.loss_fp32=false", 'train.save_dir="/out/t"', 'hydra.run.dir="/out/t"',
        "hydra.output_subdir=null", "hydra.job.chdir=false",
    )  # fmt: skip
    env = made.env
    assert (env["X"], env["Y"], env["MFCL_AMP_DTYPE"], env["MFCL_SWEEP_RUN_ID"]) == (
        "1",
        "2",
        "bf16",
        "001_a-b",
    )
    assert env["MFCL_SWEEP_RUN_DIR"] == "/out/t"
    assert json.loads(env["MFCL_SWEEP_PARAMS"]) == {"model": "resnet18", "amp_dtype": "bf16"}
    assert json.loads(env["MFCL_SWEEP_METADATA"]) == {"why": "test"}
    assert env["SWEEP_ID"] == "s-20260116-abc123"


# -- environment ----------------------------------------------------------------------------------------------


def test_the_whole_environment_of_a_task():
    plan = make("params: [{name: n, learning_rate: 1e-4, opt.name: x}, {y: 2}]\ncommand: t", "my.yaml")
    made = renderer(plan).render(0, task_dir="/o/t", attempt=2, previous_dir="/o/p", source="ssh:a")
    assert made.env == {
        "PARAM_name": "n", "PARAM_learning_rate": "1e-4", "PARAM_opt_name": "x",
        "NAME": "n", "LEARNING_RATE": "1e-4", "OPT_NAME": "x",
        "SWEEP_ID": "s-20260116-abc123", "SWEEP_NAME": "my", "SWEEP_SIZE": "2", "SWEEP_INDEX": "0", "SWEEP_TASK": "task_001",
        "SWEEP_TASK_DIR": "/o/t", "SWEEP_ATTEMPT": "2", "SWEEP_PREVIOUS_DIR": "/o/p", "SWEEP_SOURCE": "ssh:a",
        "SWEEP_TOKEN": "s-20260116-abc123.task_001.2",
    }  # fmt: skip
    assert "SWEEP_PREVIOUS_DIR" not in render(plan, 1).env


def test_dangerous_names_are_left_alone():
    plan = make("params: [{path: /evil, ld_preload: x, home: y, sweep_id: z}]\ncommand: t")
    env = render(plan).env
    assert env["PARAM_path"] == "/evil"
    assert not {"PATH", "LD_PRELOAD", "HOME"} & set(env)
    assert env["SWEEP_ID"] == "s-20260116-abc123"


def test_what_exists_is_not_replaced_by_an_alias():
    plan = make("params: [{lr: 1, bs: 2}]\ncommand: t")
    env = render(plan, base_env={"LR": "mine"}).env
    assert "LR" not in env
    assert (env["PARAM_lr"], env["BS"]) == ("1", "2")


def test_the_files_own_environment_wins_over_aliases_but_not_over_ours():
    plan = make(
        "params: [{lr: 1}]\ncommand: t\nenv: {LR: 'x{lr}', OUT: '{task_dir}/{task}', PATH: /bin, PARAM_lr: me}"
    )
    plan = dataclasses.replace(plan, env={**plan.env, "SWEEP_ID": "no"})
    env = render(plan, base_env={"LR": "outer"}).env
    assert (env["LR"], env["OUT"], env["PATH"], env["PARAM_lr"]) == ("x1", "/out/t/task_001", "/bin", "me")
    assert env["SWEEP_ID"] == "s-20260116-abc123"


def test_rows_with_different_keys():
    plan = make("params: [{a: 1}, {b: 2}, {a: 3, b: 4}]\ncommand: t")
    made = renderer(plan)
    seen = [
        {
            k
            for k in made.render(n, task_dir="/o", attempt=1, previous_dir=None, source="l").env
            if k.startswith("PARAM_")
        }
        for n in range(3)
    ]
    assert seen == [{"PARAM_a"}, {"PARAM_b"}, {"PARAM_a", "PARAM_b"}]


# -- directory, refusal, display ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("workdir", "expected"),
    [(None, "/project"), ("sub/{x}", "/project/sub/1"), ("/abs", "/abs"), ("../y", "/y"), (".", "/project")],
)
def test_the_directory_is_absolute(workdir: str | None, expected: str):
    plan = dataclasses.replace(make("params: [{x: 1}]\ncommand: t"), workdir=workdir)
    assert render(plan).workdir == expected


def test_a_relative_project_is_made_absolute():
    assert Path(render(make("params: [{x: 1}]\ncommand: t"), project_dir="rel").workdir).is_absolute()


def test_a_plan_that_cannot_run_says_why():
    with pytest.raises(PlanError, match="there is no command to run"):
        renderer(make("grid: {a: [1]}")).show(0)


def test_an_instance_may_have_nothing_to_run_but_its_script():
    made = renderer(make("params: [{instance_type: t3.micro, lr: 1}]"))
    shown = made.render(0, task_dir="/o", attempt=1, previous_dir=None, source="ec2-us-east-1")
    assert shown.argv == ()
    assert shown.env["PARAM_lr"] == "1"


def test_an_unsafe_command_is_refused():
    plan = dataclasses.replace(make("params: [{x: 1}]\ncommand: t"), command=("bash", "-c", "echo {x}"))
    with pytest.raises(PlanError, match="would read its value as code"):
        renderer(plan)


def test_the_command_is_shown_as_a_shell_would_take_it():
    plan = make("params: [{x: it's a}]\ncommand: cd y && t {x}")
    shown = renderer(plan).show(0)
    assert "\n" not in shown
    assert subprocess.run(
        ["sh", "-c", f"printf '%s\\0' {shown}"], capture_output=True, text=True
    ).stdout.split("\0")[:-1] == list(render(plan).argv)


def test_an_mfcl_grid_shows_its_torchrun():
    shown = renderer(make("grid: [{params: {world_size: 2, lr: 1}}]")).show(0, task_dir="/o/t")
    assert shown.startswith(
        "torchrun --standalone --nproc_per_node=2 train.py lr=1 'train.save_dir=\"/o/t\"'"
    )


def test_arguments_that_are_too_long_together_are_refused():
    plan = make(
        f"params: [{{a: 1}}, {{a: {'x' * 70_000}, b: {'y' * 70_000}}}]\ncommand: t\ndefaults: {{b: ''}}"
    )
    assert renderer(plan)
    with pytest.raises(PlanError, match=r"task_002, argument 1: has 14000\d bytes, more than the 131071"):
        renderer(dataclasses.replace(plan, command=("t", "{a}{b}")))
    with pytest.raises(PlanError, match=r"task_002, X: has 14000\d bytes"):
        renderer(dataclasses.replace(plan, env={"X": "{a}{b}"}))


def test_an_environment_that_is_too_large_is_refused():
    rows = ", ".join(f"k{n}: {'v' * 100_000}" for n in range(8))
    plan = make(f"params: [{{{rows}}}]\ncommand: t")
    with pytest.raises(PlanError, match=r"task_001: has 1[67]\d+ bytes of arguments and environment"):
        renderer(plan)
    small = make(f"params: [{{{rows[:250_000]}'}}]".replace("'}", "}") + "\ncommand: t")
    assert renderer(small)
    with pytest.raises(PlanError, match="bytes of arguments and environment"):
        renderer(small, base_env={f"V{n}": "x" * 100_000 for n in range(14)})


def test_a_value_named_many_times_is_measured():
    plan = make(f"params: [{{a: {'x' * 2000}}}]")
    with pytest.raises(PlanError, match="task_001, argument 1: has 200000 bytes"):
        renderer(dataclasses.replace(plan, command=("t", "{a}" * 100)))


def test_the_system_takes_what_we_accept():
    """The limit is the system's own: one byte less than refused is executed."""
    value = "x" * (131_071 - len("PARAM_a="))
    assert f"PARAM_a={value}" in execute(render(make(f"params: [{{a: {value}}}]", command=ENVIRONMENT)))
    with pytest.raises(PlanError, match="PARAM_a: has 131072 bytes"):
        renderer(make(f"params: [{{a: {value}x}}]", command="t"))


# -- numbers keep their spelling -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("params: [{v: 1.10, w: 1e-4, x: 1.0E-5, n: 1000000, f: 0.1}]\n", "s.yaml"),
        ('{"params": [{"v": 1.10, "w": 1e-4, "x": 1.0E-5, "n": 1000000, "f": 0.1}]}', "s.json"),
        ("v,w,x,n,f\n1.10,1e-4,1.0E-5,1000000,0.1\n", "s.csv"),
    ],
)
def test_numbers_reach_a_program_as_they_were_spelled(text: str, name: str):
    command = "t {v} {w} {x} {n} {f}"
    words = ["1.10", "1e-4", "1.0E-5", "1000000", "0.1"]
    plan = make(text, name, command=command, env={"E": "v{v}"})
    for made in (plan, plan_from_json(json.loads(json.dumps(plan_to_json(plan))))):
        invocation = render(made)
        assert invocation.argv == ("t", *words)
        assert (invocation.env["PARAM_v"], invocation.env["V"], invocation.env["E"]) == (
            "1.10",
            "1.10",
            "v1.10",
        )
        flags = render(dataclasses.replace(made, command="t", args="flags")).argv
        assert flags == ("t", "--v", "1.10", "--w", "1e-4", "--x", "1.0E-5", "--n", "1000000", "--f", "0.1")
        hydra = render(dataclasses.replace(made, command="t", args="hydra")).argv
        assert hydra == ("t", "v=1.10", "w=1e-4", "x=1.0E-5", "n=1000000", "f=0.1")
        file = render(dataclasses.replace(made, command="t", args="json")).files["params.json"]
        assert json.loads(file) == {"v": 1.1, "w": 1e-4, "x": 1e-5, "n": 1000000, "f": 0.1}
        assert '"v": 1.1,' in file


@pytest.mark.parametrize(
    "text", ["1.10", "+1.5", "5.", "+5.", ".5", "-.5e-3", "1E+6", "1e-4", "0.00001", "1.e5", "0e0", "-0.e-0"]
)
def test_hydra_reads_every_spelling_as_the_number(text: str):
    word = render(make(f"grid: {{x: [{text}]}}\ncommand: t\nargs: hydra")).argv[1]
    value = OverridesParser.create().parse_override(word).value()
    assert (word, repr(value)) == (f"x={text}", repr(float(text)))


# -- programs that are not there -------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    for name, mode in (("bin/tool", 0o755), ("sub/run.sh", 0o755), ("sub/plain.sh", 0o644)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(mode)
    return tmp_path


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("command: tool {x}", None),
        ("command: [tool, '{x}']", None),
        ("command: toolx {x}", "toolx: not found on PATH"),
        ("command: [toolx, '{x}']", "toolx: not found on PATH"),
        ("script: t.py", "python3: not found on PATH"),
        ("command: 'toolx | cat'", None),
        ("command: '{x} y'", None),
        ("command: 'a{x}'", None),
        ("command: toolx\nenv: {PATH: /x}", None),
        ("command: echo `date {x}`", None),
        ("", None),
        ("command: ./run.sh\nworkdir: sub", None),
        ("command: sub/run.sh", None),
        ("command: ./run.sh", "./run.sh: there is no such file in PROJECT"),
        ("command: ./run.sh\nworkdir: sub/{x}", None),
        ("command: toolx\nworkdir: sub/{x}", "toolx: not found on PATH"),
        ("command: /no/such/tool", "/no/such/tool: does not exist"),
        ("command: sub/plain.sh", "sub/plain.sh: is not executable; chmod +x PROJECT/sub/plain.sh"),
        ("command: run.sh\nworkdir: sub", "run.sh: not found on PATH; to run the one in PROJECT/sub, write ./run.sh"),
    ],
)  # fmt: skip
def test_a_program_that_is_missing_is_said(project: Path, settings: str, expected: str | None):
    if "`" in settings:
        plan = dataclasses.replace(make("grid: {x: [1]}"), command="echo `date {x}`")
    else:
        plan = make(f"grid: {{x: [1]}}\n{settings}\n")
    found = missing_program(plan, str(project), str(project / "bin"))
    assert found == (expected and expected.replace("PROJECT", str(project)))
