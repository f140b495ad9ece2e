"""`collect --over-ssh`: real SSH servers, on hosts of their own, at the addresses of instances of the emulator."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import pytest
from spawn_tui.engine.aws import over_ssh
from spawn_tui.engine.aws.lookout import Clouds, look, places
from spawn_tui.engine.aws.over_ssh import Access, OverSsh, aims_of, wanted_of
from spawn_tui.engine.aws.reach import Wish
from spawn_tui.engine.collect.bring import Collected
from spawn_tui.engine.viewer import Viewer

from ..collect.field import tree
from ..collect.test_collector import NASTY
from ..e2e.field import Field as Place
from ..e2e.field import wait_until as wait_for
from ..parts import netns
from ..parts.aws import Aws
from ..parts.need import need
from ..parts.netns import NetHosts
from ..parts.waiting import wait_until
from ..tui.build import Made
from .ec2_field import Emulated, emulated, until
from .ssh_field import OLD, Machines
from .verbs_field import EAST, Said, a_sweep, call, launch, put, source_name, states

pytestmark = pytest.mark.parts
Capture = pytest.CaptureFixture[str]
BIG = 24 << 20
LOG = {"stdout.log": b"step 1\n", "claim": b"1:2:boot:host\n"}


@pytest.fixture(scope="module")
def server() -> Generator[Emulated]:
    with emulated() as server:
        yield server


@pytest.fixture
def machines() -> Generator[Machines]:
    need(netns.available())
    with NetHosts(2, shell="bash") as hosts:
        yield Machines(hosts)


@dataclass
class Field:
    """A sweep of four tasks of which the first two run, on `machines` 1 and 2."""

    made: Made
    emulator: Emulated
    machines: Machines
    capsys: Capture
    ids: list[str]

    def collect(self, *more: str) -> Said:
        hosts = self.machines.hosts
        login = ("--user", hosts.user, "--key", str(hosts.home.key))
        return call(self.capsys, "collect", self.made.id, "--over-ssh", *login, *more)

    def there(self, number: int, files: dict[str | bytes, bytes]) -> Path:
        return self.machines.attempt(number, f"task_{number:03}.1", files)

    def home(self, number: int) -> Path:
        return self.made.store.layout.attempt(f"task_{number:03}", 1)

    def coming(self, moved: Callable[[int], object]) -> OverSsh:
        """Without the command line."""
        viewer = Viewer(self.made.root)
        clouds, hosts = Clouds(), self.machines.hosts
        seen = look(viewer.root, viewer.sweep.id, places(viewer.sweep), clouds)
        aims, _ = aims_of(wanted_of(viewer.sweep), seen)
        wish = Wish(hosts.user, str(hosts.home.key))
        access = Access(clouds, wish, viewer.root / "ec2" / "known_hosts", Path.home())
        return OverSsh(viewer.sweep.id, viewer.layout, aims, access, moved=moved)

    def bring(self, moved: Callable[[int], object]) -> list[Collected]:
        """All of it; what was told."""
        coming = self.coming(moved)
        found: list[Collected] = []

        def over() -> bool:
            told = coming.next(0.05)
            found.extend([told[1]] if told else [])
            return coming.left == 0

        try:
            wait_until(over, "everything to be told", limit=60)
        finally:
            coming.close()
        return found


@pytest.fixture
def field(
    server: Emulated,
    machines: Machines,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> Field:
    server.ask("POST", "reset")
    server.calm()
    for name in ("one", "home"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.chdir(tmp_path / "one")
    made = a_sweep(tmp_path / "made")
    made.index()
    server.cloud.client("ec2", EAST).create_key_pair(KeyName="lab")
    ids = launch(made, server.cloud, [0, 1], key="lab")
    until(lambda: all(states(server)[identity] == "running" for identity in ids))
    machines.are(monkeypatch, {ids[0]: 1, ids[1]: 2})
    return Field(made, server, machines, capsys, ids)


def test_files_of_root_come_home_byte_for_byte_and_only_once(field: Field):
    noise = field.machines.hosts.home_of(1) / ".bashrc"
    noise.write_text("echo Welcome; printf 'spawn-sftp '\n")
    noise.chmod(0o644)
    nasty = {b"results/" + name: os.urandom(number * 77) for number, name in enumerate(NASTY)}
    first = field.there(1, {**LOG, **nasty, "empty": b"", "results/deep/er/w.bin": os.urandom((5 << 20) + 7)})
    (first / "results" / "w.sh").write_bytes(b"#!/bin/sh\n")
    (first / "results" / "w.sh").chmod(0o700)
    (first / "results" / "nothing").mkdir()
    second = field.there(2, {**LOG, "start.sh": b"x", "status.yaml": b"y"})
    before = field.made.store.sweep.seq
    said = field.collect("--json")
    assert said.status == 0, said.err
    assert tree(field.home(1)) == tree(first)
    assert tree(field.home(2)) == tree(second, but=frozenset({"start.sh", "status.yaml"}))
    assert os.access(field.home(1) / "results" / "w.sh", os.X_OK)
    assert int((field.home(2) / "stdout.log").stat().st_mtime) == OLD
    one, two, summary = sorted(said.objects, key=lambda line: line.get("task", 99))
    assert (one["task"], one["source"], one["instance_id"], one["partial"], one["problem"]) == (
        1, source_name(EAST), field.ids[0], True, "",
    )  # fmt: skip
    assert two["moved"] == two["size"] == sum(map(len, LOG.values()))
    assert summary["home"] == summary["attempts"] == summary["partial"] == 2
    assert "2 of them have not ended: what came of these is partial" in said.err
    # Host keys are the sweep's, by instance; nothing was journalled.
    kept = field.made.root / "ec2" / "known_hosts"
    for identity in field.ids:
        subprocess.run(["ssh-keygen", "-F", identity, "-f", kept], check=True, capture_output=True)
    assert len(kept.read_text().splitlines()) == 2
    assert Viewer(field.made.root).sweep.seq == before
    again = field.collect("--json")
    assert again.status == 0 and again.objects[-1]["moved"] == 0, again.err
    assert again.objects[-1]["files"] == summary["files"]
    for number in (1, 2):
        field.machines.nothing_is_left(number)


def test_only_the_tasks_that_were_chosen(field: Field):
    field.there(1, LOG)
    field.there(2, LOG)
    said = field.collect("--tasks", "2")
    assert said.status == 0 and "1 of 1 attempts brought over SSH, 2 files" in said.out, said.err
    assert not field.home(1).exists() and (field.home(2) / "stdout.log").read_bytes() == LOG["stdout.log"]


def test_a_transfer_goes_on_behind_what_has_come(field: Field):
    there = field.there(1, {"results/big": os.urandom(BIG)})
    field.there(2, LOG)
    came = 0

    def cut_off(count: int) -> None:
        nonlocal came
        came += count
        if came > BIG // 3:
            field.machines.server_dies(1)

    told = {one.ref.task: one for one in field.bring(cut_off)}
    assert told[1].problem == "" and "nothing listens on port 22" in told[0].problem
    assert not (field.home(1) / "results" / "big").exists()
    (part,) = field.home(1).glob(".spawn-*.part")
    had = part.stat().st_size
    assert BIG // 4 < had < BIG
    field.machines.server_is_back(1)
    said = field.collect("--json", "--tasks", "1")
    assert said.status == 0 and said.objects[0]["moved"] == BIG - had, said.err
    assert tree(field.home(1)) == tree(there)


def test_a_connection_that_drops_is_made_anew(field: Field):
    there = field.there(1, {"results/big": os.urandom(BIG)})
    field.there(2, {})
    came, drops = 0, 0

    def drop(count: int) -> None:
        nonlocal came, drops
        came += count
        if drops < 2 and came > BIG // 3 * (drops + 1):
            drops += 1
            field.machines.server_dies(1)
            field.machines.server_is_back(1)

    told = field.bring(drop)
    assert [one.problem for one in told] == ["", ""] and drops == 2
    assert came == BIG and tree(field.home(1)) == tree(there)


def test_who_stops_it_hangs_up_and_keeps_what_has_come(field: Field):
    field.there(1, {"results/big": os.urandom(BIG)})
    field.there(2, {})
    begun, go_on = threading.Event(), threading.Event()

    def wait(_: int) -> None:
        begun.set()
        go_on.wait(30)

    coming = field.coming(wait)
    closing = threading.Thread(target=coming.close)
    try:
        assert begun.wait(30)
    finally:
        closing.start()
        field.machines.nothing_is_left(1)
        go_on.set()
        closing.join(30)
    wait_until(
        lambda: not [one for one in threading.enumerate() if one.name.startswith("over ssh")], "threads"
    )
    assert not (field.home(1) / "results" / "big").exists()
    (part,) = field.home(1).glob(".spawn-*")
    assert part.suffix == ".part" and part.stat().st_size > 0


def test_connections_that_drop_for_ever_are_given_up(field: Field, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(over_ssh, "TRIES", 2)
    field.there(1, {"results/big": os.urandom(BIG)})
    field.there(2, {})
    came = 0

    def drop(count: int) -> None:
        nonlocal came
        came += count
        if came > 1 << 20:
            came = 0
            field.machines.server_dies(1)
            field.machines.server_is_back(1)

    (problem,) = [one.problem for one in field.bring(drop) if one.problem]
    assert "connection lost" in problem and "2 times" in problem


def test_links_stay_inside_and_what_is_no_file_stays_there(field: Field):
    there = field.there(1, {"results/a": b"1", "taken": b"2"})
    (there / "in").symlink_to("results/a")
    (there / "results" / "up").symlink_to("/var/lib/spawn/attempts/task_001.1/taken")
    (there / "out").symlink_to("/etc/passwd")
    (there / "folder").symlink_to("/etc")
    os.mkfifo(there / "pipe")
    (field.home(1) / "taken").mkdir(parents=True)
    (field.home(1) / "folder").mkdir()
    (there / "linked").symlink_to("results/a")
    (field.home(1) / "linked").write_bytes(b"of the bucket")
    field.there(2, {})
    said = field.collect()
    home = field.home(1)
    assert said.status == 1 and "'taken' cannot be stored here: Is a directory" in said.err
    assert os.readlink(home / "in") == "results/a" and os.readlink(home / "results" / "up") == "../taken"
    assert not (home / "out").is_symlink() and not (home / "pipe").exists()
    assert "out -> /etc/passwd" in said.err and "links out of the attempt, not followed" in said.err
    assert (home / "linked").read_bytes() == b"of the bucket" and "linked on" in said.err
    assert "pipe on" in said.err and list((home / "folder").iterdir()) == []


def test_nothing_is_written_through_a_link_at_home(field: Field, tmp_path: Path):
    field.there(1, {"results/a": b"1"})
    field.there(2, {})
    (tmp_path / "elsewhere").mkdir()
    field.home(1).mkdir(parents=True)
    (field.home(1) / "results").symlink_to(tmp_path / "elsewhere")
    said = field.collect()
    assert said.status == 1 and "'results/a' cannot be stored here" in said.err
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_file_that_grows_comes_as_far_as_it_is(field: Field):
    there = field.there(1, {"stdout.log": b"x" * (5 << 20)})
    field.there(2, {})
    grown: list[int] = []

    def grow(_: int) -> None:
        with (there / "stdout.log").open("ab") as file:
            grown.append(file.write(b"y" * 1000))
        os.utime(there / "stdout.log", (OLD, OLD))  # its size alone tells

    told = field.bring(grow)
    home = field.home(1) / "stdout.log"
    assert grown and not any(one.problem or one.notes for one in told)
    assert home.read_bytes() == b"x" * (5 << 20)
    assert field.collect().status == 0
    assert home.read_bytes() == (there / "stdout.log").read_bytes()


def test_a_file_that_is_rewritten_while_it_is_read_is_asked_for_again(field: Field):
    size = 5 << 20
    there = field.there(1, {"best.pt": b"a" * size})
    field.there(2, {})
    rewritten: list[int] = []

    def rewrite(_: int) -> None:
        if not rewritten:
            rewritten.append(1)
            field.machines.write(there, "best.pt", b"b" * (size - 5), at=OLD + 60)

    assert not any(one.problem or one.notes for one in field.bring(rewrite))
    assert (field.home(1) / "best.pt").read_bytes() == b"b" * (size - 5)
    # And one that never stops being rewritten: it comes as it is, which is said.
    rewritten.clear()

    def every_time(_: int) -> None:
        rewritten.append(1)
        field.machines.write(there, "best.pt", b"c" * size, at=OLD + 60 + len(rewritten))

    field.machines.write(there, "best.pt", b"c" * size, at=OLD + 1)
    (told,) = [one for one in field.bring(every_time) if one.ref.task == 0]
    assert "changed while it was read; home is what it was then" in told.notes[0]
    assert (field.home(1) / "best.pt").read_bytes() == b"c" * size


def test_another_host_key_is_refused_in_words(field: Field):
    field.there(1, LOG)
    field.there(2, LOG)
    assert field.collect().status == 0
    field.machines.new_key(1)
    field.there(1, {"new": b"1"})
    said = field.collect("--json")
    assert said.status == 1 and f"ssh-keygen -R '{field.ids[0]}'" in said.err
    problems = {line["task"]: line["problem"] for line in said.objects[:2]}
    assert "its host key has CHANGED" in problems[1] and problems[2] == ""
    assert not (field.home(1) / "new").exists()


def test_without_sudo_the_words_say_what_to_do(field: Field):
    field.there(1, LOG)
    field.there(2, LOG)
    field.machines.sudo(1, None)
    field.machines.sudo_refuses(2)
    said = field.collect()
    assert said.status == 1 and "0 of 2 attempts" in said.out
    first, second = [line for line in said.err.splitlines() if "task_00" in line and "root's" in line]
    first, second = sorted((first, second))
    assert "sudo" in first and "not found" in first
    assert "sudo: a password is required" in second and "NOPASSWD" in second


def test_an_instance_that_is_not_there_is_said(field: Field):
    field.there(1, LOG)
    field.emulator.ask("POST", f"instances/{field.ids[1]}/terminate")
    until(lambda: states(field.emulator)[field.ids[1]] == "terminated")
    said = field.collect("--json")
    assert said.status == 1 and (field.home(1) / "stdout.log").exists()
    assert f"{field.ids[1]} is terminated" in said.err
    assert said.objects[0]["instance_id"] is None and "terminated" in said.objects[0]["problem"]
    # One that has ended is no problem, for the bucket has its files, unless somebody asks for just it.
    field.made.end(1)
    said = field.collect()
    assert said.status == 0, said.err
    assert "1 task ended, and their instances do not run" in said.err
    said = field.collect("--tasks", "2")
    assert said.status == 1 and f"task_002.1: {field.ids[1]} is terminated" in said.err
    said = field.collect("--tasks", "3")
    assert said.status == 2 and "nothing of these tasks" in said.err


def test_an_instance_without_the_attempt_is_said(field: Field):
    field.there(1, LOG)
    said = field.collect()
    assert said.status == 1
    assert f"there is no /var/lib/spawn/attempts/task_002.1 on {field.ids[1]}" in said.err


def test_what_the_bucket_brought_is_not_written_over(field: Field):
    """A kept instance that somebody started again: the task has ended, and its files are home already."""
    for task in (0, 1):
        field.made.end(task)
    files = {"attempts/{attempt}/model": b"verified", "attempts/{attempt}/same": b"1"}
    put(field.emulator.cloud, field.made.id, "task_001.1", files)
    assert call(field.capsys, "collect", field.made.id, "--tasks", "1").status == 0
    there = field.there(1, {"model": b"scribbled over", "same": b"1", "more": b"not in the bucket"})
    field.there(2, LOG)
    said = field.collect("--json")
    home = field.home(1)
    assert said.status == 0, said.err
    assert (home / "model").read_bytes() == b"verified"
    assert (home / "more").read_bytes() == b"not in the bucket"
    assert "model on" in said.err and "home is what the bucket brought" in said.err and "same" not in said.err
    assert [line["partial"] for line in said.objects[:2]] == [False, False]
    # What is home and not from the bucket is brought again when it differs.
    field.machines.write(there, "more", b"other")
    assert field.collect().status == 0 and (home / "more").read_bytes() == b"other"
    # Where the bucket does not answer, nothing that stands here is touched.
    field.emulator.ask("POST", "faults", service="s3", status=403, code="AccessDenied")
    field.machines.write(there, "more", b"third")
    said = field.collect()
    assert said.status == 1 and "cannot be asked" in said.err, said.err
    assert (home / "more").read_bytes() == b"other"


def test_an_engine_that_brings_it_meanwhile_wins(field: Field):
    field.there(1, {"results/big": os.urandom(5 << 20)})
    field.there(2, {})
    home = field.home(1) / "results" / "big"

    def engine(_: int) -> None:
        if not home.exists():
            home.parent.mkdir(parents=True, exist_ok=True)
            home.write_bytes(b"from the bucket")

    (told,) = [one for one in field.bring(engine) if one.ref.task == 0]
    assert home.read_bytes() == b"from the bucket" and "brought it from the bucket meanwhile" in told.notes[0]
    assert list(field.home(1).glob(".spawn-*")) == []


def test_a_host_on_the_way_must_be_known(field: Field):
    """Only an instance's own key is taken as it comes."""
    hosts = field.machines.hosts
    field.there(1, LOG)
    config = Path.home() / ".ssh" / "config"
    config.parent.mkdir(mode=0o700)
    config.write_text(
        f"Host {hosts.address(1)}\n  ProxyJump bastion\nHost bastion\n  HostName {hosts.address(2)}\n"
        f"  User {hosts.user}\n  IdentityFile {hosts.home.key}\n"
    )
    said = field.collect("--tasks", "1")
    assert said.status == 1 and "on the way to" in said.err and "run `ssh bastion` once" in said.err
    known = Path.home() / ".ssh" / "known_hosts"
    key = (hosts.directory / "host2" / "host_key.pub").read_text()
    known.write_text(f"{hosts.address(2)} {key}")
    assert field.collect("--tasks", "1").status == 0
    assert known.read_text() == f"{hosts.address(2)} {key}"


