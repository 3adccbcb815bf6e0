"""Several scorers, one learner: what one session gives, where it can; versions only rise; stops do not show."""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as replace_in

from stream_ml.errors import CorruptError, UsageError
from stream_ml.learner.machine import Learner
from stream_ml.model.spec import Tape
from stream_ml.schema.symbols import Symbols
from stream_ml.sessions import journal
from stream_ml.sessions.session import Session
from stream_ml.testing import Driver
from tests.laws.stories import LAW, LAWS, Sent, differences, log_of, pipeline, sent
from tests.sessions.shared import Cluster, Task, dealt, learned, state
from tests.streams import TICK, streams

MODELS = [name for name in LAW if pipeline(name).model is not None]
#: A record that answers an event before it is one itself gives example and prediction at once: no version lies between.
ONE_BY_ONE = [name for name in MODELS if name != "follow"]
#: What a model's version does not reach.
SERVED_BY = ("prediction", "score", "probabilities", "version")


def one_by_one(cluster: Cluster, log: list[Sent]) -> None:
    """Feed every deadline and every record apart, and let the model learn and travel in between."""
    now = 0
    for one in log:
        now = max(now, one[2])
        for some in ([], [one]) if one[0] != TICK else ([],):
            cluster.feed(0, some, None if some else now)
            cluster.learn()
            cluster.publish()
            cluster.tasks[0].take_up()


def assert_as_inline(name: str, log: list[Sent]) -> None:
    driver = Driver(pipeline(name))
    now = 0
    for topic, value, stamp in log:
        now = max(now, stamp)
        driver.tick(now)
        if topic != TICK:
            driver.send_all([(topic, value, stamp)])
    cluster = Cluster(pipeline(name), 1)
    one_by_one(cluster, log)
    mine = cluster.tasks[0].logs.written
    for kind in ("predictions", "examples", "dead"):
        assert driver.written(kind) == mine[kind], kind
    assert driver.written("metrics") == cluster.logs.written["metrics"]
    assert sorted(driver.written("alarms")) == sorted(mine["alarms"] + cluster.logs.written["alarms"])
    values = mine["examples"]
    assert differences(learned(driver.session, values), learned(cluster.learner, values)) == []


@pytest.mark.parametrize("name", ONE_BY_ONE)
def test_a_version_after_every_record_is_as_good_as_learning_in_place(name: str) -> None:
    assert_as_inline(name, list(log_of(name, 61, 120)))


@pytest.mark.parametrize("name", ["silent", "delayed"])
@given(data=st.data())
@LAWS
def test_learning_elsewhere_one_by_one_is_learning_in_place(name: str, data: st.DataObject) -> None:
    assert_as_inline(name, list(sent(data.draw(streams(pipeline(name), 25)))))


def run(cluster: Cluster, log: list[Sent], random: Random, *, stops: bool = False) -> None:
    """Deal a stream out in turns of some records; now and then the learner reads and publishes; now and then a stop."""
    turns: list[list[Sent]] = [[] for _ in cluster.tasks]
    for where, one in dealt(cluster.pipeline, log, len(cluster.tasks)):
        for i in where:
            turns[i].append(one)
            if one[0] == TICK or random.random() < 0.2:
                records = [it for it in turns[i] if it[0] != TICK]
                cluster.feed(i, records, one[2] if one[0] == TICK else None)
                turns[i] = []
        if random.random() < 0.1:
            cluster.learn()
        if random.random() < 0.1:
            cluster.publish()
        if random.random() < 0.2:
            random.choice(cluster.tasks).take_up()
        if stops and random.random() < 0.1:
            happen(cluster, random)
    for i, records in enumerate(turns):
        cluster.feed(i, [it for it in records if it[0] != TICK])
    cluster.learn()


def happen(cluster: Cluster, random: Random) -> None:
    task = random.choice(cluster.tasks)
    what = random.choice(["snapshot", "stop", "learner's snapshot", "learner's stop"])
    if what == "snapshot":
        task.logs.snapshot(task.session)
    elif what == "stop":
        task.stop_and_recover()
    elif what == "learner's snapshot":
        cluster.logs.snapshot(cluster.learner)
    else:
        cluster.stop_learner()


