"""The kinds of sources there are, and the words that choose them: `local:4`, `ssh:server1:8`, `slurm:16`.

A new kind is one file beside this one and one entry in `KINDS`.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..config import options as opt
from ..config.grammar import HOW, Form, GrammarError, Written, split_list, take_apart
from ..config.model import NamedSource
from ..config.options import Option
from .base import Source, SourceContext


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """One source as the user named it."""

    name: str
    """What it is called in the sweep; unique there."""
    kind: str
    slots: int
    """How many tasks may run there at a time."""
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    """What its kind understands (`Kind.options`), and what the command line adds; lists one item a line."""

    @property
    def host(self) -> str:
        """The other machine it is on or reached through; empty for this one. From there outputs must be collected."""
        return self.options.get("host", "") if self.kind in KINDS and KINDS[self.kind].remote else ""

    @property
    def elsewhere(self) -> bool:
        """Whether its attempts write where their files must be brought home from."""
        return bool(self.host) or (self.kind in KINDS and KINDS[self.kind].cloud)

    @property
    def grace(self) -> float:
        """Seconds it may be silent before its work goes elsewhere; 0: as the sweep says."""
        return KINDS[self.kind].grace if self.kind in KINDS else 0.0

    @property
    def queue(self) -> bool:
        """Whether it takes more tasks than may run, and lets them wait in a queue of its own."""
        return self.kind in KINDS and KINDS[self.kind].queue


class SourceError(ValueError):
    """A source that cannot be used as it was written; the text says what would be right."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of source: how it is made, and what can be said of it."""

    make: Callable[[SourceSpec, SourceContext], Source]
    description: str
    """In half a line, for lists."""
    form: Form = "plain"
    """What may stand between the kind and the number of slots."""
    queue: bool = False
    remote: bool = False
    """Whether it is another machine, or may be: then the project is compared and outputs are collected."""
    cloud: bool = False
    """Whether each attempt gets a machine of its own, which is given the project and leaves its outputs in a store."""
    grace: float = 0.0
    """Seconds it may be silent before its work goes elsewhere; 0: as the sweep says."""
    options: tuple[Option, ...] = ()
    """The keys its entry in a configuration file may have, besides `type` and `max_tasks`."""
    slots: Callable[[], int] = lambda: 1
    """How many tasks run at a time where nobody says."""


