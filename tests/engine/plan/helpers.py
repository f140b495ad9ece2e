"""What the tests of plans share."""

from __future__ import annotations

from spawn_tui.engine.plan import Overrides, Plan, PlanError, plan_from_text


def plan(text: str | bytes, name: str = "sweep.yaml", **overrides: object) -> Plan:
    return plan_from_text(text, name=name, overrides=Overrides(**overrides))  # type: ignore[arg-type]


def refused(text: str | bytes, name: str = "sweep.yaml", **overrides: object) -> str:
    """The whole message for a file that must be refused."""
    try:
        made = plan(text, name, **overrides)
    except PlanError as error:
        return str(error)
    raise AssertionError(f"was accepted: {made}")


def params(made: Plan) -> list[dict[str, object]]:
    return [dict(task.params) for task in made.tasks]
