"""Which of the three dialects a file is written in: told by its content, and contradictions named, never
guessed.

`params`, a list, or without any tasks `count` or `regions` → spawn · `grid`, a mapping, or `paired`, or `sweep:` →
HSM · `grid`, a list of entries → MFCL.
"""

from __future__ import annotations

from .fields import LAUNCH_FIELDS, UNMISTAKABLE, launch_field
from .mending import mended
from .model import Dialect, Value
from .problems import NULL, Findings, did_you_mean, kind_of
from .settings import SETTINGS, is_note, is_setting

_TASKS = ("params", "grid", "paired", "sweep")
_ELSEWHERE = (
    "defaults", "name", "script", "entrypoint", "output_dir", "overrides", "nnodes", "node_rank", "rendezvous",
    "work_dir", "complete",
)  # fmt: skip
"""Keys that some dialect knows beside its tasks and our settings."""
_WHAT_A_SWEEP_HAS = "write `params:` with a list of tasks, or `grid:` with lists of values"


def tell(data: dict[str, Value], findings: Findings) -> Dialect | None:
    """The dialect of a file's content; None, after noting why, if it has none or more than one."""
    marks = _marks(data)
    dialects = {dialect for dialect, _ in marks}
    if len(dialects) > 1:
        (_, first), (_, second) = marks[0], next(mark for mark in marks if mark[0] != marks[0][0])
        key = second.split("`")[1]
        findings.error(
            (key,), f"{first} and {second} belong to different dialects", remedy="keep one of them"
        )
        return None
    if "sweep" in data and ("grid" in data or "paired" in data):
        key = "grid" if "grid" in data else "paired"
        findings.error(
            (key,), f"`{key}` stands beside `sweep`, which has its own", remedy="move it into `sweep:`"
        )
        return None
    if marks:
        return marks[0][0]
    if "grid" in data:
        value = data["grid"]
        findings.error(
            ("grid",),
            f"must be a mapping of names to lists, not {kind_of(value)}",
            value=NULL if value is None else value,
            remedy="write lr: [0.1, 0.01] under it",
        )
        return None
    if not findings:
        findings.error(
            (), "an empty sweep: the file has neither `params` nor `grid`", remedy=_WHAT_A_SWEEP_HAS
        )
    return None


def top_level(data: Value, findings: Findings) -> dict[str, Value]:
    """The top level of a file; where it has no tasks at all, with a plain slip for their key put right."""
    if not isinstance(data, dict):
        remedy = "put the list under `params:`" if isinstance(data, list) else _WHAT_A_SWEEP_HAS
        what = "is empty" if data is None else f"must be a mapping, not {kind_of(data)}"
        findings.error((), f"the top level {what}", remedy=remedy)
        return {}
    if any(key in data for key in _TASKS):
        return data

    def note(key: str) -> None:
        hint = did_you_mean(key, _TASKS)
        findings.error((key,), "is unknown, and the file has neither `params` nor `grid`", remedy=hint)

    return mended(data, _TASKS, lambda key: not _near_tasks(key), findings, note=note)


def without_dialect(data: dict[str, Value], findings: Findings) -> dict[str, Value]:
    """A file of no dialect, with its unknown keys noted and put right as far as all dialects agree."""
    known = (*_TASKS, *_ELSEWHERE, *SETTINGS, *LAUNCH_FIELDS)
    return mended(data, known, lambda key: _is_known(key) or _near_tasks(key), findings)


def _is_known(key: str) -> bool:
    return key in _ELSEWHERE or is_setting(key) or is_note(key) or launch_field(key) is not None


def _near_tasks(key: str) -> bool:
    return key not in _TASKS and not _is_known(key) and bool(did_you_mean(key, _TASKS))


def _marks(data: dict[str, Value]) -> list[tuple[Dialect, str]]:
    marks: list[tuple[Dialect, str]] = []
    grid = data.get("grid")
    if "params" in data:
        marks.append(("spawn", "`params`"))
    if isinstance(grid, list):
        marks.append(("mfcl", "`grid` as a list"))
    elif isinstance(grid, dict) and "params" not in data:
        marks.append(
            ("spawn", "`grid` with EC2 fields") if _wants_instances(data) else ("hsm", "`grid` as a mapping")
        )
    if "paired" in data:
        marks.append(("hsm", "`paired`"))
    if not any(key in data for key in _TASKS) and _counts_instances(data):
        marks.append(("spawn", "`count`"))
    if "sweep" in data:
        marks.append(("hsm", "`sweep`"))
    return marks


def _wants_instances(data: dict[str, Value]) -> bool:
    """A product over what is plainly a spawn file: its `defaults` or its top level say which instances it
    wants.
    """
    defaults = data.get("defaults")
    levels = (data, defaults if isinstance(defaults, dict) else {})
    return any(isinstance(level.get(field), str) for level in levels for field in UNMISTAKABLE)


def _counts_instances(data: dict[str, Value]) -> bool:
    """Tasks without parameters, told by their number alone (`count: 200`, `regions: [{us-east-1: 100}]`)."""
    defaults = data.get("defaults")
    levels = (data, defaults if isinstance(defaults, dict) else {})
    return any(level.get(field) is not None for level in levels for field in ("count", "regions"))
