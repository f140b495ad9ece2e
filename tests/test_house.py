"""The rules of the house: who may import whom, what is installed, and what a quick command must not load."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = ("textual", "boto3", "paramiko", "tinydb", "yaml", "psutil", "rich")


def modules_after(arguments: list[str], cwd: Path) -> set[str]:
    """The modules a run of spawn-tui has loaded when it ends."""
    report = cwd / "modules.json"
    code = (
        "import atexit, json, sys\n"
        f"atexit.register(lambda: open({str(report)!r}, 'w').write(json.dumps(sorted(sys.modules))))\n"
        "from spawn_tui.tui.cli.main import main\n"
        f"main({arguments!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, timeout=60)
    assert report.exists(), done.stderr
    return {name.partition(".")[0] for name in json.loads(report.read_text())}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["launch", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str], tmp_path: Path):
    loaded = modules_after(arguments, tmp_path)
    assert "click" in loaded
    assert loaded.isdisjoint(HEAVY)


@pytest.mark.parametrize(
    "arguments",
    [
        ["completion", "bash"],
        ["launch", "sweep.yaml", "--no-ui"],
        ["launch", "sweep.yaml", "--dry-run"],
        ["launch", "sweep.yaml"],
        ["list"],
    ],
)
def test_without_ui_textual_is_never_imported(arguments: list[str], tmp_path: Path):
    (tmp_path / "sweep.yaml").write_text("params: [{a: 1}]\ncommand: 'true'\n")
    loaded = modules_after(arguments, tmp_path)
    assert loaded.isdisjoint({"textual", "boto3", "paramiko"})


def test_the_package_list_is_the_folders():
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {
        "spawn_tui." + str(path.parent.relative_to(ROOT)).replace(os.sep, ".")
        for top in ("tui", "engine", "state")
        for path in (ROOT / top).rglob("__init__.py")
    }
    assert listed == found


def test_nothing_unexpected_stands_at_the_top():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    tops = {line.partition("/")[0] for line in tracked.splitlines()}
    assert tops <= {
        "README.md", "LICENSE", "CHANGELOG.md", "ARCHITECTURE.md", "pyproject.toml", ".gitignore", ".gitattributes",
        ".ci", "tui", "engine", "state", "tests", "screenshots",
    }  # fmt: skip


def test_a_planted_violation_of_the_floors_is_found(tmp_path: Path):
    """The layer check reads the code as it stands, so it is tried on a copy with an import that runs upward."""
    package = tmp_path / "spawn_tui"
    package.mkdir()
    for floor in ("tui", "engine", "state"):
        subprocess.run(["cp", "-r", str(ROOT / floor), str(package / floor)], check=True)
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    planted = package / "state" / "journal.py"
    planted.write_text(planted.read_text() + "\nfrom ..engine import sweep\n")
    # The copy must come before the installed package.
    code = "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports_command as c; c()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--no-cache"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode != 0
    assert "spawn_tui.state" in done.stdout and "spawn_tui.engine" in done.stdout
    assert "BROKEN" in done.stdout
