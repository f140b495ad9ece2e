"""What the recorded answers of a real PBS mean to us."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from spawn_tui.engine.remote.host import Answer, HostAway, HostRefused, Usage
from spawn_tui.engine.sources.pbs import PbsScheduler
from spawn_tui.engine.sources.pbs_words import (
    complaint,
    elements_of,
    is_away,
    read_records,
    refusal,
    state_of,
)
from spawn_tui.engine.sources.registry import SourceSpec
from spawn_tui.engine.sources.scheduler import Array, Element, QueueState, Refused, Shell


class Answers:
    """A submitting machine that says what it is told to say."""

    name, usage = "login", Usage()

    def __init__(self, out: str, err: str = "", status: int = 0) -> None:
        self.out, self.err, self.status = out, err, status
        self.runs = 0

    def run(self, command, data=b"", *, limit, into=None) -> Answer:
        self.runs += 1
        into(f"Welcome!\nspawn-queue 1\n{self.out}".encode())
        return Answer(self.status, b"", self.err.encode())

    def close(self) -> None:
        """Nothing is held."""


def scheduler(out: str, err: str = "", status: int = 0, **options: str) -> PbsScheduler:
    return PbsScheduler(SourceSpec("hpc", "pbs", 4, options), Shell(Answers(out, err, status)))


SAMPLES = Path(__file__).parents[2] / "parts" / "pbs_standin" / "samples"


def sample(name: str) -> str:
    return (SAMPLES / name).read_text()


def only(name: str) -> QueueState:
    (record,) = read_records(sample(name))
    return state_of(record)


def test_every_kind_of_job_as_recorded():
    assert only("qstat_f_json_running.json") == QueueState("running", "R")
    assert only("qstat_weird_env_values.json") == QueueState("ending", "E")
    ok = only("qstat_x_f_json_ok.json")
    assert (ok.standing, ok.exit_code, ok.failure, ok.removed) == ("ended", 0, None, False)
    fail = only("qstat_x_f_json_fail.json")
    assert (fail.exit_code, fail.signal, fail.failure) == (3, None, None)
    assert only("qstat_x_f_json_signal.json").signal == 9
    late = only("qstat_x_f_json_walltime.json")
    assert (late.failure, late.exit_code) == ("timeout", None) and "resource walltime" in late.message
    assert only("qstat_f_json_held.json").reason.startswith("held by its user")
    assert only("qstat_f_json_dep.json").reason == "waits for the job it depends on"
    big = only("qstat_f_json_toobig.json")
    assert big.never and big.reason == "Insufficient amount of resource: ncpus (R: 500 A: 64 T: 64)"


def test_what_looks_like_success_and_is_none():
    deleted = only("qstat_x_f_json_qdel.json")
    assert deleted.exit_code is None and deleted.removed and "root@vm" in deleted.message
    dropped = only("qstat_x_f_json_dep_after.json")
    assert dropped.exit_code is None and "depends" in dropped.message
    done = elements_of(sample("qstat_x_t_f_json_array_done.json"), {"9": "9[].vm"})
    assert len(done) == 10
    assert done[Element("9[].vm", 7)].exit_code is None and done[Element("9[].vm", 7)].removed
    assert all(done[Element("9[].vm", index)].exit_code == 0 for index in range(10) if index != 7)


def test_an_array_half_way():
    states = elements_of(sample("qstat_t_f_json_array.json"), {"9": "9[].vm"})
    standings = [states[Element("9[].vm", index)].standing for index in range(10)]
    assert standings == ["ended"] * 3 + ["ending"] * 2 + ["running"] + ["waiting"] * 4
    # They inherit Exit_status 0 and a comment of their array.
    assert states[Element("9[].vm", 6)] == QueueState("waiting", "Q", "queued")


def test_the_ids_are_ours_whatever_the_server_is_called_in_them():
    text = sample("qstat_t_f_json_array.json").replace(".vm", ".vm.example.org")
    assert Element("9[].vm", 3) in elements_of(text, {"9": "9[].vm"})
    assert elements_of(text, {"8": "8[].vm"}) == {}


def test_an_array_itself_is_no_element():
    assert elements_of(sample("qstat_f_json_array_parent.json"), {"9": "9[].vm"}) == {}


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace('"S":\t2', '"S":\t"{"a":[1,2]}"'),
        lambda text: text.replace('"S":\t2', '"S":\t"C:\\new\\x"'),
        lambda text: text.replace('"S":\t2', '"S":\t"one\ntwo", "three'),
        lambda text: text.replace('"S":\t2', '"job_state":\t"Q"'),
        lambda text: text.replace("\t", "    "),
        lambda text: text.replace('",\n', '"\n'),
    ],
)
def test_corrupted_values_hide_nothing(damage):
    whole = sample("qstat_t_f_json_array.json")
    assert damage(whole) != whole
    assert elements_of(damage(whole), {"9": "9[].vm"}) == elements_of(whole, {"9": "9[].vm"})


def test_negative_statuses_are_pbs_own():
    text = sample("qstat_x_f_json_walltime.json")

    def kind(status: int) -> str | None:
        (record,) = read_records(text.replace('"Exit_status":\t-29', f'"Exit_status":\t{status}'))
        return state_of(record).failure

    kinds = {
        -1: "launch_failed",
        -4: "source_lost",
        -20: "source_lost",
        -27: "out_of_memory",
        -99: "source_lost",
    }
    assert {status: kind(status) for status in kinds} == kinds


@pytest.mark.parametrize(
    ("name", "words", "always"),
    [
        ("qsub_badqueue.txt", "Unknown queue; qstat -Q lists", True),
        ("qsub_badres.txt", "Unknown resource Resource_List.nosuch; ", True),
        ("qsub_badselect.txt", "Unknown resource: nosuch; ", True),
        ("qsub_badwall.txt", "Resource_List.walltime; correct walltime", True),
        ("qsub_badopt.txt", "invalid option -- 'Q'; correct `extra`", True),
        ("qsub_array1.txt", "illegal -J value; ", True),
        ("qsub_bigarray.txt", "exceeds server or queue size limit; the site", False),
        ("qsub_nofile.txt", "script file:: No such file or directory", False),
    ],
)
def test_complaints_have_a_remedy(name, words, always):
    err = re.sub(r"^\$.*\n|\[rc=.*", "", sample(name), flags=re.MULTILINE)
    refused = refusal(err)
    assert words in str(refused) and refused.always is always


def test_a_server_that_is_away():
    assert all(is_away(part) for part in sample("server_down.txt").split("rc=")[:3])
    assert not is_away(sample("qdel_unknown.txt"))
    assert complaint("") == "it gave no reason"


ARRAY = Array("sabc123b1", 10, 4, ["9[].vm"])
UNKNOWN = "qstat: Unknown Job Id 99999.vm\n"


def test_a_list_with_unknown_ids_tells_of_the_others():
    text = sample("qstat_t_f_json_array.json") + "spawn-status 153\n"
    assert len(scheduler(text, UNKNOWN).status([ARRAY])["sabc123b1"]) == 10


@pytest.mark.parametrize(
    ("out", "err"),
    [
        ("", ""),  # cut off
        ("spawn-status 124\n", ""),  # timeout(1)
        ("spawn-status 1\n", "qstat: something new\n"),
        ("spawn-status 153\n", UNKNOWN + "qstat: End of File\n"),
    ],
)
def test_an_answer_that_is_none_says_nothing_of_jobs(out, err):
    with pytest.raises(HostAway, match="hpc: qstat fails"):
        scheduler(out, err).status([ARRAY])


def test_nothing_is_asked_about_nothing():
    pbs = scheduler("")
    assert pbs.status([]) == {} and pbs.find([]) == {} and pbs.calls == {}
    pbs.remove([])
    assert pbs.calls == {}


def server_says(queue: str = "", status: int = 0) -> str:
    facts = sample("qstat_B.txt").partition("\n")[2].replace("[rc=0]\n", "")
    text = f"pbs_version = 23.06.06\nspawn-status\n{facts}spawn-status 0\n"
    return text + (f"{queue}spawn-status {status}\n" if queue else "")


def test_the_sites_limits_are_read_when_it_is_reached():
    assert scheduler(server_says()).connect() == 10000
    queue = sample("qstat_Q.txt").partition("\n")[2].replace("[rc=0]\n", "")
    small = queue.replace('"enabled"', '"max_array_size":\t50,\n"enabled"')
    assert scheduler(server_says(small), queue="workq").connect() == 50
    closed = queue.replace('"enabled":\t"True"', '"enabled":\t"False"')
    with pytest.raises(HostRefused, match="queue workq takes no jobs now"):
        scheduler(server_says(closed), queue="workq").connect()
    with pytest.raises(HostRefused, match="hpc: PBS refused the job: Unknown queue"):
        scheduler(server_says("{}\n", 170), "qstat: Unknown queue destination x\n", queue="x").connect()


def test_ranges_of_elements_are_named_as_pbs_names_them():
    pbs = scheduler("")
    pbs.remove([Element("9[].vm", index) for index in (3, 4, 5, 8)] + [Element("7.vm", 0)])
    assert pbs.calls == {"qdel": 3}
    assert pbs.handle(Element("9[].vm", 3)) == "9[3].vm" and pbs.handle(Element("7.vm", 0)) == "7.vm"


def test_a_submission_nobody_knows_of_is_not_refused():
    with pytest.raises(HostAway, match="nobody knows whether qsub did it"):
        scheduler("", "qsub: Batch protocol error\n", 1).submit(ARRAY, "/root")
    with pytest.raises(HostAway, match="gave no job id"):
        scheduler("", "", 0).submit(ARRAY, "/root")
    with pytest.raises(Refused, match="Unknown queue"):
        scheduler("", "qsub: Unknown queue\n", 170).submit(ARRAY, "/root")
    assert scheduler("a site's greeting\n12[].vm\n").submit(ARRAY, "/root") == "12[].vm"


def test_many_ranges_take_few_round_trips():
    pbs = scheduler("")
    pbs.remove([Element("9[].vm", index) for index in range(0, 1200, 2)])
    assert pbs.calls == {"qdel": 600} and pbs.shell.host.runs == 2
