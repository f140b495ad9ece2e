"""The first process of an emulated instance: cloud-init, SSH server and reaper in one. Run by `aws_boot.sh` as root.

    init.py CHANNEL PORT FIRST

CHANNEL is a socket to the hypervisor: this sends it two listening sockets (the metadata service's, and one of AWS's
API at 127.0.0.1:PORT), gets one in return on which to take SSH connections, and later perhaps `halt`. Only the
standard library, and nothing of ours: it runs in the instance's own root.
"""

import contextlib
import ctypes
import gzip
import os
import resource
import selectors
import signal
import socket
import subprocess
import sys
import time

KEPT = {0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 29, 31}
"""Capabilities root has on an instance: what containers get (chown … setfcap), none that reaches the machine below."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CLOUD = "/var/lib/cloud/instance"
GRACE = 5.0
"""Seconds from TERM to the end of the machine."""


def listen(address):
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(address)
    made.listen(64)
    return made


def drop_capabilities():
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    for number in range(64):
        if number not in KEPT and prctl(24, number, 0, 0, 0) != 0 and ctypes.get_errno() == 22:
            return  # PR_CAPBSET_DROP: there are no more


def say(text):
    line = f"{text}\n".encode()
    os.write(1, line)
    with open("/var/log/cloud-init-output.log", "ab") as log:
        log.write(line)


def script():
    """The user data as something to run, or None."""
    with open(f"{CLOUD}/user-data.txt", "rb") as file:
        data = file.read()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    if not data.startswith(b"#!"):
        if data.strip():
            say("__init__.py[WARNING]: Unhandled non-multipart (text/x-not-multipart) userdata")
        return None
    path = f"{CLOUD}/scripts/part-001"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, 0o700)
    return path


def scripts(first):
    """What is to run now: what is to run at each boot, and at the first the user data."""
    folder = "/var/lib/cloud/scripts/per-boot"
    found = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
    found = [path for path in found if os.access(path, os.X_OK)]
    user = script() if first else None
    return found + ([user] if user else [])


def start(path):
    read, write = os.pipe()
    environ = {
        "PATH": PATH,
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "USER": "root",
        "SHELL": "/bin/sh",
        "PWD": "/",
    }
    child = subprocess.Popen(
        [path],
        stdin=subprocess.DEVNULL,
        stdout=write,
        stderr=write,
        cwd="/",
        env=environ,
        start_new_session=True,
    )
    os.close(write)
    os.set_blocking(read, False)
    return child, read


def ssh_session(connection):
    key = "/etc/ssh/ssh_host_ed25519_key"
    if not os.path.exists(key):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True, env={"PATH": PATH}
        )
    with connection, open("/var/log/sshd", "ab") as log:
        subprocess.Popen(
            ["/usr/sbin/sshd", "-i", "-e", "-f", "/etc/ssh/sshd_config"],
            stdin=connection.fileno(),
            stdout=connection.fileno(),
            stderr=log,
            env={"PATH": PATH},
        )


class Used:
    """The CPU time of this machine's own processes, told in `/proc/stat`: the kernel's is of all machines together."""

    def __init__(self):
        self.ticks, self.cpus = os.sysconf("SC_CLK_TCK"), os.cpu_count() or 1
        self.begun, self.most = time.monotonic(), 0
        with open("/proc/stat") as file:
            self.rest = [line for line in file if not line.startswith("cpu")]
        self.file = os.open("/run/stat", os.O_WRONLY)
        self.tell()

    def tell(self):
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = int((ended.ru_utime + ended.ru_stime) * self.ticks)
        for name in os.listdir("/proc"):
            if name.isdigit() and name != "1":
                with contextlib.suppress(OSError, IndexError), open(f"/proc/{name}/stat") as file:
                    used += sum(int(field) for field in file.read().rpartition(")")[2].split()[11:15])
        self.most = max(self.most, used)
        idle = max(0, int((time.monotonic() - self.begun) * self.ticks) * self.cpus - self.most)
        # Always as long as before, so that nobody reads half of it.
        lines = [f"{name} {self.most:12d} 0 0 {idle:12d} 0 0 0 0 0 0\n" for name in ("cpu ", "cpu0")]
        os.pwrite(self.file, "".join(lines + self.rest).encode(), 0)


class Init:
    def __init__(self, channel, port):
        self.channel = channel
        self.chosen = selectors.DefaultSelector()
        self.tasks = {}
        self.until = None
        wake, woken = os.pipe()
        os.set_blocking(woken, False)
        signal.set_wakeup_fd(woken)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        metadata, api = listen(("169.254.169.254", 80)), listen(("127.0.0.1", port))
        with metadata, api:
            socket.send_fds(channel, [b"ready"], [metadata.fileno(), api.fileno()])
        told, fds, _, _ = socket.recv_fds(channel, 16, 1)
        if not told:
            sys.exit("the hypervisor has gone")
        self.chosen.register(channel, selectors.EVENT_READ, self.told)
        self.chosen.register(wake, selectors.EVENT_READ, self.woken)
        if fds:
            door = socket.socket(fileno=fds[0])
            self.chosen.register(door, selectors.EVENT_READ, lambda _: ssh_session(door.accept()[0]))

    def begin(self, first):
        say(f"Cloud-init v. 22.2.2 running 'modules:final' on {socket.gethostname()}.")
        for path in scripts(first):
            child, output = start(path)
            self.tasks[child.pid] = (
                child  # an object that is let go reaps its process itself, and nobody hears of it
            )
            self.chosen.register(output, selectors.EVENT_READ, self.printed)

    def run(self):
        """Until it is told to halt, and then until nothing is left or the time is up."""
        used = Used()
        left = True
        while self.until is None or (left and time.monotonic() < self.until):
            for key, _ in self.chosen.select(0.5 if self.until is None else 0.02):
                key.data(key.fd)
            left = self.reap()
            used.tell()
        self.drain()

    def drain(self):
        """Pass on all that was printed so far."""
        for key in list(self.chosen.get_map().values()):
            if key.data == self.printed:
                while self.printed(key.fd):
                    pass

    def told(self, channel):
        """`halt`, or the hypervisor has gone: as an operating system ends, with TERM for all."""
        self.chosen.unregister(channel)
        self.until = time.monotonic() + GRACE
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGTERM)

    def woken(self, wake):
        os.read(wake, 4096)

    def reap(self):
        """Reap what has ended; whether anything is left."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, raw = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return True
                child, status = self.tasks.pop(pid, None), os.waitstatus_to_exitcode(raw)
                self.drain()  # before what is said of its end
                if child and status and self.until is None:
                    name = os.path.basename(child.args[0])
                    say(f"cc_scripts_user.py[WARNING]: Failed to run module scripts-user ({name}: {status})")
        return False

    def printed(self, output):
        """Pass on what a script printed; whether there may be more at once."""
        try:
            content = os.read(output, 65536)
        except BlockingIOError:
            return False
        if not content:
            self.chosen.unregister(output)
            os.close(output)
            return False
        os.write(1, content)
        with open("/var/log/cloud-init-output.log", "ab") as log:
            log.write(content)
        return True


def main():
    init = Init(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
    drop_capabilities()
    os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
    init.begin(first=sys.argv[3] == "1")
    init.run()


if __name__ == "__main__":
    main()