def test_what_does_not_go_together(field: Field):
    for words in (["--over-ssh", "--delete-remote"], ["--user", "me"], ["--key", "f"]):
        assert call(field.capsys, "collect", field.made.id, *words).status == 2
    field.there(1, {})
    lock = field.made.root / "collect.lock"
    from spawn_tui.state.lock import EngineLock

    held = EngineLock(lock)
    held.acquire()
    try:
        said = field.collect()
    finally:
        held.release()
    assert said.status == 1 and "is being collected already" in said.err


SCRIPT = """\
#!/bin/sh
cp /usr/bin/env /usr/local/bin/as-root && chmod 4755 /usr/local/bin/as-root
printf '#!/bin/sh\\nshift\\nexec as-root "$@"\\n' >/usr/local/bin/sudo && chmod 755 /usr/local/bin/sudo
mkdir "$SWEEP_TASK_DIR/results" && cd "$SWEEP_TASK_DIR/results"
echo 0.5 >so_far
echo begun
while [ ! -e /tmp/go ]; do sleep 0.1; done
echo 0.9 >so_far && echo 1 >final
"""


def test_of_an_instance_that_really_runs_as_ec2_tells_of_it(aws: Aws, tmp_path: Path):
    """User by image, address by EC2, directories by the bootstrap; what counts comes by the bucket in the end."""
    place = Place(tmp_path, {**aws.env(EAST), "SSH_AUTH_SOCK": ""})
    aws.client("ec2").import_key_pair(KeyName="id_ed25519", PublicKeyMaterial=place.home.public.encode())
    fields = {
        "instance_type": "t3.micro", "region": EAST, "ttl": "30m", "key_name": "id_ed25519", "completion_delay": "1s",
        "user_data": SCRIPT,
    }  # fmt: skip
    place.write("sweep.json", json.dumps({"defaults": fields, "params": [{"name": "one"}]}))
    engine = place.start("launch", "sweep.json", "--no-ui", "-y", log=tmp_path / "log")
    try:
        wait_for(lambda: [one for one in aws.instances() if "begun" in aws.console(one["id"])], "the script")
        said = place.run("collect", "latest", "--over-ssh", "--json")
        assert said.status == 0, said
        home = place.root / "attempts" / "task_001.1"
        assert (home / "results" / "so_far").read_text() == "0.5\n" and said.objects[0]["partial"], said
        assert (home / "stdout.log").read_text() == "begun\n"
        gone_on = place.run("connect", "latest", "1", "--", "touch", "/tmp/go")
        assert gone_on.status == 0, gone_on
        assert engine.wait(60) == 0, (tmp_path / "log").read_text()
    finally:
        engine.kill()
        engine.wait(10)
    assert (home / "results" / "so_far").read_text() == "0.9\n"
    assert (home / "results" / "final").read_text() == "1\n"
    assert place.sweep().status == "completed" and not place.sweep().uncollected
    said = place.run("collect", "latest", "--over-ssh")
    assert said.status == 1 and "no instance of" in said.err, said
