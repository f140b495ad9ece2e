"""The emulator as somebody else's process: start it, speak to its switches, end it."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .control import PREFIX

START_LIMIT, STOP_LIMIT = 60.0, 30.0
"""Seconds; most of a start is the import of moto."""


class NotStarted(Exception):
    """The emulator did not come up: what it said, and what to do."""


class Started:
    """A running emulator. It ends with `stop`, and when this process ends, however that comes."""

    def __init__(
        self, directory: Path, *, machines: str = "none", boot: float | None = None, minute: float | None = None,
        command: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """Start it and wait until it answers. `command` is what to run instead of this package's own emulator.

        Raises `NotStarted`.
        """
        own = [sys.executable, "-m", "spawn_tui.tui.demo.cloud", "--machines", machines]
        arguments = [*(command or own), "--dir", str(directory)]
        for name, value in (("--boot", boot), ("--minute", minute)):
            if value is not None:
                arguments += [name, str(value)]
        self._log = directory / "emulator.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True
            )
        self.endpoint = self._first_line()

    def _first_line(self) -> str:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], START_LIMIT)
        line = self.process.stdout.readline() if ready else b""
        if not line:
            self.stop()
            said = self._log.read_text(errors="replace").strip().splitlines()
            raise NotStarted(
                f"the emulator does not start: {said[-1] if said else 'it says nothing'}; it needs "
                "pip install 'spawn-tui[demo]'"
            )
        return str(json.loads(line)["endpoint"])

    def env(self, region: str = "us-east-1") -> dict[str, str]:
        """The variables that make a client of AWS speak to it, and to nobody's account."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint, "AWS_ACCESS_KEY_ID": "AKIAEMULATOR",
            "AWS_SECRET_ACCESS_KEY": "emulator", "AWS_DEFAULT_REGION": region, "AWS_REGION": region,
            "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
        }  # fmt: skip

    def control(self, method: str, path: str, **told: Any) -> Any:
        """Work one of its switches (`control.py`). Raises `ValueError` with its words if it refuses."""
        request = urllib.request.Request(
            f"{self.endpoint}{PREFIX}/{path}", method=method, data=json.dumps(told).encode() if told else None
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                content = answer.read()
                plain = answer.headers.get_content_type() != "application/json"
        except urllib.error.HTTPError as error:
            raise ValueError(error.read().decode("utf-8", "replace")) from error
        return content if plain else json.loads(content)

    def stop(self) -> None:
        """End it, and everything it runs."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_LIMIT)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