def without(values: list[bytes]) -> list[dict[str, Any]]:
    found = [json.loads(one) for one in values]
    return [{key: value for key, value in one.items() if key not in SERVED_BY} for one in found]


@pytest.mark.parametrize("name", MODELS)
def test_features_and_joins_of_each_partition_are_those_of_a_session_of_its_own(name: str) -> None:
    cluster = Cluster(pipeline(name), 4)
    log = list(log_of(name, 62, 300))
    run(cluster, log, Random(name))
    for partition, task in enumerate(cluster.tasks):
        alone = Task(pipeline(name), partition, "inline")
        for fed in task.logs.entries:
            entry = journal.read_entry(fed)
            rows = [row for one in entry.fed for row in task.logs.sources["log"].rows[one.first : one.end]]
            alone.feed([(row.topic, row.value, row.received) for row in rows], entry.tick)
        for kind in ("predictions", "examples"):
            assert without(alone.logs.written[kind]) == without(task.logs.written[kind])
        assert alone.logs.written["dead"] == task.logs.written["dead"]
        mine, theirs = state(task.session), state(alone.session)
        for part in ("keys", "tables", "labels", "seen", "now", "arrivals", "counters", "newest"):
            assert differences(theirs[part], mine[part], part) == []
        assert all(f"/{partition}/" in json.loads(one)["prediction_id"] for one in task.logs.written["predictions"])


@pytest.mark.parametrize("name", MODELS)
def test_every_prediction_can_be_computed_again_from_its_version(name: str) -> None:
    cluster = Cluster(pipeline(name), 4)
    run(cluster, list(log_of(name, 63, 300)), Random(name))
    plan = cluster.learner.plan
    used = set()
    for task in cluster.tasks:
        for one in map(json.loads, task.logs.written["predictions"]):
            lineage, count = one["version"]
            symbols = Symbols()
            learner = Learner(plan.learner, symbols)
            assert learner.model is not None
            if count:
                learner.model.serve(cluster.versions[lineage, count].arrays)
            used.add(count)
            columns = []
            for field in plan.scorer.served:
                value = one["features"][field.name]
                if field.kind == "text":
                    columns.append(symbols.code([value])[0])
                else:
                    columns.append(np.nan if value is None else float(value))
            asked = np.zeros(1, np.uint8)
            tape = Tape(asked, np.zeros(1, np.int64), np.array([columns]), np.full(1, np.nan), np.ones(1))
            answers = learner.model.run(tape)
            if plan.learner.task == "multiclass":
                assert answers.probabilities is not None
                assert one["probabilities"] == {str(key): p for key, p in answers.probabilities[0].items()}
            else:
                told = one["score"] if plan.learner.task == "binary" else one["prediction"]
                assert np.float64(np.nan if told is None else told).tobytes() == answers.score[0].tobytes()
    assert len(used) > 3


@pytest.mark.parametrize("name", MODELS)
def test_stops_of_scorers_and_learner_do_not_show(name: str) -> None:
    cluster = Cluster(pipeline(name), 3)
    run(cluster, list(log_of(name, 64, 300)), Random(name), stops=True)
    for task in cluster.tasks:
        task.stop_and_recover()
    cluster.stop_learner()
    versions = [[one["version"][1] for one in map(json.loads, t.logs.written["predictions"])] for t in cluster.tasks]
    assert all(counts == sorted(counts) for counts in versions)
    assert any(len(set(counts)) > 1 for counts in versions)


# --- versions ---------------------------------------------------------------------------------------------------------


def two_versions(name: str = "silent") -> tuple[Cluster, Any, Any]:
    cluster = Cluster(pipeline(name), 1, every=1)
    log = [one for one in log_of(name, 65, 200) if one[0] != TICK]
    cluster.feed(0, log[:100])
    cluster.learn()
    cluster.publish()
    first = cluster.tasks[0].newest
    cluster.feed(0, log[100:150])
    cluster.learn()
    cluster.publish()
    second = cluster.tasks[0].newest
    assert first is not None
    assert second is not None
    assert 0 < first.count < second.count
    return cluster, first, second


