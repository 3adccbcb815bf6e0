"""Versions of a model travel whole or as changes, in pieces; lost, doubled and disordered ones do no harm."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from river import compose, linear_model, optim, preprocessing

from stream_ml.errors import CorruptError, FormatError, UsageError
from stream_ml.model.build import build
from stream_ml.model.spec import Input, Tape
from stream_ml.schema.symbols import Symbols
from stream_ml.sessions.changes import apply, changes
from stream_ml.sessions.documents import Arrays, Head, read_head
from stream_ml.sessions.learning import LearnerSession
from stream_ml.sessions.versions import Collector, ModelVersion, Publisher
from tests.laws.stories import LAWS, log_of, pipeline, randomly, told
from tests.sessions.shared import Logs
from tests.sessions.test_learner import WATCHED, rows


def same(a: Arrays, b: Arrays) -> bool:
    return list(a) == list(b) and all(
        a[name].dtype == b[name].dtype and a[name].shape == b[name].shape and a[name].tobytes() == b[name].tobytes()
        for name in a
    )


NUMBERS = st.sampled_from([np.float64, np.int64, np.int16, np.uint8])


@given(data=st.data())
@LAWS
def test_changes_make_the_new_of_the_old(data: st.DataObject) -> None:
    dtype = data.draw(NUMBERS)
    old = data.draw(arrays_of.arrays(dtype, st.integers(0, 300)))
    new = np.concatenate([old, data.draw(arrays_of.arrays(dtype, st.integers(0, 5)))])
    for _ in range(data.draw(st.integers(0, 4))):
        if new.size:
            new[data.draw(st.integers(0, new.size - 1))] = data.draw(arrays_of.from_dtype(np.dtype(dtype)))
    found = changes({"a": old}, {"a": new})
    assert found is not None
    if old.tobytes() == new.tobytes():
        assert found == {}
    else:
        assert apply(old, found["a"], new.shape).tobytes() == new.tobytes()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"a": np.zeros(3)}, {"a": np.zeros(2)}),
        ({"a": np.zeros(3)}, {"b": np.zeros(3)}),
        ({"a": np.zeros(3)}, {"a": np.zeros(3, np.int64)}),
        ({"a": np.zeros((2, 3))}, {"a": np.zeros((2, 4))}),
    ],
)
def test_what_is_no_change_travels_whole(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert changes(old, new) is None


@pytest.mark.parametrize("far", [1, 300, 70_000])
def test_gaps_take_as_few_bytes_as_they_need(far: int) -> None:
    old = np.zeros(3 * far + 1)
    new = old.copy()
    new[[far, 3 * far]] = 1.0, -0.0
    found = changes({"a": old}, {"a": new})
    assert found is not None
    assert found["a"].gaps.tolist() == [far, 2 * far]
    assert found["a"].gaps.dtype.itemsize == {1: 1, 300: 2, 70_000: 4}[far]


class Line:
    """A learner and the records of its versions, one list a version."""

    def __init__(self, name: str, *, limit: int = 1400, every: int = 5, turns: int = 16) -> None:
        values = told(pipeline(name), randomly(log_of(name, 71, 350), 71)).written("examples")
        self.session = LearnerSession(pipeline(name), allow_pickle=True)
        publisher, logs = Publisher(self.session, limit=limit, every=every), Logs()
        self.records: list[list[bytes]] = []
        self.states: dict[int, Arrays] = {}
        size = -(-len(values) // turns)
        for at in range(0, len(values), size):
            self.session.feed([logs.append(f"{name}.examples/0", rows(name, values[at : at + size]))])
            records = publisher.next()
            assert publisher.nbytes == sum(map(len, records))
            assert publisher.next() == []
            if records:
                self.records.append(records)
                assert self.session.learner.model is not None
                self.states[self.session.version[1]] = self.session.learner.model.serving()


LINES: dict[str, Line] = {}


def line(name: str) -> Line:
    return LINES.setdefault(name, Line(name))


@pytest.mark.parametrize("name", ["silent", "watched", "answered", "bids"])
def test_every_version_arrives_as_it_was(name: str) -> None:
    made, collector = line(name), Collector(pipeline(name), allow_pickle=True)
    heads = [[read_head(one) for one in records] for records in made.records]
    assert all(len(one) <= 1400 for records in made.records for one in records)
    assert heads[0][0] is not None
    assert heads[0][0].full
    for records in made.records:
        found = [collector.add(one) for one in records]
        assert found[:-1] == [None] * (len(found) - 1)
        version = found[-1]
        assert version is not None
        assert same(version.arrays, made.states[version.count])
    assert (collector.refused, collector.foreign, collector.missed) == (0, 0, 0)


def test_changes_are_smaller_and_a_whole_version_comes_now_and_then() -> None:
    made = line("bids")
    heads = [read_head(records[0]) for records in made.records]
    assert all(head is not None for head in heads)
    full = [head.full for head in heads if head is not None]
    assert full == [at % 5 == 0 for at in range(len(full))]
    sizes = [sum(map(len, records)) for records in made.records]
    assert max(size for size, whole in zip(sizes[6:10], full[6:10], strict=True) if not whole) < sizes[5]


def test_json_before_the_bytes() -> None:
    """Any client can read what a version is."""
    head, _, rest = line("silent").records[0][0].partition(b"\n")
    told_head = json.loads(head)
    assert told_head["pipeline"] == "silent"
    assert told_head["size"] == len(rest)
    assert told_head["check"] == xxhash.xxh64_hexdigest(rest)


@pytest.mark.parametrize("name", ["silent", "bids"])
@given(data=st.data())
@LAWS
def test_lost_doubled_and_disordered_records_do_no_harm(name: str, data: st.DataObject) -> None:
    made = line(name)
    kept: list[bytes] = []
    for records in made.records:
        for one in records:
            kept += [one] * data.draw(st.sampled_from([1] * 8 + [0, 2]))
    for _ in range(data.draw(st.integers(0, 6))):
        if len(kept) > 1:
            i = data.draw(st.integers(0, len(kept) - 2))
            j = min(i + data.draw(st.integers(1, 4)), len(kept) - 1)
            kept[i], kept[j] = kept[j], kept[i]
    collector = Collector(pipeline(name))
    counts = []
    for one in kept:
        version = collector.add(one)
        if version is not None:
            assert same(version.arrays, made.states[version.count])
            counts.append(version.count)
    assert counts == sorted(set(counts))
    assert collector.refused == 0
    last = max(at for at, records in enumerate(made.records) if (head := read_head(records[0])) and head.full)
    for records in made.records[last:]:
        for one in records:
            version = collector.add(one) or version
    assert collector._held is not None
    assert collector._held.count == max(made.states)


def test_a_missed_base_waits_for_a_whole_version() -> None:
    made = line("silent")
    collector = Collector(pipeline("silent"))
    found = [[collector.add(one) for one in records][-1] for at, records in enumerate(made.records[:7]) if at != 2]
    there = [at for at, one in zip((0, 1, 3, 4, 5, 6), found, strict=True) if one is not None]
    assert there == [0, 1, 5, 6]
    assert collector.missed == 2


def test_damaged_foreign_and_unknown_records_are_left_out() -> None:
    made, collector = line("silent"), Collector(pipeline("silent"))
    (first, *_), *_ = made.records
    for bad in (b"", b"\n", b"{}", b"[1]\n", first[:-1], first[:-1] + bytes([first[-1] ^ 1]), b"\xff\n", b"x" * 5000):
        assert collector.add(bad) is None
    assert collector.refused == 8
    other = Collector(pipeline("delayed"))
    assert other.add(first) is None
    assert other.foreign == 1
    head = read_head(first)
    assert head is not None
    newer = msgspec.json.encode(msgspec.structs.replace(head, format=99)) + b"\n" + first.partition(b"\n")[2]
    with pytest.raises(FormatError):
        collector.add(newer)


def test_a_document_that_is_none_is_refused() -> None:
    made, collector = line("silent"), Collector(pipeline("silent"))
    head = read_head(made.records[0][0])
    assert head is not None
    for body in (b"", b"no line", b"[]x\n", b'[{"name":"a","dtype":"<f8","shape":[9]}]\n1', b'[{"name":1}]\n'):
        check = xxhash.xxh64_hexdigest(body)
        fake = Head(1, head.pipeline, head.plan, head.lineage, 5, 0, 1, len(body), check, len(body), check)
        assert collector.add(msgspec.json.encode(fake) + b"\n" + body) is None
    assert collector.refused == 5


def test_a_learner_that_begins_again_is_understood() -> None:
    """A new publisher's first version is whole, and of a count that the collector may have."""
    made = line("silent")
    collector = Collector(pipeline("silent"))
    for records in made.records:
        for one in records:
            collector.add(one)
    publisher = Publisher(made.session)
    assert [collector.add(one) for one in publisher.next()] == [None]
    assert publisher.last_full
    assert [collector.add(one) for one in publisher.full()] == [None]
    assert (collector.missed, collector.refused) == (0, 0)


