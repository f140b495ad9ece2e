"""An event as a line of the journal and of `--json`, and back.

`{"v":1,"seq":7,"at":1763826000.25,"type":"launching",...}`: `v` is the format's version, `seq` counts from 1 without a
gap, `at` is seconds since 1970 (UTC). Tasks are written by name (`task_001`), as everywhere a person may read them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import TypeAlias, cast

from .events import (
    Brought,
    BudgetBlind,
    BudgetSpent,
    BudgetWarned,
    Cancelling,
    Collected,
    Delay,
    DelaysOver,
    Dropped,
    End,
    Ended,
    EngineStarted,
    EngineStopped,
    Event,
    Launching,
    Limited,
    Needs,
    Note,
    OutOfReach,
    Paused,
    Record,
    Recovered,
    Ref,
    RequestRefused,
    RequestTaken,
    Requeued,
    Running,
    SourceAdded,
    SourceDisabled,
    SourceEnabled,
    SourceHealth,
    SourceReachable,
    SourceRemoved,
    SourceRoom,
    SourceStrike,
    SourceUnreachable,
    Started,
    Stray,
    SweepCreated,
    SweepEnded,
    Unknown,
    Waiting,
    Withdrawing,
    Withdrawn,
)
from .ids import task_index, task_name

FORMAT = 1


class EventError(ValueError):
    """A line that is not an event of this format."""


EVENT_TYPES: dict[str, type[Event]] = {
    cls.type: cls
    for cls in (
        SweepCreated, SourceAdded, SourceRemoved, SourceUnreachable, SourceReachable, SourceHealth, SourceStrike,
        SourceDisabled, SourceEnabled, SourceRoom, EngineStarted, EngineStopped, Launching, Limited, Waiting,
        Withdrawing, Withdrawn, Running, Ended, Unknown, Stray, Recovered, Collected, OutOfReach, Requeued, DelaysOver,
        Cancelling, Dropped, RequestTaken, RequestRefused, Paused, BudgetBlind, BudgetWarned, BudgetSpent,
        SweepEnded, Note,
    )
}  # fmt: skip

_Codec: TypeAlias = Callable[[object], object]


def _names(tasks: object) -> object:
    return [task_name(task) for task in cast("tuple[int, ...]", tasks)]


def _indices(names: object) -> object:
    return tuple(task_index(name) for name in cast("list[str]", names))


def _write_refs(refs: object) -> object:
    return [[task_name(task), attempt] for task, attempt in cast("tuple[Ref, ...]", refs)]


def _read_refs(rows: object) -> object:
    return tuple(Ref(task_index(name), attempt) for name, attempt in cast("list[tuple[str, int]]", rows))


def _row_codec(cls: type) -> tuple[_Codec, _Codec]:
    """Encode a tuple of small records as objects that leave out what has its default value."""
    plain = [(f.name, f.default) for f in fields(cls) if f.name != "task"]

    def write(rows: object) -> object:
        out: list[dict[str, object]] = []
        for row in cast("tuple[object, ...]", rows):
            item: dict[str, object] = {"task": task_name(cast("End", row).task)}
            for name, default in plain:
                value = getattr(row, name)
                if value != default:
                    item[name] = value
            out.append(item)
        return out

    def read(items: object) -> object:
        rows: list[object] = []
        for item in cast("list[dict[str, object]]", items):
            rows.append(cls(**{**item, "task": task_index(cast("str", item["task"]))}))
        return tuple(rows)

    return write, read


def _pairs(value: object) -> object:
    return tuple((key, text) for key, text in cast("list[tuple[str, str]]", value))


def _runs(value: object) -> object:
    return tuple((group, count) for group, count in cast("list[tuple[int, int]]", value))


def _needs(value: object) -> object:
    rows = cast("list[tuple[list[str], list[str]]]", value)
    return tuple(Needs(tuple(kinds), tuple(regions)) for kinds, regions in rows)


def _same(value: object) -> object:
    return value


def _tuple(value: object) -> object:
    return tuple(cast("list[object]", value))


_ENDS = _row_codec(End)
_REFS = (_write_refs, _read_refs)
_SPECIAL: dict[tuple[type, str], tuple[_Codec, _Codec]] = {
    (SweepCreated, "retry_on"): (list, _tuple),  # type: ignore[dict-item]
    (SweepCreated, "rules"): (_same, _pairs),
    (SweepCreated, "needs"): (_same, _needs),
    (SweepCreated, "groups"): (_same, _runs),
    (SourceAdded, "options"): (_same, _pairs),
    (Launching, "attempts"): _REFS,
    (Withdrawing, "attempts"): _REFS,
    (Withdrawn, "attempts"): _REFS,
    (Running, "attempts"): _row_codec(Started),
    (Ended, "attempts"): _ENDS,
    (Stray, "attempts"): _ENDS,
    (Recovered, "attempts"): _ENDS,
    (OutOfReach, "attempts"): _REFS,
    (Collected, "attempts"): _row_codec(Brought),
    (Unknown, "attempts"): _REFS,
    (Requeued, "tasks"): _row_codec(Delay),
    (Cancelling, "attempts"): _REFS,
    (Dropped, "tasks"): (_names, _indices),
    (RequestTaken, "tasks"): (_names, _indices),
}
_FIELDS: dict[type, tuple[tuple[str, object, _Codec, _Codec], ...]] = {
    cls: tuple((f.name, f.default, *_SPECIAL.get((cls, f.name), (_same, _same))) for f in fields(cls))
    for cls in EVENT_TYPES.values()
}
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


def to_dict(record: Record) -> dict[str, object]:
    """The record as it stands in the journal and in `--json`; fields with their default value are left out."""
    event = record.event
    out: dict[str, object] = {"v": FORMAT, "seq": record.seq, "at": record.at, "type": event.type}
    for name, default, write, _ in _FIELDS[type(event)]:
        value = getattr(event, name)
        if value != default:
            out[name] = write(value)
    return out


def encode(record: Record) -> str:
    """The record as one line of JSON, without the newline."""
    return _dumps(to_dict(record))


def decode(line: str) -> Record:
    """The record of one line. Raises `EventError` in words if it is not one."""
    try:
        raw: object = json.loads(line)
    except ValueError as error:
        raise EventError(f"not JSON ({error})") from None
    if not isinstance(raw, dict):
        raise EventError("not a JSON object")
    data = cast("dict[str, object]", raw)
    if data.get("v") != FORMAT:
        raise EventError(f"format version {data.get('v')!r}; this spawn-tui reads version {FORMAT}")
    cls = EVENT_TYPES.get(str(data.get("type")))
    if cls is None:
        raise EventError(f"unknown event type {data.get('type')!r}")
    values: dict[str, object] = {}
    try:
        for name, default, _, read in _FIELDS[cls]:
            if name in data:
                values[name] = read(data[name])
            elif default is MISSING:
                raise EventError(f"{cls.type}: field {name!r} is missing")
        event = cast("Callable[..., Event]", cls)(**values)
        return Record(int(cast("int", data["seq"])), float(cast("float", data["at"])), event)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, EventError):
            raise
        raise EventError(f"{cls.type}: {error}") from None
