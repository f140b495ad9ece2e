"""The user data of an instance: what begins on it before it has anything of ours, and what may be shown of that."""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .bucket import UploadGrant

LARGEST = 16384
"""Bytes of user data, before base64 ("Instance user data" of the EC2 user guide)."""
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
    sent = script if len(script) <= LARGEST else gzip.compress(script, compresslevel=9, mtime=0)
    if len(sent) > LARGEST:
        raise ValueError(
            f"the user data has {len(sent)} bytes even when compressed, and EC2 takes {LARGEST}; launch fewer "
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


# --- what may be shown -------------------------------------------------------------------------------------------

_VALUE = r"(?:'[^']*'|\"(?:\\.|[^\"\\])*\"|\\.|[^\s'\"\\&;|,)}])+"
"""A value of a shell or of a document: quoted pieces side by side, or up to what ends a word."""
_SECRET_NAME = (
    r"(?<![A-Za-z0-9_.-])[A-Za-z0-9_.-]*(?:secret|token(?!i[sz]|s\b|_?count)|passw(?:or)?d|passwd|passphrase|credential|api[_-]?key|access[_-]?key|private[_-]?key"
    r"|auth[_-]?key|account[_-]?key|_pat|_pwd)[A-Za-z0-9_.-]*"
)
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?(?:-----END \1-----|\Z)", re.DOTALL),
        "***",
    ),
    # A request as JSON: user data within it is base64, and nobody reads that.
    (re.compile(r"(?P<keep>UserData['\"]?\s*[:=]\s*)['\"][A-Za-z0-9+/=\s]{16,}['\"]"), r"\g<keep>'***'"),
    # The fields of a signed form, as our own configuration and as JSON.
    (re.compile(r"(?m)^(?P<keep>field\.[^=\n]*=).*$"), r"\g<keep>***"),
    (
        re.compile(rf"(?i)(?P<keep>[\"']?\b(?:policy|signature|x-amz-[a-z-]+)[\"']?\s*[:=]\s*){_VALUE}"),
        r"\g<keep>***",
    ),
    (
        re.compile(r"(?i)(?P<keep>[?&](?:x-amz-[a-z0-9-]+|signature|awsaccesskeyid)=)[^&\s\"'<>]*"),
        r"\g<keep>***",
    ),
    (re.compile(r"(?i)(?P<keep>\bauthorization['\"]?\s*[:=]\s*['\"]?)[^'\"\n]+"), r"\g<keep>***"),
    (re.compile(r"(?i)(?P<keep>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}"), r"\g<keep>***"),
    (re.compile(rf"(?i)(?P<keep>[\"']?{_SECRET_NAME}[\"']?[ \t]*[:=][ \t]*){_VALUE}"), r"\g<keep>***"),
    (re.compile(rf"(?i)(?P<keep>\baws_(?:secret_access_key|session_token)[ \t]+){_VALUE}"), r"\g<keep>***"),
    # As an option, which begins with a dash.
    (re.compile(rf"(?i)(?P<keep>(?=-){_SECRET_NAME}[ \t]+){_VALUE}"), r"\g<keep>***"),
    (
        re.compile(r"(?P<keep>(?<![a-z0-9+.-])[a-z][a-z0-9+.-]*://[^/\s:@'\"]*:)[^@\s'\"/]+(?=@)"),
        r"\g<keep>***",
    ),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), "***"),
    (re.compile(r"\b(?:gh[pousr]_|github_pat_|hf_|xox[abprs]-|sk-|glpat-)[A-Za-z0-9_-]{10,}"), "***"),
)


def redacted(user_data: bytes | str) -> str:
    """User data, or a request, as it may be shown: what looks like a secret, or signs something, is `***`.

    Names and what is not secret stay, so that a person sees what is there.
    """
    if isinstance(user_data, bytes):
        if user_data[:2] == b"\x1f\x8b":
            try:
                user_data = gzip.decompress(user_data)
            except (OSError, EOFError):
                return "(compressed, and damaged)"
        text = user_data.decode("utf-8", errors="replace")
    else:
        text = user_data
    for rule, instead in _RULES:
        text = rule.sub(instead, text)
    return text