def test_the_budget_spaces_versions() -> None:
    publisher = Publisher(line("bids").session)
    assert publisher.interval_ms(1000) == 0
    n = sum(map(len, publisher.next()))
    assert publisher.interval_ms(1000) == n
    assert publisher.interval_ms(10**9) == 1


def test_river_models_travel_only_where_they_are_allowed() -> None:
    with pytest.raises(UsageError, match=r"watch\.models"):
        Collector(WATCHED)
    Collector(WATCHED, allow_pickle=True)


def test_a_pickle_that_names_what_no_model_needs_is_refused() -> None:
    session = LearnerSession(WATCHED, allow_pickle=True)
    evil = b"cos\nsystem\n(S'true'\ntR."
    with pytest.raises(CorruptError, match="names"):
        session.learner.model.serve({"pickle": np.frombuffer(evil, np.uint8)})  # type: ignore[union-attr]


# --- the compiled model's own part ------------------------------------------------------------------------------------


INPUTS = (Input("a", "float"), Input("t", "text"), Input("c", "category"), Input("b", "bool"))


def hashing(optimizer: Any) -> Any:
    numbers = compose.Select("a") | preprocessing.StandardScaler()
    words = compose.Select("t", "c", "b") | preprocessing.OneHotEncoder(drop_zeros=True)
    return (numbers + words) | linear_model.LogisticRegression(optimizer=optimizer)


