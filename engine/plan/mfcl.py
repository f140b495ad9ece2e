"""The MFCL dialect: `grid` as a list of entries with aliases, budgets and multi-node settings.

Rules: MFCL's `docs/sweeps.md` and `tools/sweep.py`. Ids and overrides come out as theirs do, except that text
is quoted so that Hydra reads it back to the byte (JSON's escapes, which MFCL writes, are not Hydra's), and a
budget's own key is given once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from .draft import Draft, check_key, check_value, mapping_at, notes_of, too_many
from .hydra import literal, quoted
from .mending import mended
from .model import PlannedTask, Value
from .problems import NULL, Findings, Path, did_you_mean, kind_of
from .settings import SETTINGS, Settings, is_note, is_setting, read_env, read_settings, read_texts
from .spelled import Spelled
from .torchrun import DEFAULT_ENTRYPOINT
from .values import text_of

_TOP = (
    "grid", "name", "output_dir", "entrypoint", "script", "work_dir", "overrides", "nnodes", "node_rank",
    "rendezvous", "defaults", *SETTINGS,
)  # fmt: skip
_ENTRY = ("name", "params", "overrides", "env", "metadata", "budget", "nnodes", "node_rank", "rendezvous")
_GROUPS = ("model", "method")
_PATHS = {"batch_size": "data.batch_size", "tau": "method.tau"}
_PRECISIONS = ("fp16", "bf16", "fp32")
_LIMITS = {
    "iso_time": "max_minutes",
    "iso_tokens": "max_tokens",
    "iso_epochs": "max_epochs",
    "comm_cap": "max_comm_bytes",
    "energy_cap": "max_energy_Wh",
}
_ALSO_LIMITS = ("max_comm_bytes", "max_energy_Wh", "steps_per_epoch")
_BUDGET = ("mode", "limit", *_LIMITS.values(), "steps_per_epoch", "target_metric", "target_value")


@dataclass(slots=True)
class _Entry:
    """One entry of the grid, read, before it is multiplied."""

    slug: str
    params: dict[str, Value]
    overrides: tuple[str, ...]
    env: dict[str, str]
    metadata: dict[str, Value]
    launcher: dict[str, Value]

    def axes(self) -> list[list[Value]]:
        return [(value or [None]) if isinstance(value, list) else [value] for value in self.params.values()]


def read_mfcl(data: dict[str, Value], findings: Findings) -> Draft:
    """The tasks and settings of an MFCL grid."""
    data = mended(data, _TOP, lambda key: is_note(key) or is_setting(key), findings)
    defaults = mapping_at(data, "defaults", findings)
    settings = read_settings([((), data), (("defaults",), defaults)], findings)
    _work_dir(data, settings, findings)
    shared = {key: value for key, value in defaults.items() if not is_setting(key) and key != "parameters"}
    shared.update(mapping_at(defaults, "parameters", findings, ("defaults",)))
    entries = data["grid"] if isinstance(data["grid"], list) else []
    if not entries:
        findings.error(
            ("grid",),
            "an empty sweep: there are no entries",
            value=data["grid"],
            remedy="write - params: {lr: [0.1, 0.01]}",
        )
    root = _Root(data, shared, findings)
    read = [entry for index, item in enumerate(entries) if (entry := root.entry(index, item)) is not None]
    tasks: list[PlannedTask] = []
    total = sum(math.prod(len(axis) for axis in entry.axes()) for entry in read)
    if not too_many(total, ("grid",), findings):
        for entry in read:
            tasks += _expand(entry, len(tasks), findings)
    notes = notes_of(data, [((), data)], findings)
    notes["mfcl"] = _about(data, findings)
    return Draft("mfcl", tasks, settings, notes)


def _about(data: dict[str, Value], findings: Findings) -> dict[str, Value]:
    about: dict[str, Value] = {"entrypoint": DEFAULT_ENTRYPOINT}
    for key in ("entrypoint", "output_dir"):
        value = data.get(key)
        if isinstance(value, str) and value:
            about[key] = value
        elif value is not None:
            findings.error((key,), f"must be text, not {kind_of(value)}", value=value)
    if "output_dir" in data:
        findings.warn(("output_dir",), "is kept as a note; a sweep is written where --output-dir says")
    return about


def _work_dir(data: dict[str, Value], settings: Settings, findings: Findings) -> None:
    value = data.get("work_dir")
    if value is None:
        return
    if not isinstance(value, str) or not value:
        findings.error(("work_dir",), f"must be text, not {kind_of(value)}", value=value)
    elif settings.workdir is not None and settings.workdir != value:
        findings.error(("work_dir",), "differs from `workdir`", value=value, remedy="keep one of them")
    else:
        settings.workdir = value
        settings.places["workdir"] = ("work_dir",)


class _Root:
    """What the top level gives to every entry."""

    def __init__(self, data: dict[str, Value], shared: dict[str, Value], findings: Findings) -> None:
        self._findings = findings
        self._shared = shared
        self._overrides = self._texts(data, ())
        self._launcher = self._nodes(data, ())
        for key, value in shared.items():
            self._param(key, value, ("defaults", key))

    def entry(self, index: int, value: Value) -> _Entry | None:
        """The entry at `index`; None after noting that it is no entry."""
        findings = self._findings
        path: Path = ("grid", index)
        if not isinstance(value, dict):
            shown = NULL if value is None else value
            findings.error(
                path,
                f"must be a mapping with `params`, not {kind_of(value)}",
                value=shown,
                remedy="write - params: {lr: [0.1, 0.01]}",
            )
            return None
        value = mended(value, _ENTRY, lambda _: False, findings, path)
        own = mapping_at(value, "params", findings, path)
        for key, item in own.items():
            self._param(key, item, (*path, "params", key))
        metadata = mapping_at(value, "metadata", findings, path)
        check_value(metadata, (*path, "metadata"), findings)
        budget, facts = _budget(mapping_at(value, "budget", findings, path), (*path, "budget"), findings)
        name = value.get("name")
        if name is not None and (isinstance(name, bool | list | dict)):
            findings.error((*path, "name"), f"must be text, not {kind_of(name)}", value=name)
        env = read_env(value["env"], (*path, "env"), findings) if value.get("env") is not None else {}
        nodes = self._nodes(value, path)
        rendezvous = {**_mapping(self._launcher.get("rendezvous")), **_mapping(nodes.get("rendezvous"))}
        return _Entry(
            _slug(text_of(name) if name is not None else f"group{index:02d}"),
            {**self._shared, **own},
            (*self._overrides, *self._texts(value, path), *budget),
            env,
            {**metadata, **facts},
            {**self._launcher, **nodes, "rendezvous": rendezvous},
        )

    def _texts(self, data: dict[str, Value], path: Path) -> tuple[str, ...]:
        value = data.get("overrides")
        return () if value is None else read_texts(value, (*path, "overrides"), self._findings)

    def _nodes(self, data: dict[str, Value], path: Path) -> dict[str, Value]:
        findings = self._findings
        nodes: dict[str, Value] = {}
        count, rank = data.get("nnodes"), data.get("node_rank")
        if count is not None:
            if _whole(count, 1) or (isinstance(count, str) and _is_node_range(count)):
                nodes["nnodes"] = text_of(count)
            else:
                findings.error(
                    (*path, "nnodes"),
                    "must be a number of nodes or a range",
                    value=count,
                    remedy='write 2 or "1:4"',
                )
        if rank is not None:
            if _whole(rank, 0):
                nodes["node_rank"] = rank
            else:
                findings.error((*path, "node_rank"), "must be a whole number from 0", value=rank)
        rendezvous = mapping_at(data, "rendezvous", findings, path)
        if rendezvous:
            check_value(rendezvous, (*path, "rendezvous"), findings)
            nodes["rendezvous"] = {
                key: text_of(value) for key, value in rendezvous.items() if value is not None
            }
        return nodes

    def _param(self, key: str, value: Value, path: Path) -> None:
        findings = self._findings
        check_key(key, path, findings)
        if value == []:
            findings.error(
                path,
                "is an empty list, so there would be no tasks",
                value=value,
                remedy="give it at least one value",
            )
        check_value(value, path, findings)
        items = value if isinstance(value, list) else [value]
        for index, item in enumerate(items):
            here = (*path, index) if isinstance(value, list) else path
            shown = NULL if item is None else item
            if key == "world_size" and not _whole(item, 1):
                findings.error(here, "must be a number of processes", value=shown, remedy="write 1 or more")
            if key == "amp_dtype" and str(item).lower() not in _PRECISIONS:
                near = did_you_mean(str(item), _PRECISIONS)
                findings.error(
                    here, "is no precision", value=shown, remedy=near or "write fp16, bf16 or fp32"
                )
            if key in _GROUPS and not isinstance(item, str | int | float):
                findings.error(here, f"must be the name of a {key}", value=shown)
            if isinstance(item, str) and "${" in item:
                findings.warn(
                    here,
                    "holds ${…}, which MFCL resolves when it reads the grid; here Hydra gets it as it is",
                )


def _expand(entry: _Entry, before: int, findings: Findings) -> Iterator[PlannedTask]:
    axes = entry.axes()
    several = math.prod(len(axis) for axis in axes) > 1
    keys = list(entry.params)
    for index, combination in enumerate(itertools.product(*axes)):
        params = dict(zip(keys, combination, strict=True))
        label = f"{before + index + 1:03d}_{entry.slug}" + (f"_{index:02d}" if several else "")
        env = dict(entry.env)
        overrides = list(entry.overrides)
        for key, value in params.items():
            if key == "amp_dtype":
                overrides.append(f"train.loss_fp32={'true' if str(value).lower() == 'fp32' else 'false'}")
                env["MFCL_AMP_DTYPE"] = str(value).lower()
            elif key in _GROUPS:
                overrides.append(f"{key}={text_of(value)}")
            elif key != "world_size":
                overrides.append(f"{_PATHS.get(key, key)}={_literal(value)}")
        launcher: dict[str, Value] = {"world_size": params.get("world_size", 1), **entry.launcher}
        yield PlannedTask(label, params, {}, tuple(overrides), env, {**entry.metadata, "mfcl": launcher})


def _literal(value: Value) -> str:
    """As MFCL writes values: text always in double quotes."""
    if isinstance(value, str):
        return quoted(value, '"')
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    return value.text if isinstance(value, Spelled) else literal(value)


def _budget(budget: dict[str, Value], path: Path, findings: Findings) -> tuple[list[str], dict[str, Value]]:
    """The overrides that switch a budget on, and what a report says about it."""
    if not budget:
        return [], {}
    budget = mended(budget, _BUDGET, lambda _: False, findings, path)
    check_value(budget, path, findings)
    mode = str(budget.get("mode", "")).lower()
    limit_key = _LIMITS.get(mode)
    if limit_key is None:
        value = budget.get("mode")
        near = did_you_mean(mode, _LIMITS)
        message = "a budget needs a mode" if value is None else "is no mode of a budget"
        findings.error(
            (*path, "mode") if "mode" in budget else path,
            message,
            value=value,
            remedy=near or f"write {', '.join(_LIMITS)}",
        )
        return [], {}
    primary = "limit" if budget.get("limit") is not None else limit_key
    limit = budget.get(primary)
    if limit is None:
        findings.error(
            path, f"the mode {mode} needs a limit", remedy=f"write limit: 2.5, or {limit_key}: 2.5"
        )
        return [], {}
    for key in (primary, *_ALSO_LIMITS):
        amount = budget.get(key)
        if amount is not None and (
            isinstance(amount, bool) or not isinstance(amount, int | float) or amount <= 0
        ):
            findings.error((*path, key), "must be a number above 0", value=amount)
    overrides = [
        "runtime.budget.enabled=true",
        f'runtime.budget.mode="{mode}"',
        f"runtime.budget.{limit_key}={literal(limit)}",
    ]
    for key in _ALSO_LIMITS:
        if budget.get(key) is not None and key != limit_key:
            overrides.append(f"runtime.budget.{key}={literal(budget[key])}")
    if mode == "iso_epochs" and budget.get("steps_per_epoch") is None:
        findings.warn(path, "MFCL needs steps_per_epoch as well to measure epochs")
    facts: dict[str, Value] = {
        "budget_mode": mode,
        "budget_limit_key": limit_key,
        "budget_limit_value": limit,
    }
    facts.update({key: budget[key] for key in ("target_metric", "target_value") if key in budget})
    return overrides, facts


def _slug(name: str) -> str:
    return "".join(char for char in name.strip().replace(" ", "-") if char.isalnum() or char in "-_") or "run"


def _is_node_range(text: str) -> bool:
    low, _, high = text.partition(":")
    return (
        low.isdecimal()
        and int(low) > 0
        and ((high == "" and ":" not in text) or (high.isdecimal() and int(high) >= int(low)))
    )


def _whole(value: Value, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _mapping(value: Value) -> dict[str, Value]:
    return value if isinstance(value, dict) else {}
