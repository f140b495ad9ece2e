"""What an instance says of its attempt before it goes, as `bootstrap.sh` writes it.

Lines of `key value`, the last one `end`: a report without it is torn. Message and unknown keys may hold any bytes.
"""

from __future__ import annotations

import re

from .model import Report

REPORTS = "reports"
"""The folder of reports below a sweep's prefix in the bucket."""
_WORD = re.compile(r"-|[a-z][a-z_]{0,31}")
_SECONDS = re.compile(r"[0-9]{1,12}")


def report_key(prefix: str, attempt: str) -> str:
    """The key of an attempt's report; `prefix` is the sweep's (`sweeps/<sweep-id>`)."""
    return f"{prefix.rstrip('/')}/{REPORTS}/{attempt}"


def parse_report(content: bytes) -> Report | None:
    """The report; None if it is torn or is none."""
    lines = content.decode("utf-8", errors="replace").split("\n")
    if lines[-2:] != ["end", ""]:
        return None
    said: dict[str, str] = {}
    for line in lines[:-2]:
        key, _, value = line.partition(" ")
        said.setdefault(key, value)
    status, flag = said.get("status", ""), said.get("flag", "")
    if not _SECONDS.fullmatch(status) or int(status) > 255 or not _WORD.fullmatch(flag):
        return None
    return Report(
        status=int(status),
        flag=flag,
        started_at=_time(said.get("started", "")),
        ended_at=_time(said.get("ended", "")),
        instance=said.get("instance", ""),
        message=said.get("message", "").strip(),
    )


def _time(text: str) -> float | None:
    return float(text) if _SECONDS.fullmatch(text) else None