@pytest.mark.parametrize("optimizer", [optim.SGD(0.1), optim.AdaGrad(0.1), optim.Adam(0.1)], ids=repr)
@given(data=st.data())
@LAWS
def test_a_version_predicts_as_the_model_that_learned(optimizer: Any, data: st.DataObject) -> None:
    """Whatever was served before: nothing, an earlier version, or one of another story."""
    source, target = Symbols(), Symbols()
    target.code(["other", "numbers"])
    learner = build(hashing(optimizer), INPUTS, "binary", source)
    stranger = build(hashing(optimizer), INPUTS, "binary", source)
    scorer = build(hashing(optimizer), INPUTS, "binary", target)
    row = st.tuples(st.floats(-5, 5), st.sampled_from(["x", "y", "ü", "", None]), st.integers(0, 9), st.booleans())

    def tape(found: list[Any], symbols: Symbols, learn: int) -> Tape:
        x = np.array([[a, symbols.code([t])[0], c, float(b)] for a, t, c, b in found]).reshape(-1, 4)
        n = len(found)
        y = np.array([c % 2 for _, _, c, _ in found], np.float64)
        return Tape(np.full(n, learn, np.uint8), np.arange(n), x, y, np.ones(n))

    for _ in range(data.draw(st.integers(1, 4))):
        learner.run(tape(data.draw(st.lists(row, max_size=8)), source, 1))
        if data.draw(st.integers(0, 4)) == 0:
            stranger.run(tape(data.draw(st.lists(row, max_size=8)), source, 1))
            scorer.serve(stranger.serving())
        scorer.serve(learner.serving())
        asked = data.draw(st.lists(row, min_size=1, max_size=8))
        mine, theirs = learner.run(tape(asked, source, 0)), scorer.run(tape(asked, target, 0))
        assert mine.score.tobytes() == theirs.score.tobytes()
        assert same(learner.serving(), scorer.serving())


def test_a_version_of_another_model_is_refused() -> None:
    model = build(hashing(optim.SGD(0.1)), INPUTS, "binary", Symbols())
    other = build(hashing(optim.SGD(0.2)), INPUTS, "binary", Symbols())
    for arrays in (other.serving(), {"pickle": np.zeros(1, np.uint8)}):
        with pytest.raises(CorruptError, match="another estimator"):
            model.serve(arrays)
    assert ModelVersion("a", 1, model.serving()).full
