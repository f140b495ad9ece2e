"""A sweep on EC2 on the screen: regions by their whole names, instances, money, and what never came up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from spawn_tui.engine import events as ev
from spawn_tui.engine.aws.errors import AwsError
from spawn_tui.engine.aws.model import TAG_TTL, Instance
from spawn_tui.engine.ids import task_name
from spawn_tui.engine.sweep import Sweep, apply
from spawn_tui.tui import instance_feed
from spawn_tui.tui.columns import MAX_SOURCE, choose_columns
from spawn_tui.tui.format import clean, ending, short_ending
from spawn_tui.tui.instance_feed import InstanceTarget, InstanceTold
from spawn_tui.tui.log_mirror import Origin
from spawn_tui.tui.money import COLUMN, column_money, cost_forms
from spawn_tui.tui.screens.log import LogScreen
from spawn_tui.tui.view import TaskRow
from spawn_tui.tui.widgets.paint import fit_name

from .build import SYDNEY, Made, cloud, instance_id, make
from .conftest import Driver, opened
from .test_source_screen import flat

SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 36)], ids="{0[0]}x{0[1]}".format)
SILENT = AwsError("credentials", "", "Unable to locate credentials", "DescribeInstances")


@pytest.fixture(autouse=True)
def ec2_says(monkeypatch: pytest.MonkeyPatch) -> Callable[[Instance | AwsError | None], None]:
    """What EC2 answers to who asks for an instance; nothing, unless a test says more. No test asks the true one."""
    answers: list[Instance | AwsError | None] = [None]

    def seen(target: InstanceTarget) -> Instance | None:
        if isinstance(answers[-1], AwsError):
            raise answers[-1]
        return answers[-1]

    def no_mirror(*args: object, **more: object) -> object:
        raise OSError(0, "no copies in this test")

    monkeypatch.setattr(instance_feed, "seen", seen)
    monkeypatch.setattr("spawn_tui.engine.collect.elsewhere.mirror_of", no_mirror)
    return answers.append


def instance(task: int, **more: object) -> Instance:
    fields: dict[str, object] = {
        "id": instance_id(task), "state": "running", "type": "t3a.micro", "zone": "ap-southeast-2b",
        "market": "on-demand", "launch": "", "index": 0, "launched_at": 0.0,
    }  # fmt: skip
    return Instance(**(fields | more))  # type: ignore[arg-type]


async def open_task(driver: Driver, task: int) -> None:
    await driver.press("g", *["j"] * task, "l")
    await driver.until(lambda: isinstance(driver.app.screen, LogScreen))


# --- names and money ---------------------------------------------------------------------------------------------


@SIZES
async def test_a_region_is_told_by_its_whole_name(root: Path, size: tuple[int, int]):
    made = cloud(root)
    async with opened(root, clock=made.clock, size=size) as driver:
        assert "ec2-us-east-1" in driver.text() and SYDNEY in driver.text()
        await driver.press("2")
        assert f"{SYDNEY} " in driver.text() and "2/4" in driver.text()


async def test_what_each_task_has_cost_has_a_column_where_there_is_room(root: Path):
    made = cloud(root)
    async with opened(root, clock=made.clock) as driver:
        lines = driver.text().splitlines()
        assert any("cost" in line and "state" in line for line in lines)
        assert any("lr-0 " in line and "$0.00087" in line for line in lines)
        assert any("lr-0.3" in line and "$0.12" in line for line in lines)
        made.wait(301)
        await driver.sees("$0.25")


async def test_where_it_is_narrow_the_cost_is_told_before_the_try(root: Path):
    made = cloud(root)
    async with opened(root, clock=made.clock, size=(80, 24)) as driver:
        head = next(line for line in driver.text().splitlines() if "state" in line)
        assert "cost" in head and "try" not in head and "exit" in head and SYDNEY in driver.text()


async def test_the_try_has_its_column_once_there_is_more_than_one(root: Path):
    made = make(root, [{"lr": 1}], sources=(("ec2-us-east-1", "ec2", 4, (("region", "us-east-1"),)),))
    made.on_instances([0], "ec2-us-east-1", rate=0.0104)
    async with opened(root, clock=made.clock, size=(80, 24)) as driver:
        assert " cost " in driver.text() and " try " not in driver.text()
        made.wait(30)
        made.end(0, "failed", kind="exit", exit_code=1)
        made.commit(ev.RequestTaken("r", "retry"))
        made.on_instances([0], "ec2-us-east-1", rate=0.0104)
        await driver.sees(" try ")
        assert " cost " in driver.text()


@given(st.integers(60, 88), st.integers(0, 28), st.integers(5, 18))
def test_the_cost_has_its_place_whatever_the_names(width: int, name: int, source: int):
    columns = {c.key: c.width for c in choose_columns(width, 12, name, source, (), priced=True)}
    assert "cost" in columns and sum(columns.values()) + 2 * (len(columns) - 1) <= width
    assert columns.get("source", 11) >= min(source, 11)
    assert width < 78 or {"source", "time", "exit"} <= set(columns)


@given(st.floats(0.0000001, 99_999))
def test_money_fits_its_column(usd: float):
    assert len(column_money(usd)) <= COLUMN


@pytest.mark.parametrize("failed", [0, 1, 12])
async def test_the_cost_of_a_region_stays_when_something_failed_there(root: Path, failed: int):
    made = make(
        root,
        [{"lr": n} for n in range(30)],
        sources=(("ec2-us-west-2", "ec2", 4, (("region", "us-west-2"),)),),
    )
    made.engine()
    made.on_instances(range(20), "ec2-us-west-2", rate=0.0104)
    made.wait(60)
    for task in range(20):
        made.end(
            task,
            *(("failed",) if task < failed else ()),
            **({"kind": "exit", "exit_code": 1} if task < failed else {}),
        )
    async with opened(root, clock=made.clock) as driver:
        line = next(
            line
            for line in driver.text().splitlines()
            if "$0.0035" in line and "✓" in line and "proj" not in line
        )
        assert f"✓ {20 - failed}" in line and ("failed" in line) is (failed > 0)


async def test_tasks_that_cost_nothing_have_no_such_column(root: Path):
    made = make(root, [{"a": 1}])
    async with opened(root, clock=made.clock) as driver:
        assert "cost" not in driver.text()


@SIZES
async def test_what_the_sweep_will_come_to_is_told_also_where_it_is_narrow(root: Path, size: tuple[int, int]):
    made = cloud(root)
    async with opened(root, clock=made.clock, size=size) as driver:
        line = driver.text().splitlines()[2]
        assert "$0.25 · proj" in line and "2 completed" in line
        assert ("of $5 budget" in line) is (size[0] > 80)


@SIZES
async def test_what_the_budget_does_not_see_is_said(root: Path, size: tuple[int, int]):
    made = cloud(root)
    made.on_instances([5], SYDNEY, rate=None)
    async with opened(root, clock=made.clock, size=size) as driver:
        assert "The price of t3.micro is unknown: the budget does not see 1 instance." in flat(driver)


@given(
    st.lists(st.tuples(st.integers(1, 4), st.sampled_from([0.01, 1.0, 700.0])), max_size=4),
    st.sampled_from([0.0, 2.5, 25.0]),
)
def test_each_form_of_the_cost_is_shorter_and_all_but_the_last_tell_what_is_to_come(
    ended: list[tuple[int, float]], budget: float
):
    sweep, at = Sweep(), 0.0

    def happen(event: ev.Event) -> None:
        apply(sweep, ev.Record(sweep.seq + 1, at, event))

    happen(ev.SweepCreated("s", "s", 6, budget=budget))
    happen(ev.SourceAdded("ec2-us-east-1", "ec2", 6, (("region", "us-east-1"),)))
    for task, (hours, rate) in enumerate(ended):
        happen(ev.Launching(f"b{task}", "ec2-us-east-1", (ev.Ref(task, 1),)))
        happen(ev.Running((ev.Started(task, 1, f"i-{task}", at, rate),)))
        at += hours * 3600
        happen(ev.Ended((ev.End(task, 1, "completed", exit_code=0, ended_at=at),)))
    forms = cost_forms(sweep, at)
    assert [len(form) for form in forms] == sorted({len(form) for form in forms}, reverse=True)
    if ended:
        assert all("proj" in form for form in forms[:-1]) and "proj" not in forms[-1]


# --- the instance of a task --------------------------------------------------------------------------------------


@SIZES
async def test_a_task_tells_its_instance_from_what_is_written_down(root: Path, size: tuple[int, int]):
    made = cloud(root)
    async with opened(root, clock=made.clock, size=size) as driver:
        await open_task(driver, 3)
        await driver.sees(instance_id(3))
        text = flat(driver)
        for words in (
            f"{instance_id(3)} · t3.micro · ap-southeast-2 · Spot · up 4m59s", "TTL 25m01s left", "$0.12 at $1.50/h",
        ):  # fmt: skip
            assert words in text, f"{words}\n{driver.text()}"


async def test_ec2_knows_better(root: Path, ec2_says: Callable[[Instance | AwsError | None], None]):
    made = cloud(root)
    ends = str(int(made.clock.at) + 120)
    ec2_says(instance(3, launched_at=made.clock.at - 299, tags=((TAG_TTL, ends),)))
    async with opened(root, clock=made.clock) as driver:
        await open_task(driver, 3)
        await driver.sees("ap-southeast-2b · on-demand")
        assert "t3a.micro" in driver.text() and "TTL 2m00s left" in driver.text()
        made.wait(121)
        await driver.sees("TTL over")


async def test_an_ec2_that_does_not_answer_takes_nothing_away(
    root: Path, ec2_says: Callable[[Instance | AwsError | None], None]
):
    made = cloud(root)
    ec2_says(SILENT)
    async with opened(root, clock=made.clock) as driver:
        await open_task(driver, 3)
        await driver.sees("EC2 does not say more: ")
        assert "Unable to locate credentials" in flat(driver) and "TTL 25m01s left" in driver.text()


async def test_of_an_instance_that_is_gone_neither_uptime_nor_ttl_is_told(root: Path):
    made = cloud(root)
    async with opened(root, clock=made.clock) as driver:
        await open_task(driver, 0)
        await driver.sees(instance_id(0))
        assert "TTL" not in driver.text() and " up " not in driver.text()
        assert "· terminated · $0.00087 at $0.0104/h" in flat(driver)


@pytest.mark.parametrize(
    ("state", "kind", "on_complete", "word"),
    [
        ("completed", "", "terminate", "terminated"),
        ("failed", "timeout", "stop", "stopped"),
        ("cancelled", "", "stop", "terminated"),
        ("failed", "source_lost", "terminate", "ended"),
        ("completed", "", "", "ended"),
    ],
)
def test_what_has_become_of_an_instance(state: str, kind: str, on_complete: str, word: str):
    from spawn_tui.tui.widgets.task_summary import _became

    assert _became(TaskRow(0, state, kind=kind), InstanceTold("i-1", on_complete=on_complete)) == word


# --- what never came up ------------------------------------------------------------------------------------------


def never_up(made: Made, task: int, source: str, log: str, text: str) -> None:
    made.on_instances([task], source, rate=0.0104)
    directory = made.store.layout.attempt(task_name(task), made.attempt(task))
    directory.mkdir(parents=True, exist_ok=True)
    (directory / log).write_text(text)
    made.wait(5)


@SIZES
async def test_the_console_of_an_instance_that_never_came_up_is_seen(root: Path, size: tuple[int, int]):
    made = cloud(root)
    noise = "".join(f"[    {n}.0] systemd[1]: unit {n}\n" for n in range(30))
    never_up(made, 5, SYDNEY, "console.log", f"{noise}\x1b[31mkernel panic: no root\x1b[0m\n\n")
    text = f"instance {instance_id(5)} has given no sign of life; its console is in task_006.1/console.log"
    made.end(5, "failed", kind="source_lost", message=text, source_fault=True)
    async with opened(root, clock=made.clock, size=size) as driver:
        await driver.press("3")
        text = driver.text()
        assert "instance lost, 006" in text and "│ kernel panic: no root" in text and "unit 29" in text
        assert "unit 9\n" not in text and text.count("instance lost") == 1
        await driver.press("g", "enter")
        await driver.until(lambda: isinstance(driver.app.screen, LogScreen))
        await driver.sees("kernel panic: no root")
        await driver.sees("console")
        await driver.press("o")
        await driver.sees("stdout")


async def test_the_bootstrap_log_comes_when_it_is_home(root: Path):
    made = cloud(root)
    made.on_instances([5], SYDNEY, rate=None)
    made.end(5, "failed", kind="launch_failed", message="its instance could not be set up: no pack")
    async with opened(root, clock=made.clock) as driver:
        assert "launch failed, 006" in driver.text()
        directory = made.store.layout.attempt("task_006", 1)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "bootstrap.log").write_text("curl: (22) 403\ntoken: api_key=hunter22\n")
        await driver.sees("│ curl: (22) 403")
        assert "hunter22" not in driver.text()


async def test_an_instance_that_is_lost_for_good_is_told_once(root: Path):
    made = cloud(root)
    never_up(made, 5, SYDNEY, "console.log", "kernel panic\n")
    made.end(5, "failed", kind="source_lost", message="no sign of life")
    async with opened(root, clock=made.clock) as driver:
        text = flat(driver)
        assert text.count("no sign of life") == 1 and "Failures 2" in text


async def test_lost_machines_that_are_no_instances_stay_with_their_tasks(root: Path):
    made = make(root, [{"a": 1}], sources=(("ssh:gpu1", "ssh", 4),))
    made.start([0], "ssh:gpu1")
    made.end(0, "failed", kind="source_lost", message="it went away")
    async with opened(root, clock=made.clock) as driver:
        assert "instance lost" not in driver.text() and "001  source lost" in driver.text()


# --- words -------------------------------------------------------------------------------------------------------


@given(st.text(min_size=1, max_size=40), st.integers(1, 40))
def test_a_name_that_is_cut_keeps_both_of_its_ends(name: str, width: int):
    name = clean(name)
    cut = fit_name(name, width)
    assert cell_len(cut) == width
    if name.isascii() and name.isprintable() and 8 <= width < len(name):
        assert cut[0] == name[0] and cut[-1] == name[-1] and "…" in cut


def test_names_of_regions():
    assert fit_name("ec2-us-east-1", 11) == "ec2-u…ast-1"
    assert fit_name("ec2-us-east-1", 20) == "ec2-us-east-1       "
    widths = {
        column.key: column.width
        for column in choose_columns(120, 9, 8, len("ec2-ap-southeast-2"), (), priced=True)
    }
    assert widths["source"] == len("ec2-ap-southeast-2") <= MAX_SOURCE and "cost" in widths


def test_an_instance_ended_by_somebody_else_is_told_so():
    assert ending("terminated", None, None) == "ended by somebody else"
    assert short_ending("terminated", None, None) == "ended"


def test_what_keeps_a_log_away_is_told_once():
    origin = Origin("ec2-us-east-1", "refused", "ec2-us-east-1: Unable to locate credentials", 0.0)
    assert origin.words(0.0) == "cannot be read from ec2-us-east-1: Unable to locate credentials"
    assert origin.words(0.0, told=True) == "cannot be read from ec2-us-east-1"
    assert origin.reason == "Unable to locate credentials"
    assert Origin("ec2-us-east-1", "waiting", "it has not begun on ec2-us-east-1", 0.0).reason == ""


async def test_the_log_pane_tells_a_refusal_once(root: Path, monkeypatch: pytest.MonkeyPatch):
    made = cloud(root)
    refused = Origin(SYDNEY, "refused", f"{SYDNEY}: Unable to locate credentials", 0.0)
    monkeypatch.setattr("spawn_tui.tui.log_mirror.FarLogs.look", lambda self, far, names=(): 0.0)
    monkeypatch.setattr("spawn_tui.tui.log_mirror.FarLogs.path", lambda self, name: root / "not there")
    monkeypatch.setattr("spawn_tui.tui.log_mirror.FarLogs.origin", property(lambda self: refused))
    async with opened(root, clock=made.clock) as driver:
        await driver.press("j", "j", "j")
        await driver.sees("Unable to locate credentials")
        await driver.sees(f"cannot be read from {SYDNEY}")
        assert driver.text().count("Unable to locate credentials") == 1
        await driver.press("l")
        await driver.until(lambda: isinstance(driver.app.screen, LogScreen))
        await driver.sees(f"cannot be read from {SYDNEY}")
        await driver.sees("Unable to locate credentials")
        assert driver.text().count("Unable to locate credentials") == 1


SECRET = "abcSECRETdef0123456789"


@SIZES
async def test_no_screen_shows_a_secret(root: Path, size: tuple[int, int]):
    rows = [{"api_key": SECRET, "note": f"AWS_SECRET_ACCESS_KEY={SECRET}", "lr": n} for n in range(2)]
    made = make(
        root, rows, command=f"env AWS_SECRET_ACCESS_KEY={SECRET} python train.py --token {{api_key}} --lr {{lr}}",
        launch={"instance_type": "t3.micro", "user_data": f"#!/bin/sh\nexport DB_PASSWORD={SECRET}\n"},
        sources=(("ec2-us-east-1", "ec2", 4, (("region", "us-east-1"), ("tags", f"api_token={SECRET}"))),),
    )  # fmt: skip
    made.engine()
    made.on_instances([0], "ec2-us-east-1", rate=0.1)
    made.end(0, "failed", kind="exit", exit_code=1, message=f"KeyError: AWS_SECRET_ACCESS_KEY={SECRET}")
    made.on_instances([1], "ec2-us-east-1", rate=0.1)
    made.end(1, "failed", kind="launch_failed", message=f"invalid: password={SECRET}")
    async with opened(root, clock=made.clock, size=size) as driver:
        for keys, sees in (
            (("1",), "***" if size[0] > 80 else "failed"), (("l",), "$ env AWS_SECRET_ACCESS_KEY=***"),
            (("escape", "3"), "***"), (("2", "enter"), "api_token=***"),
        ):  # fmt: skip
            await driver.press(*keys)
            await driver.sees(sees)
            assert SECRET not in driver.text().replace("\n", "") and SECRET[:8] not in driver.text()


async def test_no_column_shows_a_secret(root: Path):
    made = make(root, [{"api_key": f"{SECRET}{n}", "note": f"password={SECRET}{n}"} for n in range(2)])
    async with opened(root, clock=made.clock) as driver:
        assert "api_key" in driver.text() and "***" in driver.text() and SECRET[:6] not in driver.text()


def test_the_demo_looks_at_its_logs_as_often_as_at_its_instances():
    from spawn_tui.tui.log_mirror import _poll

    assert _poll({"region": "us-east-1", "poll_interval": "1"}) == 1.0
    assert _poll({"region": "us-east-1", "poll_interval": "30"}) is None
    assert _poll({"region": "us-east-1"}) is None
    assert _poll({"host": "login", "poll_interval": "1"}) is None
