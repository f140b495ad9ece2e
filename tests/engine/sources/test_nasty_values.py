"""Values that shells, YAML and Hydra would mangle, through a whole sweep on the local source: byte for byte."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from spawn_tui.engine.create import create_sweep
from spawn_tui.engine.plan.model import Plan, PlannedTask
from spawn_tui.engine.run import run_engine
from spawn_tui.engine.sources.registry import SourceSpec

from tests.engine.test_command import NASTY

DUMP = """
import json, os, sys
shown = {"argv": sys.argv[1:], "env": os.environ.get("PARAM_x"), "alias": os.environ.get("X")}
path = os.environ.get("SWEEP_PARAMS_FILE")
if path:
    shown["file"] = json.load(open(path))
json.dump(shown, open(os.environ["SWEEP_TASK_DIR"] + "/arrived.json", "w"))
"""


def arrived(tmp_path: Path, command: str | tuple[str, ...], args: str) -> list[dict]:
    program = tmp_path / "dump.py"
    program.write_text(DUMP)
    words = (
        tuple(word.replace("PROGRAM", str(program)) for word in command)
        if isinstance(command, tuple)
        else None
    )
    line = command.replace("PROGRAM", str(program)) if isinstance(command, str) else words
    tasks = tuple(PlannedTask("", {"x": value}) for value in NASTY)
    plan = Plan("spawn", "nasty", tasks, command=line, args=args)  # type: ignore[arg-type]
    root = create_sweep(plan, [SourceSpec("local", "local", 4)], project=tmp_path)
    sweep = run_engine(root)
    assert sweep.ended == "completed", [task.attempts[-1].message for task in sweep.tasks if task.attempts]
    folders = sorted((root / "tasks").iterdir())
    return [json.loads((folder / "arrived.json").read_text()) for folder in folders]


@pytest.mark.parametrize(
    ("command", "args"),
    [
        ((sys.executable, "PROGRAM", "{x}"), "template"),
        (f"{sys.executable} PROGRAM {{x}}", "template"),
        (f'cd . && {sys.executable} PROGRAM "{{x}}"', "template"),
        (f"if true; then {sys.executable} PROGRAM '{{x}}'; fi", "template"),
        ((sys.executable, "PROGRAM"), "env"),
        ((sys.executable, "PROGRAM"), "json"),
    ],
)
def test_every_way_in_is_byte_for_byte(command: str | tuple[str, ...], args: str, tmp_path: Path):
    shown = arrived(tmp_path, command, args)
    assert [one["env"] for one in shown] == NASTY
    assert [one["alias"] for one in shown] == NASTY
    if args == "template":
        assert [one["argv"] for one in shown] == [[value] for value in NASTY]
    if args == "json":
        assert [one["file"]["x"] for one in shown] == NASTY
    assert not Path("/tmp/p").exists()


def test_flags_are_two_words_or_one_with_an_equals_sign(tmp_path: Path):
    for one, value in zip(arrived(tmp_path, (sys.executable, "PROGRAM"), "flags"), NASTY, strict=True):
        assert one["argv"] in (["--x", value], [f"--x={value}"])


def test_hydra_reads_back_the_very_text(tmp_path: Path):
    parser = OverridesParser.create()
    for one, value in zip(arrived(tmp_path, (sys.executable, "PROGRAM"), "hydra"), NASTY, strict=True):
        (word,) = one["argv"]
        assert str(parser.parse_override(word).value()) == value
