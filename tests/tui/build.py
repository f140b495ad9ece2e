"""Makes sweeps on disk without running anything: plan, journal and logs as a real engine would have left them."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from spawn_tui.engine import events as ev
from spawn_tui.engine import words
from spawn_tui.engine.aws.launches import LaunchRequest, LaunchStore
from spawn_tui.engine.ids import task_name
from spawn_tui.engine.logs import source_log
from spawn_tui.engine.plan.model import Plan, PlannedTask, Value
from spawn_tui.engine.store import SweepStore
from spawn_tui.state.disk import LocalDisk
from spawn_tui.state.index import IndexEntry, SweepIndex
from spawn_tui.state.layout import STDERR, STDOUT
from spawn_tui.state.lock import EngineLock

START = 1_780_000_000.0
"""When fabricated sweeps begin (2026-05-28, UTC)."""


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    at: float = START

    def __call__(self) -> float:
        return self.at


@dataclass
class Made:
    """A sweep in the making. `run`, `end`, ... journal what they say; `clock` is the journal's time."""

    root: Path
    plan: Plan
    store: SweepStore
    clock: Clock
    batches: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    lock: EngineLock | None = None

    @property
    def id(self) -> str:
        return self.store.sweep.id

    def commit(self, *events: ev.Event) -> None:
        self.store.commit(list(events))

    def wait(self, seconds: float) -> None:
        self.clock.at += seconds

    def attempt(self, task: int) -> int:
        return len(self.store.sweep.tasks[task].attempts)

    def launch(self, tasks: Iterable[int], source: str = "local") -> None:
        refs = tuple(ev.Ref(task, self.attempt(task) + 1) for task in tasks)
        self.commit(ev.Launching(f"b{next(self.batches):04d}", source, refs))

    def start(self, tasks: Iterable[int], source: str = "local") -> None:
        chosen = list(tasks)
        self.launch(chosen, source)
        self.commit(
            ev.Running(
                tuple(ev.Started(t, self.attempt(t), f"{4000 + t}:1:b:h", self.clock.at) for t in chosen)
            )
        )

    def on_instances(self, tasks: Iterable[int], source: str, *, rate: float | None) -> None:
        """Let an instance run for each of these; their launch is written down as the source does."""
        chosen, batch = list(tasks), f"b{next(self.batches):04d}"
        refs = tuple(ev.Ref(task, self.attempt(task) + 1) for task in chosen)
        self.commit(ev.Launching(batch, source, refs))
        LaunchStore(self.root / "ec2" / source, LocalDisk()).write(
            LaunchRequest(
                token=f"{self.id}.{batch}", source=source, batch=batch, attempts=tuple((*ref,) for ref in refs),
                request={"ClientToken": f"{self.id}.{batch}", "MaxCount": len(refs)}, made_at=self.clock.at,
                try_number=1, market="spot", type="t3.micro",
            )
        )  # fmt: skip
        self.commit(
            ev.Running(
                tuple(
                    ev.Started(ref.task, ref.attempt, instance_id(*ref), self.clock.at, rate) for ref in refs
                )
            )
        )

    def end(self, task: int, state: ev.EndState = "completed", **fields: object) -> None:
        if state == "completed":
            fields.setdefault("exit_code", 0)
        self.commit(ev.Ended((ev.End(task, self.attempt(task), state, ended_at=self.clock.at, **fields),)))  # type: ignore[arg-type]

    def log(self, task: int, text: str, *, stderr: bool = False, attempt: int = 0, mode: str = "a") -> Path:
        path = self.store.layout.attempt(task_name(task), attempt or self.attempt(task)) / (
            STDERR if stderr else STDOUT
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open(mode) as file:
            file.write(text)
        return path

    def engine(self) -> EngineLock:
        """Let this process hold the sweep's lock, as its engine would."""
        self.lock = EngineLock(self.store.layout.lock)
        self.lock.acquire()
        # Its heart beats in the fabricated time.
        os.utime(self.store.layout.lock, (self.clock.at, self.clock.at))
        return self.lock

    def index(self) -> None:
        sweep = self.store.sweep
        SweepIndex().put(
            IndexEntry(
                sweep.id, sweep.name, str(self.root), sweep.status.value, sweep.created_at, sweep.total,
                sweep.counts["completed"], sweep.counts["failed"],  # type: ignore[index]
            )
        )  # fmt: skip


def instance_id(task: int, attempt: int = 1) -> str:
    """That of the instance of an attempt, as `on_instances` numbers them."""
    return f"i-{0x0ABC0000 + task * 16 + attempt:017x}"


def make(
    root: Path,
    params: Sequence[Mapping[str, Value]],
    *,
    name: str = "sweep",
    labels: Sequence[str] = (),
    launch: Mapping[str, Value] | None = None,
    sources: Sequence[tuple[object, ...]] = (("local", "local", 4),),
    command: str = "python train.py --lr {lr}",
    suffix: str = "abc123",
    clock: Clock | None = None,
    **frame: object,
) -> Made:
    """A new sweep in `root`, nothing launched yet."""
    tasks = tuple(
        PlannedTask(labels[n] if labels else "", row, dict(launch or {})) for n, row in enumerate(params)
    )
    plan = Plan("spawn", name, tasks, command=command)
    clock = clock or Clock()
    root.mkdir(parents=True, exist_ok=True)
    first: list[ev.Event] = [ev.SweepCreated(f"{name}-20260528-{suffix}", name, len(tasks), **frame)]  # type: ignore[arg-type]
    first += [ev.SourceAdded(*source) for source in sources]  # type: ignore[arg-type]
    store = SweepStore.create(root, plan, first, LocalDisk(), clock)
    return Made(root, plan, store, clock)


def grid(**axes: Sequence[Value]) -> list[dict[str, Value]]:
    """The product of the axes, the last the fastest."""
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def training_log(task: int, lr: float, epochs: int, total: int = 20, seed: int = 7) -> str:
    """What a small training program prints."""
    noise = random.Random(seed + task)
    loss = 2.4
    lines = [f"device: cpu   seed: {seed + task}   lr: {lr:g}", "dataset: 50000 train / 10000 validation"]
    for epoch in range(1, epochs + 1):
        loss *= 0.86 + noise.random() * 0.08
        accuracy = max(0.1, 1 - loss / 2.5)
        rate = f"{noise.randint(900, 1400)} img/s"
        lines.append(f"epoch {epoch:2d}/{total}  loss {loss:.4f}  val_acc {accuracy:.4f}  {rate}")
    return "\n".join(lines) + "\n"


TRACE = """Traceback (most recent call last):
  File "train.py", line 88, in <module>
    main()
  File "train.py", line 71, in main
    loss.backward()
FloatingPointError: loss is nan at epoch 3 (lr=1.0, momentum=0.99)
"""


def training(root: Path, *, clock: Clock | None = None) -> Made:
    """24 tasks of a training sweep four minutes on: most done, some failing for different reasons, one cancelled."""
    rows = grid(lr=[0.001, 0.01, 0.1, 1.0], batch_size=[32, 128, 256], momentum=[0.9, 0.99])
    for row in rows:
        row |= {"epochs": 20, "optimizer": "sgd", "dataset": "cifar10"}
    labels = [f"lr{fmt_lr(row['lr'])}-b{row['batch_size']}-m{row['momentum']}" for row in rows]
    made = make(
        root, rows, name="cifar-sgd", labels=labels, clock=clock, retry_max=1, retry_on=("exit", "timeout"),
        sources=(("local", "local", 4), ("ssh:gpu1", "ssh", 3)),
        command="python train.py --lr {lr} --batch-size {batch_size} --momentum {momentum}",
    )  # fmt: skip
    made.wait(0.4)
    lr = [float(row["lr"]) for row in rows]  # type: ignore[arg-type]

    def done(tasks: Sequence[int], source: str, seconds: float) -> None:
        made.start(tasks, source)
        for task in tasks:
            made.log(task, training_log(task, lr[task], 20) + f"done: best val_acc {0.71 + task / 100:.4f}\n")
        made.wait(seconds)
        for task in tasks:
            made.wait(0.7)
            made.end(task)

    done([0, 1, 2, 3], "local", 31)
    done([4, 5, 6], "ssh:gpu1", 27)
    made.start([7], "ssh:gpu1")
    made.log(7, training_log(7, lr[7], 4))
    made.wait(9)
    made.end(
        7, "failed", kind="launch_failed", message="ssh gpu1: Connection timed out during banner exchange"
    )
    done([8, 9, 10], "local", 34)
    made.start([18, 19], "local")
    made.log(18, training_log(18, lr[18], 3))
    made.log(18, TRACE, stderr=True)
    made.wait(12)
    made.end(
        18,
        "failed",
        kind="exit",
        exit_code=1,
        message="FloatingPointError: loss is nan at epoch 3 (lr=1.0, momentum=0.9)",
    )
    made.commit(ev.Requeued((ev.Delay(18, made.clock.at + 1),)))
    made.end(
        19, "failed", kind="signal", signal=9, message="killed by signal 9 (SIGKILL), perhaps out of memory"
    )
    made.wait(2)
    made.commit(ev.DelaysOver())
    made.start([18], "local")
    made.log(18, training_log(18, lr[18], 3))
    made.log(18, TRACE, stderr=True)
    made.wait(11)
    made.end(
        18,
        "failed",
        kind="exit",
        exit_code=1,
        message="FloatingPointError: loss is nan at epoch 3 (lr=1.0, momentum=0.9)",
    )
    made.start([20], "local")
    made.wait(3)
    made.commit(ev.RequestTaken("r1", "cancel", (20,), by="ada@lab"))
    made.commit(ev.Cancelling("local", (ev.Ref(20, 1),)))
    made.wait(1)
    made.end(20, "cancelled")
    made.start([11, 12, 13], "local")
    made.start([14, 15], "ssh:gpu1")
    for task, epochs in ((11, 13), (12, 11), (13, 12), (14, 9), (15, 8)):
        made.log(task, training_log(task, lr[task], epochs))
    made.wait(22)
    made.end(12)
    made.launch([16], "local")
    made.wait(0.6)
    return made


def fmt_lr(lr: object) -> str:
    return f"{lr:g}" if isinstance(lr, float) else str(lr)


def plain(root: Path, number: int, *, running: int = 0, name: str = "plain") -> Made:
    """`number` tasks with two parameters, the first `running` of them running."""
    rows: list[dict[str, Value]] = [{"lr": n / 1000, "seed": n % 7} for n in range(number)]
    made = make(root, rows, name=name, sources=(("local", "local", max(4, running)),))
    made.wait(1)
    if running:
        made.start(range(running))
    return made


SYDNEY = "ec2-ap-southeast-2"
"""A long one of the names of sources that are regions."""


def cloud(root: Path, *, clock: Clock | None = None) -> Made:
    """Six tasks in two regions of EC2 ten minutes on: two done, one failed, two running at a price, one waiting."""
    made = make(
        root, [{"lr": n / 10, "seed": n} for n in range(6)], name="west", clock=clock, retry_max=1, budget=5.0,
        labels=[f"lr-{n / 10:g}" for n in range(6)],
        launch={"instance_type": "t3.micro", "ttl": "30m", "spot": True},
        sources=(
            ("ec2-us-east-1", "ec2", 4, (("region", "us-east-1"),)),
            (SYDNEY, "ec2", 4, (("region", "ap-southeast-2"),)),
        ),
    )  # fmt: skip
    made.engine()
    made.wait(1)
    made.on_instances([0, 1, 2], "ec2-us-east-1", rate=0.0104)
    made.wait(300)
    made.end(0)
    made.end(1)
    made.end(2, "failed", kind="exit", exit_code=1, message="ValueError: lr is too big")
    made.on_instances([3, 4], SYDNEY, rate=1.5)
    made.wait(299)
    return made


REFUSED = (
    "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified. "
    "The partition is `gpu`; sinfo lists those there are: set partition: in spawn.yaml, or --sources hpc:cluster:16"
)
NO_ROUTE = "ssh gpu2 port 22: No route to host; is it on, and is the VPN up?"
FULL_DISK = (
    "gpu3: /scratch/ada is full (0 of 1.8 TB left): make room there, or set remote_root: to another disk"
)


def machines(root: Path, *, clock: Clock | None = None) -> Made:
    """60 tasks over five sources ten minutes on: one healthy, one with a queue, three in trouble."""
    rows: list[dict[str, Value]] = [{"lr": n / 1000, "seed": n % 5} for n in range(60)]
    made = make(
        root, rows, name="night", clock=clock, retry_max=1,
        sources=(
            ("local", "local", 2),
            ("ssh:gpu1", "ssh", 4, (("host", "gpu1"), ("user", "ada"), ("project_dir", "/home/ada/nets"))),
            ("ssh:gpu2", "ssh", 4),
            ("ssh:gpu3", "ssh", 2, (("host", "gpu3.lab"), ("remote_root", "/scratch/ada"))),
            ("hpc:cluster", "slurm", 8, (("partition", "gpu"), ("walltime", "2h")), True),
        ),
    )  # fmt: skip
    made.engine()
    health = ev.SourceHealth("local", "healthy", cpu=38, memory=41, disk=52, load=0.6)
    made.commit(health, ev.SourceHealth("ssh:gpu1", "healthy", cpu=97, memory=71, disk=33, load=1.1))
    made.wait(20)
    made.launch([40, 41, 42], "ssh:gpu3")
    made.wait(3)
    made.commit(
        ev.Ended(
            tuple(
                ev.End(task, 1, "failed", "launch_failed", message=FULL_DISK, source_fault=True)
                for task in (40, 41, 42)
            )
        ),
        ev.Requeued(tuple(ev.Delay(task, made.clock.at) for task in (40, 41, 42))),
        *(ev.SourceStrike("ssh:gpu3", FULL_DISK) for _ in range(3)),
        ev.SourceDisabled("ssh:gpu3", f"3 failures in a row: {FULL_DISK}", "strikes"),
    )
    made.wait(30)
    for base in range(0, 16, 8):
        made.start(range(base, base + 2), "local")
        made.start(range(base + 2, base + 5), "ssh:gpu1")
        made.start(range(base + 5, base + 8), "ssh:gpu2")
        made.wait(170)
        for task in range(base, base + 8):
            made.wait(4)
            if task == 11:
                made.end(task, "failed", kind="exit", exit_code=1, message="ValueError: seed 1 is taken")
            else:
                made.end(task)
    made.start(range(16, 18), "local")
    made.start(range(18, 22), "ssh:gpu1")
    made.start(range(22, 25), "ssh:gpu2")
    refs = tuple(ev.Ref(task, made.attempt(task) + 1) for task in (*range(25, 40), *range(43, 49)))
    made.commit(ev.Launching("b0100", "hpc:cluster", refs, limit=8))
    made.wait(40)
    made.commit(
        ev.Running(tuple(ev.Started(task, 1, f"77[{task}]", made.clock.at) for task in range(25, 31))),
        ev.Waiting("hpc:cluster", "b0100", 15, "Resources"),
        ev.SourceHealth("hpc:cluster", "healthy", queue="6 running, 15 waiting"),
    )
    made.wait(60)
    for task in range(25, 29):
        made.wait(9)
        made.end(task)
    made.commit(
        ev.SourceHealth("ssh:gpu1", "degraded", cpu=99, memory=93, disk=33, load=2.4),
        ev.SourceUnreachable("ssh:gpu2", NO_ROUTE),
        ev.SourceStrike("ssh:gpu2", NO_ROUTE),
    )
    made.wait(12)
    health = ev.SourceHealth("local", "healthy", cpu=44, memory=43, disk=52, load=0.7)
    made.commit(health, ev.Waiting("hpc:cluster", "b0100", 15, "Resources"))
    made.log(16, training_log(16, 0.016, 7))
    log = root / "logs" / source_log("ssh:gpu3")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("".join(f"{words.iso(at)} {line}\n" for at, line in _gpu3()))
    made.wait(2)
    return made


def _gpu3() -> list[tuple[float, str]]:
    strike = f"source ssh:gpu3: strike: {FULL_DISK}"
    refused = [(START + 23, f"task_0{n} failed: launch_failed: {FULL_DISK}") for n in (41, 42, 43)]
    return [
        (START, "source ssh:gpu3: 2 slots"),
        (START + 20, "launching task_041, task_042, task_043 on ssh:gpu3"),
        *refused,
        *[(START + 23, strike)] * 3,
        (START + 23, f"source ssh:gpu3 disabled: 3 failures in a row: {FULL_DISK}"),
    ]
