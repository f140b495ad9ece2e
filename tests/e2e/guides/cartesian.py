#!/usr/bin/env python3
# fmt: off
# ruff: noqa: I001
# Tutorial 3, Cartesian Product Sweeps. Added: the last lines, which write the file, and the kind of instance.
import yaml
import itertools

learning_rates = [0.001, 0.01, 0.1]
batch_sizes = [32, 64, 128]
dropouts = [0.0, 0.2, 0.5]

params = []
for lr, bs, dropout in itertools.product(learning_rates, batch_sizes, dropouts):
    params.append({
        'name': f'lr-{lr}-bs-{bs}-dropout-{dropout}',
        'learning_rate': lr,
        'batch_size': bs,
        'dropout': dropout
    })

print(f"Generated {len(params)} parameter combinations")
# 3 × 3 × 3 = 27 combinations

with open('cartesian.yaml', 'w') as f:
    yaml.dump({'defaults': {'instance_type': 't3.micro', 'region': 'us-east-1'}, 'params': params}, f)
