"""`init`: what it finds, what it writes, that it can be launched, and that nothing is overwritten unasked."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from spawn_tui.engine.config import detect as detection
from spawn_tui.engine.config.detect import Detected, detect
from spawn_tui.engine.config.load import load_config
from spawn_tui.engine.config.starter import Starter, config_text, sweep_text
from spawn_tui.engine.plan import read_plan
from spawn_tui.tui.cli import init as verb
from spawn_tui.tui.cli import output

from .run import Done, spawn_tui

FILES = ("spawn.yaml", "sweeps/example.yaml")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of one's own: a PATH with python and git only, an empty home, no environment active."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "git", "env", "sleep"):
        (programs / name).symlink_to(
            f"/usr/bin/{name}" if Path(f"/usr/bin/{name}").exists() else f"/bin/{name}"
        )
    (programs / "python3").symlink_to(sys.executable)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("CONDA_DEFAULT_ENV", "VIRTUAL_ENV"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def project(machine: Path) -> Path:
    folder = machine / "project"
    folder.mkdir()
    return folder


def program(machine: Path, name: str, text: str = "exit 0") -> None:
    path = machine / "bin" / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def found(project: Path) -> Detected:
    return detect(project, os.environ, Path.home())


def launchable(project: Path) -> Done:
    """What was written is valid, and its example can be launched as it stands."""
    listed = spawn_tui("sources", "--json", cwd=project)
    assert listed.status == 0, listed.err
    dry = spawn_tui("launch", "sweeps/example.yaml", "--dry-run", cwd=project)
    assert dry.status == 0, dry.err
    assert "4 tasks on local" in dry.err
    return dry


def test_an_empty_project(project: Path):
    done = spawn_tui("init", "-y", cwd=project)
    assert done.status == 0, done.err
    assert done.out.splitlines() == list(FILES)
    assert "none found" in done.err
    launchable(project)
    ran = spawn_tui("launch", "sweeps/example.yaml", "--no-ui", cwd=project)
    assert ran.status == 0, ran.err
    (root,) = (project / "sweeps/outputs").iterdir()
    assert (root / "tasks/task_001/stdout.log").read_text() == "learning_rate=0.001 batch_size=32\n"


def test_a_python_project_in_a_folder_that_is_named(project: Path, machine: Path):
    (project / "train.py").write_text("import sys; print(sys.argv[1:])\n")
    done = spawn_tui("init", "project", "-y", cwd=machine)
    assert done.status == 0, done.err
    assert "cd project && spawn-tui launch" in done.err
    assert (
        launchable(project).out.splitlines()[-1] == "python3 train.py --learning_rate 0.001 --batch_size 32"
    )
    ran = spawn_tui("launch", "sweeps/example.yaml", "--no-ui", cwd=project)
    assert ran.status == 0, ran.err


def test_a_project_with_hydra_and_conda(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CONDA_DEFAULT_ENV", "lab env")
    (project / "src").mkdir()
    (project / "src" / "train.py").write_text("import os\nimport hydra\n")
    assert spawn_tui("init", "-y", cwd=project).status == 0
    assert launchable(project).out.splitlines()[-1] == (
        "python src/train.py learning_rate=0.001 batch_size=32"
    )


def test_a_conda_environment_reaches_the_sources_elsewhere(
    project: Path, monkeypatch: pytest.MonkeyPatch, machine: Path
):
    monkeypatch.setenv("CONDA_DEFAULT_ENV", "on")  # a word that YAML readers take for true
    program(machine, "sbatch")
    program(machine, "sinfo", "printf 'big\\ndebug*\\nyes\\n'")
    done = spawn_tui("init", "-y", cwd=project)
    assert done.status == 0, done.err
    launchable(project)
    source = load_config(project).sources["slurm"]
    assert source.kind == "slurm" and source.options == {"partition": "debug", "conda_env": "on"}
    assert load_config(project).defaults.sources == ("local",)


def test_slurm_that_gives_no_answer_is_only_a_comment(project: Path, machine: Path):
    program(machine, "sbatch")
    program(machine, "sinfo", "echo 'slurm_load_partitions: Unable to contact slurm controller' >&2; exit 1")
    done = spawn_tui("init", "-y", cwd=project)
    assert "Unable to contact slurm controller" in done.err
    launchable(project)
    assert list(load_config(project).sources) == ["local"]
    assert "  #   type: slurm" in (project / "spawn.yaml").read_text()


def test_a_sinfo_that_hangs_is_let_go(project: Path, machine: Path, monkeypatch: pytest.MonkeyPatch):
    program(machine, "sbatch")
    program(machine, "sinfo", "exec sleep 60")
    monkeypatch.setattr(detection, "_SINFO_LIMIT", 0.2)
    assert "sinfo cannot be asked" in found(project).notes[0]


def test_pbs(project: Path, machine: Path):
    program(machine, "qsub")
    assert spawn_tui("init", "-y", cwd=project).status == 0
    launchable(project)
    assert load_config(project).sources["pbs"].kind == "pbs"


def test_ssh_hosts_are_only_guesses(project: Path, machine: Path):
    ssh = machine / "home" / ".ssh"
    ssh.mkdir()
    (ssh / "config").write_text(
        "Host gpu1 gpu2\n  User me\nHost *.lab !x\n  Port 1\nHost github.com\n  User git\nHost *\n  Compression yes\n"
    )
    assert found(project).ssh_hosts == ("gpu1", "gpu2")
    assert spawn_tui("init", "-y", cwd=project).status == 0
    launchable(project)
    assert list(load_config(project).sources) == ["local"]
    text = (project / "spawn.yaml").read_text()
    # Taking the marks off is all it needs.
    (project / "spawn.yaml").write_text(
        text.replace("\n  # ", "\n  ").replace("\n  Machines", "\n  # Machines")
    )
    assert list(load_config(project).sources)[1:] == ["gpu1", "gpu2"]


def test_a_damaged_ssh_config_is_told(project: Path, machine: Path):
    (machine / "home" / ".ssh").mkdir()
    (machine / "home" / ".ssh" / "config").write_bytes(b"\xff\xfe nonsense\n")
    assert found(project).ssh_hosts == () and "cannot be read" in found(project).notes[0]


@pytest.mark.parametrize(
    ("files", "script"),
    [
        (["train.py", "src/train.py", "main.py"], "src/train.py"),
        (["main.py", "run.py"], "main.py"),
        (["tools/my_train_v2.py", "tools/main_x.py"], "tools/my_train_v2.py"),
        (["pkg/run_it.py", "pkg/domain.py"], "pkg/domain.py"),
        (
            [".venv/lib/train.py", "tests/test_train.py", "node_modules/train.py", "a/b/c/d/e/f/train.py"],
            None,
        ),
        (["README.md", "util.py"], None),
    ],
)
def test_which_script_is_found(project: Path, files: list[str], script: str | None):
    for name in files:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).touch()
    assert found(project).script == script


def test_which_interpreter_is_found(project: Path, monkeypatch: pytest.MonkeyPatch):
    assert found(project).python == "python3"
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".venv" / "bin" / "python").touch()
    assert found(project).python == ".venv/bin/python"
    monkeypatch.setenv("VIRTUAL_ENV", "/somewhere")
    assert found(project).python == "python"
    monkeypatch.setenv("CONDA_DEFAULT_ENV", "base")
    assert found(project).conda_env is None


def test_nothing_is_overwritten(project: Path):
    (project / "spawn.yaml").write_text("mine")
    done = spawn_tui("init", "-y", cwd=project)
    assert done.status == 2
    assert "spawn.yaml is there already; --force overwrites" in done.err
    assert (project / "spawn.yaml").read_text() == "mine" and not (project / "sweeps").exists()
    assert spawn_tui("init", "-y", "--force", cwd=project).status == 0
    launchable(project)


def test_without_a_terminal_it_asks_nothing(project: Path):
    done = spawn_tui("init", cwd=project)
    assert done.status == 2 and "init -y" in done.err
    assert list(project.iterdir()) == []


@pytest.mark.parametrize("word", ["nowhere", "spawn.yaml"])
def test_a_folder_that_is_none(project: Path, word: str):
    (project / "spawn.yaml").touch()
    done = spawn_tui("init", word, "-y", cwd=project)
    assert done.status == 2 and "no such folder" in done.err


def test_a_folder_that_cannot_be_written(project: Path):
    (project / "sweeps").write_text("a file where a folder should be")
    done = spawn_tui("init", "-y", cwd=project)
    assert done.status == 2 and "cannot be written" in done.err and "Traceback" not in done.err


def test_an_hsm_configuration_is_told_of(project: Path):
    (project / "hsm_config.yaml").write_text("slurm: {partition: a}\n")
    done = spawn_tui("init", "-y", cwd=project)
    assert "hsm_config.yaml was read so far" in done.err


def asked(project: Path, monkeypatch: pytest.MonkeyPatch, answers: str, *arguments: str) -> str:
    """Run it as if a person sat there; returns what was said."""
    said: list[str] = []
    lines = iter(answers.splitlines())
    monkeypatch.setattr(verb, "is_terminal", lambda: True)
    monkeypatch.setattr(verb, "say", lambda text="": said.append(text))
    monkeypatch.setattr(verb, "ask", lambda question: said.append(question) or next(lines).startswith("y"))

    def prompt(question: str, default: object, type: object = None, err: bool = False) -> object:
        answer = next(lines)
        said.append(f"{question} [{default}]")
        return (int(answer) if isinstance(default, int) else answer) if answer else default

    monkeypatch.setattr(verb.click, "prompt", prompt)
    monkeypatch.chdir(project)
    done = CliRunner().invoke(verb.init, list(arguments), standalone_mode=False)
    assert done.exception is None, done.exception
    assert next(lines, None) is None, "a question less than answers"
    return "\n".join(said)


def test_empty_answers_take_the_proposals(project: Path, machine: Path, monkeypatch: pytest.MonkeyPatch):
    (project / "train.py").touch()
    program(machine, "sbatch")
    program(machine, "sinfo", "echo 'gpu*'")
    said = asked(project, monkeypatch, "\n\n\n\n\n")
    assert "Script to run (- for none) [train.py]" in said and "Interpreter [python3]" in said
    assert "Use the Slurm cluster" in said
    launchable(project)
    assert list(load_config(project).sources) == ["local"]  # no answer to yes or no is no


def test_answers_are_taken(project: Path, machine: Path, monkeypatch: pytest.MonkeyPatch):
    program(machine, "sbatch")
    program(machine, "sinfo", "printf 'cpu*\\ngpu\\n'")
    said = asked(project, monkeypatch, "run me.py\npython3\n7\ny\ngpu\ngpu1, 10.0.0.9\n")
    assert "run me.py is not there yet" in said
    config = load_config(project)
    assert config.sources["local"].slots == 7
    assert config.sources["slurm"].options == {"partition": "gpu"}
    assert config.sources["gpu1"].kind == "ssh" and "10.0.0.9" in config.sources
    assert config.defaults.sources == ("local", "slurm", "gpu1", "10.0.0.9")
    plan = read_plan(project / "sweeps/example.yaml")
    assert plan.command is not None and "'run me.py'" in plan.command


def test_overwriting_is_asked_for_each_file(project: Path, monkeypatch: pytest.MonkeyPatch):
    (project / "spawn.yaml").write_text("mine")
    (project / "sweeps").mkdir()
    (project / "sweeps" / "example.yaml").write_text("mine too")
    said = asked(project, monkeypatch, "\n\n\n\ny\n")
    assert "spawn.yaml is there already. Overwrite it?" in said and "spawn.yaml stays as it is" in said
    assert (project / "spawn.yaml").read_text() == "mine"
    assert "grid:" in (project / "sweeps" / "example.yaml").read_text()


def test_an_empty_answer_at_a_real_prompt_means_no(monkeypatch: pytest.MonkeyPatch):
    assert verb.ask is output.ask  # whose empty answer is no: tests of the verbs that ask hold it


@pytest.mark.parametrize(
    "word", ["a b.py", "it's.py", "{x}.py", "$(id).py", "ümlaut.py", 'q"q.py', "back\\slash.py"]
)
@pytest.mark.parametrize("hydra", [True, False])
def test_odd_names_of_scripts_and_environments(tmp_path: Path, word: str, hydra: bool):
    starter = Starter(
        slots=1, script=word, conda_env="null", ssh_hosts=("8", "local", "a:b", "::1"), scheduler="slurm",
        partitions=("1e3",), uses_hydra=hydra, used=("local", "slurm", "8", "a:b"),
    )  # fmt: skip
    (tmp_path / "spawn.yaml").write_text(config_text(starter))
    config = load_config(tmp_path)
    assert config.sources["slurm"].options == {"partition": "1e3", "conda_env": "null"}
    assert len(config.sources) == 6
    sweep = tmp_path / "example.yaml"
    sweep.write_text(sweep_text(starter))
    assert len(read_plan(sweep).tasks) == 4
    done = spawn_tui("launch", "example.yaml", "--dry-run", "--sources", "local", cwd=tmp_path)
    assert done.status == 0, done.err
