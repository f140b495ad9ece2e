"""`spawn-tui test SOURCE`, as a user types it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts.need import need
from tests.parts.pbs import Pbs
from tests.parts.slurm import Slurm, no_slurm
from tests.parts.sshd import Sshd
from tests.parts.users import no_users

from ...project.conftest import PLAIN_TOOLS
from ...project.field import write
from .run import Done
from .run import spawn_tui as run


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return write(tmp_path / "home", {"train.py": "print()"})


@pytest.fixture
def at_home(monkeypatch: pytest.MonkeyPatch):
    """Makes this end's HOME the one that leads to a server."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)

    def use(server: Sshd) -> Sshd:
        monkeypatch.setenv("HOME", str(server.home.path))
        return server

    return use


@pytest.fixture
def fake_tools() -> Iterator[Path]:
    """A folder of programs that a far PATH can be made of."""
    with tempfile.TemporaryDirectory(prefix="spawn-tools-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        for tool in (*PLAIN_TOOLS, "timeout", "sort", "env", "head"):
            where = shutil.which(tool)
            if where is not None:
                (Path(folder) / tool).symlink_to(where)
        yield Path(folder)


def check(*arguments: str, cwd: Path) -> tuple[Done, dict[str, tuple[str, str]]]:
    done = run("test", *arguments, "--json", cwd=cwd)
    *checks, verdict = done.objects
    assert set(verdict) == {"source", "verdict", "words"}, done.err
    found = {entry["check"]: (entry["level"], entry["words"]) for entry in checks}
    found["verdict"] = (verdict["verdict"], verdict["words"])
    return done, found


def script(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def test_a_machine_that_is_ready(new_sshd, at_home):
    need(no_users())
    server = at_home(new_sshd())
    home = write(server.home.path / "code/project", {"train.py": "print()"})
    sent = run("sync", "--target", "ssh:server1", cwd=home)
    assert sent.status == 0, sent.err
    done, found = check("ssh:server1", cwd=home)
    assert done.status == 0, done.out
    assert list(found)[:3] == ["connection", "login shell", "machine"]
    assert {name for name, (level, _) in found.items() if level != "ok"} <= {"disk", "python", "verdict"}
    assert server.user in found["machine"][1]
    assert f"in sync in {server.account.home}/code/project" in found["project"][1]
    assert f"{server.account.home}/.spawn/runs" in found["folder"][1]
    assert list((server.account.home / ".spawn").iterdir()) == [server.account.home / ".spawn/sync"]
    plain = run("test", "ssh:server1", cwd=home)
    lines = plain.out.splitlines()
    assert lines[0].startswith("ok    connection   reached") and lines[-1].startswith(
        "server1 can take tasks"
    )


def test_each_thing_that_is_wrong_is_named_with_what_to_do(new_sshd, at_home, home: Path, fake_tools: Path):
    need(no_users())
    for tool in ("setsid", "gzip"):
        (fake_tools / tool).unlink()
    server = at_home(new_sshd(shell="bash", options={"SetEnv": f"PATH={fake_tools}"}))
    server.account.write(".bashrc", "echo Welcome to the machine\n")
    write(
        home,
        {
            "spawn.yaml": "sources: {bad: {type: ssh, host: server1, remote_root: /proc/nowhere, project_dir: ~/p}}\n"
        },
    )
    done, found = check("bad", cwd=home)
    assert done.status == 1
    level, words = found["login shell"]
    assert level == "warn" and "print 23 bytes (Welcome to the machine)" in words and "[ -t 1 ]" in words
    assert found["programs"] == ("fail", "not there: setsid (package util-linux); install them")
    assert found["folder"][0] == "fail" and "remote_root" in found["folder"][1]
    assert found["python"][0] == "warn" and "conda_env" in found["python"][1]
    assert found["project"][0] == "fail" and "spawn-tui sync --target ssh:bad" in found["project"][1]
    assert found["verdict"][1] == "bad cannot take tasks: mend programs, folder, project"


def test_a_machine_without_the_useful_programs(new_sshd, at_home, home: Path, fake_tools: Path):
    need(no_users())
    at_home(new_sshd(options={"SetEnv": f"PATH={fake_tools}"}))
    _, found = check("ssh:server1", cwd=home)
    level, words = found["programs"]
    assert level == "warn" and "no git" in words and "no rsync" in words


def test_the_python_of_the_tasks(new_sshd, at_home, home: Path, fake_tools: Path):
    need(no_users())
    script(fake_tools, "python", "echo Python 9.8.7")
    at_home(new_sshd(options={"SetEnv": f"PATH={fake_tools}"}))
    own = fake_tools / "own"
    own.mkdir()
    script(own, "python4", "echo Python 4.0.0")
    write(home, {
        "spawn.yaml": "sources:\n"
        f"  own: {{type: ssh, host: server1, python: {own}/python4}}\n"
        "  broken: {type: ssh, host: server1, setup: ['echo no module here >&2; false']}\n"
        "  quoted: {type: ssh, host: server1, setup: ['export A=\"$(echo x)\"', 'test \"$A\" = x', "
        f"'PATH={fake_tools}:$PATH']}}\n",  # the login shell that set-up lines run in makes a PATH of its own
    })  # fmt: skip
    assert check("ssh:server1", cwd=home)[1]["python"] == ("ok", f"Python 9.8.7 ({fake_tools}/python)")
    assert check("own", cwd=home)[1]["python"] == (
        "ok",
        f"Python 4.0.0 ({own}/python4) after the source's set-up",
    )
    level, words = check("broken", cwd=home)[1]["python"]
    assert level == "fail" and "no module here" in words and "set-up of source broken failed" in words
    assert check("quoted", cwd=home)[1]["python"][0] == "ok"
    assert not list(Path("/tmp").glob("spawn-test-??????"))


@pytest.mark.parametrize("trouble", ["killed", "unknown key", "changed key", "no login"])
def test_a_machine_that_cannot_be_reached(new_sshd, at_home, home: Path, trouble: str):
    need(no_users())
    server = at_home(new_sshd(known=trouble != "unknown key"))
    if trouble == "killed":
        server.kill()
    elif trouble == "changed key":
        server.new_key()
    elif trouble == "no login":
        server.home.config.write_text(server.home.config.read_text().replace(server.user, "nobody-here"))
    done, found = check("ssh:server1", cwd=home)
    assert done.status == 1
    assert list(found) == ["connection", "verdict"]
    assert found["connection"][0] == "fail" and len(found["connection"][1]) > 30
    if trouble == "unknown key":
        done, found = check("ssh:server1", "--accept-new-host-key", cwd=home)
        assert found["connection"][0] == "ok"


def test_no_posix_shell_behind_the_login(new_sshd, at_home, home: Path):
    need(no_users())
    at_home(new_sshd(options={"ForceCommand": "echo this account is closed"}))
    done, found = check("ssh:server1", cwd=home)
    assert done.status == 1
    assert found["shell"][0] == "fail" and "no POSIX shell" in found["shell"][1]


def test_this_machine(home: Path):
    done, found = check("local", cwd=home)
    assert done.status == 0, done.out
    assert "project" not in found and "connection" not in found
    assert str(home) in found["folder"][1]
    assert [path.name for path in home.iterdir()] == ["train.py"]


SINFO = "printf 'debug up 1:00:00 4\\nlong down infinite 8\\n'"
SLURM = {
    "squeue": "exit 0", "scancel": "exit 0", "sinfo": SINFO, "scontrol": "echo 'MaxArraySize            = 1001'",
    "sbatch": """case "$*" in
--version) echo slurm-wlm 22.05.8 ;;
*nosuch*) echo 'sbatch: error: invalid account or account/partition combination specified' >&2; exit 1 ;;
*) echo "sbatch: Job 12 to start at 2026-01-01T00:00:00 ($*)" >&2 ;;
esac""",
}  # fmt: skip


def scheduler(
    folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch, programs: dict[str, str], config: str
) -> None:
    for name, text in programs.items():
        script(folder, name, text)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    write(home, {"spawn.yaml": f"sources:\n{config}"})


def test_slurm_on_this_machine(home: Path, fake_tools: Path, monkeypatch: pytest.MonkeyPatch):
    """A stand-in: what is asked and how the answers are read; the real one is in the suite of its source."""
    for name in ("qsub", "qstat", "qdel"):
        (fake_tools / name).unlink(missing_ok=True)
    scheduler(fake_tools, home, monkeypatch, SLURM, (
        "  good: {type: slurm, partition: debug, walltime: '01:00:00', cpus: 2}\n"
        "  typo: {type: slurm, partition: debgu}\n"
        "  down: {type: slurm, partition: long}\n"
        "  poor: {type: slurm, account: nosuch}\n"
    ))  # fmt: skip
    _, good = check("good", cwd=home)
    assert good["scheduler"] == ("ok", "slurm-wlm 22.05.8, arrays up to 1001")
    assert good["partition"] == ("ok", "debug (up, 1:00:00, 4 nodes), long (down, infinite, 8 nodes)")
    assert good["trial job"][0] == "ok"
    assert "--partition=debug --time=01:00:00 --cpus-per-task=2 --wrap true" in good["trial job"][1]
    assert good["project"] == ("ok", f"the project itself is there, {home}")
    done, typo = check("typo", cwd=home)
    assert done.status == 1 and typo["partition"][0] == "fail"
    assert "there is no partition debgu; there are: debug" in typo["partition"][1]
    assert check("down", cwd=home)[1]["partition"][0] == "warn"
    done, poor = check("poor", cwd=home)
    assert done.status == 1 and "invalid account" in poor["trial job"][1]
    assert check("hpc", cwd=home)[1]["scheduler"][0] == "ok"
    script(fake_tools, "sinfo", "echo 'Unable to contact slurm controller (connect failure)' >&2; exit 1")
    done, dead = check("good", cwd=home)
    assert done.status == 1 and "Unable to contact slurm controller" in dead["scheduler"][1]


def test_a_real_slurm(home: Path, monkeypatch: pytest.MonkeyPatch):
    need(no_slurm())
    write(home, {"spawn.yaml": "sources: {fat: {type: slurm, mem: 900000G}}\n"})
    with Slurm() as slurm:
        for name, value in slurm.environment().items():
            monkeypatch.setenv(name, value)
        done, found = check("hpc", cwd=home)
        assert done.status == 0, done.out
        assert found["scheduler"][1].startswith("slurm-wlm ") and "arrays up to" in found["scheduler"][1]
        assert "to start at" in found["trial job"][1]
        done, found = check("fat", cwd=home)
        assert done.status == 1 and "Slurm would refuse a task's job" in found["trial job"][1]
        assert slurm.run("squeue", "-h", "-t", "all") == ""


def test_pbs_on_this_machine(home: Path, monkeypatch: pytest.MonkeyPatch):
    """The stand-in that is built on recorded answers of a real server."""
    write(
        home, {"spawn.yaml": "sources: {good: {type: pbs, queue: workq}, typo: {type: pbs, queue: wrokq}}\n"}
    )
    with Pbs() as pbs:
        for name, value in pbs.environment().items():
            monkeypatch.setenv(name, value)
        found = check("good", cwd=home)[1]
        assert found["scheduler"][0] == "ok" and "server vm, arrays up to 10000" in found["scheduler"][1]
        assert found["queue"] == ("ok", "workq")
        assert "no queue wrokq; there are: workq" in check("typo", cwd=home)[1]["queue"][1]
        pbs.server_down()
        done, found = check("good", cwd=home)
        assert done.status == 1 and "cannot connect to server vm" in found["scheduler"][1]


def test_no_scheduler_on_the_login_node(new_sshd, at_home, home: Path, fake_tools: Path):
    need(no_users())
    at_home(new_sshd(options={"SetEnv": f"PATH={fake_tools}"}))
    write(
        home,
        {"spawn.yaml": "sources: {big: {type: slurm, host: server1}, any: {type: hpc, host: server1}}\n"},
    )
    done, found = check("big", cwd=home)
    assert done.status == 1
    assert (
        found["scheduler"][0] == "fail"
        and "no sbatch, squeue, scancel on the PATH of server1" in found["scheduler"][1]
    )
    assert "neither Slurm nor PBS" in check("any", cwd=home)[1]["scheduler"][1]


@pytest.mark.parametrize("arguments", [["nonsense"], [], ["local,local"], ["ssh:"]])
def test_bad_usage(arguments: list[str], home: Path):
    done = run("test", *arguments, cwd=home)
    assert done.status == 2 and "Traceback" not in done.err
