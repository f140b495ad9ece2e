"""What an instance says of its attempt before it goes, as `bootstrap.sh` writes it.

Lines of `key value`, the last one `end`: a report without it is torn. Message, names and unknown keys may
hold any bytes.
"""

from __future__ import annotations

import re

from .model import Report

REPORTS = "reports"
"""The folder of reports below a sweep's prefix in the bucket."""
_WORD = re.compile(r"-|[a-z][a-z_]{0,31}")
_NUMBER = re.compile(r"[0-9]{1,12}")
_NAMES = 20
"""Names of files that are taken from a report; it writes fewer."""
_SHOWN = 3


def report_key(prefix: str, attempt: str) -> str:
    """The key of an attempt's report; `prefix` is the sweep's (`sweeps/<sweep-id>`)."""
    return f"{prefix.rstrip('/')}/{REPORTS}/{attempt}"


def parse_report(content: bytes) -> Report | None:
    """The report; None if it is torn or is none."""
    lines = content.decode("utf-8", errors="replace").split("\n")
    if lines[-2:] != ["end", ""]:
        return None
    said: dict[str, str] = {}
    left: list[str] = []
    for line in lines[:-2]:
        key, _, value = line.partition(" ")
        said.setdefault(key, value)
        if key == "left":
            left.append(value)
    status, flag = said.get("status", ""), said.get("flag", "")
    if not _NUMBER.fullmatch(status) or int(status) > 255 or not _WORD.fullmatch(flag):
        return None
    return Report(
        status=int(status),
        flag=flag,
        started_at=_time(said.get("started", "")),
        ended_at=_time(said.get("ended", "")),
        instance=said.get("instance", ""),
        message=said.get("message", "").strip(),
        unsent=int(said["unsent"]) if _NUMBER.fullmatch(said.get("unsent", "")) else 0,
        left=tuple(left[:_NAMES]),
    )


def unsent_words(report: Report) -> str:
    """What went with the instance because it could not be uploaded; empty if nothing did."""
    if not report.unsent:
        return ""
    shown = report.left[:_SHOWN]
    names = ", ".join(repr(name)[1:-1] for name in shown)
    which = f": {names}" if names else ""
    more = ", …" if names and report.unsent > len(shown) else ""
    count = "1 file" if report.unsent == 1 else f"{report.unsent} files"
    return f"{count} could not be uploaded from the instance before it went{which}{more} (see bootstrap.log)"


def _time(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None
