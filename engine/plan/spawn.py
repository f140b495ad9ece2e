"""The spawn dialect: `defaults` under every row of `params`; a `grid` beside them multiplies.

A row's keys are launch fields (`fields.py`), its `name`, or parameters; in `parameters: {…}` every name is a
parameter. The merge is shallow, rows win, order is kept.
"""

from __future__ import annotations

from .axes import Axes, Axis, check_distinct, read_grid
from .draft import Draft, Slip, check_key, check_value, mapping_at, notes_of, too_many
from .fields import LAUNCH_FIELDS, LaunchField, field_like, launch_field, slip_of
from .mending import mended
from .model import PlannedTask, Value
from .problems import NULL, Findings, Path, kind_of
from .settings import SETTINGS, is_note, is_setting, read_settings
from .values import surely_fine, text_of

_TOP = ("defaults", "params", "grid", "name", *SETTINGS)
_FORBIDDEN_IN_NAMES = frozenset("/\0\n\r")
_SUSPECTED = tuple(name for name in SETTINGS if len(name) >= 6)


def read_spawn(data: dict[str, Value], findings: Findings) -> Draft:
    """The tasks and settings of a spawn file."""
    data = mended(data, (*_TOP, *LAUNCH_FIELDS), _is_right, findings)
    defaults = mapping_at(data, "defaults", findings)
    settings = read_settings([((), data), (("defaults",), defaults)], findings)
    base = _Row()
    top = {key: value for key, value in data.items() if launch_field(key) is not None}
    reader = _Rows(findings)
    if top:
        reader.split(top, (), base)
        findings.warn(
            (next(iter(top)),),
            "launch fields at the top level are taken as `defaults`; better move them there",
        )
    reader.split({key: value for key, value in defaults.items() if not is_setting(key)}, ("defaults",), base)
    rows = _rows(data, findings)
    axes = _axes(data.get("grid"), findings) if "grid" in data else Axes()
    fields = {axis.key: field for axis in axes.grid if (field := _axis_field(axis)) is not None}
    for axis in axes.grid:
        if (field := fields.get(axis.key)) is not None:
            for index, value in enumerate(axis.values):
                reader.check_field(field, value, (*axis.path, index))
        elif axis.values and "parameters" not in axis.path[:2]:
            reader.suspect(axis.key, axis.values[0], axis.path)
    tasks: list[PlannedTask] = []
    times = axes.count()
    if not too_many(len(rows) * times, ("params",) if "params" in data else ("grid",), findings):
        tasks = reader.tasks(rows, base, axes, fields)
    if not tasks and not findings:
        findings.error(
            ("params",), "an empty sweep: there are no tasks", remedy="write a list of rows, as in - lr: 0.1"
        )
    _check_labels(tasks, [row for row in reader.taken for _ in range(times)], "name" in defaults, findings)
    notes = notes_of(data, [((), data)], findings)
    return Draft("spawn", tasks, settings, notes, tuple(reader.slips.values()))


def _is_right(key: str) -> bool:
    return is_note(key) or is_setting(key) or launch_field(key) is not None


class _Row:
    """A row taken apart."""

    __slots__ = ("label", "launch", "params")

    def __init__(self) -> None:
        self.label = ""
        self.launch: dict[str, Value] = {}
        self.params: dict[str, Value] = {}


_NO_METADATA: dict[str, Value] = {}
_NO_ENV: dict[str, str] = {}


