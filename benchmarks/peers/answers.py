"""What a program answered, and whether that is right: a fast wrong answer is a failed run.

Features are compared one by one with those of our engine with exact windows, which the programs by hand have too. The
score of a prediction depends on what was learned before it, and peers that take two topics as they come learn in an
order of their own. So every prediction says how many examples came before it, and our compiled model is taught the
peer's own examples in the peer's own order and asked at the same places: its scores must be the peer's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from benchmarks import cards_exact
from benchmarks.command import Found, check
from benchmarks.differences import largest_difference
from benchmarks.peers.backlog import Stream, read_back
from benchmarks.river_by_hand import exact_auc
from stream_ml.demos import cards
from stream_ml.engines.replay import replay
from stream_ml.engines.replay.engine import Options
from stream_ml.model.build import build
from stream_ml.model.spec import Input, Tape
from stream_ml.schema.symbols import Symbols

F8 = NDArray[np.float64]
FEATURES, SCORES = 1e-9, 1e-9
#: Its value hangs on which labels had come: a program that does not merge its topics by time counts others.
BY_LABELS = "frauds_28d"


@dataclass(frozen=True, slots=True)
class Answers:
    """What is on a program's two topics.

    Parameters
    ----------
    ids, scores, counts
        Of each prediction [n]: the payment, the score, how many examples its model had learned.
    of, rows, targets
        Of each example [m]: the payment, its features, its target.
    stamps
        When each record of both topics was appended, epoch ms, ascending.
    """

    ids: list[str]
    scores: F8
    counts: list[int]
    of: list[str]
    rows: list[dict[str, Any]]
    targets: list[bool]
    stamps: NDArray[np.int64]


def answers(predictions: list[bytes], examples: list[bytes], stamps: list[int]) -> Answers:
    """Decode outputs."""
    asked, told = [orjson.loads(one) for one in predictions], [orjson.loads(one) for one in examples]
    return Answers(
        [one["id"] for one in asked],
        np.array([one["score"] for one in asked]),
        [one["version"][1] for one in asked],
        [one["id"] for one in told],
        [one["features"] for one in told],
        [bool(one.get("target")) for one in told],
        np.sort(np.array(stamps, np.int64)),
    )


def read_answers(servers: str, name: str) -> Answers:
    """Read what a program put out."""
    predictions, asked_at = read_back(servers, f"{name}.predictions")
    examples, told_at = read_back(servers, f"{name}.examples")
    return answers(predictions, examples, asked_at + told_at)


class Reference:
    """Our answers to the same stream, replayed: as the worker gives them, and with exact windows."""

    def __init__(self, stream: Stream) -> None:
        self._payments = stream.events
        tiles, exact = (
            replay(pipeline, stream.files, options=Options(collect=True)).outputs
            for pipeline in (cards.pipeline, cards_exact.pipeline)
        )
        self._tiles = answers(tiles["predictions"], tiles["examples"], [])
        self._exact = answers(exact["predictions"], exact["examples"], [])
        self._names = list(self._exact.rows[0])
        self._rows = dict(zip(self._exact.of, self._matrix(self._exact.rows), strict=True))
        self._scores = dict(zip(self._exact.ids, self._exact.scores.tolist(), strict=True))

    def counts(self, found: Answers) -> Found:
        """Check that each payment has one prediction and one example."""
        for what, ids in (("predictions", found.ids), ("examples", found.of)):
            check(holds=len(ids) == len(set(ids)) == self._payments, what=f"{len(ids)} {what}, {len(set(ids))} ids")
        return {"predictions": len(found.ids), "examples": len(found.of)}

    def worker(self, found: Answers) -> Found:
        """Check the worker: the replay's answers, in the replay's order."""
        counts = self.counts(found)
        check(holds=found.ids == self._tiles.ids and found.of == self._tiles.of, what="the worker's order")
        apart = largest_difference(found.scores, self._tiles.scores)
        check(holds=apart <= SCORES, what=f"scores differ by {apart}")
        return {**counts, "compared": "scores with a replay's", "largest_score_difference": apart, **quality(found)}

    def peer(self, found: Answers) -> Found:
        """Check a peer: features with ours, scores with our compiled model taught in the peer's order."""
        counts = self.counts(found)
        theirs = self._matrix(found.rows)
        ours = np.array([self._rows[name] for name in found.of])
        by_labels = self._names.index(BY_LABELS)
        other = theirs[:, by_labels] != ours[:, by_labels]
        features = largest_difference(*(np.delete(one, by_labels, axis=1).ravel() for one in (theirs, ours)))
        check(holds=features <= FEATURES, what=f"features differ by {features}")
        scores = largest_difference(self._taught(found, theirs), found.scores)
        check(holds=scores <= SCORES, what=f"scores differ by {scores}")
        same = largest_difference(found.scores, np.array([self._scores[name] for name in found.ids]))
        return {
            **counts,
            "compared": "features with ours, scores with our model taught in the peer's order",
            "largest_feature_difference": features,
            "share_with_other_labels_known": round(float(other.mean()), 4),
            "largest_score_difference": scores,
            "largest_difference_from_our_scores": same,
            **quality(found),
        }

    def _matrix(self, rows: list[dict[str, Any]]) -> F8:
        names = self._names
        return np.array([[row.get(name) for name in names] for row in rows], np.float64)

    def _taught(self, found: Answers, x: F8) -> F8:
        """Return the scores of our compiled model, asked and taught in the order of a program's answers."""
        inputs = [Input(name, "float") for name in self._names]
        model = build(cards.pipeline.model, inputs, "binary", Symbols())
        place = {name: i for i, name in enumerate(found.of)}
        n, m = len(found.ids), len(found.of)
        asked = np.array(found.counts) + np.arange(n)  # where each prediction stands among both
        learn, rows, y = np.ones(n + m, np.uint8), np.empty(n + m, np.int64), np.full(n + m, np.nan)
        learn[asked] = 0
        rows[asked] = [place[name] for name in found.ids]
        rows[learn == 1] = np.arange(m)
        y[learn == 1] = np.array(found.targets, np.float64)
        ran = model.run(Tape(learn, rows, np.ascontiguousarray(x), y, np.ones(n + m)))
        check(holds=not ran.errors, what=f"{ran.errors[:1]}")
        return np.asarray(ran.score[asked])


def quality(found: Answers) -> Found:
    """Return the exact ROC AUC and the log loss of the answers."""
    score = dict(zip(found.ids, found.scores.tolist(), strict=True))
    scores = [score[name] for name in found.of]
    truth, p = np.array(found.targets), np.clip(np.array(scores), 1e-15, 1 - 1e-15)
    loss = -float(np.mean(np.where(truth, np.log(p), np.log1p(-p))))
    return {"roc_auc": round(exact_auc(found.targets, scores), 5), "log_loss": round(loss, 5)}
