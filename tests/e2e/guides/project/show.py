"""What a task was given, as it arrived: its arguments and its environment. No guide says what its instances run."""

import json
import os
import sys

with open(os.path.join(os.environ["SWEEP_TASK_DIR"], "results.json"), "w") as file:
    json.dump({"argv": sys.argv[1:], "env": dict(os.environ), "project": os.listdir(".")}, file)
