"""What may be shown of what a user wrote: secrets in scripts, commands and parameters are `***` in every view.

What is stored for the sweep's own use keeps them: its directory is its owner's alone.
"""

from __future__ import annotations

import gzip
import re
from functools import lru_cache

from .plan.model import Value
from .plan.values import text_of

_LEAST = 8
"""Characters of a secret, at least: a `pad_token` of a few is a parameter like others."""
_VALUE = r"(?:'[^']*'|\"(?:\\.|[^\"\\])*\"|\\.|[^\s'\"\\&;|,)}])+"
"""A value of a shell or of a document: quoted pieces side by side, or up to what ends a word."""
_TELLING = r"(?=[^\s'\"]*\d)[^\s'\"&;,)}]{8,}"
"""A value that is no word of a sentence: with a digit, and not short."""
_SECRET_NAME = (
    r"(?<![A-Za-z0-9_./-])[A-Za-z0-9_.-]*(?:secret|token(?!i[sz]|s\b|_?count)|passw(?:or)?d|passwd|passphrase|credential"
    r"|api[_-]?key|access[_-]?key|private[_-]?key|auth[_-]?key|account[_-]?key|_pat|_pwd)[A-Za-z0-9_.-]*"
)
_Rules = tuple[tuple[re.Pattern[str], str], ...]


def _rules(value: str) -> _Rules:
    """`value`: what a secret looks like that is not assigned by `=`: any, or, in a sentence, a telling one."""
    kept = r"\g<keep>***"
    return (
        (re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?(?:-----END \1-----|\Z)", re.DOTALL), "***"),
        # A request as JSON: user data within it is base64, and nobody reads that.
        (
            re.compile(r"(?P<keep>UserData['\"]?\s*[:=]\s*)['\"][A-Za-z0-9+/=\s]{16,}['\"]"),
            r"\g<keep>'***'",
        ),
        # The fields of a signed form, as our own configuration and as JSON.
        (re.compile(r"(?m)^(?P<keep>field\.[^=\n]*=).*$"), kept),
        (
            re.compile(rf"(?i)(?P<keep>[\"']?\b(?:policy|signature|x-amz-[a-z-]+)[\"']?\s*[:=]\s*){value}"),
            kept,
        ),
        (re.compile(r"(?i)(?P<keep>[?&](?:x-amz-[a-z0-9-]+|signature|awsaccesskeyid)=)[^&\s\"'<>]*"), kept),
        (re.compile(r"(?i)(?P<keep>\bauthorization['\"]?\s*[:=]\s*['\"]?)(?=[^'\"\n]*\d)[^'\"\n]+"), kept),
        (re.compile(r"(?i)(?P<keep>\b(?:bearer|basic)\s+)(?=\S*\d)[A-Za-z0-9._~+/=-]{8,}"), kept),
        (re.compile(rf"(?i)(?P<keep>[\"']?{_SECRET_NAME}[\"']?[ \t]*=[ \t]*){_VALUE}"), kept),
        (re.compile(rf"(?i)(?P<keep>[\"']?{_SECRET_NAME}[\"']?[ \t]*:[ \t]*){value}"), kept),
        (re.compile(rf"(?i)(?P<keep>\baws_(?:secret_access_key|session_token)[ \t]+){_VALUE}"), kept),
        # As an option, which begins with a dash.
        (re.compile(rf"(?i)(?P<keep>(?=-){_SECRET_NAME}[ \t]+){_VALUE}"), kept),
        (re.compile(r"(?P<keep>(?<![a-z0-9+.-])[a-z][a-z0-9+.-]*://[^/\s:@'\"]*:)[^@\s'\"/]+(?=@)"), kept),
        (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), "***"),
        (re.compile(r"\b(?:gh[pousr]_|github_pat_|hf_|xox[abprs]-|sk-|glpat-)[A-Za-z0-9_-]{10,}"), "***"),
    )


_WRITTEN, _SAID = _rules(_VALUE), _rules(_TELLING)


def redacted(written: bytes | str) -> str:
    """A script, a command or a request as it may be shown: what looks like a secret, or signs something, is `***`.

    Names and what is not secret stay, so that a person sees what is there.
    """
    if isinstance(written, bytes):
        if written[:2] == b"\x1f\x8b":
            try:
                written = gzip.decompress(written)
            except (OSError, EOFError):
                return "(compressed, and damaged)"
        text = written.decode("utf-8", errors="replace")
    else:
        text = written
    return _without(text, _WRITTEN)


@lru_cache(maxsize=4096)
def said(text: str) -> str:
    """What a program, AWS or a source said, as it may be shown: its sentences stay (`ExpiredToken: The security token`,
    `/etc/passwd: Permission denied`).
    """
    return _without(text, _SAID)


def _without(text: str, rules: _Rules) -> str:
    for rule, instead in rules:
        text = rule.sub(instead, text)
    return text


@lru_cache(maxsize=4096)
def shown(text: str) -> str:
    """As `redacted`, for what is shown again and again."""
    return redacted(text)


def shown_value(name: str, value: Value, text: str | None = None) -> str:
    """A parameter or field as it may be shown, by what it is called and by how it looks. `text`: its value as the view
    writes it.

    A number is no secret whatever it is called (`token_id: 0`).
    """
    text = text_of(value) if text is None else text
    if value is None or isinstance(value, bool | int | float):
        return text
    if isinstance(value, str) and len(value) >= _LEAST and _is_secret(name):
        return "***"
    return shown(text)


@lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    """Whether what is called so is a secret; values with blanks in them are one as a whole."""
    example = f"{name}={'x' * _LEAST}"
    return redacted(example) != example
