#!/usr/bin/env python3
# fmt: off
# ruff: noqa: I001
# Tutorial 3, Create Training Script. Shortened: the training, from 10 s.
import os
import time
import json

# Get parameters from environment
name = os.environ['NAME']
learning_rate = float(os.environ['LEARNING_RATE'])
batch_size = int(os.environ['BATCH_SIZE'])

print(f"Training {name}")
print(f"  Learning Rate: {learning_rate}")
print(f"  Batch Size: {batch_size}")

# Simulate training
time.sleep(0.1)

# Fake accuracy based on parameters
accuracy = 0.5 + (learning_rate * 10) + (batch_size / 1000)
accuracy = min(0.95, accuracy)

# Save results
result = {
    'name': name,
    'learning_rate': learning_rate,
    'batch_size': batch_size,
    'accuracy': accuracy
}

with open('/tmp/results.json', 'w') as f:
    json.dump(result, f, indent=2)

print(f"Final accuracy: {accuracy:.3f}")
