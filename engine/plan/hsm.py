"""The HSM dialect: `grid` as a mapping and `paired` groups, flat or under `sweep:` (`sweep_config.yaml`)."""

from __future__ import annotations

from .axes import Axes, check_distinct, read_grid, read_paired
from .draft import Draft, check_key, check_value, levels_of, mapping_at, notes_of, too_many
from .fields import launch_field
from .mending import mended, unknown_key
from .model import PlannedTask, Value
from .problems import NULL, Findings, Path, kind_of
from .settings import SETTINGS, Level, is_note, is_setting, read_settings
from .values import DEEPEST

_INSIDE = ("grid", "paired", "defaults", "metadata")
_TOP = ("grid", "paired", "defaults", "sweep", "script", "name", *SETTINGS)
_NOTHING: dict[str, Value] = {}
_NO_ENV: dict[str, str] = {}


def read_hsm(data: dict[str, Value], findings: Findings) -> Draft:
    """The tasks and settings of an HSM file. Its tasks have no names of their own."""
    if "complete" in data:
        findings.error(
            ("complete",),
            "completes another sweep, which is not a property of this one",
            value=data["complete"],
            remedy="use `spawn-tui resume SWEEP`",
        )
    data = mended(data, _TOP, _is_right, findings, note=lambda key: _unknown(key, findings))
    path: Path = ()
    inside = data
    if "sweep" in data:
        path = ("sweep",)
        if not isinstance(data["sweep"], dict):
            value = NULL if data["sweep"] is None else data["sweep"]
            findings.error(
                path,
                f"must be a mapping, not {kind_of(data['sweep'])}",
                value=value,
                remedy="write grid: under it",
            )
            return Draft("hsm", [], read_settings(levels_of(data), findings))
        inside = mended(data["sweep"], _INSIDE, lambda _: False, findings, path)
    levels: list[Level] = [((), data)]
    defaults: dict[str, Value] = {}
    for place, mapping in {(): data, path: inside}.items():
        given = _defaults(mapping, place, findings)
        if given:
            levels.append(((*place, "defaults"), given))
            defaults.update(_default_params(given, (*place, "defaults"), findings))
    settings = read_settings(levels, findings)
    axes = Axes(
        read_grid(inside.get("grid"), (*path, "grid"), findings),
        read_paired(inside.get("paired"), (*path, "paired"), findings),
    )
    check_distinct(axes, findings)
    tasks: list[PlannedTask] = []
    where = (*path, "grid") if "grid" in inside else path or ("paired",)
    if not axes.grid and not axes.groups:
        if not findings:
            remedy = "write lr: [0.1, 0.01] under `grid:`"
            findings.error(where, "an empty sweep: there are no values", remedy=remedy)
    elif not too_many(axes.count(), where, findings):
        tasks = [
            PlannedTask("", {**defaults, **chosen} if defaults else chosen, _NOTHING, (), _NO_ENV, _NOTHING)
            for chosen in axes.combinations()
        ]
    notes = notes_of(data, [((), data), *([(path, inside)] if path else [])], findings)
    return Draft("hsm", tasks, settings, notes)


def _defaults(data: dict[str, Value], path: Path, findings: Findings) -> dict[str, Value]:
    value = data.get("defaults")
    if isinstance(value, list):
        # HSM's own files carry a list for Hydra here, which HSM never used either.
        findings.warn((*path, "defaults"), "is a list, which HSM ignores, and so it is ignored here")
        return {}
    return mapping_at(data, "defaults", findings, path)


def _default_params(
    defaults: dict[str, Value], path: Path, findings: Findings, prefix: str = ""
) -> dict[str, Value]:
    """The parameters among `defaults`, by dotted names, as those of the grid."""
    params: dict[str, Value] = {}
    for key, value in defaults.items():
        here = (*path, key)
        if not prefix and is_setting(key):
            continue
        if not prefix and key == "parameters" and isinstance(value, dict):
            for name, item in value.items():
                check_key(name, (*here, name), findings)
                check_value(item, (*here, name), findings)
            params.update(value)
        elif isinstance(value, dict) and value and len(path) < DEEPEST:
            params.update(_default_params(value, here, findings, f"{prefix}{key}."))
        else:
            check_key(key, here, findings)
            check_value(value, here, findings)
            params[prefix + key] = value
    return params


def _is_right(key: str) -> bool:
    return key == "complete" or is_note(key) or is_setting(key)


def _unknown(key: str, findings: Findings) -> None:
    if launch_field(key) is not None:
        findings.error(
            (key,),
            "is a launch field, which belongs beside `params`",
            remedy="a parameter stands under `grid` or `defaults`",
        )
    else:
        unknown_key(key, (*_TOP, "complete"), findings)
