"""One batch through model and monitor: predictions and lessons interleaved exactly as the records came."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stream_ml.kernels import moves, operations
from stream_ml.learner.machine import Learner, Watched
from stream_ml.model.spec import Answers, Tape
from stream_ml.schema.symbols import Symbols
from stream_ml.scorer.machine import Batch, Scorer
from stream_ml.scorer.store import ASKED, PREDICTED, SCORE
from stream_ml.sessions.journal import Served
from stream_ml.sessions.values import values

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]


@dataclass(slots=True)
class Scored:
    """A batch with the model's part.

    Parameters
    ----------
    events
        Operations that are answered.
    score, predicted, counts
        Of each answered event: P(true), value or anomaly score; the decision; the model's count of examples.
    probabilities
        Multi-class: of each answered event.
    examples
        Operations that give an example: outcomes, or events where nothing is waited for.
    failed
        (operation, message) of events on which the model raised.
    """

    events: I8
    score: F8
    predicted: F8
    counts: I8
    examples: I8
    target: F8
    weight: F8
    watched: Watched
    probabilities: list[dict[object, float]] | None = None
    failed: list[tuple[int, str]] = field(default_factory=list)


class Inline:
    """Runs the learner on the scorer's batches, in one process."""

    def __init__(self, scorer: Scorer, learner: Learner) -> None:
        self.scorer, self.learner = scorer, learner
        spec = scorer.spec
        place = {register: spec.first_saved + i for i, register in enumerate(spec.saved)}
        self.served = np.array([place[one.register] for one in spec.served], np.int64)
        self.slices = [place[one.register] for one in spec.slices]
        self.keys = [place[one.register] for one in spec.keys]

    @property
    def version(self) -> tuple[str, int]:
        """Lineage and count of examples of the model that answers."""
        return self.learner.spec.lineage, self.learner.count

    def run(self, batch: Batch) -> Scored:
        """Score the asked events, learn from the outcomes, in the order of the operations."""
        asked = batch.events[batch.asked]
        at_once = self.learner.spec.at_once
        examples = asked if at_once and self.scorer.spec.target is None else batch.outcomes
        target, weight = batch.target, batch.weight
        if examples is asked:
            target, weight = np.full(asked.size, np.nan), np.ones(asked.size)
        tape = self._tape(batch, asked, at_once=at_once)
        answers, before = self.learner.run(tape)
        mine = np.flatnonzero(tape.learn == 0)
        scored = Scored(
            asked, answers.score[mine], np.zeros(0), before[mine], examples, target, weight, Watched([], [], 0)
        )
        self._decide(scored, answers, mine)
        self._keep(batch, scored)
        if answers.errors:
            place = np.cumsum(tape.learn == 0) - 1
            told = {int(place[at]): message for at, message in answers.errors if not tape.learn[at]}
            self._fail(batch, scored, told)
        self._watch(batch, scored)
        return scored

    def take(self) -> Served | None:
        """Return what a turn's journal entry must hold of its answers: nothing, for they can be worked out again."""
        return None

    def _tape(self, batch: Batch, asked: I8, *, at_once: bool) -> Tape:
        """Return predictions and lessons in the order of the operations; at once: each event's lesson after it."""
        if at_once:
            places = asked.repeat(2)
            learn = np.zeros(places.size, np.uint8)
            learn[1::2] = 1
            y, weight = np.full(places.size, np.nan), np.ones(places.size)
        else:
            known = ~np.isnan(batch.weight)
            y, weight = np.full(batch.ops.shape[0], np.nan), np.ones(batch.ops.shape[0])
            role = np.zeros(batch.ops.shape[0], np.uint8)
            role[asked] = 1
            taught = batch.outcomes[known]
            role[taught], y[taught], weight[taught] = 2, batch.target[known], batch.weight[known]
            places = np.flatnonzero(role)
            learn, y, weight = role[places] - np.uint8(1), y[places], weight[places]
        x = np.empty((places.size, self.served.size), np.float64)
        moves.gather(self.scorer.store.kept, batch.ops[places, operations.OP_SLOT], self.served, x)
        return Tape(learn, np.arange(places.size, dtype=np.int64), x, y, weight)

    def _decide(self, scored: Scored, answers: Answers, mine: I8) -> None:
        if answers.label is None:
            scored.predicted = self.learner.predicted(scored.score)
            return
        labels = [answers.label[i] for i in mine.tolist()]
        if self.learner.spec.target == "text":
            scored.predicted = self.scorer.symbols.code(labels)
        else:
            scored.predicted = np.array([np.nan if one is None else float(one) for one in labels])
        if answers.probabilities is not None:
            scored.probabilities = [answers.probabilities[i] for i in mine.tolist()]

    def _keep(self, batch: Batch, scored: Scored) -> None:
        """Save what was served with each event, for its example."""
        store = self.scorer.store
        slots = batch.ops[scored.events, operations.OP_SLOT]
        served = np.empty((3, slots.size))
        served[0], served[1], served[2] = scored.score, scored.predicted, scored.counts
        moves.put(served, slots, store.kept, store.own + SCORE)

    def _fail(self, batch: Batch, scored: Scored, told: dict[int, str]) -> None:
        """Take back the answers on which the model raised: those events are as if nobody had asked.

        `told` are the messages, by the event's place among those answered.
        """
        if not told:
            return
        good = np.ones(scored.events.size, np.bool_)
        good[list(told)] = False
        scored.failed = [(int(scored.events[i]), told[i]) for i in sorted(told)]
        slots = batch.ops[scored.events[~good], operations.OP_SLOT]
        self.scorer.store.kept[slots, self.scorer.store.own + ASKED] = 0.0
        keep = ~np.isin(batch.ops[scored.examples, operations.OP_SLOT], slots)
        scored.examples, scored.target, scored.weight = (
            scored.examples[keep], scored.target[keep], scored.weight[keep],
        )  # fmt: skip
        scored.events, scored.score, scored.predicted, scored.counts = (
            scored.events[good], scored.score[good], scored.predicted[good], scored.counts[good],
        )  # fmt: skip
        if scored.probabilities is not None:
            scored.probabilities = [one for one, ok in zip(scored.probabilities, good, strict=True) if ok]

    def _watch(self, batch: Batch, scored: Scored) -> None:
        if self.scorer.spec.target is None or not scored.examples.size:
            return
        kept, own = self.scorer.store.kept, self.scorer.store.own
        slots = batch.ops[scored.examples, operations.OP_SLOT]
        symbols = self.scorer.symbols
        slices = [
            texts_of(kept[slots, column], one.kind, symbols)
            for column, one in zip(self.slices, self.scorer.spec.slices, strict=True)
        ]
        scored.watched = self.learner.watch(
            scored.target, kept[slots, own + SCORE], kept[slots, own + PREDICTED], slices
        )


def texts_of(column: F8, kind: str, symbols: Symbols) -> list[str | None]:
    """Return a slice column as texts."""
    found = values(column, kind, symbols)
    return found if kind in {"text", "category"} else [None if one is None else str(one) for one in found]
