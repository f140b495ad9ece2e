"""Fit a small logistic regression by gradient descent, in pure Python, and write `metrics.json`.

This is the program of `spawn-tui demo`. It is a real, if small, training run: 240 points in the plane from two
overlapping clouds (fixed seed), mini-batches, momentum. Some settings diverge, one asks for an optimizer that does not
exist, one is too slow for its timeout: as in life.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import sys
import time
from pathlib import Path

EPOCHS = 24


def cloud(rng: random.Random, x: float, y: float, label: int, count: int) -> list[tuple[float, float, int]]:
    return [(rng.gauss(x, 1.3), rng.gauss(y, 1.1), label) for _ in range(count)]


def data() -> tuple[list[tuple[float, float, int]], list[tuple[float, float, int]]]:
    rng = random.Random(20260101)
    points = cloud(rng, -1.0, 0.5, 0, 120) + cloud(rng, 1.2, -0.4, 1, 120)
    rng.shuffle(points)
    return points[:180], points[180:]


def sigmoid(z: float) -> float:
    return 1.0 / (1.0 + math.exp(-z)) if z >= 0 else math.exp(z) / (1.0 + math.exp(z))


def loss_and_accuracy(
    weights: list[float], points: list[tuple[float, float, int]], decay: float
) -> tuple[float, float]:
    loss, right = 0.5 * decay * sum(w * w for w in weights), 0
    for x, y, label in points:
        p = sigmoid(weights[0] * x + weights[1] * y + weights[2])
        loss -= math.log(max(1e-12, p if label else 1.0 - p)) / len(points)
        right += (p >= 0.5) == bool(label)
    return loss, right / len(points)


def train(lr: float, momentum: float, batch_size: int, decay: float, pause: float) -> dict[str, float]:
    training, held_out = data()
    rng = random.Random(7)
    weights, velocity = [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]
    loss = accuracy = 0.0
    for epoch in range(1, EPOCHS + 1):
        rng.shuffle(training)
        for start in range(0, len(training), batch_size):
            batch = training[start : start + batch_size]
            gradient = [decay * w for w in weights]
            for x, y, label in batch:
                error = sigmoid(weights[0] * x + weights[1] * y + weights[2]) - label
                for i, value in enumerate((x, y, 1.0)):
                    gradient[i] += error * value / len(batch)
            for i in range(3):
                velocity[i] = momentum * velocity[i] - lr * gradient[i]
                weights[i] += velocity[i]
        loss, accuracy = loss_and_accuracy(weights, held_out, decay)
        print(f"epoch {epoch:2d}/{EPOCHS}  loss {loss:8.4f}  accuracy {accuracy:.3f}", flush=True)
        if not math.isfinite(loss) or loss > 50.0:
            sys.exit(f"diverged in epoch {epoch}: loss {loss:.1f}; the learning rate {lr:g} is too high")
        time.sleep(pause)
    return {"loss": round(loss, 5), "accuracy": round(accuracy, 4), "epochs": EPOCHS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--momentum", type=float, default=0.0)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--optimizer", default="sgd")
    parser.add_argument("--decay", type=float, default=1e-3)
    parser.add_argument(
        "--pause",
        type=float,
        default=0.08,
        help="seconds between two epochs, so that there is something to see",
    )
    chosen = parser.parse_args()
    if chosen.optimizer != "sgd":
        raise ValueError(f"unknown optimizer {chosen.optimizer!r}; there is only 'sgd'")
    metrics = train(chosen.lr, chosen.momentum, chosen.batch_size, chosen.decay, chosen.pause)
    folder = Path(os.environ.get("SWEEP_TASK_DIR", "."))
    (folder / "metrics.json").write_text(json.dumps(metrics) + "\n")
    print(f"done: {metrics}")


if __name__ == "__main__":
    main()
