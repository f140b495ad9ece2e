"""What may be shown of parameters: by what they are called and by how they look."""

from __future__ import annotations

import pytest
from spawn_tui.engine.plan.model import Value
from spawn_tui.engine.redact import said, shown_value


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


@pytest.mark.parametrize(
    "text",
    [
        "ExpiredToken: The security token included in the request is expired",
        "mkdir: cannot create directory '/etc/passwd': Not a directory",
        "IdempotentParameterMismatch: the client token: was used before",
        "Unable to locate credentials: log in again, e.g. with: aws sso login",
        "policy: none is attached to the role lab-role",
        "authorization: refused by the server",
        "KeyError: 'access_key': there is no such column",
        "basic information is missing",
    ],
)
def test_sentences_stay(text: str) -> None:
    assert said(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG", "password=hunter", "token: ab12cd34ef56",
        "curl -H 'Authorization: Bearer abc123def456'", "https://me:hunter2@example.org/x", "key AKIAIOSFODNN7EXAMPLE",
        "https://b.s3.amazonaws.com/k?X-Amz-Signature=ab12&X-Amz-Credential=x", "hf_abcdefghijklmnop",
        "run --api-key s3cr3tvalue",
    ],
)  # fmt: skip
def test_secrets_in_what_was_said_do_not(text: str) -> None:
    assert "***" in said(text) and said(text) != text
    for secret in (
        "wJalr",
        "=hunter",
        "ab12cd34ef56",
        "abc123def456",
        "hunter2",
        "IOSFODNN7",
        "=ab12",
        "ghijkl",
        "s3cr3t",
    ):
        assert secret not in said(text)
