"""The scorer's state as named parts: the rows that changed, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_ml.kernels import operations
from stream_ml.kernels.labels import L_HELD, L_STATE, L_WORD, hold
from stream_ml.kernels.waiting import R_ON, R_RECEIVED, R_SLOT, R_STATE, R_WORD, WAITING, relay
from stream_ml.schema.symbols import Symbols
from stream_ml.scorer.machine import Origin, Scorer
from stream_ml.sessions.codec import Dictionary
from stream_ml.sessions.cut import ROWS, Cut
from stream_ml.sessions.parts import Part, packed_words, rows_of

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]


class State:
    """Packs a scorer's state into parts and lays parts down.

    A part is a dict of arrays with its own list of texts. The last part, "join", is always there and holds what is
    small.
    """

    def __init__(self, scorer: Scorer, symbols: Symbols) -> None:
        self._scorer, self._symbols = scorer, symbols
        spec = scorer.spec
        self._id_text = spec.id is not None and spec.id.kind == "text"
        self._on_text = scorer.intake.on_text

    # --- out --------------------------------------------------------------------------------------------------------

    def parts(self) -> Iterator[dict[str, Any]]:
        """Yield parts with all rows as they stand; no mark changes."""
        for rows in rows_of(self._scorer):
            live = rows.live()
            for start in range(0, live.size, ROWS):
                part, some = Part(rows.head, self._symbols), live[start : start + ROWS]
                part.add(rows.columns(part.texts, some), some.size)
                yield part.whole()
        yield self._join_part()

    def cut(self, *, everything: bool, slice_bytes: int) -> Cut:
        """Begin a snapshot of all rows, or of those that changed since the last one began."""
        rows = rows_of(self._scorer)
        return Cut(rows, self._symbols, self._join_part(), everything=everything, slice_bytes=slice_bytes)

    def _clear_marks(self) -> None:
        for space in self._scorer.features.spaces:
            space.clear_marks()
        for table in self._scorer.features.tables:
            table.clear_marks()

    def _unpack_words(self, texts: Dictionary, column: NDArray[Any], *, text: bool) -> I8:
        return np.ascontiguousarray(texts.codes(column)).view(np.int64) if text else column

    def _join_part(self) -> dict[str, Any]:
        store = self._scorer.store
        texts = Dictionary(self._symbols)
        delayed = self._queue(0, operations.D_TAIL, operations.D_HEAD)
        held = self._queue(1, operations.H_TAIL, operations.H_HEAD)
        held = held[store.labels[held, L_STATE] == L_HELD]
        labels = np.concatenate([delayed, held])
        origins = [self._scorer.origins[label] for label in labels.tolist()]
        return {
            "part": "join",
            "now": self._scorer.now,
            "scalars": store.scalars[[operations.HEAD, operations.TAIL, operations.OLDEST]],
            "counters": store.counters.copy(),
            "newest": store.streams[:, operations.S_NEWEST].copy(),
            "delayed": int(delayed.size),
            "label_words": packed_words(
                texts, store.labels[labels, L_WORD], text=self._id_text if not self._on_mode() else self._on_text
            ),
            "labels": store.labels[labels],
            "label_values": texts.pack(store.label_values[labels], self._scorer.spec.label_texts),
            "origins": origins,
            "seen": {str(number): list(seen.items()) for number, seen in self._scorer.intake.seen.items()},
            "texts": texts.texts,
        }

    def _on_mode(self) -> bool:
        spec = self._scorer.spec.join
        return spec is not None and spec.on is not None

    def _queue(self, row: int, tail: int, head: int) -> I8:
        store = self._scorer.store
        at = np.arange(int(store.scalars[tail]), int(store.scalars[head]), dtype=np.int64)
        queued: I8 = store.queues[row, at & (store.queues.shape[1] - 1)]
        return queued

    # --- in ---------------------------------------------------------------------------------------------------------

    def load(self, parts: Iterable[dict[str, Any]]) -> None:
        """Lay parts down, oldest first; the scorer must be fresh."""
        rings: list[tuple[dict[str, Any], Dictionary]] = []
        last: dict[str, Any] | None = None
        for part in parts:
            texts = Dictionary(self._symbols, part["texts"])
            if part["part"] == "space":
                space = self._scorer.features.spaces[part["i"]]
                keys = texts.unpack(part["keys"], _which(space.spec.texts))
                space.unpack(keys, texts.unpack(part["fixed"], tuple(space.texts)), part["packed"])
            elif part["part"] == "table":
                table = self._scorer.features.tables[part["i"]]
                keys = texts.unpack(part["keys"], _which(table.spec.key_texts))
                table.unpack(keys, texts.unpack(part["values"], _which(table.spec.column_texts)))
            elif part["part"] == "ring":
                rings.append((part, texts))
            else:
                last = part
        if last is not None:
            self._load_join(last)
            self._load_ring(rings, int(last["scalars"][1]), int(last["scalars"][0]))
        self._clear_marks()
        self._symbols.all_used()

    def _load_join(self, part: dict[str, Any]) -> None:
        store, scorer = self._scorer.store, self._scorer
        texts = Dictionary(self._symbols, part["texts"])
        scorer.now = int(part["now"])
        head, tail, oldest = part["scalars"].tolist()
        store.scalars[[operations.HEAD, operations.TAIL, operations.OLDEST]] = (tail, tail, oldest)
        del head
        store.counters[:] = part["counters"]
        store.streams[:, operations.S_NEWEST] = part["newest"]
        for number, items in part["seen"].items():
            scorer.intake.seen[int(number)].update((str(one), int(received)) for one, received in items)
        n = len(part["origins"])
        if not n:
            return
        places = store.labels_for(n)
        store.labels[places] = part["labels"]
        text = self._on_text if self._on_mode() else self._id_text
        store.labels[places, L_WORD] = self._unpack_words(texts, part["label_words"], text=text)
        store.label_values[places] = texts.unpack(part["label_values"], self._scorer.spec.label_texts)
        delayed = int(part["delayed"])
        self._enqueue(0, operations.D_TAIL, operations.D_HEAD, places[:delayed])
        self._enqueue(1, operations.H_TAIL, operations.H_HEAD, places[delayed:])
        for place, origin in zip(places.tolist(), part["origins"], strict=True):
            scorer.origins[place] = Origin(origin[0], origin[1], origin[2], bytes(origin[3]))
        held = places[delayed:]
        hold(store.early, np.ascontiguousarray(store.labels[held, L_WORD]), held)

    def _enqueue(self, row: int, tail: int, head: int, labels: I8) -> None:
        store = self._scorer.store
        store.scalars[tail], store.scalars[head] = 0, labels.size
        store.queues[row, : labels.size] = labels

    def _load_ring(self, rings: list[tuple[dict[str, Any], Dictionary]], tail: int, head: int) -> None:
        store = self._scorer.store
        store.scalars[operations.TAIL] = store.scalars[operations.HEAD] = tail
        store.make_room(head - tail, sum(part["kept"].shape[0] for part, _ in rings))
        ring, last = store.ring, store.ring.shape[0] - 1
        waiting: list[tuple[I8, NDArray[np.float64]]] = []
        for part, texts in rings:
            there = part["seqs"] >= tail
            seqs = part["seqs"][there]
            places = seqs & last
            ring[places, R_WORD] = self._unpack_words(texts, part["words"], text=self._id_text)[there]
            ring[places, R_ON] = self._unpack_words(texts, part["on"], text=self._on_text)[there]
            ring[places, R_RECEIVED] = part["received"][there]
            ring[places, R_STATE] = part["state"][there]
            waits = part["state"] == WAITING
            slot_rows = texts.unpack(part["kept"], self._scorer.spec.slot_texts)
            waiting.append((part["seqs"][waits & there], slot_rows[there[waits]]))
        for start in range(tail, head, store.capacity):
            some = np.arange(start, min(start + store.capacity, head), dtype=np.int64)
            relay(ring[some & last], ring, store.ids.table, store.waiting, store.scalars, store.params)
        for seqs, slot_rows in waiting:
            still = ring[seqs & last, R_STATE] == WAITING
            store.kept[ring[seqs[still] & last, R_SLOT]] = slot_rows[still]


def _which(flags: tuple[bool, ...]) -> tuple[int, ...]:
    return tuple(i for i, flag in enumerate(flags) if flag)


