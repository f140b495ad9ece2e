"""What may be shown of parameters: by what they are called and by how they look."""

from __future__ import annotations

import pytest
from spawn_tui.engine.plan.model import Value
from spawn_tui.engine.redact import shown_value


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("api_key", "0123456789", "***"),
        ("WANDB_API_KEY", "two words are one secret", "***"),
        ("db_password", "hunter2hunter2", "***"),
        ("note", "AKIAABCDEFGHIJKLMNOP", "***"),
        ("url", "https://me:hunter2@example.org/x", "https://me:***@example.org/x"),
        ("extra", ["--api-key=hunter2", 1], '["--api-key=***", 1]'),
        # What is no secret whatever it is called.
        ("pad_token", "[PAD]", "[PAD]"),
        ("token_id", 50256123, "50256123"),
        ("tokenizer", "bert-base-uncased", "bert-base-uncased"),
        ("lr", 0.1, "0.1"),
        ("flag", True, "true"),
        ("nothing", None, "null"),
    ],
)
def test_what_is_shown(name: str, value: Value, shown: str):
    assert shown_value(name, value) == shown
