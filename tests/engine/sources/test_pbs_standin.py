"""The stand-in against every recorded answer of a real OpenPBS 23.06.06, letter by letter.

One run brings it through the recorded situations in the order they were recorded in, under the same job numbers and
the same server name. Compared after normalising, in both texts: dates (`Sun Nov 22 12:57:41 2026`, and in comments
`Sun Nov 22 at 12:57`), epoch seconds (timestamp, history_timestamp, last_…_time), queue_rank (microseconds), session
ids, walltimes used, the scheduler's iteration and the number of jobs so far, the folder of submission, and the user
with group and home.
"""

from __future__ import annotations

import getpass
import grp
import os
import pwd
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.parts.pbs import Pbs
from tests.parts.pbs_standin.text import dump, guess, mangle
from tests.parts.waiting import wait_until

SAMPLES = Path(__file__).parents[2] / "parts" / "pbs_standin" / "samples"
NOT_SIMULATED = {
    "tracejob.txt": "an administrator's tool that reads the server's logs; no user of a cluster has it",
    "EXIT-STATUS.txt": "not an answer: the statuses of the .json files, which are compared with it",
}
JOB = """#!/bin/sh
#PBS -N hello
#PBS -j oe
#PBS -l select=1:ncpus=1:mem=100mb
#PBS -l walltime=00:10:00
if [ -n "$PBS_ARRAY_INDEX" ]; then
    while [ ! -e "$PBS_O_WORKDIR/go.$PBS_ARRAY_INDEX" ]; do sleep 0.05; done
elif [ "$S" != 0 ]; then
    sleep "${S:-600}"
fi
exit "${X:-0}"
"""
STATUSES = dict(
    re.findall(r"^(\S+): exit status (\d+)$", (SAMPLES / "EXIT-STATUS.txt").read_text(), re.MULTILINE)
)
RULES: list[tuple[str, str]] = [
    (r"[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}", "DATE"),
    (r"[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d at \d\d:\d\d", "DAY"),
    (r'("(?:timestamp|history_timestamp|last_\w+_time)":\t)\d+', r"\1EPOCH"),
    (r'("queue_rank":\t)[\d.e+]+', r"\1RANK"),
    (r'("session_id":\t)\d+', r"\1PID"),
    (r'("cpupercent":\t\d+,\n(?:.*\n){4}\s*"walltime":\t)"[\d:]+"', r"\1USED"),
    (r'("scheduler_iteration":\t|"total_jobs":\t)\d+', r"\1N"),
    (r"(workq    \w+) +\d+( +\d)", r"\1 PID\2"),
]


def normal(text: str, folder: str = "/tmp/pbsw") -> str:
    who = pwd.getpwuid(os.getuid())
    text = text.replace(folder, "/tmp/pbsw").replace(f'"{who.pw_dir}"', '"/root"')
    for name in {getpass.getuser(), grp.getgrgid(who.pw_gid).gr_name} - {"root"}:
        text = re.sub(rf"\b{re.escape(name)}\b(?=@|\"|$)", "root", text)
    for pattern, replacement in RULES:
        text = re.sub(pattern, replacement, text)
    return text


class Recording:
    """The answers of the stand-in, in the form of the samples."""

    def __init__(self, pbs: Pbs, folder: Path) -> None:
        self.pbs, self.folder = pbs, folder
        self.answers: dict[str, str] = {}
        self.statuses: dict[str, int] = {}

    def run(self, line: str | list[str]) -> subprocess.CompletedProcess[str]:
        words = line.split() if isinstance(line, str) else line
        environment = {
            "PATH": "/opt/pbs/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(Path.home()), "SHELL": "/bin/bash",
            "LANG": "C.UTF-8",
        }  # fmt: skip
        done = self.pbs.run(*words, cwd=self.folder, env=environment, stderr=subprocess.STDOUT, stdout=subprocess.PIPE,
                            capture_output=False)  # fmt: skip
        return done

    def keep(self, sample: str, line: str) -> None:
        """Take down what the command says, as it was taken down for that sample."""
        done = self.run(line)
        self.statuses[sample] = done.returncode
        text = done.stdout
        if sample.endswith(".txt"):
            text = f"$ {line}\n{text}[rc={done.returncode}]\n"
        self.answers[sample] = normal(text, str(self.folder))

    def submit(self, *words: str) -> None:
        done = self.run(["qsub", *words])
        assert done.returncode == 0, done.stdout

    def report(self) -> None:
        """Let the mom report what runs, once."""
        self.pbs.set("reports", 0.0)
        wait_until(lambda: self.pbs.control("reported"), "the reports of what runs")
        self.pbs.set("reports", -1.0)

    def until(self, condition: Callable[[dict[str, str]], bool], what: str) -> None:
        wait_until(lambda: condition(self.pbs.states()), what)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recording]:
    folder = tmp_path_factory.mktemp("pbsw")
    (folder / "job.sh").write_text(JOB)
    with Pbs(reports=-1.0, kill_delay=0.2, overtime=3600.0) as pbs:
        taken = Recording(pbs, folder)
        play(taken, pbs, folder)
        yield taken


