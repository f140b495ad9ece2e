"""The commands that change something: qdel, qalter, qhold, qrls, qsig. Each returns status, stdout and stderr."""

from __future__ import annotations

import pwd
import signal
import time

from . import mom
from .client import getopt
from .cluster import Cluster
from .jobs import BEGUN, FINISHED, HELD, QUEUED, TERMINATED, Job

UNKNOWN, HISTORY, GONE_SUBJOB, BAD_STATE, BAD_VALUE = 153, 35, 39, 170, 166
"""The last byte of PBS's error numbers (pbs_error.h); the first two are recorded."""


def each(cluster: Cluster, command: str, ids: list[str]) -> tuple[list[Job], list[str], int]:
    found: list[Job] = []
    errors: list[str] = []
    status = 0
    for text in ids:
        jobs = cluster.find(text)
        if not jobs:
            errors.append(f"{command}: Unknown Job Id {cluster.full(text)}\n")
            status = UNKNOWN
        found += jobs
    return found, errors, status


def qdel(cluster: Cluster, arguments: list[str], uid: int) -> tuple[int, str, str]:
    pairs, ids, bad = getopt(arguments, "W:x")
    if bad is not None or not ids:
        words = "usage:\n\tqdel [-W force|suppress_email=X] [-x] job_identifier...\n\tqdel --version\n"
        return 2, "", words
    force, forget = ("W", "force") in pairs, ("x", "") in pairs
    who = pwd.getpwuid(uid).pw_name
    jobs, errors, status = each(cluster, "qdel", ids)
    arrays: set[str] = set()
    for text in ids:
        number = text.partition("[")[0]
        if number in arrays:
            # Recorded: of `qdel 9[7].vm 9[8].vm`, status 0, the second was not deleted; it ran to its end.
            jobs = [job for job in jobs if job not in cluster.find(text)]
        elif "[" in text:
            arrays.add(number)
    for job in jobs:
        if job.state in "FX" and job.index is not None and job.parent is not None and job.parent.state == "F":
            errors.append(f"qdel: Request invalid for finished array subjob {job.id}\n")
            status = GONE_SUBJOB
        elif job.state == "F" and not forget:
            errors.append(f"qdel: Job has finished {job.id}\n")
            status = HISTORY
        else:
            delete(cluster, job, who, force=force)
            if forget and job.state == "F":
                cluster.jobs.pop(job.number, None)
            job.forget = forget
    cluster.due = True
    return status, "", "".join(errors)


def delete(cluster: Cluster, job: Job, who: str, *, force: bool) -> None:
    now = time.time()
    if job.is_array and job.state != "F":
        for child in job.children.values():
            delete(cluster, child, who, force=force)
        cluster.close_array(job)
    elif job.state == "R":
        job.killed_by = who
        if force:
            mom.send(job, signal.SIGKILL)
        else:
            cluster.stop(job)
    elif job.state in "QH":
        job.changed = now
        if job.index is not None and job.parent is not None:
            # Recorded: it then looks as if it had succeeded.
            job.state, job.substate, job.comment = "X", FINISHED, "Subjob finished"
            job.parent.staged = True
            job.parent.exit_status = job.parent.exit_status or 0
            cluster.close_array(job.parent)
        else:
            job.state, job.substate, job.history = "F", TERMINATED, now
            job.comment = f"{job.comment} and terminated by {who}@{cluster.name}".removeprefix(" and ")
            cluster.dependents(job)
            cluster.expire()


def qalter(cluster: Cluster, arguments: list[str]) -> tuple[int, str, str]:
    """Only `-W max_run_subjobs=N`, as in OpenPBS's own suite (pbs_job_array.py, test_max_run_subjobs_basic)."""
    pairs, ids, bad = getopt(arguments, "a:A:c:e:h:j:k:l:m:M:N:o:p:P:q:r:R:S:u:W:")
    if bad is not None or not ids:
        return 2, "", f"qalter: invalid option -- '{bad}'\n"
    jobs, errors, status = each(cluster, "qalter", ids)
    for job in jobs:
        if job.state == "F":
            errors.append(f"qalter: Job has finished {job.id}\n")
            status = HISTORY
        elif not job.is_array:
            errors.append(f"qalter: Attribute has to be set on an array job {job.id}\n")
            status = BAD_VALUE
        else:
            job.limit = int(
                dict(text.split("=", 1) for letter, text in pairs if letter == "W")["max_run_subjobs"]
            )
    cluster.due = True
    return status, "", "".join(errors)


def hold(cluster: Cluster, command: str, arguments: list[str]) -> tuple[int, str, str]:
    _, ids, _ = getopt(arguments, "h:")
    jobs, errors, status = each(cluster, command, ids)
    for job in jobs:
        if job.state == "F":
            errors.append(f"{command}: Job has finished {job.id}\n")
            status = HISTORY
        elif command == "qhold" and job.state in "QB":
            job.state, job.substate, job.holds = "H", HELD, "u"
        elif command == "qrls" and job.substate == HELD:
            begun = job.started is not None
            job.state, job.substate, job.holds = "B" if begun else "Q", BEGUN if begun else QUEUED, "n"
    cluster.due = True
    return status, "", "".join(errors)


def qsig(cluster: Cluster, arguments: list[str]) -> tuple[int, str, str]:
    pairs, ids, _ = getopt(arguments, "s:")
    name = dict(pairs).get("s", "TERM").removeprefix("SIG")
    jobs, errors, status = each(cluster, "qsig", ids)
    for job in jobs:
        if job.state == "R":
            mom.send(job, signal.Signals[f"SIG{name}"])
        else:
            errors.append(f"qsig: Request invalid for state of job {job.id}\n")
            status = BAD_STATE
    return status, "", "".join(errors)
