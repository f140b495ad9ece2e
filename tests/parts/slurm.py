"""A Slurm cluster of its own on the loopback interface: controller, several nodes, munge, on request accounting.

What is listed here was measured with Slurm 22.05.8 of Debian 12, which runs several node daemons on one host. All nodes
are this machine, so jobs run here and their files are here. As root, any user may submit to it.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import secrets
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from .guard import guard
from .need import missing, program
from .undo import MARK, run
from .waiting import wait_until

PACKAGES = {
    "munged": "munge", "slurmctld": "slurmctld", "slurmd": "slurmd", "sbatch": "slurm-client",
}  # fmt: skip
ACCOUNTING = {"slurmdbd": "slurmdbd", "mariadbd": "mariadb-server", "mariadb-install-db": "mariadb-server"}

SETTINGS = {
    "AuthType": "auth/munge",
    "CredType": "cred/munge",
    "MpiDefault": "none",
    "ProctrackType": "proctrack/linuxproc",
    "TaskPlugin": "task/none",
    "JobAcctGatherType": "jobacct_gather/none",
    "SwitchType": "switch/none",
    "SelectType": "select/cons_tres",
    "SelectTypeParameters": "CR_CPU",
    "ReturnToService": "1",
    "SlurmdParameters": "config_overrides",
    "SchedulerType": "sched/backfill",
    "SchedulerParameters": "sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=1,"
    "default_queue_depth=1000,nohold_on_prolog_fail",
    "MaxJobCount": "20000",
    "MaxArraySize": "10001",
    "MinJobAge": "300",
    "MessageTimeout": "4",
    "SlurmctldTimeout": "30",
    "SlurmdTimeout": "5",
    "InactiveLimit": "0",
    "KillWait": "2",
    "CompleteWait": "0",
    "BatchStartTimeout": "30",
    "RebootProgram": "/bin/true",
    "MailProg": "/bin/true",
    "TreeWidth": "16",
}


def no_slurm(*, accounting: bool = False) -> str | None:
    """Why there is no Slurm to be had here, or None."""
    return missing({**PACKAGES, **(ACCOUNTING if accounting else {})})


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


class Slurm:
    """Partitions are `debug` (the default; no time limit) and `short` (10 minutes). Nodes are numbered from 1.

    `settings` are lines of slurm.conf; with `accounting` it has a slurmdbd and a MariaDB, and `sacct` answers.
    """

    def __init__(
        self,
        nodes: int = 2,
        cpus: int = 8,
        *,
        settings: Mapping[str, str] | None = None,
        accounting: bool = False,
    ) -> None:
        self.token = secrets.token_hex(8)
        self.nodes = nodes
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._user = getpass.getuser()
        with contextlib.ExitStack() as made:
            self.directory = Path(tempfile.mkdtemp(prefix="spawn-slurm-"))
            made.callback(guard.undo, guard.note("tree", str(self.directory)))
            self.directory.chmod(0o755)
            for name in ("run", "state", "spool", "log", "mysql"):
                (self.directory / name).mkdir(mode=0o755)
            made.callback(guard.undo, guard.note("marked", self.token))
            made.callback(self._reap)
            self.conf = self.directory / "slurm.conf"
            self._start_munge()
            ports = free_ports(nodes + 3)
            more = self._start_accounting(ports[-2], ports[-1]) if accounting else {}
            if not accounting:
                more = {"AccountingStorageType": "accounting_storage/none"}
            self._write_conf(ports, cpus, {**SETTINGS, **more, **(settings or {})})
            self.start_controller()
            for number in range(1, nodes + 1):
                self.start_node(number)
            self.wait_for_nodes()
            self._made = made.pop_all()

    # --- starting ------------------------------------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        """What a program needs to use this cluster; jobs submitted with it carry the part's mark."""
        return {**os.environ, "SLURM_CONF": str(self.conf), MARK: self.token}

    def _daemon(self, name: str, *command: str) -> None:
        where = program(command[0])
        assert where is not None, command[0]
        with (self.directory / "log" / f"{name}.out").open("ab") as log:
            self._daemons[name] = subprocess.Popen(
                [where, *command[1:]], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment(),
                start_new_session=True, cwd=self.directory,
            )  # fmt: skip

    def _start_munge(self) -> None:
        key = self.directory / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        self._socket = self.directory / "run" / "munge.sock"
        self._daemon(
            "munged", "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={self._socket}",
            f"--pid-file={self.directory}/run/munged.pid", f"--log-file={self.directory}/log/munged.log",
            f"--seed-file={self.directory}/run/munge.seed", "--num-threads=4",
        )  # fmt: skip
        wait_until(self._socket.exists, "munged")

    def _start_accounting(self, database: int, accounting: int) -> dict[str, str]:
        place = self.directory
        run(
            "mariadb-install-db", "--no-defaults", f"--user={self._user}", f"--datadir={place}/mysql",
            "--auth-root-authentication-method=normal", "--skip-test-db",
        )  # fmt: skip
        link = f"{place}/run/mysql.sock"
        self._daemon(
            "mariadbd", "mariadbd", "--no-defaults", f"--user={self._user}", f"--datadir={place}/mysql",
            f"--socket={link}", "--bind-address=127.0.0.1", f"--port={database}", "--innodb-buffer-pool-size=64M",
            "--innodb-flush-log-at-trx-commit=0", f"--log-error={place}/log/mariadbd.log",
        )  # fmt: skip
        ask = ("mariadb", "--no-defaults", f"--socket={link}", "-u", "root", "-e")
        wait_until(lambda: run(*ask, "select 1", check=False).returncode == 0, "MariaDB", limit=60)
        run(
            *ask,
            "CREATE DATABASE slurm; CREATE USER 'slurm'@'localhost' IDENTIFIED BY 'x'; "
            "CREATE USER 'slurm'@'127.0.0.1' IDENTIFIED BY 'x'; "
            "GRANT ALL ON slurm.* TO 'slurm'@'localhost'; GRANT ALL ON slurm.* TO 'slurm'@'127.0.0.1'",
        )
        conf = place / "slurmdbd.conf"
        lines = {
            "AuthType": "auth/munge", "AuthInfo": f"socket={self._socket}", "DbdHost": socket.gethostname(),
            "DbdAddr": "127.0.0.1", "DbdPort": str(accounting), "SlurmUser": self._user,
            "StorageType": "accounting_storage/mysql", "StorageHost": "127.0.0.1", "StoragePort": str(database),
            "StorageUser": "slurm", "StoragePass": "x", "StorageLoc": "slurm",
            "LogFile": f"{place}/log/slurmdbd.log", "PidFile": f"{place}/run/slurmdbd.pid", "DebugLevel": "info",
        }  # fmt: skip
        conf.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
        conf.chmod(0o600)
        self._daemon("slurmdbd", "slurmdbd", "-D")
        log = place / "log" / "slurmdbd.log"
        wait_until(
            lambda: log.exists() and "slurmdbd version" in log.read_text() and "started" in log.read_text(),
            "slurmdbd", limit=60,
        )  # fmt: skip
        return {
            "AccountingStorageType": "accounting_storage/slurmdbd",
            "AccountingStorageHost": "127.0.0.1",
            "AccountingStoragePort": str(accounting),
            # The munge socket of this connection is named here, against what the name says.
            "AccountingStoragePass": str(self._socket),
            "AccountingStorageEnforce": "associations,limits,qos",
        }

    def _write_conf(self, ports: list[int], cpus: int, settings: Mapping[str, str]) -> None:
        host = socket.gethostname().partition(".")[0]
        place = self.directory
        fixed = {
            "ClusterName": "spawntest",
            "SlurmctldHost": f"{host}(127.0.0.1)",
            "SlurmctldPort": str(ports[0]),
            "SlurmUser": self._user,
            "SlurmdUser": self._user,
            "AuthInfo": f"socket={self._socket}",
            "StateSaveLocation": f"{place}/state",
            "SlurmdSpoolDir": f"{place}/spool/%n",
            "SlurmctldPidFile": f"{place}/run/slurmctld.pid",
            "SlurmdPidFile": f"{place}/run/slurmd-%n.pid",
            "SlurmctldLogFile": f"{place}/log/slurmctld.log",
            "SlurmdLogFile": f"{place}/log/slurmd-%n.log",
        }
        lines = [f"{key}={value}" for key, value in {**fixed, **settings}.items()]
        for number in range(1, self.nodes + 1):
            (place / "spool" / f"n{number}").mkdir(exist_ok=True)
            lines.append(
                f"NodeName=n{number} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[number]} CPUs={cpus} "
                "RealMemory=20000 State=UNKNOWN"
            )
        members = f"n[1-{self.nodes}]"
        lines.append(f"PartitionName=debug Nodes={members} Default=YES MaxTime=INFINITE State=UP")
        lines.append(f"PartitionName=short Nodes={members} MaxTime=10 State=UP")
        self.conf.write_text("\n".join(lines) + "\n")
        self.conf.chmod(0o644)

    # --- using ---------------------------------------------------------------------------------------------------

    def run(self, *command: str, check: bool = True) -> str:
        """What a Slurm command says on stdout."""
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, env=self.environment(),
        )  # fmt: skip
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()} ({done.returncode})")
        return done.stdout

    def queue(self) -> list[str]:
        """Everything that waits or runs, as `8_3 RUNNING`."""
        return self.run("squeue", "-h", "-a", "-r", "-o", "%i %T").splitlines()

    def sacctmgr(self, *words: str) -> str:
        return self.run("sacctmgr", "-i", *words)

    def wait_for_nodes(self) -> None:
        def states() -> list[str]:
            return self.run("sinfo", "-h", "-N", "-p", "debug", "-o", "%T", check=False).split()

        wait_until(
            lambda: len(states()) == self.nodes and all(state in ("idle", "mixed", "allocated") for state in states()),
            "all nodes", limit=60,
        )  # fmt: skip

    # --- breaking ------------------------------------------------------------------------------------------------

    def node_down(self, number: int) -> None:
        """An administrator takes the node down: its jobs end as NODE_FAIL."""
        self.run("scontrol", "update", f"nodename=n{number}", "state=down", "reason=test")

    def node_up(self, number: int) -> None:
        self.run("scontrol", "update", f"nodename=n{number}", "state=resume")
        self.wait_for_nodes()

    def kill_node(self, number: int) -> None:
        """Its daemon dies; what it started lives on, as on a real cluster."""
        self._end(f"slurmd-{number}", kill=True)

    def start_node(self, number: int) -> None:
        self._daemon(f"slurmd-{number}", "slurmd", "-D", "-N", f"n{number}")

    def stop_controller(self) -> None:
        """In good order: its state is saved."""
        self._end("slurmctld")

    def kill_controller(self) -> None:
        """What it knows since it saved its state last is lost."""
        self._end("slurmctld", kill=True)

    def start_controller(self) -> None:
        self._daemon("slurmctld", "slurmctld", "-D")
        wait_until(lambda: "UP" in self.run("scontrol", "ping", check=False), "slurmctld", limit=60)

    def _end(self, name: str, *, kill: bool = False) -> None:
        daemon = self._daemons.pop(name)
        (daemon.kill if kill else daemon.terminate)()
        daemon.wait(30)

    def _reap(self) -> None:
        """After the mark's processes were ended."""
        for name in list(self._daemons):
            self._end(name, kill=True)

    def close(self) -> None:
        """End the daemons, everything the jobs left, and remove what was made."""
        if "slurmctld" in self._daemons:
            # Jobs of other users do not carry the mark.
            with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
                self.run("scancel", "--state=PENDING,RUNNING,SUSPENDED", "--full", "--signal=KILL")
                self.run("scancel", "--partition=debug")
                self.run("scancel", "--partition=short")
                wait_until(lambda: not self.queue(), "an empty queue", limit=15)
        self._made.close()

    def __enter__(self) -> Slurm:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
