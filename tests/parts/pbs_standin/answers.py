"""What qstat, qselect and pbsnodes print."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .client import getopt
from .jobs import Job
from .text import Value, dump, span

if TYPE_CHECKING:
    from .cluster import Cluster

HEAD = (
    "Job id            Name             User              Time Use S Queue\n"
    "----------------  ---------------- ----------------  -------- - -----\n"
)
NO_HISTORY_WORDS = "PBS is not configured to maintain job history"
"""pbs_messages.c, error 15140 (msg_job_history_notset); not recorded."""


def qstat(server: Cluster, arguments: list[str]) -> tuple[int, str, str]:
    pairs, ids, bad = getopt(arguments, "aBfF:HnpqQrstT1u:wx")
    if bad is not None:
        return 2, "", f"qstat: invalid option -- '{bad}'\n"
    letters = {letter for letter, _ in pairs}
    as_json = ("F", "json") in pairs
    if "B" in letters or "Q" in letters:
        return 0, _json(server, _server(server) if "B" in letters else _queue(server)), ""
    past = bool(letters & {"x", "H"})
    jobs, errors, status = _chosen(server, ids, past=past)
    if "t" in letters:
        jobs = [one for job in jobs for one in (job, *job.children.values())]
    if "f" not in letters:
        return status, (_wide(server, jobs) if "a" in letters else _plain(jobs)) if jobs else "", errors
    if not as_json:
        # Of jobs only the JSON form was recorded.
        return (
            (status, "", errors)
            if not jobs
            else (2, "", "qstat: this stand-in prints -f only with -F json\n")
        )
    return status, _json_jobs(server, jobs), errors


def _chosen(server: Cluster, ids: list[str], *, past: bool) -> tuple[list[Job], str, int]:
    """The jobs meant, the complaints about the others, and the exit status."""
    out: list[Job] = []
    errors: list[str] = []
    status = 0
    if not ids:
        if past and not server.settings.history:
            return [], f"qstat: {NO_HISTORY_WORDS}\n", 36
        return [job for job in server.jobs.values() if past or job.state != "F"], "", 0
    for text in ids:
        if not text[:1].isdigit():
            errors.append(f"qstat: Unknown queue destination {text}\n")
            status = 170
            continue
        if past and not server.settings.history:
            errors.append(f"qstat: {NO_HISTORY_WORDS} {server.full(text)}\n")
            status = 36
            continue
        jobs = server.find(text)
        if not jobs:
            errors.append(f"qstat: Unknown Job Id {server.full(text)}\n")
            status = 153
        for job in jobs:
            if job.state == "F" and not past:
                errors.append(
                    f"qstat: {job.id} Job has finished, use -x or -H to obtain historical job information\n"
                )
                status = 35
            else:
                out.append(job)
    return out, "".join(errors), status


def _json(server: Cluster, body: dict[str, Value]) -> str:
    head: dict[str, Value] = {
        "timestamp": int(time.time()), "pbs_version": "23.06.06", "pbs_server": server.name,
    }  # fmt: skip
    return dump({**head, **body}) + "\n"


def _json_jobs(server: Cluster, jobs: list[Job]) -> str:
    """The same as `_json`, with what has not changed since the last call taken from it."""
    now = time.time()
    shown: list[str] = []
    for job in jobs:
        array = job.parent or job
        second = int(now) if job.state in "RE" else 0
        made_of = (job.state, job.substate, job.changed, array.changed, array.state, job.comment, job.depend, job.limit,
                   job.reported, second, array.comment, job.holds, job.is_array and job.counts())  # fmt: skip
        if job.shown is None or job.shown[0] != made_of:
            job.shown = (made_of, f'\t\t"{job.id}":\t{dump(job.attributes(now), 2)}')
        shown.append(job.shown[1])
    text = _json(server, {})
    if not shown:
        return text
    return text[: -len("\n}\n")] + ',\n\t"Jobs":\t{\n' + ",\n".join(shown) + "\n\t}\n}\n"


def _state_count(jobs: Iterable[Job]) -> str:
    states = [job.state for job in jobs]
    names = {
        "Transit": "T",
        "Queued": "Q",
        "Held": "H",
        "Waiting": "W",
        "Running": "R",
        "Exiting": "E",
        "Begun": "B",
    }
    return "".join(f"{name}:{states.count(letter)} " for name, letter in names.items())


def _assigned(server: Cluster) -> dict[str, Value]:
    running = [job for job in server.every() if job.state == "R"]
    memory = sum(job.request.memory for job in running) >> 20
    return {"mem": f"{memory}mb", "ncpus": sum(job.request.cpus for job in running), "nodect": len(running)}


def _server(server: Cluster) -> dict[str, Value]:
    settings = server.settings
    more: dict[str, Value] = {"job_history_enable": "True"} if settings.history else {}
    facts: dict[str, Value] = {
        "server_state": "Active", "server_host": server.name, "scheduling": str(settings.scheduling),
        "total_jobs": server.total(), "state_count": _state_count(server.jobs.values()), "acl_roots": "root@*",
        "default_queue": "workq", "log_events": 511, "mailer": "/usr/sbin/sendmail", "mail_from": "adm",
        "query_other_jobs": "True", "resources_default": {"ncpus": 1}, "default_chunk": {"ncpus": 1},
        "resources_assigned": _assigned(server), "scheduler_iteration": server.cycles, "flatuid": "True",
        "resv_enable": "True", "node_fail_requeue": int(settings.node_fail_requeue),
        "max_array_size": settings.max_array_size, "resend_term_delay": 5, "pbs_license_min": 0,
        "pbs_license_max": 2147483647, "pbs_license_linger_time": 31536000,
        "license_count": "Avail_Global:1000000 Avail_Local:1000000 Used:0 High_Use:0", "pbs_version": "23.06.06",
        "eligible_time_enable": "False", **more, "max_concurrent_provision": 5,
        "clear_topjob_estimates_enable": "False", "power_provisioning": "False", "max_job_sequence_id": 9999999,
    }  # fmt: skip
    return {"Server": {server.name: facts}}


def _queue(server: Cluster) -> dict[str, Value]:
    facts: dict[str, Value] = {
        "queue_type": "Execution", "total_jobs": sum(job.state != "F" for job in server.jobs.values()),
        "state_count": _state_count(job for job in server.jobs.values()), "resources_assigned": _assigned(server),
        "enabled": "True", "started": "True",
    }  # fmt: skip
    return {"Queue": {"workq": facts}}


def nodes(server: Cluster) -> str:
    """`pbsnodes -av -F json`."""
    settings = server.settings
    running = [job for job in server.every() if job.state == "R"]
    assigned: dict[str, Value] = {"mem": "0kb", "ncpus": len(running)} if running else {}
    facts: dict[str, Value] = {
        "Mom": server.name, "Port": 15002, "pbs_version": "23.06.06", "ntype": "PBS",
        "state": "free" if settings.node else "down", "pcpus": 2,
        "resources_available": {
            "arch": "linux", "host": server.name, "mem": f"{settings.memory >> 30}gb", "ncpus": settings.ncpus,
            "vnode": server.name,
        },
        "resources_assigned": assigned, "resv_enable": "True", "sharing": "default_shared", "license": "l",
        "last_state_change_time": int(time.time()), "last_used_time": int(time.time()),
    }  # fmt: skip
    return _json(server, {"nodes": {server.name: facts}})


def _plain(jobs: list[Job]) -> str:
    lines = [HEAD]
    for job in jobs:
        # Only the processor time of jobs that a mom has spoken of is known.
        used = "00:00:00" if job.used else "0"
        lines.append(
            f"{job.id:<17.17} {job.request.name:<16.16} {job.request.owner:<16.16} "
            f"{used:>9} {job.state} {job.request.queue:<16}\n"
        )
    return "".join(lines)


def _wide(server: Cluster, jobs: list[Job]) -> str:
    head = (
        f"\n{server.name}: \n"
        "                                                            Req'd  Req'd   Elap\n"
        "Job ID          Username Queue    Jobname    SessID NDS TSK Memory Time  S Time\n"
        "--------------- -------- -------- ---------- ------ --- --- ------ ----- - -----\n"
    )
    lines = [head]
    for job in jobs:
        request = job.request
        session = str(job.process.pid) if job.reported and job.process else "-- "
        memory = f"{request.memory >> 20}mb" if request.memory else "-- "
        walltime = span(request.walltime)[:5] if request.walltime is not None else "-- "
        elapsed = span(time.time() - job.started)[:5] if job.used and job.started else "-- "
        lines.append(
            f"{job.id:<15.15} {request.owner:<8.8} {request.queue:<8.8} {request.name:<10.10} {session:>6} "
            f"{request.chunks:>3} {request.cpus:>3} {memory:>6} {walltime:>5} {job.state} {elapsed:>5}\n"
        )
    return "".join(lines)


def qselect(server: Cluster, arguments: list[str]) -> tuple[int, str, str]:
    """`-x` finished jobs too, `-N` by name, `-s` by states, `-u` by owner, `-q` by queue."""
    pairs, _, bad = getopt(arguments, "a:A:c:h:Hl:N:p:q:r:s:t:Tu:xJP:")
    if bad is not None:
        return 2, "", f"qselect: invalid option -- '{bad}'\n"
    wanted = dict(pairs)
    if "x" in wanted and not server.settings.history:
        return 36, "", f"qselect: {NO_HISTORY_WORDS}\n"
    out = [
        job.id
        for job in server.jobs.values()
        if ("x" in wanted or job.state != "F")
        and wanted.get("N", job.request.name) == job.request.name
        and job.state in wanted.get("s", job.state)
        and wanted.get("u", job.request.owner).partition("@")[0] == job.request.owner
        and wanted.get("q", job.request.queue) == job.request.queue
    ]
    return 0, "".join(f"{one}\n" for one in out), ""
