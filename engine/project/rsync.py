"""Sending files by rsync, which of a changed file sends the changed part, where OpenSSH gets in without a question.

It uses the ways of `SshHost`: the same config file, home directory, key and port. Where it cannot, a tar goes over the
connection that is there anyway.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

LIMIT = 6 * 3600.0
"""Seconds a transfer may take in all."""
STALL = 120
"""Seconds without a byte after which it is given up."""
_CONTENT = {
    11: "a file could not be written", 22: "there was no memory for it", 23: "some files could not be sent",
    24: "a file vanished while it was sent",
}  # fmt: skip
"""Exit values (rsync(1)) that speak of files; the others speak of the way there."""
_SENT = re.compile(r"^Total bytes sent: ([\d,]+)$", re.MULTILINE)


class RsyncUnusable(Exception):
    """rsync did not get through; the text says why. Nothing was installed."""


class RsyncFailed(Exception):
    """rsync got through and could not send or write the files; the text is its own complaint."""


def unusable_here() -> str:
    """Why rsync cannot be used from this machine; empty if it can."""
    absent = [name for name in ("rsync", "ssh") if shutil.which(name) is None]
    return f"there is no {' and no '.join(absent)} here" if absent else ""


def send(project: Path, names: Sequence[str], options: Mapping[str, str], there: str, stage: str) -> int:
    """Send `names` into the folder `stage` of the copy at `there` (absolute); returns the bytes that were sent.

    `options`: how the source's host is reached. Raises `RsyncUnusable` and `RsyncFailed`.
    """
    host = options["host"]
    with tempfile.TemporaryDirectory(prefix="spawn-rsync-") as folder:
        shell = Path(folder) / "ssh"
        config = Path(folder) / "config"
        config.write_text(ssh_config(options))
        shell.write_text(f'#!/bin/sh\nexec ssh -F {shlex.quote(str(config))} "$@"\n')
        shell.chmod(0o700)
        command = [
            "rsync", "--files-from=-", "--from0", "--links", "--times", "--executability", "--compress",
            "--protect-args", "--ignore-times", f"--compare-dest={there}", "--stats", f"--timeout={STALL}",
            f"--rsh={shell}", f"{project}/", f"{f'[{host}]' if ':' in host else host}:{there}/{stage}/files/",
        ]  # fmt: skip
        try:
            done = subprocess.run(
                command, input=b"".join(os.fsencode(name) + b"\0" for name in names), capture_output=True,
                timeout=LIMIT, check=False, env={**os.environ, "LC_ALL": "C"},
            )  # fmt: skip
        except OSError as error:
            raise RsyncUnusable(f"rsync cannot be run: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise RsyncFailed(f"rsync took longer than {LIMIT / 3600:g} hours") from None
    said = done.stderr.decode(errors="replace").strip().splitlines()
    if done.returncode in _CONTENT:
        # What the other end has said may be lost with the connection.
        raise RsyncFailed(said[0] if said else f"rsync: {_CONTENT[done.returncode]}")
    if done.returncode:
        raise RsyncUnusable(said[0] if said else f"rsync ended with {done.returncode}")
    match = _SENT.search(done.stdout.decode(errors="replace"))
    return int(match[1].replace(",", "")) if match else 0


def ssh_config(options: Mapping[str, str]) -> str:
    """A config file for OpenSSH: what the source says, then the user's own file. Never a question, never a new key."""
    lines = ["Host *", "  BatchMode yes", "  StrictHostKeyChecking yes", "  ConnectTimeout 15"]
    lines += ["  ClearAllForwardings yes", "  RequestTTY no", "  ServerAliveInterval 15"]
    if options.get("user"):
        lines.append(f"  User {options['user']}")
    if options.get("port"):
        lines.append(f"  Port {options['port']}")
    if options.get("ssh_key"):
        key = Path(options["ssh_key"]).expanduser()
        lines += [f'  IdentityFile "{key}"', "  IdentitiesOnly yes"]
    home = Path.home()
    lines += [
        f'Include "{path}"' for path in (home / ".ssh/config", Path("/etc/ssh/ssh_config")) if path.is_file()
    ]
    if home != Path(pwd.getpwuid(os.getuid()).pw_dir):
        # OpenSSH looks into the home of the password file, whatever HOME says.
        lines += ["Host *", f'  UserKnownHostsFile "{home / ".ssh/known_hosts"}"']
    return "\n".join(lines) + "\n"
