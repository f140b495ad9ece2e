"""The command line: one verb each. Verbs are imported when they are called, so that `--help` costs nothing."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence

import click

from .output import SIGINT_STATUS, UserError, quiet_pipe, say

_VERBS: dict[str, tuple[str, str, str]] = {
    # verb: (module, attribute, one line for --help)
    "launch": ("launch", "launch", "Launch the sweep of a parameter file."),
    "status": ("show", "status", "Show a sweep's state: counts, sources, failures."),
    "list": ("show", "list_sweeps", "List all sweeps."),
    "errors": ("show", "errors", "Show which tasks failed, and why."),
    "logs": ("logs", "logs", "Print or follow the output of a task."),
    "resume": (
        "resume",
        "resume",
        "Go on with a sweep that was interrupted, paused or cancelled; retry failed tasks.",
    ),
    "cancel": ("control", "cancel", "Cancel a sweep, or some of its tasks."),
    "pause": ("control", "pause", "Launch nothing more; what runs goes on."),
    "replace": ("replace", "replace", "Give a failed or hung task a new attempt, on EC2 a new instance."),
    "extend": ("extend", "extend", "Give live EC2 instances more time."),
    "connect": ("connect", "connect", "Log in to the machine a task runs on."),
    "cost": ("cost", "cost", "Show what a sweep costs, now and in the end."),
    "reap": ("reap", "reap", "End EC2 instances that no sweep accounts for."),
    "init": ("init", "init", "Write spawn.yaml and an example sweep for this project."),
    "sources": ("sources", "sources", "List the sources that the configuration names."),
    "sync": ("sync", "sync", "Send the project to other machines."),
    "test": ("test_source", "test", "Check a source, from connection to scheduler, in words."),
    "collect": ("collect", "collect", "Bring home what is not home yet, and merge the results."),
    "demo": ("demo", "demo", "Run a small real sweep on this machine, and watch it."),
    "completion": ("completion", "completion", "Print the completion script for bash, zsh or fish."),
}
_ALIASES = {
    "run": "launch",
    "list-sweeps": "list",
    "complete": "resume",
    "collect-results": "collect",
    "ssh": "connect",
}
_LATER = {
    "export": "export", "report": "reports",
    "config": "changing spawn.yaml by command (edit it, then check it with spawn-tui sources)",
}  # fmt: skip


_CONFIG = {"init": "init", "validate": "sources", "show": "sources"}
"""HSM's `config init`, … by the verbs that do the same; to list the sources is to check the files first."""
_MONITOR = {"watch": "open", "recent": "list", "errors": "errors", "health": "status"}
"""HSM's `monitor watch`, … by the verbs that do the same."""


class _Verbs(click.Group):
    """Finds verbs by name or alias and imports only the one that is called. A word that is none is a sweep to open."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        verb = _ALIASES.get(cmd_name, cmd_name)
        if verb not in _VERBS:
            return None
        module, attribute, _ = _VERBS[verb]
        command: click.Command = getattr(importlib.import_module(f".{module}", __package__), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] == "monitor":
            verb = _MONITOR.get(args[1] if len(args) > 1 else "watch")
            if verb is None:
                raise UserError(f'"monitor {args[1]}" is not known; there are: monitor {", ".join(_MONITOR)}')
            args = [verb, *args[2:]] if verb != "open" else [*(args[2:] or ["latest"])]
        if args[:2] == ["cost", "breakdown"] and len(args) > 2:
            args = ["cost", *args[2:]]
        if args[0] == "config" and len(args) > 1 and args[1] in _CONFIG:
            args = [_CONFIG[args[1]], *args[2:]]
        word = args[0]
        if word in _LATER:
            raise UserError(f"{word}: {_LATER[word]} is not available in this version")
        if self.get_command(ctx, word) is None and not word.startswith("-"):
            near = difflib.get_close_matches(word, [*_VERBS, *_ALIASES], 1, 0.7)
            hint = f'; did you mean "{near[0]}"?' if near else "; see spawn-tui --help"
            if len(args) > 1:
                raise UserError(f'"{word}" is not a verb{hint}')
            from .open import open_sweep

            return "open", open_sweep, args
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, text) for name, (_, _, text) in _VERBS.items()])
        with formatter.section("Also understood"):
            formatter.write_dl([(alias, f"as {verb}") for alias, verb in _ALIASES.items()])
            formatter.write_dl(
                [
                    ("monitor watch|recent|errors|health", "as opening a sweep, list, errors, status"),
                    ("config init|validate", "as init, sources"),
                    ("cost breakdown", "as cost"),
                ]
            )


_EPILOG = """\b
Examples:
  spawn-tui demo                                   see it work, without any set-up
  spawn-tui launch sweep.yaml --sources local:4    run a sweep here, four tasks at a time
  spawn-tui launch sweep.yaml --sources "local:4,ssh:server1:8,hpc:cluster:16"
                                                   run it on all of them at once
  spawn-tui launch sweep.yaml --sources ec2:us-east-1:50 --estimate-only
                                                   see what it would cost on 50 instances
  spawn-tui launch sweep.yaml --dry-run            see every task and the exact command
  spawn-tui                                        all sweeps; `spawn-tui latest` opens the newest
  spawn-tui resume latest --retry-failed           run again only what failed
\b
SWEEP is an id, a unique beginning of one, a name, or `latest`.
Exit status: 0 all tasks completed, 1 some failed or were cancelled, 2 bad usage or input,
3 nothing could be launched, 130 interrupted, 143 terminated."""


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"spawn-tui {version('spawn-tui')}")
        ctx.exit()


@click.group(
    cls=_Verbs,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=_EPILOG,
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version."
)
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.option("--readonly", is_flag=True, help="Open the UI without the keys that change anything.")
@click.option("--ascii", "ascii_only", is_flag=True, help="Draw the UI with ASCII characters only.")
@click.pass_context
def cli(ctx: click.Context, debug: bool, readonly: bool, ascii_only: bool) -> None:
    """One sweep, many machines, one screen, nothing lost.

    Launches parameter sweeps, shows them live, and lets you cancel, resume and retry. Without a verb it opens the UI;
    with a sweep's name it opens that sweep.
    """
    ctx.obj = {"debug": debug, "readonly": readonly, "ascii": ascii_only}
    if ctx.invoked_subcommand is None:
        from .open import open_ui

        ctx.exit(open_ui(None, readonly=readonly, ascii_only=ascii_only))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and exit. A user never sees a traceback for bad input; `--debug` shows it."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if sys.platform == "win32":
        say("spawn-tui runs on Linux and macOS; on Windows, use it inside WSL")
        sys.exit(2)
    try:
        status = cli.main(words, prog_name="spawn-tui", standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except UserError as error:
        if "--debug" in words:
            raise
        say(f"spawn-tui: {error}")
        sys.exit(error.status)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        say("spawn-tui: interrupted")
        sys.exit(SIGINT_STATUS)
    except BrokenPipeError:
        quiet_pipe()
        sys.exit(0)
