"""What PBS's mom does on the node: start a job's processes, signal them, bring their output where it was asked for."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

from .jobs import Job

MARK = "SPAWN_TEST_PART"
"""See `undo.MARK`."""


def spawn(job: Job, spool: Path) -> subprocess.Popen[bytes]:
    """As the mom does it: the user's shell (or `-S`) in a session of its own, the script's path on its stdin.

    So the script is a child of the session's leader, and no leader of a group (`--enable-shell-pipe`, the default
    of OpenPBS's configure). Nothing of qsub's environment is there but what `-v` and `-V` name.
    """
    request = job.request
    path = spool / job.id
    words = request.command or [request.shell.partition("@")[0]]
    script = path.with_name(f"{job.id}.SC")
    script.write_bytes(request.script)
    script.chmod(0o755)
    environment = {
        "HOME": request.home, "USER": request.owner, "LOGNAME": request.owner, "SHELL": request.shell,
        "PATH": "/usr/local/bin:/usr/bin:/bin", **request.environment, **request.given, **request.variables,
        "PBS_ENVIRONMENT": "PBS_BATCH", "PBS_JOBID": job.id, "PBS_JOBNAME": request.name,
        "PBS_QUEUE": request.queue, "PBS_JOBDIR": request.home, "NCPUS": str(request.cpus),
        "OMP_NUM_THREADS": str(request.cpus), "TMPDIR": "/tmp",
    }  # fmt: skip
    if job.index is not None and job.parent is not None:
        environment |= {"PBS_ARRAY_INDEX": str(job.index), "PBS_ARRAY_ID": job.parent.id}
    environment[MARK] = os.environ[MARK]
    own = {} if os.geteuid() else {"user": request.uid, "group": request.gid, "extra_groups": []}
    with (
        path.with_name(f"{job.id}.OU").open("wb") as out,
        path.with_name(f"{job.id}.ER").open("wb") as err,
    ):
        process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=out, stderr=out if request.join == "oe" else err,
            env=environment, cwd=request.home, start_new_session=True, **own,
        )  # fmt: skip
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin:
        if not request.command:
            process.stdin.write(f"{script}\n".encode())
    return process


def send(job: Job, number: signal.Signals) -> None:
    """To the processes of the job's session, as the mom does.

    Its leader is spared everything but KILL: a job whose leader was `sleep 100` was recorded to live on for
    kill_delay after its walltime, and a deleted script's shell to end with status 0.
    """
    assert job.process is not None
    leader = job.process.pid
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            words = (entry / "stat").read_text().rpartition(") ")[2].split()
            pid = int(entry.name)
            if int(words[3]) == leader and words[0] != "Z" and (pid != leader or number == signal.SIGKILL):
                os.kill(pid, number)


def deliver(job: Job, spool: Path) -> bool:
    """Copy the spooled output to where it was asked for."""
    request = job.request
    for kind, suffix in (("o", "OU"), ("e", "ER")):
        source = spool / f"{job.id}.{suffix}"
        target = job.log_path(kind).partition(":")[2]
        if target != "/dev/null" and not (kind == "e" and request.join == "oe"):
            try:
                shutil.copyfile(source, target)
                if not os.geteuid():
                    os.chown(target, request.uid, request.gid)
            except OSError:
                return False
        source.unlink(missing_ok=True)
    (spool / f"{job.id}.SC").unlink(missing_ok=True)
    return True
