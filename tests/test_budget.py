"""The budget of waiting events: past it the oldest is given up, counted, alarmed, and its late label tells nobody."""

from __future__ import annotations

import json
from datetime import datetime

import numpy as np
import pytest
from river import linear_model

from stream_ml import Event, Features, Label, Pipeline
from stream_ml.scorer.store import Store
from stream_ml.sessions.session import Run, Session


class Ride(Event, topic="rides", id="ride", key="rider", time="at", lateness="1m"):
    ride: str
    rider: str
    km: float
    at: datetime


class Tip(Label, of=Ride, topic="tips", wait="1d", silence={"tipped": False}):
    ride: str
    rider: str
    tipped: bool


class RideFeatures(Features, of=Ride):
    km = Ride.km


PIPELINE = Pipeline("rides", features=RideFeatures, label=Tip.tipped, model=linear_model.LogisticRegression())
START = 1_767_225_600_000


def rides(first: int, count: int) -> Run:
    """Return a run of rides, one a second."""
    values = [
        json.dumps({"ride": f"r{i}", "rider": "a", "km": 1.5, "at": START + 1000 * i}).encode()
        for i in range(first, first + count)
    ]
    return run("rides", first, values)


def run(topic: str, first: int, values: list[bytes]) -> Run:
    """Return a run of one topic, one record a second."""
    n = len(values)
    at = np.arange(first, first + n)
    return Run("log", first, first + n, 1 << 60, [topic] * n, at, START + 1000 * at, [None] * n, values)


@pytest.fixture
def session() -> Session:
    """A session in which a hundred rides may wait."""
    made = Session(PIPELINE)
    each = Store.bytes_each(made.plan.scorer)
    small = Pipeline(
        "rides", features=RideFeatures, label=Tip.tipped, model=linear_model.LogisticRegression(),
        pending=f"{100 * each}B",
    )  # fmt: skip
    return Session(small)


def test_past_the_budget_the_oldest_is_given_up_and_told(session: Session) -> None:
    turn = session.feed([rides(0, 1350)])
    assert session.stats["given_up"] == 1250
    assert session.stats["pending"] == 100
    (alarms,) = (one.values for one in turn.out if one.topic == "rides.alarms")
    told = [json.loads(one) for one in alarms]
    assert [(one["what"], one["from"], one["to"]) for one in told] == [("pending", 100, 1), ("pending", 100, 1001)]
    assert told[0]["at"] == START + 100_000


def test_how_records_are_cut_is_invisible(session: Session) -> None:
    whole = session.feed([rides(0, 300)]).out
    cut = Session(session_pipeline(session))
    parts = [one for first in range(0, 300, 7) for one in cut.feed([rides(first, min(7, 300 - first))]).out]
    for topic in ("rides.predictions", "rides.alarms"):
        told = b"".join(out.blob for out in whole if out.topic == topic)
        assert b"".join(out.blob for out in parts if out.topic == topic) == told


def session_pipeline(session: Session) -> Pipeline:
    """Return a pipeline equal to the session's."""
    budget = session.scorer.store.budget * Store.bytes_each(session.plan.scorer)
    return Pipeline(
        "rides", features=RideFeatures, label=Tip.tipped, model=linear_model.LogisticRegression(), pending=f"{budget}B"
    )


def test_the_label_of_a_given_up_event_is_counted_and_teaches_nothing(session: Session) -> None:
    session.feed([rides(0, 150)])
    label = [json.dumps({"ride": name, "rider": "a", "tipped": True}).encode() for name in ("r0", "r149")]
    turn = session.feed([run("tips", 150, label)])
    assert session.stats["orphan"] == 1
    (examples,) = (one.values for one in turn.out if one.topic == "rides.examples")
    assert [json.loads(one)["id"] for one in examples] == ["r149"]
