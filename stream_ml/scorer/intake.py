"""Intake: raw records to decoded columns and to the integers that the join reads."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stream_ml.features.spec import OWN
from stream_ml.kernels import moves, operations
from stream_ml.kernels.labels import L_WORD
from stream_ml.schema.decoder import Columns, Decoder
from stream_ml.schema.lines import taken as picked
from stream_ml.schema.records import Fed
from stream_ml.schema.symbols import Symbols
from stream_ml.schema.texts import Texts
from stream_ml.schema.verdict import Bad
from stream_ml.scorer.spec import ScorerSpec, Stream
from stream_ml.scorer.store import SILENT, Store

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]
Flags = NDArray[np.bool_]
COLUMNS = 8
KINDS = {"event": operations.EVENT, "label": operations.LABEL, "other": operations.OTHER, "table": operations.TABLE}
JOINER = "\x1f"


def _no_numbers() -> F8:
    return np.zeros(0)


def _no_words() -> I8:
    return np.zeros(0, np.int64)


@dataclass(slots=True)
class Taken:
    """Records taken in: columns by stream number, the join's records, and what was refused.

    Parameters
    ----------
    columns
        For each stream: values of its columns (float64, texts as symbol codes), a row an accepted record.
    texts
        For each stream the texts as decoded, by field.
    index
        For each stream: which record of the turn each row is.
    labels
        Place in the store of each row of the label stream.
    refused
        (record of the turn, stream number, what is wrong).
    orders
        Of each of `records`, 4 times its place in the turn and a little more for what comes later of one record.
    """

    fed: Fed
    records: I8
    columns: dict[int, dict[int, F8]] = field(default_factory=dict)
    texts: dict[int, Texts] = field(default_factory=dict)
    index: dict[int, I8] = field(default_factory=dict)
    labels: I8 = field(default_factory=_no_words)
    refused: list[tuple[int, int, Bad]] = field(default_factory=list)
    orders: I8 = field(default_factory=_no_words)


@dataclass(slots=True)
class _Part:
    """The join's records of one stream, column by column; an empty column is all zeros, or the row's own number.

    Parameters
    ----------
    index, order
        Which record of the turn each is, and where it belongs (see :attr:`Taken.orders`).
    changes
        (column of the records, which, value), once they are laid.
    """

    kind: int
    stream: int
    index: I8
    order: I8
    rows: I8 = field(default_factory=_no_words)
    times: F8 = field(default_factory=_no_numbers)
    words: I8 = field(default_factory=_no_words)
    on: I8 = field(default_factory=_no_words)
    changes: list[tuple[int, Flags, int]] = field(default_factory=list)


class Intake:
    """Decodes each topic's records in bulk and lays them out for the join."""

    def __init__(self, spec: ScorerSpec, symbols: Symbols, store: Store) -> None:
        self.spec = spec
        self._symbols = symbols
        self._store = store
        self._streams = spec.streams
        self.decoders = {stream.number: Decoder(stream.model, *_fields(stream, spec)) for stream in spec.streams}
        self._on = spec.join.on if spec.join is not None else None
        self.seen: dict[int, OrderedDict[str, int]] = {
            stream.number: OrderedDict() for stream in spec.streams if stream.role == "other" and stream.id is not None
        }
        if spec.join is not None and spec.join.silence is not None:
            for j, value in enumerate(spec.join.silence):
                number = symbols.one(value) if isinstance(value, str) else np.nan if value is None else value
                store.label_values[SILENT, j] = number
        self._space = np.empty((0, COLUMNS), np.int64)
        self._silent = store.label_values[SILENT : SILENT + 1].copy()

    @property
    def on_text(self) -> bool:
        """Whether what an `on=` label answers by is a symbol code: a text, or several values joined to one."""
        names = self._on or ()
        return len(names) > 1 or (len(names) == 1 and self.decoders[OWN].is_text(names[0]))

    def silent_codes(self) -> F8:
        """Return the values that silence stands for, symbol codes among them."""
        return self._silent

    def take(self, fed: Fed, tick: int | None) -> Taken:
        """Decode the records of a turn; a tick is one more record that only lets time pass."""
        taken = Taken(fed, np.zeros((0, COLUMNS), np.int64))
        parts: list[_Part] = []
        readable = _readable(fed)
        for number, name in enumerate(fed.names):
            streams = [stream for stream in self._streams if stream.topic == name]
            if not streams:
                continue
            whole = len(fed.names) == 1 and not fed.bad
            at = np.arange(len(fed), dtype=np.int64) if whole else np.flatnonzero((fed.topics == number) & readable)
            values = fed.values if whole else picked(fed.values, at)
            parts += self._topic(taken, streams, at, values)
        if fed.bad:
            taken.refused += [(bad.index, 0, bad) for bad in fed.bad]
            parts.append(_ticks(taken, np.array([bad.index for bad in fed.bad], np.int64)))
        self._lay(taken, parts, tick)
        taken.refused.sort(key=lambda one: (one[0], one[1]))
        return taken

    def _lay(self, taken: Taken, parts: list[_Part], tick: int | None) -> None:
        """Lay the records of all parts, by their order, into the memory of the last turn's."""
        orders = [part.order for part in parts]
        order = orders[0] if len(orders) == 1 else np.concatenate([*orders, _no_words()])
        places, taken.orders = _in_order(order, len(taken.fed))
        n = places.size + (tick is not None)
        if self._space.shape[0] < n:
            self._space = np.empty((2 * n, COLUMNS), np.int64)
        records = taken.records = self._space[:n]
        begin = 0
        for part in parts:
            mine = places[begin : begin + part.order.size]
            moves.lay(
                records, mine, part.kind, part.stream, taken.fed.received, part.index, part.rows, part.times,
                part.words, part.on,
            )  # fmt: skip
            for column, which, value in part.changes:
                records[mine[which], column] = value
            begin += mine.size
        if tick is not None:
            records[-1] = 0
            records[-1, operations.RECEIVED] = tick
            taken.orders = np.append(taken.orders, 4 * len(taken.fed))

    def _topic(self, taken: Taken, streams: list[Stream], at: I8, values: Sequence[bytes]) -> list[_Part]:
        """Return the records of one topic by stream: of an event that is also a label, two records."""
        found = []
        both = {stream.role for stream in streams} >= {"event", "label"}
        for stream in streams:
            columns = self.decoders[stream.number].decode(values)
            found.append(self._part(taken, stream, columns, at[columns.rows]))
            self._refuse(taken, stream, columns, at, both=both)
        if both:
            self._pair({stream.role: part for stream, part in zip(streams, found, strict=True)})
        if taken.refused:
            found.append(_ticks(taken, at))
        return found

    def _refuse(self, taken: Taken, stream: Stream, columns: Columns, at: I8, *, both: bool) -> None:
        known = {(i, bad.reason, bad.path) for i, _, bad in taken.refused}
        for bad in columns.bad:
            i = int(at[bad.index])
            if not (both and (i, bad.reason, bad.path) in known):
                taken.refused.append((i, stream.number, bad))

    def _pair(self, parts: dict[str, _Part]) -> None:
        event, label = parts["event"], parts["label"]
        side = operations.AFTER if self._on is None else operations.BEFORE
        label.changes.append((operations.PAIR, np.isin(label.index, event.index), side))
        event.changes.append((operations.PAIR, np.isin(event.index, label.index), side))

    def _part(self, taken: Taken, stream: Stream, columns: Columns, index: I8) -> _Part:
        number = stream.number
        named = {
            name: self._codes(columns, name) if text else columns.numbers[name]
            for name, _, text in stream.columns
        }
        values = {register: named[name] for name, register, _ in stream.columns}
        taken.columns[number], taken.texts[number], taken.index[number] = values, columns.texts, index
        part = _Part(KINDS[stream.role], number, index, 4 * index + _rank(stream.role, self._on))
        if stream.time is not None:
            part.times = columns.numbers[stream.time]
        if stream.role == "event":
            part.words = self._words(columns, stream.id, named) if stream.id else taken.fed.offsets[index]
            if self._on is not None:
                part.on = self._on_words(columns, named)
        elif stream.role == "label":
            self._labels(taken, stream, columns, part, named)
        elif stream.role == "table":
            self._store.counters[operations.C_TABLES] += columns.n
        elif number in self.seen:
            again = self._seen_before(stream, columns, taken.fed.received.take(index))
            part.changes.append((operations.KIND, again, operations.TICK))
        return part

    def _labels(self, taken: Taken, stream: Stream, columns: Columns, part: _Part, named: dict[str, F8]) -> None:
        taken.labels = part.rows = self._store.labels_for(columns.n)
        if self._on is None:
            part.words = self._words(columns, self.spec.streams[0].id, named)
        else:
            part.words = self._on_words(columns, named)
            part.kind = operations.ANSWER
        self._store.labels[part.rows, L_WORD] = part.words
        for j, (name, _, _) in enumerate(stream.columns):
            self._store.label_values[part.rows, j] = named[name]

    def _words(self, columns: Columns, name: str | None, named: dict[str, F8]) -> I8:
        """Return an id or key column as int64 words: the bits of its number or symbol code."""
        if name is None:
            return np.zeros(columns.n, np.int64)
        if name in named:
            value = named[name]
        else:
            value = self._codes(columns, name) if name in columns.texts else columns.numbers[name]
        return np.ascontiguousarray(value + 0.0).view(np.int64)

    def _codes(self, columns: Columns, name: str) -> F8:
        return columns.texts.codes(name, self._symbols.code_bytes)

    def _on_words(self, columns: Columns, named: dict[str, F8]) -> I8:
        names = self._on or ()
        if len(names) <= 1:
            return self._words(columns, names[0] if names else None, named)
        parts = [columns.texts[name] if name in columns.texts else columns.numbers[name].tolist() for name in names]
        joined = [None if None in pair else JOINER.join(map(str, pair)) for pair in zip(*parts, strict=True)]
        return self._symbols.code(joined).view(np.int64)

    def _seen_before(self, stream: Stream, columns: Columns, received: I8) -> Flags:
        """Return which events of another stream have an id that was seen within its lateness."""
        seen = self.seen[stream.number]
        name = stream.id or ""
        ids = columns.texts[name] if name in columns.texts else columns.numbers[name].tolist()
        again = np.zeros(columns.n, np.bool_)
        ahead = np.zeros(columns.n, np.bool_)
        if stream.time is not None:
            ahead = columns.numbers[stream.time] > received + stream.ahead_ms
        for i, (one, now) in enumerate(zip(ids, received.tolist(), strict=True)):
            if ahead[i]:
                continue
            key = str(one)
            if key in seen and now <= seen[key] + stream.lateness_ms:
                self._store.counters[operations.C_OTHER_DUPLICATE] += 1
                again[i] = True
                continue
            seen[key] = now
            seen.move_to_end(key)
            while seen and next(iter(seen.values())) + stream.lateness_ms < now:
                seen.popitem(last=False)
        return again


