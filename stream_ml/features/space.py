"""A key space: the keys of one `by=` and everything that is kept for each of them, in one row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_ml.features import marks as row_marks
from stream_ml.features.spec import Group, Space, Window
from stream_ml.kernels import algebra, events, keys, table, windows
from stream_ml.kernels.memory import grown, reserve

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]
U1 = NDArray[np.uint8]
POINTS = {
    "last": events.LAST, "first": events.FIRST, "lag": events.LAG, "since": events.SINCE, "forever": events.FOREVER,
}  # fmt: skip
#: A block's size classes, and two words of slack.
ALLOC = 64
#: How far the watermark of a stream that has not begun lies back.
NEVER = -(1 << 50)


@dataclass(frozen=True, slots=True)
class Call:
    """One kernel call of a turn: which rows take part, the value registers, and where the windows stand."""

    stream: int
    values: frozenset[int]
    family: str
    spans: I8


#: For each stream the oldest moment (epoch ms) that a reader may still ask for.
Marks = NDArray[np.int64]


def words_of(window: Window) -> int:
    """Return how many words of a key's heads a window takes."""
    if window.family == "lag":
        return window.length
    if window.family in {"last", "first", "since"}:
        return 1
    fields = algebra.FIELDS[window.kind]
    if window.family == "forever":
        return fields
    return windows.FRONT + 2 * fields if window.family == "tiles" else 2


