"""A learner that is given an inline session's examples comes to the same model, metrics and alarms, bit for bit."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import anomaly, linear_model, preprocessing

from stream_ml import ADWIN, Event, Features, Label, Monitor, Pipeline, fn
from stream_ml.errors import CorruptError, UsageError
from stream_ml.sessions.learning import LearnerSession
from stream_ml.sessions.session import Session
from stream_ml.testing import Driver
from stream_ml.testing.memory import Row
from tests.laws.stories import LAW, LAWS, USERS, cut, differences, log_of, pipeline, randomly, sent, told
from tests.sessions.shared import Cluster, Logs, learned
from tests.streams import streams

MODELS = [name for name in (*LAW, *USERS) if pipeline(name).model is not None and name != "pump"]
LEARNED = [name for name in LAW if pipeline(name).model is not None]


def rows(name: str, values: list[bytes]) -> list[Row]:
    return [Row(f"{name}.examples", i, value) for i, value in enumerate(values)]


def taught(which: Pipeline, values: list[bytes], size: int = 17) -> tuple[LearnerSession, Logs]:
    """Return a learner that was fed examples of one partition, so many a turn."""
    session, logs = LearnerSession(which, allow_pickle=True), Logs()
    given_rows = rows(which.name, values)
    for at in range(0, len(given_rows), size):
        turn = session.feed([logs.append(f"{which.name}.examples/0", given_rows[at : at + size])])
        logs.keep(turn.entry, turn.out)
    return session, logs


def assert_same(driver: Driver, session: LearnerSession, logs: Logs) -> None:
    values = driver.written("examples")
    assert differences(learned(driver.session, values), learned(session, values)) == []
    assert driver.written("metrics") == logs.written["metrics"]
    alarms = [one for one in driver.written("alarms") if json.loads(one)["what"] == "error"]
    assert alarms == logs.written["alarms"]
    assert logs.written["dead"] == []
    assert session.version == driver.session.version
    mine = [{**one, "at": 0} for one in session.quality()]
    assert json.dumps(mine) == json.dumps([{**one, "at": 0} for one in driver.quality()])


@pytest.mark.parametrize("name", MODELS)
def test_examples_are_all_that_a_learner_needs(name: str) -> None:
    driver = told(pipeline(name), randomly(log_of(name, 51, 300), 51))
    values = driver.written("examples")
    assert len(values) > 20
    assert_same(driver, *taught(pipeline(name), values))


@pytest.mark.parametrize("name", LEARNED)
@given(data=st.data())
@LAWS
def test_any_examples_teach_the_same(name: str, data: st.DataObject) -> None:
    log = sent(data.draw(streams(pipeline(name), 40)))
    driver = told(pipeline(name), cut(log, lambda: data.draw(st.booleans())))
    assert_same(driver, *taught(pipeline(name), driver.written("examples"), data.draw(st.integers(1, 50))))


@pytest.mark.slow
def test_a_forest_learns_the_same_from_examples() -> None:
    driver = told(pipeline("pump"), randomly(log_of("pump", 51, 60), 51))
    assert_same(driver, *taught(pipeline("pump"), driver.written("examples")))


class Reading(Event, topic="readings", id="reading", key="machine", time="at", lateness="10s"):
    reading: int
    machine: str
    heat: float
    at: datetime


class Fault(Label, of=Reading, topic="faults", wait="1h"):
    reading: int
    machine: str
    broken: bool


class ReadingFeatures(Features, of=Reading, take=(Reading.heat,)):
    n = fn.count(Reading).over("1m", by=Reading.machine)


WATCHED = Pipeline(
    "watch",
    features=ReadingFeatures,
    model=preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(n_trees=2, height=3, window_size=10, seed=1),
    label=Fault.broken,
    slices=(Reading.machine,),
    monitor=Monitor(every=5, detectors=(ADWIN(),)),
)
START = 1_743_294_600_000


def readings(n: int) -> list[tuple[str, bytes, int]]:
    """Return events, and for every third of them what it was, ten events later."""
    random = Random(4)
    log = []
    for i in range(n):
        at = START + 1000 * i
        event = {"reading": i, "machine": f"m{i % 3}", "heat": random.random(), "at": at}
        log.append(("readings", json.dumps(event).encode(), at))
        if i % 3 == 2 and i > 10:
            label = {"reading": i - 10, "machine": f"m{(i - 10) % 3}", "broken": random.random() < 0.3}
            log.append(("faults", json.dumps(label).encode(), at))
    return log


def test_a_detector_with_labels_learns_at_once_and_is_measured_later() -> None:
    """In shared mode each event is an example at once, without its label, and a second time when the label is known."""
    log = readings(60)
    driver = Driver(WATCHED)
    driver.send_all(log)
    cluster = Cluster(WATCHED, 1)
    for one in log:
        cluster.feed(0, [one])
        cluster.learn()
        cluster.publish()
        cluster.tasks[0].take_up()
    task = cluster.tasks[0]
    assert driver.written("predictions") == task.logs.written["predictions"]
    examples = [json.loads(one) for one in task.logs.written["examples"]]
    fates = [one["fate"] for one in examples]
    assert (fates.count("none"), fates.count("label")) == (60, len(driver.written("examples")))
    assert [json.dumps(one) for one in examples if one["fate"] != "none"] == [
        json.dumps(json.loads(one)) for one in driver.written("examples")
    ]
    values = task.logs.written["examples"]
    assert differences(learned(driver.session, values), learned(cluster.learner, values)) == []
    assert driver.written("metrics") == cluster.logs.written["metrics"] != []
    task.stop_and_recover()
    cluster.stop_learner()


# --- what is no example ----------------------------------------------------------------------------------------------


def example(name: str) -> dict[str, Any]:
    driver = told(pipeline(name), randomly(log_of(name, 51, 150), 51))
    found: dict[str, Any] = driver.all_examples[0]
    return found


BAD: list[tuple[str, Any, str, str]] = [
    ("empty", lambda _: b"", "empty", "$"),
    ("blank", lambda _: b"  ", "empty", "$"),
    ("cut", lambda one: json.dumps(one).encode()[:-5], "json", "$"),
    ("no utf-8", lambda one: json.dumps({**one, "fate": "?"}).encode().replace(b"?", b"\xff"), "json", "$"),
    ("a list", lambda _: b"[]", "type", "$"),
    ("no target", lambda one: json.dumps({k: v for k, v in one.items() if k != "target"}).encode(), "missing",
     "$.target"),
    ("null target", lambda one: json.dumps({**one, "target": None}).encode(), "missing", "$.target"),
    ("text for a number", lambda one: json.dumps({**one, "weight": "1"}).encode(), "type", "$.weight"),
    ("number beyond", lambda one: json.dumps(one).encode().replace(b'"weight": ', b'"weight": 1e999, "w": '),
     "number", "$.weight"),
    ("whole number beyond", lambda one: json.dumps({**one, "known": 1 << 54}).encode(), "number", "$.known"),
    ("unknown fate", lambda one: json.dumps({**one, "fate": "lost"}).encode(), "constraint", "$.fate"),
    ("no features", lambda one: json.dumps({**one, "features": None}).encode(), "type", "$.features"),
    ("a feature less", lambda one: json.dumps({**one, "features": {}}).encode(), "missing", "$.features.amount"),
    ("a feature of another kind",
     lambda one: json.dumps({**one, "features": {**one["features"], "n_1m": 1.5}}).encode(), "type", "$.features.n_1m"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "reason", "path"), [one[1:] for one in BAD], ids=[one[0] for one in BAD])
def test_what_is_no_example_is_a_dead_letter(spoil: Any, reason: str, path: str) -> None:
    which = pipeline("silent")
    good = example("silent")
    session, logs = LearnerSession(which), Logs()
    raw = spoil(good)
    values = [json.dumps(good).encode(), raw, json.dumps(good).encode()]
    turn = session.feed([logs.append("silent.examples/3", rows("silent", values))])
    (letter,) = [json.loads(one) for one in logs.keep(turn.entry, turn.out)["dead"]]
    assert (letter["reason"], letter["path"]) == (reason, path)
    assert (letter["topic"], letter["partition"], letter["offset"]) == ("silent.examples", 3, 1)
    assert letter["size"] == len(raw)
    assert session.stats["dead"] == {reason: 1}
    assert session.stats["examples"] == 2


# --- several partitions, stops ----------------------------------------------------------------------------------------


def test_a_category_that_is_no_number_is_a_dead_letter() -> None:
    which = pipeline("bids")
    good = example("bids")
    spoilt = {**good, "features": {**good["features"], "site": "12a"}}
    lines = [json.dumps({**good, "features": {**good["features"], "site": None}}), json.dumps(spoilt), json.dumps(good)]
    session, logs = LearnerSession(which), Logs()
    turn = session.feed([logs.append("bids.examples/0", rows("bids", [line.encode() for line in lines]))])
    (letter,) = [json.loads(one) for one in logs.keep(turn.entry, turn.out)["dead"]]
    assert (letter["reason"], letter["path"], letter["offset"]) == ("constraint", "$.features.site", 1)
    assert session.stats["examples"] == 2


def test_partitions_are_merged_by_received_time() -> None:
    which = pipeline("silent")
    driver = told(which, randomly(log_of("silent", 51, 300), 51))
    values = driver.written("examples")
    session, logs = LearnerSession(which), Logs()
    parts: list[list[Row]] = [[], [], []]
    for i, value in enumerate(values):
        parts[i * 7 % 3].append(Row("silent.examples", i, value))
    turn = session.feed([logs.append(f"silent.examples/{i}", part) for i, part in enumerate(parts)])
    logs.keep(turn.entry, turn.out)
    assert_same(driver, session, logs)
    assert session.positions == {f"silent.examples/{i}": len(part) for i, part in enumerate(parts)}


def test_skipped_examples_are_as_if_they_were_not_there() -> None:
    """Two partitions, one turn: dead letters with their bytes, nothing of them is learned, recovery skips them too."""
    which = pipeline("silent")
    values = told(which, randomly(log_of("silent", 53, 300), 53)).written("examples")
    skipped = {i for i in range(len(values)) if i % 10 == 3}
    without, _ = taught(which, [value for i, value in enumerate(values) if i not in skipped])
    session, logs = LearnerSession(which), Logs()
    runs = [
        logs.append(f"silent.examples/{part}", [Row("", i, value) for i, value in enumerate(values) if i % 2 == part])
        for part in (0, 1)
    ]
    turn = session.feed(runs, [(f"silent.examples/{i % 2}", i // 2) for i in skipped])
    letters = [json.loads(one) for one in logs.keep(turn.entry, turn.out)["dead"]]
    assert [(one["partition"], one["offset"]) for one in letters] == [(i % 2, i // 2) for i in sorted(skipped)]
    assert [base64.b64decode(one["raw"]) for one in letters] == [values[i] for i in sorted(skipped)]
    assert {one["reason"] for one in letters} == {"poison"}
    assert session.stats["dead"] == {"poison": len(skipped)}
    assert session.examples == without.examples == len(values) - len(skipped)
    assert differences(learned(without, values), learned(session, values)) == []
    again = logs.recover(LearnerSession, which)
    assert again.differences == 0
    assert again.stats == session.stats
    assert differences(learned(session, values), learned(again, values)) == []


@pytest.mark.parametrize("name", LEARNED)
@pytest.mark.parametrize("snapshots", [False, True])
def test_a_learner_recovers_anywhere(name: str, snapshots: bool) -> None:
    which = pipeline(name)
    values = told(which, randomly(log_of(name, 52, 250), 52)).written("examples")
    never, _ = taught(which, values, 9)
    session, logs, random = LearnerSession(which, allow_pickle=True), Logs(), Random(name)
    made = rows(name, values)
    for at in range(0, len(made), 9):
        turn = session.feed([logs.append(f"{name}.examples/0", made[at : at + 9])])
        logs.keep(turn.entry, turn.out)
        if snapshots and random.random() < 0.3:
            logs.snapshot(session)
        if random.random() < 0.3:
            session = logs.recover(LearnerSession, which, allow_pickle=True)
            assert session.differences == 0
    assert differences(learned(never, values), learned(session, values)) == []
    assert (session.stats, session.positions, session.number) == (never.stats, never.positions, never.number)


def test_examples_that_changed_are_refused() -> None:
    which = pipeline("silent")
    _, logs = taught(which, told(which, randomly(log_of("silent", 52), 52)).written("examples"))
    memory = logs.sources["silent.examples/0"]
    memory.rows[3] = memory.rows[4]
    with pytest.raises(CorruptError, match="no longer holds"):
        logs.recover(LearnerSession, which)


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_no_learner_without_features_in_examples() -> None:
    bare = Pipeline(
        "bare", features=ReadingFeatures, label=Fault.broken, model=linear_model.LogisticRegression(),
        store_features=False,
    )  # fmt: skip
    for make in (lambda: LearnerSession(bare), lambda: Session(bare, learning="shared")):
        with pytest.raises(UsageError, match="store_features=True"):
            make()
    Session(bare)


def test_no_learner_for_a_river_model_unless_allowed() -> None:
    with pytest.raises(UsageError, match=r"runs in river .*HalfSpaceTrees.*Run it with one partition"):
        LearnerSession(WATCHED)
    LearnerSession(WATCHED, allow_pickle=True)


def test_no_learner_without_a_model() -> None:
    with pytest.raises(UsageError, match="no model"):
        LearnerSession(pipeline("tiles"))
