"""Files on disk, placeholders against every task, and what is imported."""

# One case, one line: the tables are read down.
# ruff: noqa: E501

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from spawn_tui.engine.plan import Overrides, PlanError, count_tasks, plan_from_text, read_plan
from spawn_tui.engine.plan import source as source_module

from .helpers import params, plan, refused


def refused_file(path: Path) -> str:
    with pytest.raises(PlanError) as error:
        read_plan(path)
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '{"params": [{"x": 1}]}'), ("a.JSON", '{"params": [{"x": 1}]}'), ("a.yaml", "params: [{x: 1}]"),
        ("a.yml", "params: [{x: 1}]"), ("a.csv", "x\n1\n"), ("a", '{"params": [{"x": 1}]}'),
        ("a.conf", "// c\n{\"params\": [{\"x\": 1}]}"), ("a.txt", "params:\n- x: 1\n"), ("bom.json", '\ufeff{"params": [{"x": 1}]}'),
        ("bom.yaml", "\ufeffparams: [{x: 1}]"), ("crlf.yaml", "params:\r\n- x: 1\r\n"),
    ],
)  # fmt: skip
def test_formats_by_extension_and_by_content(tmp_path: Path, name: str, text: str):
    path = tmp_path / name
    path.write_bytes(text.encode())
    made = read_plan(path)
    assert params(made) == [{"x": 1}]
    assert made.name == path.stem
    assert count_tasks(path) == 1


def test_a_guess_is_said_in_the_error(tmp_path: Path):
    path = tmp_path / "sweep"
    path.write_text("{params: [}")
    assert "(read as JSON, because of how it begins)" in refused_file(path)
    path.write_text("params: [}")
    assert "(read as YAML, because its name does not say JSON or CSV)" in refused_file(path)


def test_a_pipe_is_as_good_as_a_file(tmp_path: Path):
    read, write = os.pipe()
    os.write(write, b"params: [{x: 1}]")
    os.close(write)
    assert params(read_plan(Path(f"/dev/fd/{read}"))) == [{"x": 1}]
    os.close(read)


def test_a_file_that_is_not_there(tmp_path: Path):
    (tmp_path / "sweep.yaml").write_text("")
    assert refused_file(tmp_path / "sweeep.yaml") == (
        f'{tmp_path}/sweeep.yaml: does not exist; did you mean "{tmp_path}/sweep.yaml"?'
    )
    assert refused_file(tmp_path / "no" / "x.yaml").endswith("does not exist; check the path")


def test_a_directory(tmp_path: Path):
    assert refused_file(tmp_path) == f"{tmp_path}: is a directory; give the sweep's file in it"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path):
    path = tmp_path / "s.yaml"
    path.write_text("")
    path.chmod(0)
    assert "permission denied; chmod u+r" in refused_file(path)