class Keyed:
    """The rows of a key space.

    Order of calls in a turn: :meth:`resolve` once, then :meth:`run` for each of :attr:`calls`; between turns
    :meth:`forget`. A snapshot is :meth:`begin_snapshot`, then :meth:`take_due` and :meth:`pack` until no row is due;
    a restore is :meth:`unpack`.
    """

    def __init__(self, spec: Space, groups: Sequence[Group]) -> None:
        self.spec = spec
        self.width = len(spec.by)
        self._lay_out(groups)
        self._keys = np.array([spec.by, spec.at], np.int64).reshape(2, self.width)
        self._slots = np.zeros(1 << 10, np.int64)
        self._stored: I8 = reserve(max(self.width, 1) << 10, np.int64)
        self._used: U1 = reserve(1 << 10, np.uint8)
        self._marks: U1 = reserve(1 << 10, np.uint8)
        self._free: I8 = reserve(1 << 10, np.int64)
        self._heads: F8 = reserve(max(self.stride, 1) << 10, np.float64)
        self._slab: F8 = reserve(1 << 16, np.float64)
        self._alloc = np.zeros(ALLOC + 1, np.int64)
        self._alloc[63] = self._alloc[62] = self._slack()
        self._counts = np.array([1, 0, 0], np.int64)
        self._heads[: self.stride] = self.template
        self._scratch = np.zeros(8, np.float64)
        self._rows = np.zeros(1, np.int64)
        self._reads = np.zeros(1, np.int64)
        self._hand = 0
        self._copy: row_marks.Copy | None = None

    def _lay_out(self, groups: Sequence[Group]) -> None:
        """Give every window its words: points first (they are the fixed part of a packed row), then the others."""
        at = 0
        points: list[Call] = []
        others: list[Call] = []
        template: list[float] = []
        self.texts: list[int] = []
        layout: list[tuple[int, int, int]] = []
        self._windows: list[tuple[Window, int]] = []
        for group in groups:
            for window in group.windows:
                if window.family not in POINTS:
                    continue
                size = words_of(window)
                spec = [at, POINTS[window.family], window.kind, size, int(window.before)]
                for i in range(2):
                    reading = window.readings[i] if i < len(window.readings) else None
                    spec += [reading.register, reading.what] if reading else [-1, 0]
                points.append(Call(group.stream, frozenset({group.value}), "point", np.array(spec, np.int64)))
                template += [0.0 if window.family == "forever" else np.nan] * size
                self.texts += [at + j for j in range(size)] if window.text else []
                at += size
        self.fixed = at
        for group in groups:
            for family in ("tiles", "events"):
                for kind in range(len(algebra.FIELDS)):
                    members = [w for w in group.windows if _family(w) == family and w.kind == kind]
                    if not members:
                        continue
                    spans: list[list[int]] = []
                    for window in members:
                        spans.append(_span(window, at, group.value))
                        fields = algebra.FIELDS[window.kind]
                        layout.append((at, int(family == "events"), fields))
                        self._windows.append((window, group.stream))
                        front = [windows.NONE, -1.0, 0.0, windows.NONE, windows.NONE, *([0.0] * (2 * fields))]
                        template += front if family == "tiles" else [-1.0, 0.0]
                        at += words_of(window)
                    others.append(Call(group.stream, frozenset({group.value}), family, np.array(spans, np.int64)))
        self.stride = at
        self.template = np.array(template, np.float64) if template else np.zeros(0, np.float64)
        self.calls = tuple(points + others)
        self._layout = np.array(layout, np.int64).reshape(-1, 3)

    def _slack(self) -> int:
        """Return an upper bound of the words one row of a turn can take from the slab."""
        longest = max((_largest(window) for window, _ in self._windows), default=8)
        return 4 * max(len(self._windows), 1) * longest

    # --- a turn ---------------------------------------------------------------------------------------------------

    def resolve(self, registers: F8, words: I8, roles: U1, rows: int) -> None:
        """Find the rows of each record's keys; `roles` are bits, 1 reads, 2 writes."""
        if self._rows.size < rows:
            self._rows = np.zeros(max(rows, 2 * self._rows.size), np.int64)
            self._reads = np.zeros(self._rows.size, np.int64)
        done = 0
        while done < rows:
            done = keys.resolve(
                registers, words, self._keys, roles, self._rows, self._reads, self._slots, self._stored, self._used,
                self._marks, self._free, self._heads, self.template, self._counts, done, rows,
            )  # fmt: skip
            if done < rows:
                self._grow(int(self._counts[0]) + 1)
        if self._copy is not None:
            due = row_marks.met(self._marks, self._rows[:rows])
            if due.size:
                self._copy(due)

    def run(self, call: Call, flags: U1, times: I8, registers: F8, rows: int, mark: int, lateness: int) -> None:
        """Bring the turn's records through one call's windows; no reader asks for a moment before `mark`, epoch ms."""
        if call.family == "point":
            (value,) = call.values
            events.points(
                self._rows, self._reads, flags, times, registers[value], self._heads, self.stride, call.spans,
                registers, rows,
            )  # fmt: skip
            return
        bring = windows.tiles if call.family == "tiles" else events.kept_events
        done = 0
        while done < rows:
            done = bring(
                self._rows, self._reads, flags, times, self._heads, self.stride, self._slab, self._alloc, call.spans,
                mark, lateness, self._scratch, registers, done, rows,
            )  # fmt: skip
            if done < rows:
                self._slab = grown(self._slab, int(self._alloc[0] + 2 * self._alloc[63]))

    def forget(self, steps: int, marks: Marks) -> None:
        """Move the clock hand: keys in whose windows nothing can be seen any more are dropped."""
        if self._counts[0] <= 1 or self.width == 0:
            return
        self._hand = keys.forget(
            self._hand, min(steps, int(self._counts[0])), self._slots, self._stored, self.width, self._used,
            self._marks, self._free, self._counts, self._heads, self.template, self.fixed, self._slab, self._alloc,
            self._layout, self._cutoffs(marks),
        )  # fmt: skip

    def _cutoffs(self, marks: Marks) -> F8:
        found = []
        for window, stream in self._windows:
            cutoff = _cutoff(window, int(marks[stream]))
            found.append(float(cutoff if window.family == "tiles" else cutoff + 1))
        return np.array(found, np.float64)

    # --- rows as records --------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return int(self._counts[2])

    @property
    def nbytes(self) -> int:
        """Bytes in use: heads, blocks, keys and the key table."""
        rows = int(self._counts[0])
        return 8 * (rows * (self.stride + self.width + 1) + int(self._alloc[0]) + self._slots.size) + 2 * rows

    def changed(self) -> I8:
        """Return the rows that changed since the last snapshot began."""
        return row_marks.changed(self._marks[: int(self._counts[0])])

    def begin_snapshot(self, copy: row_marks.Copy, *, everything: bool) -> None:
        """Make rows due, all or those that changed; `copy` is handed those that are about to change while due."""
        count = int(self._counts[0])
        if everything:
            row_marks.make_all_due(self._marks[:count], self._used[:count])
        else:
            row_marks.make_due(self._marks[:count])
        self._copy = copy

    def take_due(self, begin: int, limit: int) -> tuple[I8, int | None]:
        """Return up to `limit` due rows from `begin` on and where to go on, None at the end, which ends a snapshot."""
        rows, end = row_marks.take(self._marks[: int(self._counts[0])], begin, limit)
        if end < int(self._counts[0]):
            return rows, end
        self._copy = None
        return rows, None

    def live(self) -> I8:
        """Return all rows in use."""
        return np.flatnonzero(self._used[: int(self._counts[0])]).astype(np.int64)

    def clear_marks(self) -> None:
        """Call every row clean: a snapshot holds it."""
        self._marks[: int(self._counts[0])] = 0

    def codes(self) -> list[NDArray[np.generic]]:
        """Return the symbol codes held in keys and in points."""
        rows = self.live()
        width = max(self.width, 1)
        words = self._stored[: width * int(self._counts[0])].view(np.float64).reshape(-1, width)
        found: list[NDArray[np.generic]] = [words[rows, j] for j, text in enumerate(self.spec.texts) if text]
        if self.texts:
            heads = self._heads[: self.stride * int(self._counts[0])].reshape(-1, self.stride)
            found += [heads[rows, column] for column in self.texts]
        return found

    def pack(self, rows: I8, marks: Marks) -> tuple[F8, F8, F8, I8]:
        """Return (keys [n, width], fixed words [n, fixed], packed windows, numbers packed a row) of these rows."""
        cutoffs = self._cutoffs(marks)
        sizes = np.zeros(rows.size, np.int64)
        total = keys.measure(rows, self._heads, self.stride, self._slab, self._layout, cutoffs, sizes)
        out = np.zeros(total, np.float64)
        keys.pack_rows(rows, self._heads, self.stride, self._slab, self._layout, cutoffs, out)
        count = int(self._counts[0])
        words = self._stored[: self.width * count].view(np.float64).reshape(count, self.width)[rows]
        fixed = self._heads[: self.stride * count].reshape(count, self.stride)[rows, : self.fixed]
        return words, np.ascontiguousarray(fixed), out, sizes

    def unpack(self, words: F8, fixed: F8, packed: F8) -> None:
        """Lay packed rows down, in place of what these keys held."""
        n = words.shape[0]
        flat = np.ascontiguousarray(words + 0.0).view(np.int64).reshape(-1)
        self._grow(int(self._counts[0]) + n)
        done, place = 0, np.zeros(1, np.int64)
        while done < n:
            done = keys.lay(
                flat, self.width, self._slots, self._stored, self._used, self._counts, self._heads, self.template,
                np.ascontiguousarray(fixed), self._slab, self._alloc, self._layout, packed, done, place,
            )  # fmt: skip
            if done < n:
                self._slab = grown(self._slab, int(self._alloc[0] + 4 * self._alloc[62] + packed.size))

    def _grow(self, rows: int) -> None:
        """Make room for keys until `rows` rows are used; the table stays at most half full."""
        self._stored = grown(self._stored, max(self.width, 1) * rows)
        self._used = grown(self._used, rows)
        self._marks = grown(self._marks, rows)
        self._free = grown(self._free, rows)
        self._heads = grown(self._heads, max(self.stride, 1) * rows)
        if 2 * (rows + 1) > self._slots.size:
            size = self._slots.size
            while 2 * (rows + 1) > size:
                size *= 2
            slots = np.zeros(size, np.int64)
            table.refill_words(slots, self._stored, self._used, self.width, int(self._counts[0]))
            self._slots = slots


