"""The signs that stand beside every colour, so that the screen can be read without one; and their ASCII twins."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Glyphs:
    """One set of signs. `states` by task state or sweep status; each is one cell wide."""

    states: dict[str, str]
    health: dict[str, str]
    """By `sources.Health`."""
    bar_full: str
    bar_empty: str
    bar_unknown: str
    """For slots of a source that nobody can speak for."""
    parts: str
    """The signs of a segmented bar by `view.SEGMENTS`, so that segments differ without colour."""
    cursor: str
    mark: str
    separator: str
    ellipsis: str
    ascending: str
    descending: str
    rule: str
    crumb: str
    quote: str
    """Before a line of somebody else's words."""


UNICODE = Glyphs(
    states={
        "pending": "○",
        "launching": "◔",
        "queued": "◷",
        "running": "●",
        "cancelling": "◌",
        "completed": "✓",
        "failed": "✗",
        "cancelled": "⊘",
        "unknown": "?",
        "paused": "‖",
        "interrupted": "!",
        "missing": "?",
    },
    health={
        "": "○",
        "healthy": "●",
        "degraded": "▲",
        "probing": "◔",
        "disabled": "⊘",
        "unreachable": "?",
        "removed": "◌",
    },
    bar_full="━",
    bar_empty="─",
    bar_unknown="┅",
    parts="███▒▒▓░░░",
    cursor="▌",
    mark="◆",
    separator="·",
    ellipsis="…",
    ascending="↑",
    descending="↓",
    rule="─",
    crumb="›",
    quote="│",
)

TEXTURED = replace(UNICODE, parts="█▚▒░▞╱╌┄─")
"""Where there are no colours, the segments of a bar differ by their texture."""

ASCII = Glyphs(
    states={
        "pending": ".",
        "launching": "^",
        "queued": ":",
        "running": ">",
        "cancelling": "~",
        "completed": "+",
        "failed": "x",
        "cancelled": "/",
        "unknown": "?",
        "paused": "=",
        "interrupted": "!",
        "missing": "?",
    },
    health={
        "": ".",
        "healthy": "+",
        "degraded": "!",
        "probing": "^",
        "disabled": "/",
        "unreachable": "?",
        "removed": "~",
    },
    bar_full="#",
    bar_empty="-",
    bar_unknown="?",
    parts="#x/?~>^:-",
    cursor=">",
    mark="*",
    separator="-",
    ellipsis="~",
    ascending="^",
    descending="v",
    rule="-",
    crumb=">",
    quote="|",
)
