"""Which sources keep the files of their attempts on another machine."""

from __future__ import annotations

from collections.abc import Mapping

from ..sources.registry import KINDS


def is_elsewhere(kind: str, options: Mapping[str, str]) -> bool:
    """Whether attempts of such a source write on another machine.

    A cluster without a `host` is one whose login node this is: its attempts run in the sweep's directory at home.
    """
    return kind in KINDS and KINDS[kind].remote and bool(options.get("host"))
