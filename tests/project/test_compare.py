"""Whether a copy is what the project is: by commit, by content, on real machines."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from spawn_tui.engine.project import far as far_module
from spawn_tui.engine.project.compare import compare, place_of, preflight, require_in_sync, target_of
from spawn_tui.engine.remote.host import Host, HostAway, HostRefused, LocalHost
from spawn_tui.engine.sources.registry import SourceSpec, parse_sources

from .conftest import Far
from .field import Scripts, commit, git, project, write, write_nasty

SOURCES: dict[str, str | bytes] = {
    "train.py": "print()",
    "conf/a.yaml": "a: 1",
    "data.bin": bytes(range(256)) * 100,
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return write(tmp_path / "home", SOURCES)


def spec_of(far: Far, there: Path, **options: str) -> SourceSpec:
    return SourceSpec(far.server.alias, "ssh", 4, {**far.options, "project_dir": str(there), **options})


# --- by content ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("machine", ["far", "plain_far"])
def test_alike_and_then_not(machine: str, request: pytest.FixtureRequest, home: Path):
    far: Far = request.getfixturevalue(machine)
    write_nasty(home)
    (home / "run.sh").write_text("#!/bin/sh\n")
    (home / "run.sh").chmod(0o755)
    (home / "link").symlink_to("run.sh")
    there = far.copy(home)
    same = compare(far.host, project(home), str(there))
    assert same.in_sync and same.total == len(project(home).entries)
    assert "files alike" in same.words

    write(there, {"train.py": "print(2)", "results/only-there.csv": "1"})
    (there / "run.sh").chmod(0o644)
    (there / "link").unlink()
    (there / "link").symlink_to("train.py")
    (there / "data.bin").unlink()
    found = compare(far.host, project(home), str(there))
    assert dict(found.different) == {"train.py": "", "run.sh": "executable here", "link": ""}
    assert found.missing == ("data.bin",)
    assert (
        "3 files differ: link, run.sh (executable here), train.py; 1 file missing there: data.bin"
        in found.words
    )


def test_one_round_trip_for_a_thousand_files(near: LocalHost, tmp_path: Path):
    home = write(tmp_path / "p", {f"d{n % 30}/file-{n}.py": str(n) for n in range(1000)})
    there = tmp_path / "there"
    shutil.copytree(home, there)
    found = compare(near, project(home), str(there))
    assert found.in_sync and found.total == 1000
    assert near.usage.round_trips == 1
    write(there, {"d7/file-37.py": "other"})
    assert compare(near, project(home), str(there)).different == (("d7/file-37.py", ""),)


def test_many_differences_are_counted_and_ten_named(near: LocalHost, tmp_path: Path):
    home = write(tmp_path / "p", {f"f{n:02}.py": "" for n in range(25)})
    (tmp_path / "there").mkdir()
    words = compare(near, project(home), str(tmp_path / "there")).words
    assert (
        "25 files missing there: f00.py" in words and "f09.py and 15 more" in words and "f10.py" not in words
    )


def test_a_name_with_a_newline_is_told_apart_by_a_program_that_does_not_escape(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """busybox prints such names as they are, over two lines; one that imitates a sum must not be taken for one."""
    fake = tmp_path / "bin"
    fake.mkdir()
    (fake / "sha256sum").write_text(
        '#!/bin/sh\n[ $# -gt 0 ] || exec busybox sha256sum\nexec busybox sha256sum "$@"\n'
    )
    (fake / "sha256sum").chmod(0o755)
    far_home = tmp_path / "far-home"
    far_home.mkdir()
    host = LocalHost(
        environment={**os.environ, "HOME": str(far_home), "PATH": f"{fake}:{os.environ['PATH']}"}
    )
    write(home, {f"a\n{'0' * 64}  b": "1", "z\nz": "2"})
    there = tmp_path / "there"
    shutil.copytree(home, there)
    assert compare(host, project(home), str(there)).in_sync
    write(there, {"z\nz": "3"})
    assert compare(host, project(home), str(there)).different == (("z\nz", ""),)


def test_what_stands_in_the_way_is_named(near: LocalHost, home: Path, tmp_path: Path):
    there = tmp_path / "there"
    shutil.copytree(home, there)
    shutil.rmtree(there / "conf")
    (there / "conf").symlink_to(tmp_path / "elsewhere")
    write(tmp_path / "elsewhere", {"a.yaml": "a: 1"})
    (there / "train.py").unlink()
    (there / "train.py").mkdir()
    found = compare(near, project(home), str(there))
    assert dict(found.different) == {
        "conf/a.yaml": "its folder is a link or a file there",
        "train.py": "no file there",
    }


def test_an_unreadable_file_there_differs(far: Far, home: Path):
    there = far.copy(home)
    (there / "train.py").chmod(0o000)
    assert compare(far.host, project(home), str(there)).different == (("train.py", "cannot be read there"),)


def test_not_there_closed_and_no_folder(far: Far, home: Path):
    absent = compare(far.host, project(home), "~/nowhere")
    assert absent.absent and not absent.in_sync
    assert f"the project is not there: no folder {far.home}/nowhere" in absent.words
    closed = far.home / "closed"
    closed.mkdir(mode=0o700)  # root's
    with pytest.raises(HostRefused, match="closed is no folder that can be entered"):
        compare(far.host, project(home), "~/closed")
    (far.home / "file").write_text("")
    with pytest.raises(HostRefused, match="file is no folder"):
        compare(far.host, project(home), str(far.home / "file"))


def test_a_machine_without_checksums_is_refused_in_words(home: Path, tmp_path: Path):
    bare = tmp_path / "bin"
    bare.mkdir()
    for tool in ("sh", "grep", "wc", "cat", "readlink"):
        where = shutil.which(tool)
        assert where is not None
        (bare / tool).symlink_to(where)
    (tmp_path / "far-home").mkdir()
    host = LocalHost("bare", environment={"PATH": str(bare), "HOME": str(tmp_path / "far-home")})
    with pytest.raises(HostRefused, match=r"bare: .*without sha256sum, shasum or openssl"):
        compare(host, project(home), str(tmp_path))


def test_noise_of_start_up_files_changes_nothing(new_sshd, home: Path, monkeypatch: pytest.MonkeyPatch):
    from .conftest import _far

    far = _far(new_sshd(shell="bash"), monkeypatch)
    far.server.account.write(
        ".bashrc", "echo welcome to this machine; echo 'end'; echo 'D 0'; echo loud >&2\n"
    )
    there = far.copy(home)
    assert compare(far.host, project(home), str(there)).in_sync
    far.host.close()


@pytest.mark.parametrize("shell", ["bash", "fish", "csh"])
def test_other_login_shells(new_sshd, shell: str, home: Path, monkeypatch: pytest.MonkeyPatch):
    from tests.parts.fixtures import SHELLS
    from tests.parts.need import missing, need

    from .conftest import _far

    need(missing({shell: SHELLS[shell]}))
    far = _far(new_sshd(shell=shell), monkeypatch)
    write_nasty(home)
    there = far.copy(home)
    assert compare(far.host, project(home), str(there)).in_sync
    far.host.close()


def test_a_cut_answer_is_no_answer(home: Path, tmp_path: Path, near: LocalHost):
    class Short(Scripts):
        def run(self, command, data=b"", *, limit, into=None):
            answer = super().run(command, data, limit=limit, into=into)
            return type(answer)(answer.status, answer.out[:-10], answer.err)

    with pytest.raises(HostAway, match="cut off"):
        compare(Short(near), project(home), str(home.parent))


def test_the_project_itself_is_not_compared(home: Path):
    host = LocalHost()
    assert compare(host, project(home), str(home)).in_sync
    assert host.usage.round_trips == 0


# --- by commit -------------------------------------------------------------------------------------------------------


def cloned(far: Far, home: Path) -> Path:
    there = far.home / "copy"
    git(home.parent, "clone", "-q", str(home), str(there))
    return far.own(there)


def test_the_same_commit_needs_no_reading(far: Far, home: Path, monkeypatch: pytest.MonkeyPatch):
    head = commit(home)
    there = cloned(far, home)
    monkeypatch.setattr(type(project(home)), "entries", property(lambda self: pytest.fail("files were read")))
    found = compare(far.host, project(home), str(there))
    assert found.in_sync and found.total == 0 and "the same commit" in found.words
    assert far.host.usage.round_trips == 1
    # What sweeps and programs leave behind on either side is no change.
    write(home, {"sweeps/outputs/s-1/sweep.json": "{}"})
    far.own(write(there, {"results/x.csv": "", "__pycache__/x.pyc": ""}))
    assert compare(far.host, project(home), str(there)).in_sync
    assert project(home).git.head == head


@pytest.mark.parametrize("side", ["here", "there"])
def test_a_dirty_tree_is_compared_by_content(far: Far, home: Path, side: str):
    commit(home)
    there = cloned(far, home)
    changed = home if side == "here" else there
    write(changed, {"train.py": "print(2)"})
    far.own(there)
    found = compare(far.host, project(home), str(there))
    assert found.different == (("train.py", ""),) and not found.missing
    assert "with 1 changed" in found.git
    other = there if side == "here" else home
    write(other, {"train.py": "print(2)"})
    far.own(there)
    assert compare(far.host, project(home), str(there)).in_sync


def test_a_new_file_here_is_missing_there(far: Far, home: Path):
    commit(home)
    there = cloned(far, home)
    write(home, {"new.py": ""})
    assert compare(far.host, project(home), str(there)).missing == ("new.py",)


def test_another_commit_there(far: Far, home: Path):
    commit(home)
    there = cloned(far, home)
    write(home, {"train.py": "print(3)"})
    commit(home)
    found = compare(far.host, project(home), str(there))
    assert found.different == (("train.py", ""),)
    assert "clean; there at" in found.git
    # Another commit with the same content is in sync all the same.
    git(home, "commit", "-q", "--allow-empty", "-m", "nothing")
    write(there, {"train.py": "print(3)"})
    far.own(there)
    assert compare(far.host, project(home), str(there)).in_sync


@pytest.mark.parametrize("trick", ["assume-unchanged", "skip-worktree"])
@pytest.mark.parametrize("side", ["here", "there"])
def test_files_that_git_was_told_to_trust(far: Far, home: Path, trick: str, side: str):
    commit(home)
    there = cloned(far, home)
    folder = home if side == "here" else there
    git(folder, "update-index", f"--{trick}", "train.py")
    write(folder, {"train.py": "print('secretly other')"})
    far.own(there)
    assert compare(far.host, project(home), str(there)).different == (("train.py", ""),)


def test_submodules_and_filters_are_compared_by_content(far: Far, home: Path, tmp_path: Path):
    commit(write(tmp_path / "library", {"core.py": "1"}))
    commit(home)
    git(home, "submodule", "add", "-q", str(tmp_path / "library"), "vendored")
    git(home, "commit", "-q", "-m", "vendored")
    there = cloned(far, home)  # without its submodule, which git calls clean
    assert git(there, "status", "--porcelain") == ""
    assert compare(far.host, project(home), str(there)).missing == ("vendored/core.py",)
    filtered = write(tmp_path / "lfs", {"w.bin": "content", "sub/.gitattributes": "*.bin filter=lfs\n"})
    commit(filtered)
    assert project(filtered).git.opaque and not project(filtered).git.settled
    assert project(home / "conf").git.opaque == ""


def test_a_subfolder_is_the_same_subfolder(far: Far, home: Path):
    """Both clean at the same commit, but the folder there is another part of the repository."""
    write(home, {"a/x.py": "1", "b/y.py": "2"})
    commit(home)
    there = cloned(far, home)
    assert compare(far.host, project(home / "a"), str(there / "a")).in_sync
    assert compare(far.host, project(home / "a"), str(there / "b")).missing == ("x.py",)


def test_a_repository_without_a_commit(far: Far, home: Path):
    git(home, "init", "-q")
    there = far.copy(home)
    found = compare(far.host, project(home), str(there))
    assert found.in_sync and found.total == 3


def test_without_git_there(plain_far: Far, home: Path):
    commit(home)
    there = plain_far.copy(home)
    assert compare(plain_far.host, project(home), str(there)).total == 3
    write(there, {"train.py": ""})
    assert "no git there" in compare(plain_far.host, project(home), str(there)).words


# --- what sources and launches say of it -----------------------------------------------------------------------------


def test_a_source_refuses_with_the_remedy(far: Far, home: Path):
    there = far.copy(home)
    spec = spec_of(far, there)
    assert require_in_sync(far.host, spec, project(home)).in_sync
    write(there, {"train.py": ""})
    with pytest.raises(HostRefused) as refused:
        require_in_sync(far.host, spec, project(home))
    words = str(refused.value)
    assert words.startswith("server1: the project differs in ") and "train.py" in words
    assert "spawn-tui sync --target ssh:server1;" in words and "--no-verify-sync" in words
    before = far.host.usage.round_trips
    require_in_sync(far.host, spec_of(far, there, verify="no"), project(home))
    assert far.host.usage.round_trips == before
    with pytest.raises(HostRefused, match=r"not there: no folder .*spawn-tui sync --target .*project_dir"):
        require_in_sync(far.host, spec_of(far, far.home / "gone"), project(home))
    with pytest.raises(HostRefused, match=r"cannot be compared: the project's folder .* is not there"):
        require_in_sync(far.host, spec, project(home / "gone"))


def test_all_sources_are_looked_at_before_a_launch(far: Far, home: Path, tmp_path: Path, new_sshd):
    good, bad = far.copy(home, "good"), far.copy(home, "bad")
    write(bad, {"train.py": ""})
    dead = new_sshd(alias="server2", home=far.server.home)
    stranger = new_sshd(alias="server3", home=far.server.home, known=False)
    dead.kill()
    specs = [
        SourceSpec("local", "local", 2),
        spec_of(far, good),
        SourceSpec("worse", "ssh", 1, {**far.options, "project_dir": str(bad)}),
        SourceSpec("dead", "ssh", 1, {"host": dead.alias}),
        SourceSpec("stranger", "ssh", 1, {"host": stranger.alias}),
        SourceSpec("unchecked", "ssh", 1, {"host": dead.alias, "verify": "no"}),
        SourceSpec("slurm", "slurm", 1),
    ]
    findings = preflight(specs, project(home))
    assert [(finding.source, finding.state) for finding in findings] == [
        ("server1", "ok"), ("worse", "differs"), ("dead", "unreachable"), ("stranger", "refused"), ("slurm", "ok"),
    ]  # fmt: skip
    assert "--target ssh:worse" in findings[1].words and "train.py" in findings[1].words
    assert preflight(specs[:1], project(home)) == []


def test_preflight_closes_what_it_opened(home: Path, near: LocalHost):
    closed: list[str] = []

    class Closing(Scripts):
        def close(self) -> None:
            closed.append(self.name)

    def connect(spec: SourceSpec) -> Host:
        return Closing(near)

    preflight([SourceSpec("a", "ssh", 1), SourceSpec("b", "ssh", 1)], project(home), connect)
    assert closed == ["near", "near"]


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("ssh:server1:8", "ssh:server1"),
        ("ssh:me@server1", "ssh:me@server1"),
        ("ssh:me@server1:2222:8", "ssh:me@server1:2222:8"),
        ("slurm:16", "slurm"),
        ("slurm:big:16", "slurm:big"),
    ],
)
def test_a_target_is_named_so_that_it_is_found_again(text: str, target: str):
    first = parse_sources([text])[0]
    assert target_of(first) == target
    again = parse_sources([target_of(first)])[0]
    assert (again.kind, again.options) == (first.kind, first.options)
    twice = parse_sources([text, text])[1]
    assert target_of(twice).startswith("ssh:" if text.startswith("ssh") else "slurm")
    if text.startswith("ssh"):
        assert parse_sources([target_of(twice)])[0].options == first.options


def test_where_the_project_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert place_of(SourceSpec("a", "ssh", 1), tmp_path / "code/p") == "~/code/p"
    assert place_of(SourceSpec("a", "ssh", 1), Path("/data/p")) == "/data/p"
    assert place_of(SourceSpec("a", "ssh", 1, {"project_dir": "~/x"}), tmp_path / "p") == "~/x"
    assert far_module.quote_path("~/it's here") == "\"$HOME\"/'it'\"'\"'s here'"
