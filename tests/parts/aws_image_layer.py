"""The image that emulated instances boot from: a layer over this machine's root, in which little of it is left.

Seen from an instance, the system's programs are this machine's; everything else (homes, /work, /var, /tmp, …) is
empty, and what would turn a machine off is a stand-in.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path

TOOLS = Path(__file__).with_name("aws_image")
USER = "ec2-user"
_SYSTEM = frozenset({"bin", "sbin", "usr", "etc", "lib", "lib32", "lib64", "libx32"})
"""What of the root directory is seen as it is."""
_EMPTY = ("/etc/profile.d", "/etc/ssh", "/usr/local/bin", "/usr/local/sbin", "/etc/cron.d")
_ABSENT = ("systemctl", "systemd-run", "at", "atd", "crontab", "telinit", "init")
_SSHD = """\
HostKey /etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile .ssh/authorized_keys
PasswordAuthentication no
UsePAM no
StrictModes no
PidFile none
Subsystem sftp internal-sftp
"""


def build(image: Path, endpoint: str) -> None:
    """Make the layer in the empty directory `image`, which is on a tmpfs. As root."""
    for entry in Path("/").iterdir():
        if entry.is_dir() and not entry.is_symlink() and entry.name not in _SYSTEM:
            _empty(image / entry.name, entry.stat())
        elif not entry.is_dir():
            _absent(image / entry.name)
    for name in _EMPTY:
        _empty(image / name.lstrip("/"), None)
    for name in ("tmp", "var/tmp"):
        (image / name).mkdir(parents=True, exist_ok=True)
        (image / name).chmod(0o1777)
    (image / "root").chmod(0o700)
    for name in (
        "var/log",
        "var/lib/cloud/instance",
        "var/lib/cloud/scripts/per-boot",
        "var/cache",
        "opt/emulator",
        "run",
        "proc",
        "sys",
    ):
        (image / name).mkdir(parents=True, exist_ok=True)
    (image / "var/run").symlink_to("/run")
    _devices(image / "dev")
    _accounts(image)
    _programs(image)
    (image / "etc/ssh/sshd_config").write_text(_SSHD)
    (image / "etc/emulator.json").write_text(json.dumps({"endpoint": endpoint}))
    (image / "etc/system-release").write_text("Amazon Linux release 2023 (emulated)\n")


def _empty(path: Path, like: os.stat_result | None) -> None:
    """A directory through which nothing of the lower one is seen."""
    path.mkdir(parents=True, exist_ok=True)
    os.setxattr(path, "trusted.overlay.opaque", b"y")
    path.chmod(stat.S_IMODE(like.st_mode) if like else 0o755)


def _absent(path: Path) -> None:
    """What overlayfs takes for a file that was removed."""
    os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))


def _devices(folder: Path) -> None:
    (folder / "pts").mkdir(parents=True, exist_ok=True)
    (folder / "shm").mkdir(exist_ok=True)
    (folder / "shm").chmod(0o1777)
    for name, minor in (("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)):
        os.mknod(folder / name, stat.S_IFCHR | 0o666, os.makedev(1, minor))
        (folder / name).chmod(0o666)
    os.mknod(folder / "tty", stat.S_IFCHR | 0o666, os.makedev(5, 0))
    (folder / "tty").chmod(0o666)
    (folder / "ptmx").symlink_to("pts/ptmx")
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        (folder / name).symlink_to(target)


def _accounts(image: Path) -> None:
    """Only the system's own users, and the one people log in as."""
    for name, line in (
        ("passwd", f"{USER}:x:1000:1000:EC2 Default User:/home/{USER}:/bin/bash"),
        ("group", f"{USER}:x:1000:"),
        ("shadow", f"{USER}:*:19000:0:99999:7:::"),
    ):
        lines = Path("/etc", name).read_text().splitlines()
        if name != "shadow":
            lines = [one for one in lines if int(one.split(":")[2]) < 1000 or one.startswith("nobody:")]
        path = image / "etc" / name
        path.write_text("\n".join([*lines, line]) + "\n")
        path.chmod(0o640 if name == "shadow" else 0o644)
    home = image / "home" / USER
    home.mkdir(mode=0o700)
    os.chown(home, 1000, 1000)


def _programs(image: Path) -> None:
    shutil.copy(TOOLS / "init.py", image / "opt/emulator/init.py")
    folder = image / "usr/sbin"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("shutdown", "poweroff", "halt", "reboot"):
        _install(TOOLS / "shutdown", folder / name)
    for name in ("aws", "yum"):
        _install(TOOLS / name, image / "usr/local/bin" / name)
    _install(TOOLS / "yum", image / "usr/local/bin/dnf")
    for where in ("usr/bin", "usr/sbin"):
        (image / where).mkdir(parents=True, exist_ok=True)
        for name in _ABSENT:
            if Path("/", where, name).exists():
                _absent(image / where / name)


def _install(source: Path, target: Path) -> None:
    shutil.copy(source, target)
    target.chmod(0o755)
