"""One configuration file, from its content to typed values, with every problem of it in one go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import TypeVar, get_args

from ..aws.counts import region
from ..aws.model import OnComplete
from ..aws.spec_values import SpecError, texts
from ..plan.model import Value
from ..plan.problems import NULL, Findings, Located, Path, did_you_mean, kind_of
from ..sources.registry import KINDS
from . import values
from .grammar import NAME
from .model import STRATEGIES, CollectSettings, Defaults, HealthSettings, NamedSource, SyncSettings
from .options import find_option
from .values import Wrong

T = TypeVar("T")
SECTIONS = ("sources", "defaults", "health", "sync", "collect")
TYPES = tuple(KINDS)
ENDINGS: tuple[str, ...] = get_args(OnComplete)
_OF_SWEEPS = ("params", "grid", "paired", "sweep", "command")
_SOURCE_KEYS = ("type", "max_tasks")
_NOTES = ("x-", "_")
"""Beginnings of top-level keys that are for people (and for YAML anchors)."""


@dataclass(frozen=True, slots=True)
class Layer:
    """What one file says."""

    sources: Mapping[str, NamedSource] = field(default_factory=dict[str, NamedSource])
    defaults: Defaults = field(default_factory=Defaults)
    health: HealthSettings = field(default_factory=HealthSettings)
    sync: SyncSettings = field(default_factory=SyncSettings)
    collect: CollectSettings = field(default_factory=CollectSettings)


def read_layer(data: Value, document: Located, findings: Findings) -> Layer:
    """The content of a file. What is wrong is noted in `findings`, and left out of the result."""
    if data is None:
        return Layer()
    if not isinstance(data, dict):
        findings.error(
            (), f"the top level must be a mapping, not {kind_of(data)}", remedy="write sources: on a line"
        )
        return Layer()
    for key in data:
        if key in _OF_SWEEPS and not any(section in data for section in SECTIONS):
            findings.error(
                (key,),
                "belongs to a sweep's file, and this is a configuration",
                remedy="give the sweep another name",
            )
        elif key not in SECTIONS and not key.startswith(_NOTES):
            findings.error(
                (key,),
                "is unknown here",
                remedy=did_you_mean(key, SECTIONS) or f"known are {', '.join(SECTIONS)}",
            )
    folder = FilePath(document.file).absolute().parent
    return Layer(
        _sources(data.get("sources"), document, findings),
        _section(Defaults(), data, "defaults", _defaults(folder), findings),
        _section(HealthSettings(), data, "health", _HEALTH, findings),
        _section(SyncSettings(), data, "sync", _SYNC, findings),
        _section(CollectSettings(), data, "collect", _COLLECT, findings),
    )


def source_keys(kind: str) -> tuple[str, ...]:
    """The keys that a source of this kind may have."""
    return (*_SOURCE_KEYS, *(option.name for option in KINDS[kind].options))


def _sources(value: Value, document: Located, findings: Findings) -> dict[str, NamedSource]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        findings.error(
            ("sources",), f"must be a mapping of names to sources, not {kind_of(value)}", value=value,
            remedy="write server1: {type: ssh, host: server1.example.org} under it",
        )  # fmt: skip
        return {}
    lines = document.lines([("sources", name) for name in value])
    found: dict[str, NamedSource] = {}
    for name, entry in value.items():
        path = ("sources", name)
        source = _source(name, entry, path, findings)
        if source is not None:
            found[name] = replace(source, place=f"{document.file}:{lines.get(path, 1)}")
    return found


def _source(name: str, entry: Value, path: Path, findings: Findings) -> NamedSource | None:
    if not isinstance(entry, dict):
        findings.error(
            path, f"must be a mapping, not {kind_of(entry)}", value=NULL if entry is None else entry,
            remedy="write {type: ssh, host: server1.example.org}",
        )  # fmt: skip
        return None
    kind = _type(entry.get("type"), "type" in entry, path, findings)
    if kind is None:
        return None
    _check_name(name, kind, path, findings)
    options: dict[str, str] = {}
    slots: int | None = None
    for key, value in entry.items():
        here = (*path, key)
        if key == "type":
            continue
        option = find_option(KINDS[kind].options, key)
        if key == "max_tasks":
            slots = _read(values.whole(1, 100_000), value, here, findings)
        elif option is None:
            findings.error(here, f"means nothing to a source of type {kind}", remedy=_known_option(key, kind))
        elif option.name in options:
            findings.error(
                here, f"is another name of `{option.name}`, which is there", remedy="keep one of them"
            )
        elif value is None:
            findings.error(here, "has no value", remedy="give it one, or leave the line out")
        elif (word := _read(option.read, value, here, findings)) is not None:
            options[option.name] = word
    _check_login(kind, options, path, findings)
    _check_cloud(kind, options, path, findings)
    return NamedSource(name, kind, slots, options)


def _type(value: Value, given: bool, path: Path, findings: Findings) -> str | None:
    known = ", ".join(TYPES)
    if not given:
        findings.error(path, "has no `type`", remedy=f"write type: and one of {known}")
    elif isinstance(value, str) and value in TYPES:
        return value
    else:
        near = did_you_mean(value, TYPES) if isinstance(value, str) else ""
        shown = NULL if value is None else value
        findings.error(
            (*path, "type"), "is no type of source", value=shown, remedy=near or f"known are {known}"
        )
    return None


def _check_name(name: str, kind: str, path: Path, findings: Findings) -> None:
    if not NAME.fullmatch(name) or name.isdigit():
        findings.error(
            path,
            "is not a name that --sources can say",
            remedy="use letters, digits, . _ and -, not digits alone",
        )
    elif name == "ssh" or (name in KINDS and name != kind and name != "hpc"):
        findings.error(
            path, f"is the name of a kind, and this is a source of type {kind}", remedy="rename it"
        )
    elif name == "hpc" and not KINDS[kind].queue:
        findings.error(path, f"stands for a cluster, and this is a source of type {kind}", remedy="rename it")


def _known_option(key: str, kind: str) -> str:
    names = [name for option in KINDS[kind].options for name in (option.name, *option.aliases)]
    return did_you_mean(key, (*_SOURCE_KEYS, *names)) or f"known are {', '.join(source_keys(kind))}"


def _check_login(kind: str, options: Mapping[str, str], path: Path, findings: Findings) -> None:
    """A cluster without a host is this machine's own: to say how to log in to it is a forgotten host."""
    if not KINDS[kind].queue or "host" in options:
        return
    for key in ("user", "port", "ssh_key"):
        if key in options:
            findings.error(
                (*path, key), "says how to log in, and there is no `host`", remedy="write host: too"
            )
            return