def play(taken: Recording, pbs: Pbs, folder: Path) -> None:
    """The recorded session. Mom's reports are switched on where the recorded jobs had been reported."""

    def go(*indices: int) -> None:
        for index in indices:
            (folder / f"go.{index}").touch()

    def states(text: str) -> Callable[[dict[str, str]], bool]:
        return lambda now: "".join(now.get(f"9[{index}].vm", "?") for index in range(10)) == text

    taken.submit("-v", "S=0", "job.sh")  # 0.vm
    taken.until(lambda now: now["0.vm"] == "F", "the first job")
    pbs.set("scheduling", False)
    taken.submit("-v", "S=600,SPAWN_RUN=abc", "job.sh")  # 1.vm
    taken.submit("-N", "fails", "-v", "S=0,X=3", "job.sh")
    taken.submit("-N", "sig", "-l", "select=1:ncpus=1", "--", "/bin/sh", "-c", "kill -9 $$")
    taken.submit("-N", "ok", "-v", "S=0", "job.sh")
    taken.submit("-N", "wall", "-l", "walltime=00:00:05", "-l", "select=1:ncpus=1", "--", "/bin/sleep", "100")
    taken.submit("-h", "-N", "held", "job.sh")
    taken.submit("-N", "toobig", "-l", "select=1:ncpus=500", "--", "/bin/true")
    taken.submit("-N", "dep", "-W", "depend=afterok:1.vm", "job.sh")
    taken.submit("-N", "arr", "-J", "0-9%3", "-v", "S=2", "job.sh")  # 9[].vm
    pbs.set("exiting", 51)  # nothing ends before all of them hold their slots, as when they were recorded
    pbs.set("scheduling", True)
    taken.until(states("RRRQQQQQQQ"), "the array's first elements")
    taken.until(lambda now: now["2.vm"] == now["3.vm"] == now["4.vm"] == "E", "the ends of the short jobs")
    pbs.set("scheduling", False)
    taken.report()
    pbs.set("exiting", 0)
    go(0, 1, 2)
    taken.until(states("XXXQQQQQQQ"), "the first elements' end")
    pbs.set("scheduling", True)
    taken.until(states("XXXRRRQQQQ"), "the next elements")
    pbs.set("scheduling", False)
    taken.keep("qstat_f_json_all.json", "qstat -f -F json")
    taken.keep("qstat_f_json_running.json", "qstat -f -F json 1.vm")
    taken.keep("qstat_plain.txt", "qstat")
    taken.keep("qstat_a.txt", "qstat -a")
    taken.keep("qstat_t.txt", "qstat -t 9[].vm")
    taken.keep("qstat_f_json_held.json", "qstat -f -F json 6.vm")
    taken.keep("qstat_f_json_toobig.json", "qstat -f -F json 7.vm")
    taken.keep("qstat_f_json_dep.json", "qstat -f -F json 8.vm")
    taken.report()
    pbs.set("exiting", 51)
    go(3, 4)
    taken.until(states("XXXEERQQQQ"), "two elements exiting")
    taken.keep("qstat_t_f_json_array.json", "qstat -t -f -F json 9[].vm")
    taken.run("qalter -W max_run_subjobs=2 9[].vm")
    pbs.set("scheduling", True)
    taken.until(states("XXXEERRQQQ"), "one element more")
    pbs.set("scheduling", False)
    taken.run("qalter -W max_run_subjobs=3 9[].vm")
    taken.keep("qdel_subjob.txt", "qdel 9[7].vm 9[8].vm")
    taken.keep("qstat_f_json_array_parent.json", "qstat -f -F json 9[].vm")
    pbs.set("exiting", 0)
    taken.run("qalter -W max_run_subjobs=3 9[].vm")
    pbs.set("scheduling", True)
    taken.until(states("XXXXXRRXRQ"), "the element that a second name in one qdel did not delete")
    taken.report()
    go(5)
    taken.until(states("XXXXXXRXRR"), "the last element")
    go(6, 8)
    taken.until(states("XXXXXXXXXR"), "all but the last element's end")
    taken.keep("qstat_t_after_qdel_sub.txt", "qstat -t 9[].vm")
    taken.report()
    go(9)
    taken.until(lambda now: now["9[].vm"] == "F", "the array's end")
    taken.keep("qstat_x_t_f_json_array_done.json", "qstat -x -t -f -F json 9[].vm")
    taken.keep("qstat_x_f_json_ok.json", "qstat -x -f -F json 4.vm")
    taken.keep("qstat_x_f_json_fail.json", "qstat -x -f -F json 2.vm")
    taken.keep("qstat_x_f_json_signal.json", "qstat -x -f -F json 3.vm")
    taken.keep("qstat_f_finished_nox.txt", "qstat -f -F json 4.vm")
    taken.keep("qstat_unknown.txt", "qstat -f -F json 99999")
    taken.keep("qstat_x_unknown.txt", "qstat -x -f -F json 99999.vm")
    taken.keep("qstat_mixed.txt", "qstat -x -f -F json 99999.vm 4.vm")
    taken.keep("qstat_badid.txt", "qstat -f xyz")
    taken.keep("qdel_unknown.txt", "qdel 99999.vm")
    taken.keep("qdel_finished.txt", "qdel 4.vm")
    for sample, line in REFUSED.items():
        taken.keep(sample, line)
    for number in range(10, 14):
        taken.submit("job.sh")
        taken.run(f"qdel -x {number}.vm")
        taken.until(lambda now, gone=f"{number}.vm": gone not in now, f"{number}.vm forgotten")
    taken.keep("qsub_project.txt", "qsub -P proj -A acct job.sh")
    taken.report()
    taken.keep("qstat_x_t.txt", "qstat -x -t")
    taken.keep("qdel_running.txt", "qdel 1.vm")
    taken.run("qdel 14.vm")
    pbs.set("overtime", 0.0)
    taken.until(lambda now: now["1.vm"] == now["5.vm"] == now["14.vm"] == "F", "the last jobs' ends")
    taken.keep("qstat_x_f_json_walltime.json", "qstat -x -f -F json 5.vm")
    taken.keep("qstat_x_f_json_qdel.json", "qstat -x -f -F json 1.vm")
    taken.keep("qstat_x_f_json_dep_after.json", "qstat -x -f -F json 8.vm")
    taken.keep("qdel_force.txt", "qdel -W force 6.vm")
    taken.keep("qdel_x.txt", "qdel -x 6.vm")
    taken.keep("qstat_x_deleted_history.txt", "qstat -x -f -F json 6.vm")
    taken.keep("qselect.txt", "qselect -x -s F")
    taken.keep("qstat_B.txt", "qstat -Bf -F json")
    taken.keep("qstat_Q.txt", "qstat -Qf -F json")
    taken.keep("pbsnodes.txt", "pbsnodes -av -F json")
    for number in (15, 16):
        taken.submit("-v", "S=0", "job.sh")
        taken.until(lambda now, name=f"{number}.vm": now[name] == "F", f"{number}.vm")
    pbs.set("reports", -1.0)
    pbs.set("exiting", 53)
    taken.submit("-N", "12345", "--", "/bin/true")
    taken.until(lambda now: now["17.vm"] == "E", "17.vm exiting")
    taken.keep("qstat_weird_env_values.json", "qstat -f -F json 17.vm")
    pbs.server_down()
    said = ""
    for line in ("qstat", "qsub job.sh", "qdel 1.vm"):
        done = taken.run(line)
        said += f"{done.stdout}rc={done.returncode} 0.0s\n"
    taken.answers["server_down.txt"] = said


