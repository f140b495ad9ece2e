"""The project for instances: the files `sync` would send, the same bytes for the same content, once in the bucket."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
from spawn_tui.engine.aws import project_upload
from spawn_tui.engine.aws.project_upload import pack_project
from spawn_tui.engine.project.files import ProjectError, ProjectRules
from spawn_tui.engine.project.manifest import Entry
from spawn_tui.engine.project.project import Project


def make(folder: Path, *, at: int = 1_700_000_000) -> Project:
    files = {
        "train.py": b"print(1)\n", "lib/a b.py": b"x = 1\n", os.fsdecode(b"lib/\xff\xfe"): b"raw",
        "deep/" + "n" * 120 + "/x": b"long", "empty": b"", "__pycache__/x.pyc": b"no", "data/set.bin": b"no",
        "spawn.yaml": b"no", "ignored.txt": b"no", ".gitignore": b"ignored.txt\n",
    }  # fmt: skip
    for name, content in files.items():
        path = os.path.join(os.fsencode(folder), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
        os.utime(path, (at, at))
    (folder / "run.sh").write_bytes(b"#!/bin/sh\n")
    (folder / "run.sh").chmod(0o750)
    (folder / "latest").symlink_to("train.py")
    return Project(folder, ProjectRules(exclude=("data/",)), cache=folder.parent / "cache")


def test_the_archive_is_the_project(tmp_path: Path):
    (tmp_path / "p").mkdir()
    packed = pack_project(make(tmp_path / "p"), tmp_path / "p.tar.gz")
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["tar", "-xzf", packed.path, "-C", out], check=True, timeout=30)
    found = {
        os.path.relpath(os.path.join(folder, name), os.fsencode(out))
        for folder, _, files in os.walk(os.fsencode(out))
        for name in files
    }
    assert found == {
        b"train.py", b"lib/a b.py", b"lib/\xff\xfe", b"deep/" + b"n" * 120 + b"/x", b"empty", b".gitignore",
        b"run.sh", b"latest",
    }  # fmt: skip
    assert os.readlink(out / "latest") == "train.py"
    assert (out / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (out / "train.py").stat().st_mtime == project_upload.MTIME
    assert packed.sha256 == hashlib.sha256(packed.path.read_bytes()).hexdigest()
    assert packed.size == packed.path.stat().st_size
    assert (packed.files, packed.path.stat().st_mode & 0o777) == (8, 0o600)
    assert packed.words.startswith("8 files, ")


def test_equal_content_makes_equal_bytes_wherever_and_whenever(tmp_path: Path):
    sums: set[str] = set()
    for name, at in (("a", 1_700_000_000), ("b", 1_600_000_000)):
        (tmp_path / name / "p").mkdir(parents=True)
        sums.add(pack_project(make(tmp_path / name / "p", at=at), tmp_path / name / f"{name}.tar.gz").sha256)
    assert len(sums) == 1
    assert (tmp_path / "a/a.tar.gz").read_bytes()[4:8] == bytes(4), "the header tells when (RFC 1952, MTIME)"
    (tmp_path / "b/p/train.py").write_bytes(b"print(2)\n")
    again = pack_project(Project(tmp_path / "b/p", ProjectRules(exclude=("data/",))), tmp_path / "c.tar.gz")
    assert again.sha256 not in sums


def test_a_project_that_is_data_is_refused_with_its_biggest_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(project_upload, "LARGEST", 1000)
    folder = tmp_path / "p"
    folder.mkdir()
    (folder / "train.bin").write_bytes(b"x" * 1500)
    with pytest.raises(ProjectError) as caught:
        pack_project(Project(folder, cache=tmp_path), tmp_path / "p.tar.gz")
    assert "train.bin (1.5 kB)" in str(caught.value) and "sync.exclude in spawn.yaml" in str(caught.value)
    assert not (tmp_path / "p.tar.gz").exists()


@pytest.mark.parametrize("content", [b"print(2)\n", b"pri", b"print(1)\n# more\n", None])
def test_a_file_that_changes_while_it_is_packed_is_an_error(tmp_path: Path, content: bytes | None):
    folder = tmp_path / "p"
    folder.mkdir()
    project = make(folder)
    assert isinstance(project.entries["train.py"], Entry)  # known from here on
    if content is None:
        (folder / "train.py").unlink()
    else:
        (folder / "train.py").write_bytes(content)
    with pytest.raises(
        ProjectError, match=r"train\.py (was changed while it was|cannot be) packed.*launch again"
    ):
        pack_project(project, tmp_path / "p.tar.gz")
    assert [path.name for path in tmp_path.iterdir() if "tar" in path.name] == []


def test_a_full_disk_is_no_fault_of_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "p").mkdir()
    project = make(tmp_path / "p")

    def full(self: object, piece: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(project_upload._Summed, "write", full)
    with pytest.raises(OSError, match="No space left"):
        pack_project(project, tmp_path / "p.tar.gz")
    assert [path.name for path in tmp_path.iterdir() if "tar" in path.name] == []
