"""What the peers have in common: the cards features, river's model and ADWIN by hand.

A peer is glue: it takes records off two topics, calls :meth:`ByHand.take` for each, and puts what that returns on two
others. Everything is in the memory of one process, the fastest there is: none of the peers keeps the windows, the
model or the payments that wait for their labels, so whatever guarantee one gives for records, a restart forgets what
they taught. A store for them (RocksDB in Quix and Faust, SQLite in Bytewax) would only make it slower.

Topics come in the order in which a client hands them over, and labels may be ahead of their payments or far behind:
early labels wait for their payment, and silence is only taken for an answer once both topics are past the wait.
"""

from __future__ import annotations

import orjson

from benchmarks.river_by_hand import Record, Scorer

PREDICTIONS, EXAMPLES = "predictions", "examples"
Output = tuple[str, bytes, Record]


class ByHand(Scorer):
    """Answers payments and learns from chargebacks, one record after the other."""

    def __init__(self) -> None:
        super().__init__(None)
        self.taken = 0
        self._reached = {True: 0, False: 0}  # received times, of payments and of labels
        self._early: dict[str, tuple[bool, int]] = {}
        self._made: list[Output] = []

    def take(self, value: bytes, received: int) -> list[Output]:
        """Take one record, and return what is to be put out: (predictions or examples, key, value).

        Parameters
        ----------
        value
            JSON of a payment or of a chargeback.
        received
            Its time stamp in the log, epoch ms.
        """
        record = orjson.loads(value)
        record["received"] = received
        self.taken += 1
        asked = "amount" in record
        self._reached[asked] = received
        if asked:
            self.payment(record)
            self._answer(record)
        else:
            self.chargeback(record)
        made, self._made = self._made, []
        return made

    def time_out(self, now: int) -> None:
        """Take silence for an answer where no label can be on its way any more."""
        super().time_out(min(now, *self._reached.values()))

    def known(self, name: str, fraud: bool, moment: int) -> None:
        """Learn, and put out the example; a label ahead of its payment waits for it."""
        kept = self.pending.get(name)
        if kept is None:
            if moment > self._reached[True]:
                self._early[name] = (fraud, moment)
            return
        super().known(name, fraud, moment)
        card, _, row, score = kept
        example = {
            "id": name, "key": card, "prediction": score > 0.5, "score": score, "fate": "label", "weight": 1.0,
            "target": fraud, "moment": moment, "features": row,
        }  # fmt: skip
        self._made.append((EXAMPLES, card.encode(), example))

    def _answer(self, record: Record) -> None:
        name = record["payment"]
        card, _, _, score = self.pending[name]
        answer = {
            "id": name, "key": card, "at": record["at"], "prediction": score > 0.5, "score": score,
            "version": ["river", self.learned],
        }  # fmt: skip
        self._made.append((PREDICTIONS, card.encode(), answer))
        early = self._early.pop(name, None)
        if early is not None:
            self.known(name, *early)
