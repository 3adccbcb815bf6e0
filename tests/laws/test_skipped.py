"""Skipped records: only their time passes; how they are found, alone and after their deadlines, is invisible."""

from __future__ import annotations

import base64
import json
from random import Random
from typing import Any

import pytest

from stream_ml.sessions.journal import DEADLINES, read_entry
from stream_ml.sessions.session import Session
from stream_ml.testing.canonical import records
from stream_ml.testing.memory import SOURCE, Memory, Row
from tests.laws.stories import LAW, Sent, differences, log_of, pipeline
from tests.streams import TICK

Lines = dict[str, list[dict[str, Any]]]


class Story:
    """A session that is fed a stream, some records of it skipped."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.session = Session(pipeline(name))
        self.memory = Memory()
        self.out: Lines = {}

    def feed(self, rows: list[Sent], skipped: set[int]) -> None:
        first = len(self.memory.rows)
        now = self.memory.rows[-1].received if self.memory.rows else 0
        made = []
        for topic, value, stamp in rows:
            now = max(now, stamp)
            made.append(Row(topic, now, value))
        run = self.memory.append(made, now)
        self.keep([run], None, [(SOURCE, i) for i in range(first, run.end) if i in skipped])

    def keep(self, runs: Any, tick: int | None, skipped: Any) -> None:
        turn = self.session.feed(runs, tick, skipped)
        self.memory.keep(turn)
        for out in turn.out:
            self.out.setdefault(out.topic.rpartition(".")[2], []).extend(map(json.loads, out.values))

    def state(self) -> dict[str, Any]:
        found = records(self.session)
        del found["entry"]
        return found


def stream(name: str, seed: int) -> tuple[list[Sent], set[int]]:
    log = [one for one in log_of(name, seed) if one[0] != TICK]
    random = Random(seed)
    return log, {i for i in range(len(log)) if random.random() < 0.1}


@pytest.mark.parametrize("name", LAW)
def test_how_a_skipped_record_is_found_is_invisible(name: str) -> None:
    log, skipped = stream(name, 5)
    whole, careful = Story(name), Story(name)
    whole.feed(log, skipped)
    for at, one in enumerate(log):
        now = careful.memory.rows[-1].received if careful.memory.rows else 0
        while (due := careful.session.due) is not None and due <= max(now, one[2]):
            careful.keep([], due, [])
        careful.feed([one], skipped)
        if at % 40 == 39:
            careful.session = careful.memory.recover(pipeline(name), features=False)
            assert careful.session.differences == 0
    assert whole.out == careful.out
    assert differences(whole.state(), careful.state()) == []
    told = [skip for raw in careful.memory.entries for skip in read_entry(raw).skipped]
    assert told == [(SOURCE, i) for i in sorted(skipped)]


@pytest.mark.parametrize("name", LAW)
def test_a_skipped_record_does_what_an_empty_one_does(name: str) -> None:
    log, skipped = stream(name, 6)
    story, empty = Story(name), Story(name)
    story.feed(log, skipped)
    empty.feed([(topic, b"" if i in skipped else value, at) for i, (topic, value, at) in enumerate(log)], set())
    for kind in ("predictions", "examples", "alarms", "metrics"):
        assert story.out.get(kind) == empty.out.get(kind), kind
    letters = [one for one in story.out["dead"] if one["reason"] == "poison"]
    assert {one["offset"] for one in letters} == skipped
    assert len(letters) == len(skipped)
    for one in letters:
        topic, value, _ = log[one["offset"]]
        assert (one["topic"], one["path"], one["size"]) == (topic, "$", len(value))
        assert base64.b64decode(one["raw"]) == value
    assert story.session.stats["dead"]["poison"] == len(skipped)


def test_what_a_deadline_would_teach_is_left_out() -> None:
    """Everything but the lesson happens: the example, the metrics, the windows that its outcome feeds."""
    log, _ = stream("silent", 7)
    taught, muted = Story("silent"), Story("silent")
    for story in (taught, muted):
        story.feed(log, set())
    due = taught.session.due
    assert due is not None
    learned = muted.session.stats
    late = due + 365 * 86_400_000
    taught.keep([], late, [])
    muted.keep([], late, [(DEADLINES, late)])
    assert taught.out == muted.out
    lessons = muted.session.stats["version"][1] - learned["version"][1]
    assert muted.session.stats["learn_errors"] - learned["learn_errors"] == lessons > 0
    ours, theirs = taught.state(), muted.state()
    assert {one.split(".")[1].split(":")[0] for one in differences(ours, theirs)} == {"learner"}
    again = muted.memory.recover(pipeline("silent"), features=False)
    assert again.differences == 0
    assert differences(records(again), records(muted.session)) == []
    after = muted.session.stats["learn_errors"]
    muted.keep([], late + 1, [])
    assert muted.session.stats["learn_errors"] == after