def _ticks(taken: Taken, at: I8) -> _Part:
    """Return records that let time pass where one of `at` was refused."""
    mine = set(at.tolist())
    rows = np.array(sorted({i for i, _, _ in taken.refused} & mine), np.int64)
    return _Part(operations.TICK, 0, rows, 4 * rows)


def _fields(stream: Stream, spec: ScorerSpec) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the fields to decode and those that must not be null."""
    wanted = [name for name, _, _ in stream.columns]
    wanted += [name for name in (stream.id, stream.time) if name is not None]
    if stream.role in {"event", "label"} and spec.join is not None:
        wanted += spec.join.on if spec.join.on is not None else (spec.streams[0].id or "",)
    present = stream.present
    return tuple(dict.fromkeys(name for name in wanted if name)), present


def _readable(fed: Fed) -> NDArray[np.bool_]:
    """Return which records the source itself could read."""
    readable = np.ones(len(fed), np.bool_)
    readable[[bad.index for bad in fed.bad]] = False
    return readable


def _rank(role: str, on: tuple[str, ...] | None) -> int:
    if role == "event":
        return 1
    return 0 if role == "label" and on is not None else 2


def _in_order(order: I8, n: int) -> tuple[I8, I8]:
    """Return the place of each record by its order, and the orders so laid."""
    if bool((order[1:] >= order[:-1]).all()):
        return np.arange(order.size), order
    if order.size == n:  # most often each record of the turn gave one
        places, laid = order >> 2, np.full(n, -1, np.int64)
        laid[places] = order
        if bool((laid >= 0).all()):
            return places, laid
    by = np.argsort(order, kind="stable")
    places = np.empty(order.size, np.int64)
    places[by] = np.arange(order.size)
    return places, order[by]
