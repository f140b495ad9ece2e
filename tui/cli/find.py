"""Which sweep does a person mean: an id, a unique beginning of one, a name, a directory, or `latest`."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

import click

from ...state.documents import DocumentsDamaged
from ...state.index import IndexEntry, SweepIndex
from ...state.journal import JournalDamaged
from ...state.layout import SweepLayout
from ...state.lock import LockDamaged
from .output import UserError

T = TypeVar("T")
Function = TypeVar("Function", bound=Callable[..., object])


def sweep_argument(*, default: str | None = None) -> Callable[[Function], Function]:
    """SWEEP as an argument, or as `--sweep-id`, as spawn spells it. The command gets its directory as `root`."""

    def find(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
        if value is not None:
            ctx.meta[_WORD] = value
        return value

    def decorate(function: Function) -> Function:
        @click.argument("sweep", required=False, callback=find, is_eager=True, expose_value=False)
        @click.option(
            "--sweep-id", metavar="ID", callback=find, is_eager=True, expose_value=False, hidden=True
        )
        @functools.wraps(function)
        def with_root(*args: object, **kwargs: object) -> object:
            word = click.get_current_context().meta.get(_WORD) or default
            if word is None:
                raise click.UsageError("name a sweep: an id, a unique beginning of one, a name, or latest")
            try:
                root = find_sweep(str(word))
            except UserError as error:
                # A script that asks whether a sweep is complete must be able to tell "no such sweep" from a state.
                raise UserError(str(error), 3 if kwargs.get("check_complete") else error.status) from None
            return function(*args, root=root, **kwargs)

        return cast("Function", with_root)

    return decorate


_WORD = "spawn_tui.sweep"


def all_entries() -> list[IndexEntry]:
    """The index, newest first."""
    try:
        return SweepIndex().entries()
    except ValueError as error:
        raise UserError(str(error)) from None


def find_sweep(word: str) -> Path:
    """The directory of the sweep that `word` names. Raises `UserError` in words, with what there is instead."""
    path = Path(word)
    if ("/" in word or word in (".", "..")) and SweepLayout(path).document.exists():
        return path.resolve()
    entries = all_entries()
    if not entries and word != "latest":
        raise UserError(f"{_unknown(word)}; there are no sweeps yet, spawn-tui --help shows the verbs")
    if not entries:
        raise UserError(
            "there are no sweeps yet; `spawn-tui launch FILE` makes one, `spawn-tui demo` shows one"
        )
    if word == "latest":
        return _existing(entries[0])
    exact = [entry for entry in entries if entry.id == word]
    named = [entry for entry in entries if entry.name == word]
    begun = [entry for entry in entries if entry.id.startswith(word)]
    for found in (exact, named, begun):
        if len(found) == 1:
            return _existing(found[0])
        if found:
            ids = ", ".join(entry.id for entry in found[:5])
            more = f" and {len(found) - 5} more" if len(found) > 5 else ""
            raise UserError(f'"{word}" names {len(found)} sweeps: {ids}{more}; give more of the id')
    near = difflib.get_close_matches(
        word, ["latest"] + [e.id for e in entries] + [e.name for e in entries], 1
    )
    hint = f'; did you mean "{near[0]}"?' if near else "; `spawn-tui list` shows what there is"
    raise UserError(f"{_unknown(word)}{hint}")


def _unknown(word: str) -> str:
    context = click.get_current_context(silent=True)
    bare = context is None or context.info_name == "open"
    return f'"{word}" is neither a verb nor a sweep' if bare else f'no sweep is called "{word}"'


def _existing(entry: IndexEntry) -> Path:
    root = Path(entry.directory)
    if not SweepLayout(root).document.exists():
        raise UserError(f"{entry.id}: its directory {root} is gone or holds no sweep")
    return root


def readable(load: Callable[[], T]) -> T:
    """Call `load`, which opens a sweep; what is wrong with its files becomes a `UserError`."""
    from ...engine.snapshot import SnapshotError

    try:
        return load()
    except (DocumentsDamaged, JournalDamaged, LockDamaged, SnapshotError) as error:
        raise UserError(str(error), status=3) from None
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}", status=3) from None
