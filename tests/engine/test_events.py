"""Events on disk: every one survives its line, and a line that is none is refused in words."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spawn_tui.engine import event_lines
from spawn_tui.engine import events as ev

from .histories import History, histories

REFS = st.lists(st.builds(ev.Ref, st.integers(0, 10**6), st.integers(1, 99)), max_size=3).map(tuple)
TIMES = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(codec="utf-8"))
WORDS = st.lists(TEXT, max_size=2).map(tuple)
NEEDS = st.builds(ev.Needs, WORDS, WORDS)
TASKS = st.lists(st.integers(0, 10**6), max_size=3).map(tuple)
ENDS = st.lists(
    st.builds(
        ev.End, st.integers(0, 10**6), st.integers(1, 99), st.sampled_from(get_args(ev.EndState)),
        st.none() | st.sampled_from(get_args(ev.FailureKind)), st.none() | st.integers(0, 255),
        st.none() | st.integers(1, 64), TEXT, st.none() | TIMES, st.none() | TIMES, st.booleans(), st.booleans(),
        TEXT, st.none() | TIMES, st.booleans(), st.booleans(),
    ),
    max_size=3,
).map(tuple)  # fmt: skip
STARTS = st.lists(
    st.builds(ev.Started, st.integers(0, 99), st.integers(1, 9), TEXT, st.none() | TIMES, st.none() | TIMES), max_size=3
).map(tuple)  # fmt: skip
EVENTS: st.SearchStrategy[ev.Event] = st.one_of(
    st.builds(
        ev.SweepCreated, TEXT, TEXT, st.integers(0, 10**6), TEXT, st.none() | st.integers(1, 99), TIMES,
        st.integers(0, 9), TIMES, st.lists(TEXT, max_size=2).map(tuple), TEXT, TIMES,
        st.lists(st.tuples(TEXT, TIMES), max_size=2).map(tuple), st.lists(NEEDS, max_size=2).map(tuple),
        st.lists(st.tuples(st.integers(0, 3), st.integers(1, 99)), max_size=3).map(tuple), TIMES,
        st.sampled_from(get_args(ev.BudgetAction)),
    ),
    st.builds(
        ev.SourceAdded, TEXT, TEXT, st.integers(0, 99), st.lists(st.tuples(TEXT, TEXT), max_size=2).map(tuple),
        st.booleans(), st.booleans(), TIMES,
    ),
    st.builds(ev.SourceRoom, TEXT, st.integers(0, 99), TEXT),
    st.builds(ev.SourceRemoved, TEXT),
    st.builds(ev.SourceUnreachable, TEXT, TEXT),
    st.builds(ev.SourceReachable, TEXT),
    st.builds(
        ev.SourceHealth, TEXT, st.sampled_from(("healthy", "degraded")), st.none() | TIMES, st.none() | TIMES,
        st.none() | TIMES, st.none() | TIMES, TEXT,
    ),
    st.builds(ev.SourceStrike, TEXT, TEXT),
    st.builds(ev.SourceDisabled, TEXT, TEXT, st.sampled_from(get_args(ev.Cause))),
    st.builds(ev.SourceEnabled, TEXT, TEXT),
    st.builds(ev.EngineStarted, st.integers(1, 99), TEXT, st.integers(1, 99999), TEXT),
    st.builds(ev.EngineStopped, TEXT),
    st.builds(ev.Launching, TEXT, TEXT, REFS, st.integers(0, 99)),
    st.builds(ev.Limited, TEXT, TEXT, st.integers(1, 99)),
    st.builds(ev.Waiting, TEXT, TEXT, st.integers(0, 99), TEXT),
    st.builds(ev.Withdrawing, TEXT, REFS),
    st.builds(ev.Withdrawn, REFS),
    st.builds(ev.Running, STARTS),
    st.builds(ev.Ended, ENDS),
    st.builds(ev.Unknown, REFS, TEXT),
    st.builds(ev.Stray, ENDS),
    st.builds(ev.Recovered, ENDS),
    st.builds(ev.Requeued, st.lists(st.builds(ev.Delay, st.integers(0, 99), TIMES), max_size=3).map(tuple)),
    st.just(ev.DelaysOver()),
    st.builds(ev.Cancelling, TEXT, REFS, st.booleans()),
    st.builds(ev.Dropped, TASKS),
    st.builds(
        ev.RequestTaken, TEXT, st.sampled_from(get_args(ev.Verb)), TASKS, TEXT, st.integers(0, 99), st.booleans(), TEXT
    ),
    st.builds(ev.RequestRefused, TEXT, TEXT),
    st.builds(ev.Paused, TEXT),
    st.builds(ev.BudgetWarned, TIMES),
    st.builds(ev.BudgetSpent, TIMES, st.sampled_from(get_args(ev.BudgetAction))),
    st.builds(ev.SweepEnded, st.sampled_from(get_args(ev.SweepEnd)), TEXT),
    st.builds(ev.Note, TEXT),
)  # fmt: skip


@given(EVENTS, st.integers(1, 10**9), TIMES)
@settings(max_examples=500)
def test_an_event_survives_its_line(event: ev.Event, seq: int, at: float) -> None:
    line = event_lines.encode(ev.Record(seq, at, event))
    assert "\n" not in line
    assert line.startswith('{"v":1,"seq":') and line.endswith("}")
    assert event_lines.decode(line) == ev.Record(seq, at, event)


@given(histories())
@settings(max_examples=50, deadline=None)
def test_a_history_survives_its_journal(history: History) -> None:
    assert [event_lines.decode(event_lines.encode(record)) for record in history.records] == history.records


def test_every_event_is_known_by_its_type() -> None:
    assert set(event_lines.EVENT_TYPES.values()) == set(get_args(ev.Event))
    assert len(event_lines.EVENT_TYPES) == len({cls.type for cls in get_args(ev.Event)})


def test_default_values_are_left_out() -> None:
    line = event_lines.encode(ev.Record(1, 2.0, ev.Ended((ev.End(0, 1, "completed"),))))
    assert json.loads(line) == {
        "v": 1, "seq": 1, "at": 2.0, "type": "ended",
        "attempts": [{"task": "task_001", "attempt": 1, "state": "completed"}],
    }  # fmt: skip


@pytest.mark.parametrize("cls", get_args(ev.Event), ids=lambda cls: cls.type)
def test_a_missing_field_is_named(cls: type[ev.Event]) -> None:
    required = [f.name for f in fields(cls) if f.default is f.default_factory]
    line = json.dumps({"v": 1, "seq": 1, "at": 0.0, "type": cls.type})
    if required:
        with pytest.raises(event_lines.EventError, match=required[0]):
            event_lines.decode(line)
    else:
        assert isinstance(event_lines.decode(line).event, cls)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "not JSON"),
        ('{"v":1', "not JSON"),
        ("[]", "not a JSON object"),
        ('{"v":2,"seq":1,"at":0,"type":"note","text":""}', "format version 2"),
        ('{"v":1,"seq":1,"at":0,"type":"party"}', "unknown event type 'party'"),
        ('{"v":1,"at":0,"type":"note","text":""}', "note"),
        ('{"v":1,"seq":1,"at":"soon","type":"note","text":""}', "note"),
        ('{"v":1,"seq":1,"at":0,"type":"dropped","tasks":["x"]}', "dropped.*not a task's id"),
        ('{"v":1,"seq":1,"at":0,"type":"dropped","tasks":7}', "dropped"),
        ('{"v":1,"seq":1,"at":0,"type":"ended","attempts":[{"attempt":1}]}', "ended"),
        ('{"v":1,"seq":1,"at":0,"type":"ended","attempts":[{"task":"task_001","size":1}]}', "ended"),
        ('{"v":1,"seq":1,"at":0,"type":"unknown","attempts":[["task_001"]],"reason":""}', "unknown"),
    ],
)
def test_what_is_no_event_is_refused_in_words(line: str, words: str) -> None:
    with pytest.raises(event_lines.EventError, match=words):
        event_lines.decode(line)