REFUSED = {
    "qsub_array1.txt": "qsub -J 0-0 job.sh",
    "qsub_badarray.txt": "qsub -J 5-1 job.sh",
    "qsub_badopt.txt": "qsub -Q job.sh",
    "qsub_badqueue.txt": "qsub -q nosuchq job.sh",
    "qsub_badres.txt": "qsub -l nosuch=1 job.sh",
    "qsub_badselect.txt": "qsub -l select=1:nosuch=3 job.sh",
    "qsub_badwall.txt": "qsub -l walltime=abc job.sh",
    "qsub_bigarray.txt": "qsub -J 0-20000 job.sh",
    "qsub_nofile.txt": "qsub /nonexist.sh",
}


def compare(sample: str, recording: Recording) -> None:
    assert recording.answers[sample] == normal((SAMPLES / sample).read_text()), sample
    if sample in STATUSES:
        assert recording.statuses[sample] == int(STATUSES[sample])


ALL = sorted(path.name for path in SAMPLES.iterdir())


@pytest.mark.parametrize("sample", [name for name in ALL if name not in NOT_SIMULATED])
def test_it_answers_as_recorded(sample: str, recording: Recording) -> None:
    compare(sample, recording)


def test_numbers_are_printed_and_guessed_as_recorded():
    assert dump(1795352261854280) == "1.79535226185428e+15"
    assert dump(1795352261862127) == "1795352261862127"
    guessed = {text: guess(text) for text in ("15", "1e5", "007", "true", "12345678901234567890", "0x10", "")}
    assert guessed == {
        "15": 15, "1e5": 100000, "007": 7, "true": True, "12345678901234567890": 1.2345678901234567e19, "0x10": "0x10",
        "": "",
    }  # fmt: skip
    assert mangle('{"a":[1,2]}') == "{\\a\\:[1,2]}"


def test_every_sample_is_compared_or_named():
    assert set(NOT_SIMULATED) <= set(ALL) and len(ALL) == 49
