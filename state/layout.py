"""Where everything stands in a sweep's directory. Names of files appear here and nowhere else.

The tree is the one HPC Sweep Manager's guide promises (`tasks/task_001/stdout.log`, …), plus the sweep's own state.
`tasks/task_001` is a link to the attempt that counts; all attempts are kept in `attempts/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

STDOUT = "stdout.log"
STDERR = "stderr.log"
CLAIM = "claim"
EXIT = "exit"
TIMED_OUT = "timed_out"
PARAMS = "params.yaml"
STATUS = "status.yaml"
RESULTS = "results"


@dataclass(frozen=True, slots=True)
class SweepLayout:
    """Paths in the directory `root` of one sweep."""

    root: Path

    @property
    def document(self) -> Path:
        """The TinyDB database: plan and last snapshot."""
        return self.root / "sweep.json"

    @property
    def journal(self) -> Path:
        return self.root / "journal"

    @property
    def requests(self) -> Path:
        return self.root / "requests"

    @property
    def lock(self) -> Path:
        return self.root / "engine.lock"

    @property
    def tasks(self) -> Path:
        return self.root / "tasks"

    @property
    def attempts(self) -> Path:
        return self.root / "attempts"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def runner(self) -> Path:
        """The runner as this sweep uses it: a new version of the program never changes it under a live attempt."""
        return self.root / "scripts" / "runner.sh"

    @property
    def engine_log(self) -> Path:
        return self.logs / "engine.log"

    @property
    def sweep_log(self) -> Path:
        return self.logs / "sweep.log"

    @property
    def config(self) -> Path:
        """A copy of the user's parameter file."""
        return self.root / "sweep_config.yaml"

    @property
    def metadata(self) -> Path:
        return self.root / "sweep_metadata.yaml"

    @property
    def mapping(self) -> Path:
        return self.root / "task_mapping.yaml"

    @property
    def failed_tasks(self) -> Path:
        return self.logs / "errors" / "failed_tasks.yaml"

    @property
    def provenance(self) -> Path:
        return self.root / "provenance"

    def attempt(self, task: str, number: int) -> Path:
        """The directory of one attempt, e.g. `attempts/task_001.1`."""
        return self.attempts / f"{task}.{number}"

    def task(self, task: str) -> Path:
        """The link to the attempt that counts."""
        return self.tasks / task