def _check_cloud(kind: str, options: Mapping[str, str], path: Path, findings: Findings) -> None:
    """What can be said of instances without asking AWS. Without a region those count that the tasks name."""
    if not KINDS[kind].cloud:
        return
    ending = options.get("on_complete", ENDINGS[0])
    if ending not in ENDINGS:
        remedy = did_you_mean(ending, ENDINGS) or f"known are {', '.join(ENDINGS)}"
        findings.error((*path, "on_complete"), "is nothing an instance does", value=ending, remedy=remedy)
    where = options.get("region")
    if where is None:
        return
    try:
        region("region", where)
    except SpecError as error:
        findings.error((*path, "region"), error.message, value=where, remedy=error.remedy)
        return
    for zone in texts("az", options.get("az")):
        if not zone.startswith(where):
            remedy = f"write {where}a, or the zone's own region"
            findings.error((*path, "az"), f"is not in {where}", value=zone, remedy=remedy)


def _read(reader: Callable[[Value], T], value: Value, path: Path, findings: Findings) -> T | None:
    try:
        return reader(value)
    except Wrong as wrong:
        findings.error(path, wrong.message, value=NULL if value is None else value, remedy=wrong.remedy)
        return None


def _section(
    empty: T,
    data: dict[str, Value],
    name: str,
    readers: Mapping[str, Callable[[Value], object]],
    findings: Findings,
) -> T:
    """The settings under `name`, on top of `empty`, whose fields are called like the readers."""
    content = data.get(name)
    if content is None:
        return empty
    if not isinstance(content, dict):
        findings.error(
            (name,),
            f"must be a mapping, not {kind_of(content)}",
            value=content,
            remedy=f"known are {', '.join(readers)}",
        )
        return empty
    given: dict[str, object] = {}
    for key, value in content.items():
        reader = readers.get(key)
        if reader is None:
            remedy = did_you_mean(key, readers) or f"known are {', '.join(readers)}"
            findings.error((name, key), "is unknown here", remedy=remedy)
        elif (result := _read(reader, value, (name, key), findings)) is not None:
            given[key] = result
    return replace(empty, **given)  # type: ignore[type-var]


def _strategy(value: Value) -> str:
    if isinstance(value, str) and value in STRATEGIES:
        return value
    near = did_you_mean(value, STRATEGIES) if isinstance(value, str) else ""
    raise Wrong("is no strategy", near or f"known are {', '.join(STRATEGIES)}")


def _source_list(value: Value) -> tuple[str, ...]:
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list) or not words or not all(isinstance(w, str) and w.strip() for w in words):
        raise Wrong("must be text or a list of texts", "write local:4 or [local:4, server1:8]")
    return tuple(str(word).strip() for word in words)


def _defaults(folder: FilePath) -> dict[str, Callable[[Value], object]]:
    def output_dir(value: Value) -> FilePath:
        return folder / FilePath(values.text(value)).expanduser()

    return {
        "sources": _source_list,
        "strategy": _strategy,
        "max_concurrent": values.whole(1),
        "retries": values.whole(0),
        "timeout": values.some_seconds,
        "output_dir": output_dir,
    }


_HEALTH: dict[str, Callable[[Value], object]] = {
    "grace": values.seconds,
    "strikes": values.whole(1),
    "failure_rate": values.fraction,
    "failure_tasks": values.whole(1),
    "cooldown": values.seconds,
    "probes": values.whole(1),
    "withdraw_after": values.seconds,
}
_SYNC: dict[str, Callable[[Value], object]] = {"exclude": values.texts, "verify": values.truth}
_COLLECT: dict[str, Callable[[Value], object]] = {
    "interval": values.some_seconds,
    "max_size": values.size,
    "keep_remote": values.truth,
    "include": values.texts,
    "exclude": values.texts,
}
