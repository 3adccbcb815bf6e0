"""One batch through a model that learns elsewhere: predictions by the version at hand, examples for its learner."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_ml.errors import CorruptError, UsageError
from stream_ml.kernels import moves, operations
from stream_ml.learner.machine import Learner, Watched
from stream_ml.model.spec import Answers, Tape
from stream_ml.scorer.machine import Batch, Scorer
from stream_ml.sessions.encode import EACH_LINEAGE
from stream_ml.sessions.inline import Inline, Scored
from stream_ml.sessions.journal import Served
from stream_ml.sessions.served import Told, served_of
from stream_ml.sessions.versions import ModelVersion

I8 = NDArray[np.int64]


class Remote(Inline):
    """Predicts; does not learn, measure or watch.

    Order of calls in a turn: :meth:`run` for each batch, then :meth:`take`. Between turns :meth:`take_up`;
    :meth:`tell` before a turn that is fed again.

    Parameters
    ----------
    lineages
        Lines of models in the order in which they were taken up; the starting model's first.
    """

    def __init__(self, scorer: Scorer, learner: Learner, lineages: list[str]) -> None:
        super().__init__(scorer, learner)
        self.lineages = lineages
        self._version = self._held = (learner.spec.lineage, 0)
        self._said: list[Answers] = []
        self._told: Told | None = None

    @property
    def version(self) -> tuple[str, int]:
        """Lineage and count of examples of the model that answers."""
        return self._version

    def run(self, batch: Batch) -> Scored:
        """Score the asked events; events where nothing is waited for are examples at once."""
        asked = batch.events[batch.asked]
        answers = self._answers(batch, asked)
        self._said.append(answers)
        mark = self.lineages.index(self.version[0]) * EACH_LINEAGE + self.version[1]
        examples, target, weight = self._examples(batch, asked)
        scored = Scored(
            asked, answers.score.copy(), np.zeros(0), np.full(asked.size, mark), examples, target, weight,
            Watched([], [], 0),
        )  # fmt: skip
        self._decide(scored, answers, np.arange(asked.size))
        self._keep(batch, scored)
        if answers.errors:
            self._fail(batch, scored, dict(answers.errors))
        return scored

    def _answers(self, batch: Batch, asked: I8) -> Answers:
        if self._told is not None:
            return self._told.next(asked.size, many=self.learner.spec.task == "multiclass")
        if not self.ready:
            cause = f"the model version {self.version} that answered last is not at hand"
            raise UsageError(cause, "Take up the newest version of the model before the next turn")
        answers, _ = self.learner.run(self._questions(batch, asked))
        return answers

    def _questions(self, batch: Batch, asked: I8) -> Tape:
        n = asked.size
        x = np.empty((n, self.served.size), np.float64)
        moves.gather(self.scorer.store.kept, batch.ops[asked, operations.OP_SLOT], self.served, x)
        return Tape(np.zeros(n, np.uint8), np.arange(n, dtype=np.int64), x, np.full(n, np.nan), np.ones(n))

    def _examples(self, batch: Batch, asked: I8) -> tuple[I8, NDArray[np.float64], NDArray[np.float64]]:
        """Return the operations that give an example, with target and weight: what is learned at once has neither."""
        if not self.learner.spec.at_once:
            return batch.outcomes, batch.target, batch.weight
        places = np.concatenate([asked, batch.outcomes])
        target = np.concatenate([np.full(asked.size, np.nan), batch.target])
        weight = np.concatenate([np.ones(asked.size), batch.weight])
        order = np.argsort(places, kind="stable")
        return places[order], target[order], weight[order]

    def take(self) -> Served | None:
        """Return the turn's answers for its journal entry; they are forgotten here."""
        said, self._said = self._said, []
        left = 0 if self._told is None else self._told.left
        self._told = None
        if left:
            cause = f"a journal entry holds {left} answers more than events were asked"
            raise CorruptError(cause, "Run the version of stream_ml that wrote it")
        return served_of(self.version, said if self.learner.model is not None else [])

    # --- versions -------------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether the model at hand is the version that answers; not so between a recovery and the next version."""
        return self._held == self.version or self.learner.model is None

    def take_up(self, version: ModelVersion, *, other_lineage: bool) -> bool:
        """Answer with another version from now on; False where it is older than the one at hand, or the same."""
        lineage, count = self.version
        if version.lineage == lineage:
            if version.count < count or (version.count == count and self.ready):
                return False
        elif not other_lineage:
            cause = f"a model version of the lineage {version.lineage!r} came, and {lineage!r} is being served"
            raise UsageError(cause, "Allow another lineage where the model was reset on purpose")
        if self.learner.model is None:
            return False
        self.learner.model.serve(version.arrays)
        self.named((version.lineage, version.count))
        self._held = self.version
        return True

    def named(self, version: tuple[str, int]) -> None:
        """Say which version answers; its model may not be at hand yet."""
        self._version = version
        self.learner.count = version[1]
        if version[0] not in self.lineages:
            self.lineages.append(version[0])

    def tell(self, served: Served) -> None:
        """Answer in the next turn what was served before."""
        self.named((served.lineage, served.count))
        self._told = Told(served) if self.learner.model is not None else None
