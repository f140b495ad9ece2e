"""What is said of a budget: at the launch, in `status` and `cost`, and as it goes."""

from __future__ import annotations

from datetime import date

from spawn_tui.engine import events as ev
from spawn_tui.engine.aws.model import InstanceSpec, Market
from spawn_tui.engine.aws.price_table import Price
from spawn_tui.engine.cost import cost_words
from spawn_tui.engine.plan.model import Plan, PlannedTask
from spawn_tui.tui.cli.budget import unseen
from spawn_tui.tui.cli.cost import cost_document, cost_lines
from spawn_tui.tui.cli.narration import Narrator

from tests.engine.histories import History, created

BLIND = "the price of c9.large is unknown: the budget does not see 2 instances"


def history(budget: float = 25.0) -> tuple[History, Plan]:
    made = History(created(3, budget=budget), ev.SourceAdded("ec2-us-east-1", "ec2", 3))
    made.settle()
    made.add(
        ev.Running((ev.Started(0, 1, "i-1"), ev.Started(1, 1, "i-2"), ev.Started(2, 1, "i-3", rate=36.0)))
    )
    types = ("c9.large", "c9.large", "t3.micro")
    tasks = tuple(PlannedTask("", {"i": i}, launch={"instance_type": name}) for i, name in enumerate(types))
    return made, Plan("spawn", "s", tasks, command="true")


def test_status_and_cost_name_the_type_and_count_what_runs() -> None:
    made, plan = history()
    now = made.now + 100
    assert cost_lines(made.sweep, now, plan)[-1] == f"warning    {BLIND}"
    assert cost_document(made.sweep, now)["unpriced"] == 2
    assert (
        cost_words(made.sweep, now) == "current at least $1.00 of $25 budget, which does not see 2 instances"
    )
    made.add(
        ev.Ended((ev.End(0, 1, "completed", exit_code=0, rate=0.5), ev.End(1, 1, "completed", exit_code=0)))
    )
    assert not any("warning" in line for line in cost_lines(made.sweep, now, plan))
    assert cost_document(made.sweep, now)["unpriced"] == 0


def test_without_a_budget_there_is_none_that_does_not_see() -> None:
    made, plan = history(0.0)
    assert not any("warning" in line for line in cost_lines(made.sweep, made.now, plan))


def test_a_run_without_the_ui_tells_it_once() -> None:
    made, _ = history()
    narrator, seen = Narrator(brief=True), len(made.records)
    lines: list[str] = []
    for _ in range(3):
        made.now += 60
        made.settle()
        lines += narrator.tell(made.sweep, made.records[seen:])
        seen = len(made.records)
    told = [line for line in lines if "does not see" in line]
    assert len(told) == 1
    assert told[0].endswith(
        " the price of what runs on ec2-us-east-1 is unknown: the budget does not see 2 instances"
    )


def test_a_launch_tells_which_prices_are_not_known() -> None:
    def price(region: str, name: str, market: Market) -> Price | None:
        known = name == "t3.micro" and market == "on-demand"
        return Price(0.0104, date(2026, 11, 1), "table") if known else None

    wishes = [
        (InstanceSpec("us-east-1", ("t3.micro",)), 5), (InstanceSpec("us-east-1", ("t3.micro",), spot=True), 2),
        (InstanceSpec("us-west-2", ("c9.large", "t3.micro", "c9.xlarge")), 3),
        (InstanceSpec("us-west-2", ("c9.large",)), 1),
        (InstanceSpec("us-west-2", ("c9.large",), disk_size=9), 1),
    ]  # fmt: skip
    assert unseen(wishes, price) == [
        "the price of t3.micro (spot) in us-east-1 is unknown: the budget does not see 2 instances",
        "the price of c9.large|c9.xlarge (on-demand) in us-west-2 is unknown: the budget does not see 3 instances",
        "the price of c9.large (on-demand) in us-west-2 is unknown: the budget does not see 2 instances",
    ]
