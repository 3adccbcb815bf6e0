"""The peers' common part, and the judge of their answers: right ones pass in any order, wrong ones end the run."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest

from benchmarks import shuffle
from benchmarks.differences import largest_difference
from benchmarks.peers import answers as judge
from benchmarks.peers import drains, page
from benchmarks.peers.answers import Answers, Reference, answers
from benchmarks.peers.backlog import Stream, make_stream
from benchmarks.peers.by_hand import EXAMPLES, PREDICTIONS, ByHand
from benchmarks.peers.told import JOBS
from benchmarks.report import spread, table
from stream_ml.engines.replay import replay
from stream_ml.engines.replay.engine import Options
from stream_ml.errors import UsageError

PAYMENTS = 1_500
PEERS = Path(drains.__file__).parent


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Stream:
    return make_stream(tmp_path_factory.mktemp("cards"), PAYMENTS)


@pytest.fixture(scope="module")
def reference(stream: Stream) -> Reference:
    return Reference(stream)


def by_time(stream: Stream) -> list[tuple[bytes, int]]:
    asked, told = (stream.records[topic] for topic in ("payments", "chargebacks"))
    both = [(received, True, value) for _, value, received in asked]
    both += [(received, False, value) for _, value, received in told]
    return [(value, received) for received, _, value in sorted(both)]


def one_after_the_other(stream: Stream, *topics: str) -> list[tuple[bytes, int]]:
    return [(value, received) for topic in topics for _, value, received in stream.records[topic]]


def answered(records: Iterable[tuple[bytes, int]]) -> Answers:
    by_hand, made = ByHand(), []
    for value, received in records:
        made += by_hand.take(value, received)
    kinds = {kind: [orjson.dumps(value) for one, _, value in made if one == kind] for kind in (PREDICTIONS, EXAMPLES)}
    assert by_hand.taken == 2 * PAYMENTS
    return answers(kinds[PREDICTIONS], kinds[EXAMPLES], [1])


def test_by_hand_in_our_order_the_answers_are_ours(stream: Stream, reference: Reference) -> None:
    told = reference.peer(answered(by_time(stream)))
    assert told["largest_difference_from_our_scores"] < 1e-12
    assert told["share_with_other_labels_known"] == 0.0
    assert told["largest_feature_difference"] < 1e-12
    assert told["largest_score_difference"] < 1e-12


@pytest.mark.parametrize("topics", [("payments", "chargebacks"), ("chargebacks", "payments")])
def test_in_another_order_they_are_right_for_that_order(
    stream: Stream, reference: Reference, topics: tuple[str, ...]
) -> None:
    told = reference.peer(answered(one_after_the_other(stream, *topics)))
    assert told["largest_difference_from_our_scores"] > 0.01
    assert (told["predictions"], told["examples"]) == (PAYMENTS, PAYMENTS)
    assert told["largest_score_difference"] < 1e-12


def wrong_score(found: Answers) -> Answers:
    scores = found.scores.copy()
    scores[700] += 1e-6
    return replace(found, scores=scores)


def wrong_feature(found: Answers) -> Answers:
    rows = [dict(row) for row in found.rows]
    rows[3]["n_1d"] += 1
    return replace(found, rows=rows)


def lost(found: Answers) -> Answers:
    return replace(found, of=found.of[:-1], rows=found.rows[:-1], targets=found.targets[:-1])


def twice(found: Answers) -> Answers:
    return replace(found, ids=[*found.ids[:-1], found.ids[0]])


@pytest.mark.parametrize(
    ("spoil", "what"),
    [(wrong_score, "scores differ"), (wrong_feature, "features differ"), (lost, "examples"), (twice, "predictions")],
)
def test_a_wrong_answer_ends_the_run(
    stream: Stream, reference: Reference, spoil: Callable[[Answers], Answers], what: str
) -> None:
    with pytest.raises(RuntimeError, match=what):
        reference.peer(spoil(answered(by_time(stream))))


def test_the_worker_is_held_to_its_replay(reference: Reference) -> None:
    tiles = reference._tiles
    assert reference.worker(tiles)["largest_score_difference"] == 0.0
    with pytest.raises(RuntimeError, match="order"):
        reference.worker(replace(tiles, ids=[*tiles.ids[1:], tiles.ids[0]]))


def test_quality_is_of_the_labelled() -> None:
    found = Answers(["a", "b"], np.array([0.9, 0.1]), [0, 0], ["b", "a"], [{}, {}], [False, True], np.array([1]))
    assert judge.quality(found) == {"roc_auc": 1.0, "log_loss": round(-float(np.log(0.9)), 5)}


@pytest.mark.parametrize("peer", drains.PEERS.values(), ids=list(drains.PEERS))
def test_a_peer_is_short_and_says_its_settings(peer: drains.Peer) -> None:
    source = (PEERS / f"{peer.module}.py").read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 150
    assert "acks=all" in peer.settings
    assert {"main", "Loop"} & {one.name for one in ast.parse(source).body if hasattr(one, "name")}
    assert f"{peer.package}==" in (PEERS / "requirements.txt").read_text(encoding="utf-8")


def test_without_their_environment_the_cure_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(drains, "PYTHON", tmp_path / "python")
    with pytest.raises(UsageError) as refused:
        drains.peers_versions()
    assert "make peers-env" in str(refused.value)


def test_ratios_are_taken_within_a_round() -> None:
    ours = [{"events_per_second": rate, "cpu_us_per_event": 10.0} for rate in (100, 50, 100)]
    theirs = [{"events_per_second": rate, "cpu_us_per_event": 40.0} for rate in (10, 5, 20)]
    found = drains.ratios(ours, theirs, 8.0)
    assert found["by_wall_time"] == {"median": 10.0, "range": [5.0, 10.0]}
    assert found["by_cpu_time"]["median"] == 4.0
    assert found["reached"]
    assert "reached" not in drains.ratios(ours, theirs, 0.0)


@pytest.mark.parametrize("job", list(shuffle.JOBS))
def test_the_shuffle_by_hand_answers_as_the_engine_does(job: str, tmp_path: Path) -> None:
    stream = shuffle.make_records(tmp_path, 600, shuffle.JOBS[job])
    assert {len(value) for _, value, _ in stream.records["records"]} == {shuffle.SIZE}
    learns = job == "shuffle_learning"
    done = replay(stream.source, stream.files, received={"records": "at"}, options=Options(collect=True))
    by_hand = JOBS[job]()
    made = [orjson.dumps(by_hand.take(value, at)[0][2]) for _, value, at in stream.records["records"]]
    ours, ids = shuffle.numbers(done.outputs["predictions"], with_scores=learns)
    theirs, their_ids = shuffle.numbers(made, with_scores=learns)
    assert ids == their_ids
    assert largest_difference(theirs.ravel(), ours.ravel()) < 1e-12
    assert np.unique(ours).size > 100


def test_the_curves_are_drawn(tmp_path: Path) -> None:
    step = {"rate": 500.0, "sustained": True, "void": False, "p50": 3.0, "p99": 9.0}
    past = step | {"rate": 750.0, "sustained": False, "void": True, "p99": 90.0}
    curves = {
        "ours": {"knee": 500.0, "steps": [step, past]},
        "echo": {"knee": 500.0, "steps": [step]},
        "theirs": {"knee": None, "steps": [step | {"p99": None}]},
    }
    assert page.draw_curves({"curves": curves}, tmp_path / "curves.png").stat().st_size > 1_000
    figure = {"median": 2.0, "range": [1.0, 3.0]}
    program = {"latency_ms": dict.fromkeys(("p50", "p99", "p99_9"), figure), "void": 0, "sustained": True}
    at = {"rounds": 5, "programs": {"ours": program, "echo": program}, "ratio": {"p50": 1.1, "p99": 1.6}}
    half = at | {"rate": 250.0, "limit": 1.5, "reached": False}
    told = "\n".join(page.latency_section({"latency": {"1000": at}, "curves": curves, "half": half}, table, spread))
    assert "ours 500, echo 500 and more, theirs none" in told
    assert "| 250 | echo | 2.0 (1.0 to 3.0) |" in told
    assert "| 1,000 | ours |" in told
    assert "5 runs each in turn" in told
    assert "1.6 (at most 1.5): missed." in told
