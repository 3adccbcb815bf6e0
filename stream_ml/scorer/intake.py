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
COLUMNS = 8
KINDS = {"event": operations.EVENT, "label": operations.LABEL, "other": operations.OTHER, "table": operations.TABLE}
JOINER = "\x1f"
NOTHING = np.int64(-(1 << 62))


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
    labels: I8 = field(default_factory=lambda: np.zeros(0, np.int64))
    refused: list[tuple[int, int, Bad]] = field(default_factory=list)
    orders: I8 = field(default_factory=lambda: np.zeros(0, np.int64))


class Intake:
    """Decodes each topic's records in bulk and lays them out for the join."""

    def __init__(self, spec: ScorerSpec, symbols: Symbols, store: Store) -> None:
        self.spec = spec
        self._symbols = symbols
        self._store = store
        self._streams = spec.streams
        self.decoders = {stream.number: Decoder(stream.model, *_fields(stream, spec)) for stream in spec.streams}
        self._on = spec.join.on if spec.join is not None else None
        self._numbers = {
            stream.number: {name: register for name, register, text in stream.columns if not text}
            for stream in spec.streams
        }
        self.seen: dict[int, OrderedDict[str, int]] = {
            stream.number: OrderedDict() for stream in spec.streams if stream.role == "other" and stream.id is not None
        }
        if spec.join is not None and spec.join.silence is not None:
            for j, value in enumerate(spec.join.silence):
                number = symbols.one(value) if isinstance(value, str) else np.nan if value is None else value
                store.label_values[SILENT, j] = number
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
        parts: list[I8] = []
        orders: list[I8] = []
        readable = _readable(fed)
        for number, name in enumerate(fed.names):
            streams = [stream for stream in self._streams if stream.topic == name]
            if not streams:
                continue
            whole = len(fed.names) == 1 and not fed.bad
            at = np.arange(len(fed), dtype=np.int64) if whole else np.flatnonzero((fed.topics == number) & readable)
            values = fed.values if whole else picked(fed.values, at)
            for part, order in self._topic(taken, streams, at, values):
                parts.append(part)
                orders.append(order)
        if fed.bad:
            taken.refused += [(bad.index, 0, bad) for bad in fed.bad]
            part, order = self._ticks(taken, np.array([bad.index for bad in fed.bad], np.int64))
            parts.append(part)
            orders.append(order)
        if parts:
            taken.records, taken.orders = _in_order(parts, orders, len(fed))
        if tick is not None:
            row = np.zeros((1, COLUMNS), np.int64)
            row[0, operations.RECEIVED] = tick
            taken.records = np.concatenate([taken.records, row])
            taken.orders = np.append(taken.orders, 4 * len(fed))
        taken.refused.sort(key=lambda one: (one[0], one[1]))
        return taken

    def _topic(self, taken: Taken, streams: list[Stream], at: I8, values: Sequence[bytes]) -> list[tuple[I8, I8]]:
        """Return (records, their order) of one topic: of an event that is also a label, two records."""
        found = []
        both = {stream.role for stream in streams} >= {"event", "label"}
        accepted: dict[str, I8] = {}
        for stream in streams:
            columns = self.decoders[stream.number].decode(values)
            accepted[stream.role] = at[columns.rows]
            records = self._records(taken, stream, columns, accepted[stream.role])
            order = 4 * accepted[stream.role] + _rank(stream.role, self._on)
            found.append((records, order))
            self._refuse(taken, stream, columns, at, both=both)
        if both:
            self._pair(found, streams, accepted)
        if any(columns_bad for columns_bad in taken.refused):
            found.append(self._ticks(taken, at))
        return found

    def _refuse(self, taken: Taken, stream: Stream, columns: Columns, at: I8, *, both: bool) -> None:
        known = {(i, bad.reason, bad.path) for i, _, bad in taken.refused}
        for bad in columns.bad:
            i = int(at[bad.index])
            if not (both and (i, bad.reason, bad.path) in known):
                taken.refused.append((i, stream.number, bad))

    def _ticks(self, taken: Taken, at: I8) -> tuple[I8, I8]:
        """Return records that let time pass where a record was refused."""
        mine = set(at.tolist())
        rows = np.array(sorted({i for i, _, _ in taken.refused} & mine), np.int64)
        records = np.zeros((rows.size, COLUMNS), np.int64)
        records[:, operations.RECEIVED] = taken.fed.received[rows]
        return records, 4 * rows

    def _pair(self, found: list[tuple[I8, I8]], streams: list[Stream], accepted: dict[str, I8]) -> None:
        which = {stream.role: i for i, stream in enumerate(streams)}
        events, labels = found[which["event"]][0], found[which["label"]][0]
        side = operations.AFTER if self._on is None else operations.BEFORE
        labels[np.isin(accepted["label"], accepted["event"]), operations.PAIR] = side
        events[np.isin(accepted["event"], accepted["label"]), operations.PAIR] = side

    def _records(self, taken: Taken, stream: Stream, columns: Columns, rows: I8) -> I8:
        n = columns.n
        number = stream.number
        named = {
            name: self._codes(columns, name) if text else columns.numbers[name]
            for name, _, text in stream.columns
        }
        values = {register: named[name] for name, register, _ in stream.columns}
        taken.columns[number], taken.texts[number], taken.index[number] = values, columns.texts, rows
        records = np.zeros((n, COLUMNS), np.int64)
        records[:, operations.KIND] = KINDS[stream.role]
        records[:, operations.ROW] = np.arange(n)
        records[:, operations.STREAM] = number
        records[:, operations.RECEIVED] = taken.fed.received.take(rows)
        if stream.time is not None:
            records[:, operations.TIME] = columns.numbers[stream.time].astype(np.int64)
        if stream.role == "event":
            words = self._words(columns, stream.id, named) if stream.id else taken.fed.offsets[rows]
            records[:, operations.WORD] = words
            if self._on is not None:
                records[:, operations.ON] = self._on_words(columns, named)
        elif stream.role == "label":
            self._labels(taken, stream, columns, records, named)
        elif stream.role == "table":
            self._store.counters[operations.C_TABLES] += n
        elif number in self.seen:
            records = self._first_seen(stream, columns, records)
        return records

    def _labels(self, taken: Taken, stream: Stream, columns: Columns, records: I8, named: dict[str, F8]) -> None:
        places = self._store.labels_for(columns.n)
        if self._on is None:
            words = self._words(columns, self.spec.streams[0].id, named)
        else:
            words = self._on_words(columns, named)
            records[:, operations.KIND] = operations.ANSWER
        self._store.labels[places, L_WORD] = words
        for j, (name, _, _) in enumerate(stream.columns):
            self._store.label_values[places, j] = named[name]
        records[:, operations.ROW] = places
        records[:, operations.WORD] = words
        taken.labels = places

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

    def _first_seen(self, stream: Stream, columns: Columns, records: I8) -> I8:
        """Leave out events of another stream whose id was seen within its lateness."""
        seen = self.seen[stream.number]
        name = stream.id or ""
        ids = columns.texts[name] if name in columns.texts else columns.numbers[name].tolist()
        ahead = records[:, operations.TIME] > records[:, operations.RECEIVED] + stream.ahead_ms
        for i, (one, received) in enumerate(zip(ids, records[:, operations.RECEIVED].tolist(), strict=True)):
            if ahead[i]:
                continue
            key = str(one)
            if key in seen and received <= seen[key] + stream.lateness_ms:
                self._store.counters[operations.C_OTHER_DUPLICATE] += 1
                records[i, operations.KIND] = operations.TICK
                continue
            seen[key] = received
            seen.move_to_end(key)
            while seen and next(iter(seen.values())) + stream.lateness_ms < received:
                seen.popitem(last=False)
        return records


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


def _in_order(parts: list[I8], orders: list[I8], n: int) -> tuple[I8, I8]:
    """Return the records of all parts by their order, and the orders."""
    if len(parts) > 1 and sum(order.size for order in orders) == n:
        laid, order = np.empty((n, COLUMNS), np.int64), np.full(n, -1, np.int64)
        for part, mine in zip(parts, orders, strict=True):
            moves.lay(part, mine, laid, order)
        if bool((order >= 0).all()):  # each record of the turn gave one
            return laid, order
    records, order = np.concatenate(parts), np.concatenate(orders)
    if _ascending(order):
        return records, order
    by = np.argsort(order, kind="stable")
    return records[by], order[by]


def _ascending(order: I8) -> bool:
    return bool((order[1:] >= order[:-1]).all())
