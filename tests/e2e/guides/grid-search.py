# fmt: off
# Parameter Sweeps Guide, Grid Search: writes grid-search.json.
import json

learning_rates = [0.001, 0.01, 0.1]
batch_sizes = [16, 32, 64]

params = []
for lr in learning_rates:
    for bs in batch_sizes:
        params.append({
            "name": f"lr-{lr}-bs-{bs}",
            "learning_rate": lr,
            "batch_size": bs
        })

sweep = {
    "defaults": {
        "instance_type": "g5.xlarge",
        "region": "us-east-1",
        "ttl": "4h"
    },
    "params": params
}

with open("grid-search.json", "w") as f:
    json.dump(sweep, f, indent=2)