def test_a_file_that_may_not_be_read_as_told_by_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", deny)
    assert refused_file(tmp_path / "s.yaml").endswith(
        f"cannot be read: permission denied; chmod u+r {tmp_path}/s.yaml"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"\x7fELF\x00\x01\x02",
            "is a binary file (it holds a NUL byte); a sweep is written in JSON, YAML or CSV",
        ),
        ("params: []".encode("utf-16"), "is in UTF-16; save it as UTF-8"),
        (b"params:\n- x: caf\xe9\n", ":2: is not UTF-8: byte 0xe9; save it as UTF-8"),
        (b"", "the top level is empty"),
    ],
)
def test_files_that_are_no_text(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "s.yaml"
    path.write_bytes(content)
    found = refused_file(path)
    assert message in found
    assert found.startswith(str(path))


def test_a_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "s.json"
    path.write_bytes(b" " * 1001)
    monkeypatch.setattr(source_module, "SIZE_LIMIT", 1000)
    assert "s.json: is larger than 0 MiB; let `grid` make the combinations" in refused_file(path)


def test_a_large_file_is_not_read_whole(tmp_path: Path):
    path = tmp_path / "s.json"
    with path.open("wb") as stream:
        stream.truncate(100 * 1024**3)
    assert "is larger than 64 MiB" in refused_file(path)


def test_too_many_tasks_are_refused_before_they_are_made():
    rows = {"params": [{}] * 2000, "grid": {"a": list(range(1000))}}
    assert refused(json.dumps(rows), "s.json").startswith(
        "s.json:1: params: makes 2,000,000 tasks; a sweep has at most"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "grid: {learning_rate: [1], bs: [2]}\ncommand: t --lr {learning_rat} {bs}\n",
            'sweep.yaml:2: command: {learning_rat} is not a parameter; did you mean "learning_rate"?; '
            "the parameters are learning_rate, bs; write {{learning_rat}} for literal braces",
        ),
        ("params: [{lr: 1}, {lr: 2}, {bs: 3, name: c}]\ncommand: t {lr}\n",
         "sweep.yaml:2: command: {lr} is missing in task 3 (c); give every task a value, or one in `defaults`"),
        ("grid: {a: [1]}\ncommand:\n- t\n- --x={b}\n", "sweep.yaml:4: command[1]: {b} is not a parameter"),
        ("grid: {a: [1]}\ncommand: t\nenv: {X: '{b}'}\n", "sweep.yaml:3: env.X: {b} is not a parameter"),
        ("grid: {a: [1]}\ncommand: t\nworkdir: runs/{b}\n", "sweep.yaml:3: workdir: {b} is not a parameter"),
        ("grid: {a: [1]}\ncommand: t {params_file}\n", "{params_file} exists with `args: json` only; add args: json"),
        ("params: [{region: r, a: 1}]\ncommand: t {region}\n", "{region} is a launch field, not a parameter; write parameters:"),
        ("params: [{}]\ncommand: t {a}\n", "{a} is not a parameter; there are no parameters; write {{a}}"),
        ("grid: {a: [1]}\ncommand: awk '{print}' x\n", "{print} is not a parameter"),
        ("grid: {a: [1]}\ncommand: sh -c 'echo {a}'\n",
         "sweep.yaml:2: command: {a} stands in a script for `sh`, which would read its value as code; "
         "drop the `sh -c '…'` around it, since a string already is a command line for `sh`; "
         "or put that script in single quotes and write \"$PARAM_a\" in it"),
        ("grid: {a: [1]}\ncommand: cd x && sh -c 'echo {a}'\n",
         "its value as code; put that script in single quotes and write \"$PARAM_a\" in it"),
        ("grid: {a: [1]}\ncommand: [bash, -lc, 'echo {a}']\n", "{a} stands in a script for `bash`"),
        ("grid: {a: [1]}\ncommand: 'echo \"x'\n", "command: has a double quote that is never closed"),
        ("grid: {a: [1]}\nargs: flags\ncommand: for i in 1; do t $i; done\n",
         "command: cannot be followed by the parameters of `args: flags`, because it ends in `done`"),
        ("grid: {'a b': [1]}\nscript: t.py\n", "sweep.yaml:1: grid.a b: is no name for Hydra; rename it, or use args: flags"),
        ("grid: {a: [{'1': 2}]}\nscript: t.py\n", "grid.a: Hydra's command line cannot hold the key \"1\"; use args: json"),
        ("params:\n- {ok: 1}\n- {'a b': 1}\nscript: t.py\n", "sweep.yaml:3: params[1].a b: is no name for Hydra"),
        ("defaults: {'a b': 1}\nparams: [{ok: 1}]\nscript: t.py\n", "sweep.yaml:1: defaults.a b: is no name for Hydra"),
    ],
)  # fmt: skip
def test_placeholders_and_commands(text: str, message: str):
    assert message in refused(text)


def test_placeholders_of_our_own_and_braces_that_are_none():
    made = plan(
        "grid: {a: [1], index: [x]}\ncommand: |\n"
        "  t {a} {task_dir} {task} {index} {sweep_id} {name} {attempt} ${HOME} {a,b} {1..3} {} '{print $1}' {{a}}\n"
    )
    assert made.warnings == ()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            '"a\\0b"',
            "holds a NUL character, which no program can be given; write the data to a file and pass its name",
        ),
        ('{k: ["a\\0b"]}', "holds a NUL character"),
        (
            "x" * 131_072,
            "has 131072 bytes, more than the 131071 a program can be given; pass the name of a file",
        ),
        ("ü" * 70_000, "has 140000 bytes"),
        (f"[{', '.join(['1234567890'] * 20_000)}]", "bytes as JSON, more than the 131071"),
    ],
    ids=["nul", "nul inside", "long", "long in bytes", "long as JSON"],
)
def test_values_that_no_program_can_be_given(value: str, message: str):
    for text, key in ((f"params:\n- x: {value}\n", "params[0].x"), (f"grid:\n  x: [{value}]\n", "grid.x[0]")):
        found = refused(text)
        assert message in found
        assert found.startswith(f"sweep.yaml:2: {key}")
        assert len(found) < 400
    assert "defaults.x" in refused(f"defaults:\n  x: {value}\nparams: [{{}}]\n")


def test_a_value_of_the_longest_size_is_fine():
    assert plan(f"params: [{{x: {'y' * 131_000}}}]").tasks


def test_text_is_read_like_a_file():
    assert params(plan_from_text(b"x\n1\n", name="s.csv")) == [{"x": 1}]
    assert params(plan_from_text("x\n1\n", name="-", format="csv", overrides=Overrides(command="t {x}"))) == [
        {"x": 1}
    ]


def test_reading_imports_little():
    code = (
        "import sys, spawn_tui.engine.plan, spawn_tui.engine.command\n"
        "from spawn_tui.engine.plan import plan_from_text\n"
        "plan_from_text('{\"params\": [{\"x\": 1}]}', name='s.json')\n"
        "print([m for m in ('yaml', 'textual', 'boto3', 'paramiko', 'tinydb', 'click', 'rich', 'hydra') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
