"""The user data of an instance: what begins on it before it has anything of ours."""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .launch_request import USER_DATA_BYTES

if TYPE_CHECKING:
    from .bucket import UploadGrant

MARKER = "# spawn-tui bootstrap"
"""The second line of all user data of ours."""

_END = "end of part"
_SHELL = re.compile(r"[\"'`$\\\s\x00-\x1f]")


def user_data(
    *,
    sweep_id: str,
    token: str,
    region: str,
    endpoint: str,
    bucket: str,
    prefix: str,
    pack_url: str,
    pack_sha256: str,
    upload: UploadGrant,
    ttl: float | None,
    attempts: Sequence[str] = (),
) -> bytes:
    """A POSIX shell script that arms the TTL, fetches the pack and runs its bootstrap; gzipped where it is long.

    `prefix`: of the sweep's keys in the bucket (`sweeps/<sweep-id>`); `ttl` in seconds. `attempts`: their names by
    launch index; with them an instance that never gets its pack can say so in its attempt's report. The same arguments
    make the same bytes. Raises ValueError if it is longer than EC2 takes, or a value cannot be written down.
    """
    config = {
        "sweep": sweep_id,
        "token": token,
        "attempts": " ".join(attempts),
        "region": region,
        "endpoint": endpoint,
        "bucket": bucket,
        "prefix": prefix.rstrip("/"),
        "pack_url": pack_url,
        "pack_sha256": pack_sha256,
        "ttl": "" if ttl is None else str(math.ceil(ttl)),
        "upload_url": upload.url.rstrip("/") if upload.role else upload.url,
        "role": "yes" if upload.role else "no",
    }
    for key in ("region", "endpoint", "pack_url", "upload_url"):
        if _SHELL.search(config[key]):
            raise ValueError(f"{key} holds a character that no such name or URL has")
    config |= {f"field.{name}": value for name, value in upload.fields if name not in ("key", "file")}
    script = _script(config).encode()
    sent = script if len(script) <= USER_DATA_BYTES else gzip.compress(script, compresslevel=9, mtime=0)
    if len(sent) > USER_DATA_BYTES:
        raise ValueError(
            f"the user data has {len(sent)} bytes even when compressed, and EC2 takes {USER_DATA_BYTES}; launch fewer "
            "instances at once, or use credentials with a shorter session token"
        )
    return sent


def _script(config: Mapping[str, str]) -> str:
    lines: list[str] = []
    for key, value in config.items():
        if "\n" in value or "\0" in value or value == _END:
            raise ValueError(f"{key} must be one line")
        lines.append(f"{key}={value}")
    return "\n".join(
        [
            "#!/bin/sh",
            MARKER,
            "umask 077",
            'mkdir -p "${SPAWN_ROOT:=/var/lib/spawn}" || { shutdown -h now; exit 1; }',
            f"cat >\"$SPAWN_ROOT/first.sh\" <<'{_END}'",
            *_first(),
            _END,
            f"cat >\"$SPAWN_ROOT/config\" <<'{_END}'",
            *lines,
            _END,
            '[ -e "$SPAWN_ROOT/started" ] || : >"$SPAWN_ROOT/started"',
            '. "$SPAWN_ROOT/first.sh"',
            "boot",
            "",
        ]
    )


def _first() -> list[str]:
    """boot_first.sh without what only people read."""
    text = Path(__file__).with_name("boot_first.sh").read_text()
    return [line for line in text.splitlines() if line.strip() and not line.lstrip("\t").startswith("#")]