def _family(window: Window) -> str:
    if window.family in POINTS:
        return "point"
    return "tiles" if window.family == "tiles" else "events"


def _span(window: Window, at: int, value: int) -> list[int]:
    """Return a window's row of kernels.windows' or kernels.events' `spans`."""
    tiled = window.family == "tiles"
    newest = window.length if window.family == "newest" else 0
    row = [at, window.tile if tiled else newest, window.length, window.shift, 0, int(window.before)]
    for i in range(2):
        reading = window.readings[i] if i < len(window.readings) else None
        row += [reading.register, reading.what] if reading else [-1, 0]
    if not tiled:
        return [*row, window.kind, value]
    whole = window.length % window.tile == 0
    return [*row, window.length // window.tile if whole else 0, window.kind, algebra.FIELDS[window.kind], value]


def together(calls: Sequence[Call]) -> list[Call]:
    """Return these calls with those of one stream, family and kind made one (points apart): a row is met once."""
    found: dict[object, Call] = {}
    for i, call in enumerate(calls):
        alike: object = i if call.family == "point" else (call.stream, call.family, _kind(call))
        if alike in found:
            first = found[alike]
            spans = np.concatenate([first.spans, call.spans])
            found[alike] = Call(call.stream, first.values | call.values, call.family, spans)
        else:
            found[alike] = call
    return list(found.values())


def _kind(call: Call) -> int:
    """Return the kind of a call's records: each of the tiles' kinds has a loop of its own."""
    return int(call.spans[0, windows.KIND]) if call.family == "tiles" else 0


def _cutoff(window: Window, mark: int) -> int:
    """Return the oldest tile that a reader at `mark` or later sees; for kept events the newest time that none sees."""
    if window.family == "newest":
        return NEVER
    if window.family == "tiles":
        return (mark - window.length) // window.tile - window.shift
    return mark - window.length - window.shift


def _largest(window: Window) -> int:
    """Return the words of the largest block a window can need for one more record."""
    if window.family == "tiles":
        return (1 + algebra.FIELDS[window.kind]) * 4 * (window.length // max(window.tile, 1) + window.shift + 64)
    return 4 * max(window.length, 64) if window.family == "newest" else 1 << 22