def test_a_scorer_never_goes_back() -> None:
    cluster, first, second = two_versions()
    session = cluster.tasks[0].session
    assert session.version == (session.plan.learner.lineage, 0)
    assert session.take_up(second)
    assert not session.take_up(first)
    assert not session.take_up(second)
    assert session.version == (second.lineage, second.count)


def test_another_lineage_must_be_allowed_and_old_predictions_keep_theirs() -> None:
    cluster, first, _ = two_versions()
    task = cluster.tasks[0]
    other = replace(first, lineage="other")
    with pytest.raises(UsageError, match="other"):
        task.session.take_up(other)
    assert task.session.take_up(first)
    task.newest = first
    log = [one for one in log_of("silent", 65, 400) if one[0] != TICK]
    task.feed(log[150:200])
    assert task.session.take_up(other, other_lineage=True)
    assert task.session.version == ("other", first.count)
    task.stop_and_recover()
    assert task.session.version == (first.lineage, first.count), "no turn was answered by the other one yet"
    assert task.session.take_up(other, other_lineage=True)
    task.newest = other
    fresh = task.feed(log[200:])
    lineages = {json.loads(one)["version"][0] for one in fresh["examples"]}
    assert lineages == {first.lineage, "other"}
    assert {json.loads(one)["version"][0] for one in fresh["predictions"]} == {"other"}
    task.logs.snapshot(task.session)
    task.stop_and_recover()


def test_after_a_recovery_nothing_is_answered_before_the_version_is_there() -> None:
    cluster, first, second = two_versions()
    task = cluster.tasks[0]
    assert task.session.take_up(second)
    log = [one for one in log_of("silent", 66, 100) if one[0] != TICK]
    task.feed(log[:50])
    task.session = task.logs.recover(Session, task.pipeline, **task.options)
    assert task.session.version == (second.lineage, second.count)
    assert not task.session.take_up(first)
    with pytest.raises(UsageError, match="not at hand"):
        task.feed(log[50:])
    task.session = task.logs.recover(Session, task.pipeline, **task.options)
    assert task.session.take_up(second)


def test_an_inline_session_takes_up_nothing() -> None:
    _, first, _ = two_versions()
    with pytest.raises(UsageError, match="learning=\"shared\""):
        Session(pipeline("silent")).take_up(first)


@pytest.mark.parametrize("now", ["inline", "shared"])
@pytest.mark.parametrize("snapshot", [False, True])
def test_the_way_of_learning_cannot_change_under_a_journal(now: str, snapshot: bool) -> None:
    task = Task(pipeline("silent"), 0, "shared" if now == "inline" else "inline")
    task.feed([one for one in log_of("silent", 67, 50) if one[0] != TICK])
    if snapshot:
        task.logs.snapshot(task.session)
    with pytest.raises(UsageError, match="Go on as before"):
        task.logs.recover(Session, task.pipeline, learning=now, features=True)


def test_an_entry_with_other_answers_than_events_is_refused() -> None:
    task = Task(pipeline("silent"), 0)
    task.feed([one for one in log_of("silent", 68, 50) if one[0] != TICK])
    entry = journal.read_entry(task.logs.entries[0])
    assert entry.served is not None
    for scores in (entry.served.scores[:-8], entry.served.scores + bytes(8)):
        session = Session(task.pipeline, **task.options)
        other = replace_in(entry, served=replace_in(entry.served, scores=scores))
        with pytest.raises(CorruptError, match="answers"):
            session.again(other, [task.logs.read(fed) for fed in entry.fed])


@pytest.mark.parametrize("name", ["tiles", "exact"])
def test_without_a_model_shared_is_inline(name: str) -> None:
    shared, alone = Task(pipeline(name), 0), Task(pipeline(name), 0, "inline")
    log = [one for one in log_of(name, 69, 100) if one[0] != TICK]
    shared.feed(log)
    alone.feed(log)
    assert shared.logs.written == alone.logs.written
    shared.stop_and_recover()
