"""What `check` tells and refuses."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from river import compose, ensemble, linear_model

import stream_ml
from stream_ml import Features, Pipeline, fn
from stream_ml.engines.replay.engine import Options
from stream_ml.errors import DeclarationError
from stream_ml.language.example import Chargeback, Payment, Shop
from stream_ml.language.loader import load
from stream_ml.plan.check import Report, report
from stream_ml.sessions.session import Session
from tests.pipelines_data import names, records
from tests.replay.histories import by_topic, pipeline

PIPELINES = Path(__file__).parent.parent / "pipelines"
GOLDEN = Path(__file__).parent / "golden"


class Some(Features, of=Payment):
    amount = Payment.amount + 0.0
    usual = fn.mean(Payment.amount).before("1d", by=Payment.card)["1d"]
    risk = fn.fill(fn.lookup(Shop.risk, Payment.shop), 0.0)
    all_of_them = fn.count(Payment).over("1h", by=None)["1h"]
    times = fn.mean(Payment.amount).over("1h", by=Payment.card, exact=True)["1h"]


def shown(told: Report) -> str:
    """Return a report as text, without folders and without what a change of the engine changes."""
    found = asdict(told)
    found["digest"] = ""
    text = json.dumps(found, indent=1, ensure_ascii=False)
    return text.replace(str(PIPELINES), "PIPELINES").replace(str(Path(__file__)), "TEST") + "\n"


@pytest.mark.parametrize("name", names())
def test_every_pipeline_passes(name: str) -> None:
    told = report(load(PIPELINES / f"{name}.py"), rate=1.0)
    assert told.features
    assert all(one.least <= one.most for one in told.kept)
    assert all(part.why for part in told.model)
    assert all(one.decoder == "compiled" or one.why for one in told.streams)


@pytest.mark.parametrize("name", names())
def test_what_is_never_missing_never_is(name: str) -> None:
    told = {one.name: one.may_be_missing for one in report(pipeline(name)).features}
    done = stream_ml.replay(
        pipeline(name), by_topic(records(name, 300, 12)), features=True, options=Options(collect=True)
    )
    served = [json.loads(line)["features"] for line in done.outputs["predictions"]]
    assert served
    missing = {name for one in served for name, value in one.items() if value is None}
    assert {name for name in missing if not told[name]} == set()


@pytest.mark.parametrize("name", ["cards", "sms"])
def test_reports_are_as_they_were(name: str) -> None:
    golden = GOLDEN / f"{name}.json"
    assert shown(report(load(PIPELINES / f"{name}.py"), rate=50.0)) == golden.read_text(encoding="utf-8")


def test_sizes_and_places_are_told() -> None:
    made = Pipeline("some", features=Some, label=Chargeback.fraud, model=linear_model.LogisticRegression())
    told = report(made, rate=100_000)
    assert told.one_partition == {"all_of_them": "kept by None"}
    assert {one.by: one.note for one in told.kept} == {
        "Payment.card": "exact windows: 16 bytes an event more", "all together": "",
    }  # fmt: skip
    assert {one.name for one in told.features if one.may_be_missing} == {"usual", "times"}
    each = told.pending["bytes_an_event"]
    assert [warning.split(": ", 1)[1][:24] for warning in told.warnings] == [
        f"at this rate {each * 60_480_000_000:,}"[:24], "Shop has no time=: over ",
    ]  # fmt: skip
    assert told.pending["bytes_at_rate"] == each * 100_000 * 7 * 86_400


def refused(model: object, **more: object) -> str:
    made = Pipeline("some", features=Some, label=Chargeback.fraud, model=model, **more)  # type: ignore[arg-type]
    for attempt in (report, Session):
        with pytest.raises(DeclarationError) as caught:
            attempt(made)
    assert caught.value.place is not None
    assert caught.value.place.file == __file__
    return str(caught.value).split(": ", 1)[1]


def test_a_model_that_would_not_run_is_refused_by_check_and_by_every_engine() -> None:
    assert refused(compose.Select("usual") | linear_model.LogisticRegression()) == (
        "Select raises KeyError where 'usual' is missing, and it may be. "
        "Give usual a value where it is missing: fn.fill(...)."
    )
    assert refused(compose.Select("risks") | linear_model.LogisticRegression()) == (
        "Select names 'risks', which is no feature. Features are amount, usual, risk, all_of_them, times."
    )
    assert refused(ensemble.BaggingClassifier(linear_model.LogisticRegression())) == (
        "ensemble.BaggingClassifier draws random numbers with seed=None: a restart would change its answers. "
        "Write ensemble.BaggingClassifier(seed=1)."
    )
    report(
        Pipeline(
            "some",
            features=Some,
            label=Chargeback.fraud,
            model=compose.Select("risk") | linear_model.LogisticRegression(),
        )
    )
