from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
from spawn_tui.state.process import ProcessId, identify, is_alive, is_here, myself, search, start_time

TAG = "SPAWN_TEST_TAG"
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"], env={**os.environ, TAG: "mine"}, start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_a_process_is_known_by_more_than_its_pid(sleeper: subprocess.Popen[bytes]) -> None:
    it = identify(sleeper.pid)
    assert it is not None
    assert is_alive(it) and is_here(it)
    assert it == identify(sleeper.pid) and it != myself()
    assert not is_alive(replace(it, start=f"{it.start}1")), "another process with this pid"
    assert not is_alive(replace(it, boot="another")), "another boot"
    assert not is_here(replace(it, host="elsewhere"))


def test_its_text_reads_back() -> None:
    me = myself()
    assert ProcessId.parse(str(me)) == me
    assert ProcessId.parse("1:2:boot:host:with:colons\n") == ProcessId(1, "2", "boot", "host:with:colons")
    for bad in ("", "1:2:3", "x:1:boot:host"):
        with pytest.raises(ValueError):
            ProcessId.parse(bad)


def test_a_zombie_is_dead(sleeper: subprocess.Popen[bytes]) -> None:
    it = identify(sleeper.pid)
    assert it is not None
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert start_time(sleeper.pid) is None
    assert not is_alive(it)
    assert not search(TAG, ["mine"], [sleeper.pid]).groups


def test_there_is_no_process_with_an_impossible_pid() -> None:
    assert start_time(2**22 + 1) is None
    assert identify(2**22 + 1) is None


@linux
def test_search_finds_by_value_and_by_group(sleeper: subprocess.Popen[bytes]) -> None:
    found = search(TAG, ["mine", "other"], [sleeper.pid, os.getpgid(0)])
    assert found.tagged == {"mine": {sleeper.pid: sleeper.pid}}
    assert found.groups[sleeper.pid] == {sleeper.pid}
    assert os.getpid() not in found.groups.get(os.getpgid(0), ())
    assert search(TAG, ["min"]).tagged == {}, "a value is compared whole"
    assert search("AG", ["mine"]).tagged == {}, "a name is compared whole"
    assert search(TAG, []).tagged == {}


@linux
def test_search_finds_what_flees_from_parent_to_child() -> None:
    """Each process of a chain starts the next and ends; one look at the process table would often miss it.

    (A chain that changes faster than the table can be read cannot be caught by reading it.)
    """
    flee = (
        "import os,time\nend=time.monotonic()+60\nwhile time.monotonic()<end:\n"
        " if os.fork(): os._exit(0)\n time.sleep(0.01)"
    )
    process = subprocess.Popen([sys.executable, "-SIc", flee], env={TAG: "fleeing"}, start_new_session=True)
    try:
        process.wait()
        assert all(search(TAG, ["fleeing"]).tagged for _ in range(30))
    finally:
        while True:  # the group stays the same however often it forks
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                break