class _Rows:
    """Takes rows apart; what a key means is worked out once for all rows."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._plain: set[str] = set()
        self.slips: dict[str, Slip] = {}
        """By the words that were perhaps meant."""
        self.taken: list[int] = []
        """The rows that are mappings, by position."""

    def tasks(
        self, rows: list[Value], base: _Row, axes: Axes, fields: dict[str, LaunchField]
    ) -> list[PlannedTask]:
        """Every row over `base`, times every combination of `axes`."""
        findings = self._findings
        on_axes = dict.fromkeys(axes.keys())
        combinations = list(axes.combinations()) if on_axes else []
        tasks: list[PlannedTask] = []
        wanted_by_all = {key: value for key, value in base.launch.items() if value is not None}
        for index, mapping in enumerate(rows):
            if type(mapping) is not dict:
                value = NULL if mapping is None else mapping
                findings.error(
                    ("params", index),
                    f"must be a mapping, not {kind_of(mapping)}",
                    value=value,
                    remedy="write name: value lines",
                )
                continue
            row = _Row()
            self.taken.append(index)
            self.split(mapping, ("params", index), row)
            params = {**base.params, **row.params}
            launch = wanted_by_all
            if row.launch:
                launch = {key: value for key, value in {**launch, **row.launch}.items() if value is not None}
            label = row.label or base.label
            if not combinations:
                tasks.append(PlannedTask(label, params, launch, (), _NO_ENV, _NO_METADATA))
                continue
            for key in on_axes:
                if key in row.params or key in row.launch:
                    findings.error(
                        ("params", index, key), "stands in `grid` as well", remedy="keep one of them"
                    )
            for n, chosen in enumerate(combinations):
                own = label and f"{label}_{n:02d}"
                if not fields:
                    tasks.append(PlannedTask(own, {**params, **chosen}, launch, (), _NO_ENV, _NO_METADATA))
                    continue
                wanted = {**launch, **{field.name: chosen[key] for key, field in fields.items()}}
                rest = {key: value for key, value in chosen.items() if key not in fields}
                tasks.append(PlannedTask(own, {**params, **rest}, wanted, (), _NO_ENV, _NO_METADATA))
        return tasks

    def split(self, mapping: dict[str, Value], path: Path, row: _Row) -> None:
        """Sort `mapping`'s keys into `row`."""
        plain = self._plain
        for key, value in mapping.items():
            if key in plain:
                if not surely_fine(value):
                    check_value(value, (*path, key), self._findings)
                row.params[key] = value
            else:
                self._special(key, value, (*path, key), row)

    def check_field(self, field: LaunchField, value: Value, path: Path) -> None:
        """Note a launch field's value of the wrong type."""
        flaw = None if value is None else field.check(value)
        if flaw is not None:
            # What a script holds may be secret.
            said = None if field.name == "user_data" else value
            self._findings.error(
                path, flaw[0], value=said, remedy=flaw[1] or f"{field.name}: {field.meaning}"
            )
        else:
            check_value(value, path, self._findings)

    def _special(self, key: str, value: Value, path: Path, row: _Row) -> None:
        field = launch_field(key)
        if field is not None:
            self.check_field(field, value, path)
            if row.launch.get(field.name, value) != value:
                self._findings.error(
                    path, f"gives `{field.name}` a second value", value=value, remedy="keep one of them"
                )
            row.launch[field.name] = value
        elif key == "parameters":
            self._verbatim(value, path, row)
        elif key == "name":
            row.label = self._label(value, path)
            check_value(value, path, self._findings)
            row.params[key] = value
        else:
            self._plain.add(key)
            check_key(key, path, self._findings)
            self._remark(key, value, path)
            check_value(value, path, self._findings)
            row.params[key] = value

    def _verbatim(self, value: Value, path: Path, row: _Row) -> None:
        if not isinstance(value, dict):
            self._findings.error(
                path,
                f"must be a mapping of names to values, not {kind_of(value)}",
                value=value,
                remedy="write parameters: {lr: 0.1}",
            )
            return
        for key, item in value.items():
            check_key(key, (*path, key), self._findings)
            check_value(item, (*path, key), self._findings)
            if key in row.params:
                self._findings.error(
                    (*path, key), "is given outside of `parameters` as well", remedy="keep one of them"
                )
            row.params[key] = item

    def _label(self, value: Value, path: Path) -> str:
        if value is None:
            return ""
        if isinstance(value, bool | list | dict) or value == "":
            self._findings.error(path, "is not a name", value=value, remedy="write a short text")
            return ""
        text = text_of(value)
        if not _FORBIDDEN_IN_NAMES.isdisjoint(text):
            self._findings.error(
                path, "a name cannot hold `/`, a NUL or a line break", value=value, remedy="write - instead"
            )
        return text

    def suspect(self, key: str, value: Value, path: Path) -> None:
        """Keep a parameter that is perhaps a slip; whether it is used as one is seen when the plan is whole."""
        near = slip_of(key, _SUSPECTED if path[0] == "defaults" else ()) or field_like(key, value)
        if near is not None:
            self.slips.setdefault(near, Slip(path, key, near))

    def _remark(self, key: str, value: Value, path: Path) -> None:
        if is_setting(key) and path[0] == "params":
            hint = ""
            if key in ("command", "user_command"):
                hint = f'; to run it, give `command: sh -c "$PARAM_{key}"` at the top level'
            message = "is a parameter here, as everything in a row; as a setting it stands in `defaults`"
            self._findings.warn(path, message + hint)
            return
        self.suspect(key, value, path)


def _rows(data: dict[str, Value], findings: Findings) -> list[Value]:
    if "params" not in data:
        return [{}]
    rows = data["params"]
    if not isinstance(rows, list):
        value = NULL if rows is None else rows
        findings.error(
            ("params",),
            f"must be a list of mappings, not {kind_of(rows)}",
            value=value,
            remedy="write one `- name: value` for each task",
        )
        return []
    if not rows:
        findings.error(
            ("params",),
            "an empty sweep: there are no tasks",
            value=rows,
            remedy="write one `- name: value` for each task",
        )
    return rows


def _axes(value: Value, findings: Findings) -> Axes:
    """The grid beside `params`; in `parameters: {…}` names are taken verbatim, as in a row."""
    verbatim: tuple[Axis, ...] = ()
    if isinstance(value, dict) and isinstance(inner := value.get("parameters"), dict):
        verbatim = read_grid(inner, ("grid", "parameters"), findings)
        value = {key: item for key, item in value.items() if key != "parameters"}
    axes = Axes((*read_grid(value, ("grid",), findings), *verbatim))
    check_distinct(axes, findings)
    return axes


def _axis_field(axis: Axis) -> LaunchField | None:
    return None if "parameters" in axis.path[:2] else launch_field(axis.key)


def _check_labels(tasks: list[PlannedTask], rows: list[int], from_defaults: bool, findings: Findings) -> None:
    first: dict[str, int] = {}
    for index, task in enumerate(tasks):
        if not task.label:
            continue
        if task.label in first:
            if from_defaults:
                findings.error(
                    ("defaults", "name"),
                    "would be the name of several tasks",
                    value=task.label,
                    remedy="give each row its own name",
                )
                return
            findings.error(
                ("params", rows[index], "name"),
                f"is the name of params[{rows[first[task.label]]}] too",
                value=task.label,
                remedy="names must differ",
            )
        else:
            first[task.label] = index
