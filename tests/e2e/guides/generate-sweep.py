#!/usr/bin/env python3
# fmt: off
# Tutorial 3, Batch Data Processing: writes batch-sweep.yaml. Corrected: `set -e` and the two names for the files, as in
# the sweep that is written by hand (without, a file that could not be fetched is told as success); `[ -e ]` and what is
# before it: no machine image has /app/process.py, the user is to bring it. Fewer files: 12 instead of 50.
import yaml

# Generate 12 parameter entries
params = []
for i in range(1, 13):
    params.append({
        'name': f'file-{i:03d}',
        'file_name': f'data-{i:03d}.csv'
    })

sweep_config = {
    'defaults': {
        'instance_type': 'c7i.large',
        'region': 'us-east-1',
        'ttl': '2h',
        'iam_policy': 's3:FullAccess',
        'on_complete': 'terminate',
        'user_data': '''#!/bin/bash
set -e
mkdir -p /app
aws s3 cp s3://my-data-bucket/app/process.py /app/process.py

INPUT_FILE="s3://my-data-bucket/input/$FILE_NAME"
OUTPUT_FILE="s3://my-data-bucket/output/$FILE_NAME"

# Download input
aws s3 cp "$INPUT_FILE" /tmp/input.csv

# Process (replace with your processing)
python3 /app/process.py /tmp/input.csv /tmp/output.csv

# Upload output
aws s3 cp /tmp/output.csv "$OUTPUT_FILE"

# Mark complete
spored complete --status success
'''
    },
    'params': params
}

with open('batch-sweep.yaml', 'w') as f:
    yaml.dump(sweep_config, f, default_flow_style=False)

print(f"Generated sweep with {len(params)} parameters")
