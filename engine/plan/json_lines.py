"""Where things stand in a JSON text: a slow walk, made only when there is something to tell the user."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from .problems import Path

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


def places(text: str) -> Iterator[tuple[Path, int]]:
    """(path, offset) of each key and each list element of a valid JSON text, in order; keys that repeat come
    again.
    """
    path: list[str | int] = []
    objects: list[bool] = []
    key_next = False
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token == ",":
            if objects[-1]:
                key_next = True
            else:
                last = path[-1]
                path[-1] = last + 1 if isinstance(last, int) else 0
        elif token in ("]", "}"):
            path.pop()
            objects.pop()
            key_next = False
        elif token == ":":
            key_next = False
        elif key_next:
            path[-1] = str(json.loads(token))
            yield tuple(path), match.start()
        else:
            if objects and not objects[-1]:
                yield tuple(path), match.start()
            if token in ("{", "["):
                objects.append(token == "{")
                path.append(0)
                key_next = token == "{"
