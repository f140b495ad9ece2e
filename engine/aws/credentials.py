"""The standard credential chain as an engine needs it: its failures in words, and nobody asked at a terminal.

botocore wraps what AWS answers, not what its providers run into (botocore/credentials.py): a `credential_process` that
is not there or prints prose, a token file that cannot be read. Some of it comes late, with the first request that is
signed.
"""

from __future__ import annotations

import json
import os
from collections import ChainMap
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, NoReturn

from .errors import AwsError, aws_error

CLI_CACHE = "~/.aws/cli/cache"
"""Where the AWS command line keeps roles it has taken on, for which it may have asked for a code."""


def watch(session: Any) -> None:
    """Have whatever keeps a botocore session from its credentials raised as `AwsError`. Its profile has to be set.

    A code for MFA is never asked for: stdin and terminal may be a screen's, or nobody's. A role that `aws` has taken on
    with one is used for as long as it holds.
    """
    from botocore.utils import JSONFileCache

    profile = str(session.get_config_variable("profile") or "")
    chain = session.get_component("credential_provider")
    roles = chain.get_provider("assume-role")
    # What we take on ourselves stays in memory. `Path.expanduser` raises where there is no home.
    kept: Any = JSONFileCache(os.path.expanduser(CLI_CACHE))  # noqa: PTH111
    roles.cache = ChainMap({}, kept)

    def ask(_prompt: str) -> NoReturn:
        _needs_code(profile)

    roles._prompter = ask
    load = chain.load_credentials

    def load_watched() -> Any:
        with _in_words(profile):
            credentials = load()
        if credentials is not None:
            credentials.get_frozen_credentials = _watched(credentials, profile)
        return credentials

    chain.load_credentials = load_watched


def _watched(credentials: Any, profile: str) -> Any:
    """Its `get_frozen_credentials`, which every signature asks, and which fetches them when they are due."""
    get = credentials.get_frozen_credentials

    def get_watched() -> Any:
        with _in_words(profile):
            return get()

    return get_watched


@contextmanager
def _in_words(profile: str) -> Generator[None, None, None]:
    from botocore.exceptions import RefreshWithMFAUnsupportedError

    try:
        yield
    except AwsError:
        raise
    except RefreshWithMFAUnsupportedError:
        _needs_code(profile)
    except Exception as error:
        told = aws_error(error)
        if told is not None and told.kind != "other":
            raise told from error
        # Not from `error`: what a program printed hangs on it, and may be a key.
        raise AwsError(
            "credentials",
            "",
            f"the credentials{_of(profile)} cannot be had: {_cause(error) if told is None else told.words}; "
            f"mend them until `{_command(profile)}` works",
        ) from None


def _needs_code(profile: str) -> NoReturn:
    raise AwsError(
        "credentials",
        "",
        f"the credentials{_of(profile)} need an MFA code, which is not asked for here; run `{_command(profile)}` and "
        "enter it there: what the AWS command line gets for it is used here as well",
    )


def _cause(error: Exception) -> str:
    """What is known to hold no secret: not the words of just any exception."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, json.JSONDecodeError):
        return "what was to be JSON (of credential_process, or a cached login) is not"
    return f"{type(error).__name__} while they were loaded"


def _of(profile: str) -> str:
    return f" of the profile {profile}" if profile else ""


def _command(profile: str) -> str:
    return f"aws sts get-caller-identity{f' --profile {profile}' if profile else ''}"