def cores() -> int:
    """Processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


SSH_SLOTS = 4
CLUSTER_SLOTS = 16
CLOUD_SLOTS = 1000
"""Instances at a time where nobody says: all at once, up to this."""
CLOUD_GRACE = 6 * 3600.0
"""Seconds AWS may be silent before tasks are launched anew: an API that does not answer, or credentials that have
expired overnight, say nothing of instances that cost money and go on."""


def _local(spec: SourceSpec, context: SourceContext) -> Source:
    from .local import LocalSource

    return LocalSource(spec.name, context.layout.runner)


def _ssh(spec: SourceSpec, context: SourceContext) -> Source:
    from .ssh import SshSource

    return SshSource(spec, context)


def _slurm(spec: SourceSpec, context: SourceContext) -> Source:
    from .slurm import SlurmSource

    return SlurmSource(spec, context)


def _pbs(spec: SourceSpec, context: SourceContext) -> Source:
    from .pbs import PbsSource

    return PbsSource(spec, context)


def _ec2(spec: SourceSpec, context: SourceContext) -> Source:
    if not spec.options.get("region"):
        raise SourceError(f"source {spec.name}: nobody has said in which region; write ec2:us-east-1")
    from .ec2 import Ec2Source

    return Ec2Source(spec, context)


def _hpc(spec: SourceSpec, context: SourceContext) -> Source:
    raise SourceError(
        f"source {spec.name}: nobody has found out yet whether it is Slurm or PBS; say `type: slurm` or `type: pbs` in "
        f"spawn.yaml, or name its login node with `host:`"
    )


KINDS: dict[str, Kind] = {
    "local": Kind(_local, "processes on this machine", options=(opt.COST,), slots=cores),
    "ssh": Kind(
        _ssh, "a machine reached by SSH", "host", remote=True, options=(*opt.LOGIN, *opt.PLACE),
        slots=lambda: SSH_SLOTS,
    ),
    "slurm": Kind(
        _slurm, "a Slurm cluster, here or through a login node", "name", queue=True, remote=True,
        options=(*opt.LOGIN, opt.PARTITION, *opt.JOB, *opt.PLACE), slots=lambda: CLUSTER_SLOTS,
    ),
    "pbs": Kind(
        _pbs, "a PBS cluster, here or through a login node", "name", queue=True, remote=True,
        options=(*opt.LOGIN, opt.QUEUE, *opt.JOB, *opt.PLACE), slots=lambda: CLUSTER_SLOTS,
    ),
    "hpc": Kind(
        _hpc, "a cluster, Slurm or PBS, whichever is found", "name", queue=True, remote=True,
        options=(*opt.LOGIN, opt.PARTITION, *opt.JOB, *opt.PLACE), slots=lambda: CLUSTER_SLOTS,
    ),
    "ec2": Kind(
        _ec2, "instances of AWS EC2, one for each task", "name", cloud=True, grace=CLOUD_GRACE, options=opt.CLOUD,
        slots=lambda: CLOUD_SLOTS,
    ),
}  # fmt: skip
CLUSTERS = ("slurm", "pbs", "hpc")
_HOW_CLOUD = "ec2, ec2:16, ec2:us-east-1 or ec2:us-east-1:16"
_NO_NAMES: Mapping[str, NamedSource] = {}


def make_source(spec: SourceSpec, context: SourceContext) -> Source:
    """Raises `SourceError` if this version has no such kind."""
    if spec.kind not in KINDS:
        raise SourceError(f"source {spec.name}: this version knows no kind {spec.kind!r}")
    return KINDS[spec.kind].make(spec, context)


def parse_sources(
    texts: Sequence[str],
    named: Mapping[str, NamedSource] = _NO_NAMES,
    *,
    warn: Callable[[str], object] = lambda text: None,
) -> list[SourceSpec]:
    """The sources of `--sources "local:4,ssh:server1:8"` (several, comma separated or repeated); none: `local`.

    `named`: those of the configuration, by name. `warn` is told how a number that looks like a port was read.
    Names are unique in the result. Raises `SourceError`.
    """
    specs: list[SourceSpec] = []
    forms: dict[str, Form] = dict.fromkeys(named, "plain")
    forms.update({kind: traits.form for kind, traits in KINDS.items()})
    for text in split_list(texts) or ["local"]:
        try:
            written = take_apart(text, forms)
        except GrammarError as error:
            raise SourceError(_hinted(text, str(error))) from None
        spec = _spec(written, named)
        if KINDS[spec.kind].form == "host" and written.ambiguity:
            warn(written.ambiguity)
        specs.append(SourceSpec(_unique(spec.name, specs, named), spec.kind, spec.slots, spec.options))
    return specs


def _spec(written: Written, named: Mapping[str, NamedSource]) -> SourceSpec:
    name = written.name or written.head
    entry = named.get(name)
    if written.head not in KINDS:
        if entry is None:
            raise SourceError(_unknown(written, named))
        kind = entry.kind
    elif entry is not None:
        kind = _agreed(written, entry)
    else:
        kind = written.head
        if KINDS[kind].cloud and entry is None:
            entry = named.get(kind)
        if kind in CLUSTERS:
            _require_no_slip(written, named)
            # What stands under the kind's own name holds for every cluster that has no entry of its own.
            entry = named.get(kind)
            kind = _agreed(written, entry) if entry is not None else kind
    options = dict(entry.options) if entry is not None else {}
    if KINDS[kind].cloud and written.head in KINDS and written.name:
        options["region"], name = written.name, f"{kind}-{written.name}"
    if KINDS[kind].form == "host":
        options.setdefault("host", name)
    if written.user:
        options["user"] = written.user
    if written.port is not None:
        options["port"] = str(written.port)
    slots = written.slots or (entry.slots if entry is not None else None) or KINDS[kind].slots()
    return SourceSpec(name, kind, slots, options)


def _agreed(written: Written, entry: NamedSource) -> str:
    """The kind where both the command line and the configuration name one; `hpc` agrees with any cluster."""
    if written.head == entry.kind or (written.head == "hpc" and entry.kind in CLUSTERS):
        return entry.kind
    if entry.kind == "hpc" and written.head in CLUSTERS:
        return written.head
    raise SourceError(
        f'"{written.text}": {entry.name} is of type {entry.kind} ({entry.place}); write {entry.name} alone, or '
        f"{entry.kind}:{entry.name}"
    )


def _require_no_slip(written: Written, named: Mapping[str, NamedSource]) -> None:
    """A cluster by a name that the configuration lacks is this machine's own, if the configuration names none at all.

    If it names some, the name is a slip for one of them, or its entry is missing.
    """
    clusters = [name for name, entry in named.items() if entry.kind in CLUSTERS and name not in CLUSTERS]
    if written.name and clusters:
        raise SourceError(
            f'"{written.text}": the configuration names no cluster {written.name}; '
            f"{_nearest(written.name, clusters)}it names {', '.join(clusters)}"
        )


def _hinted(text: str, words: str) -> str:
    """What the grammar says of a word, with examples of its own kind: a cloud has regions, a cluster has a name."""
    kind = KINDS.get(text.partition(":")[0])
    return words.replace(HOW["name"], _HOW_CLOUD) if kind is not None and kind.cloud else words


def _unknown(written: Written, named: Mapping[str, NamedSource]) -> str:
    near = _nearest(written.head, [*KINDS, *named])
    names = f"the configuration names {', '.join(named)}" if named else "no configuration names any"
    return (
        f'"{written.text}" is not a source; {near}write it like local:4, ssh:host:8, slurm:16 or ec2:4, '
        f"or by its name ({names})"
    )


def _nearest(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, 1)
    return f'did you mean "{near[0]}"? ' if near else ""


def _unique(name: str, specs: Sequence[SourceSpec], named: Mapping[str, NamedSource]) -> str:
    """`name`, or with a number behind it if it is taken; a name of the configuration is never given away."""
    taken = {spec.name for spec in specs}
    if name not in taken:
        return name
    return next(
        f"{name}-{n}"
        for n in range(2, len(specs) + len(named) + 3)
        if f"{name}-{n}" not in taken and f"{name}-{n}" not in named
    )
