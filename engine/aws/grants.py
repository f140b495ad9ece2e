"""With what an instance uploads what its attempt wrote, and whether it holds long enough for that."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

LONGEST = 7 * 86400.0
"""Seconds what is signed by version 4 holds at most (S3 API, "Using Query Parameters": X-Amz-Expires)."""
SETUP = 600.0
"""Seconds an instance may take before its task begins: a task's timeout is counted from then on."""
_NEARLY = 3600.0
"""Seconds below `LONGEST` at which it is not the credentials that end it."""


@dataclass(frozen=True, slots=True)
class UploadGrant:
    """With what an instance uploads: by its own role, to `url`/KEY, or by form (POST) to `url` with these fields."""

    url: str
    fields: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """All but `key` and `file`, which the uploader adds; the signature is among them."""
    role: bool = False
    expires_at: float | None = None
    """Seconds since 1970; None: it holds as long as the role does."""


def too_short(
    grant: UploadGrant, *, ttl: float | None, timeout: float | None, now: float, has_role: bool = False
) -> str:
    """Why instances that are launched `now` could not upload at their end, and what helps; empty: they can.

    `ttl` and the task's `timeout` in seconds, `now` in seconds since 1970. `has_role`: they get a role that the sweep
    did not make; where the form is refused they upload with that, if it may write to the bucket.
    """
    until = grant.expires_at
    if until is None or has_role:
        return ""
    by_time = until - now >= LONGEST - _NEARLY
    ends: list[tuple[float, str]] = []
    if ttl is not None:
        ends.append((now + ttl, "their TTL ends at"))
    if timeout:
        ends.append((now + SETUP + timeout, "their tasks may run until"))
    if ends:
        last, words = min(ends)
        if last <= until:
            return ""
        whole = f"{words} {_clock(last, now)}"
    elif by_time:
        return ""
    else:
        whole = "and they have neither ttl nor timeout"
    why = "S3 signs for 7 days at most" if by_time else "the credentials you are logged in with end then"
    remedy = "use iam_policy: s3:FullAccess, or an iam_role that may write to the bucket"
    if not by_time:
        remedy += ", or long-lived credentials"
    return f"what instances upload with holds until {_clock(until, now)} ({why}), {whole}: {remedy}"


def _clock(at: float, now: float) -> str:
    """As a person's clock shows it; with the day if it is another."""
    day = time.localtime(at)
    same = day[:3] == time.localtime(now)[:3]
    return time.strftime("%H:%M" if same else "%Y-%m-%d %H:%M", day)
