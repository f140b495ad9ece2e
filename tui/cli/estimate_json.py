"""The object of `launch --estimate-only --json`."""

from __future__ import annotations

from ...engine.aws.estimate import Cost, Estimate, Total


def to_json(made: Estimate) -> dict[str, object]:
    """USD and seconds; null is unknown."""
    return {
        "tasks": made.tasks,
        "lines": [
            {
                "region": line.region,
                "instance_types": list(line.types),
                "market": line.market,
                "tasks": line.tasks,
                "likely_seconds_each": line.likely_seconds,
                "at_most_seconds_each": line.most_seconds,
                "on_demand": _cost_json(line.on_demand),
                "spot": _cost_json(line.spot),
            }
            for line in made.lines
        ],
        "likely": _total_json(made.likely()),
        "at_most": _total_json(made.at_most()),
        "all_on_demand": {
            "likely": _total_json(made.likely("on-demand")),
            "at_most": _total_json(made.at_most("on-demand")),
        },
        "all_spot": {
            "likely": _total_json(made.likely("spot")),
            "at_most": _total_json(made.at_most("spot")),
        },
        "likely_wall_seconds": made.likely_wall,
        "at_most_wall_seconds": made.most_wall,
        "unknown_prices": [
            {"region": region, "instance_type": name, "market": market}
            for region, name, market in made.unpriced
        ],
        "notes": list(made.notes),
    }


def _cost_json(cost: Cost) -> dict[str, object]:
    price = cost.price
    return {
        "usd_per_hour": price.usd_per_hour if price else None,
        "price_from": price.where if price else None,
        "price_date": price.dated.isoformat() if price else None,
        "zones": dict(price.zones) if price else {},
        "likely_usd": cost.likely,
        "at_most_usd": cost.at_most,
    }


def _total_json(total: Total) -> dict[str, object]:
    return {"usd": None if total.unknown else total.usd, "partly_unknown": total.partly_unknown}
