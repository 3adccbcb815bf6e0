"""What the join remembers: events that wait, labels that wait, and their slots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_ml.kernels import operations, table
from stream_ml.kernels.labels import L_FRESH, L_HELD, L_KNOWN, L_STATE
from stream_ml.kernels.memory import grown, reserve
from stream_ml.kernels.waiting import R_RECEIVED
from stream_ml.scorer.ids import Ids, power
from stream_ml.scorer.spec import ScorerSpec

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]
#: The scorer's own columns of a slot, behind the saved registers.
AT, RECEIVED, LATE, ASKED, SCORE, PREDICTED, VERSION = range(7)
OWN_COLUMNS = 7
SILENT = 0
RING_COLUMNS = 8
#: Is handed the events whose wait has just ended, by sequence number, and their slots, which still hold what was saved.
Copy = Callable[[I8, I8], None]


class Store:
    """Arrays of the join kernel, and room for one more batch in each.

    Order of calls in a turn: :meth:`labels_for` once, then for each call of the kernel :meth:`make_room` before and
    :meth:`joined` after it.

    Parameters
    ----------
    examples
        Whether slots hold what an event's example needs.
    outcomes
        Whether outcomes are waited for; without, events are remembered as long, so that duplicates are found.
    """

    def __init__(self, spec: ScorerSpec, capacity: int, *, examples: bool = True, outcomes: bool = True) -> None:
        self.capacity = capacity
        self.width = spec.first_saved + len(spec.saved) + OWN_COLUMNS if examples else max(spec.first_saved, 1)
        self.own = spec.first_saved + len(spec.saved)
        label = next((stream for stream in spec.streams if stream.role == "label"), None)
        self.label_columns = len(label.columns) if label else 0
        self.ops = np.zeros((capacity, 10), np.int64)
        self._ring: I8 = reserve(4 * capacity * RING_COLUMNS, np.int64)
        self.ring: I8 = _matrix(self._ring, 4 * capacity, RING_COLUMNS)
        self.ids = Ids(8 * capacity)
        self.waiting = np.zeros((8 * capacity, 2), np.int64)
        self.early = np.zeros((1024, 2), np.int64)
        self.labels = np.zeros((1024, 4), np.int64)
        self.label_values = np.full((1024, max(self.label_columns, 1)), np.nan)
        self.queues = np.zeros((2, 1024), np.int64)
        self.stacks = _stacks(max(8 * capacity, self.labels.shape[0]))
        self.scalars = np.zeros(16, np.int64)
        self.counters = np.zeros(len(operations.COUNTERS), np.int64)
        self.streams = np.zeros((max(stream.number for stream in spec.streams) + 1, 3), np.int64)
        self.streams[:, operations.S_NEWEST] = operations.NOTHING
        for stream in spec.streams:
            self.streams[stream.number, operations.S_LATENESS] = stream.lateness_ms
            self.streams[stream.number, operations.S_AHEAD] = stream.ahead_ms
        self._space: F8 = reserve(self.width * 2 * capacity, np.float64)
        self.kept = _matrix(self._space, 2 * capacity, self.width)
        self.label_top = 1
        self.copy: Copy | None = None
        self.params = self._params(spec)
        if not outcomes:
            self.params[operations.HAS_LABEL] = self.params[operations.SILENCE] = 0

    def _params(self, spec: ScorerSpec) -> I8:
        own = spec.streams[0]
        declared = spec.join
        params = np.zeros(8, np.int64)
        params[operations.HAS_ID] = int(own.id is not None)
        params[operations.HORIZON] = own.lateness_ms if own.id is not None else 0
        params[operations.BUDGET] = 1 << 40
        if declared is not None:
            params[operations.WAIT] = params[operations.HORIZON] = declared.wait_ms
            params[operations.DELAY] = declared.delay_ms
            params[operations.HAS_LABEL] = 1
            params[operations.BY_ON] = int(declared.on is not None)
            params[operations.SILENCE] = int(declared.silence is not None)
            params[operations.BUDGET] = max(declared.budget // self.bytes_each(spec), 1)
        return params

    @staticmethod
    def bytes_each(spec: ScorerSpec) -> int:
        """Return the bytes that one waiting event takes, its id's text apart."""
        return 8 * (spec.first_saved + len(spec.saved) + OWN_COLUMNS + RING_COLUMNS + 6)

    @property
    def budget(self) -> int:
        """How many events may wait for their label at once."""
        return int(self.params[operations.BUDGET])

    @property
    def pending(self) -> int:
        """How many events wait for their label."""
        return int(self.scalars[operations.LIVE])

    @property
    def early_labels(self) -> int:
        """How many labels are held for an event that has not come, or wait until their delay is over."""
        scalars, mask = self.scalars, self.queues.shape[1] - 1
        held = np.arange(scalars[operations.H_TAIL], scalars[operations.H_HEAD])
        states = self.labels[self.queues[1, held & mask], L_STATE]
        return int(scalars[operations.D_HEAD] - scalars[operations.D_TAIL] + (states == L_HELD).sum())

    @property
    def remembered(self) -> int:
        """How many events stand in the ring: waiting, or answered within the horizon."""
        return int(self.scalars[operations.HEAD] - self.scalars[operations.TAIL])

    @property
    def nbytes(self) -> int:
        """Bytes in use."""
        slots = int(self.scalars[operations.SLOTS]) * self.width * 8
        return slots + self.ring.nbytes + self.ids.nbytes + self.labels.nbytes + self.label_values.nbytes

    def labels_for(self, n: int) -> I8:
        """Return n free places for labels."""
        free = int(self.scalars[operations.LFREE])
        taken = min(free, n)
        places = np.empty(n, np.int64)
        places[:taken] = self.stacks[2, free - taken : free]
        self.scalars[operations.LFREE] = free - taken
        places[taken:] = self.label_top + np.arange(n - taken)
        self.label_top += n - taken
        if self.label_top > self.labels.shape[0]:
            self._more_labels(2 * self.label_top)
        self.labels[places] = (0, 0, -1, L_FRESH)
        waiting = int(self.scalars[operations.D_HEAD] - self.scalars[operations.D_TAIL])
        held = int(self.scalars[operations.H_HEAD] - self.scalars[operations.H_TAIL])
        self._queue_room(max(waiting, held) + n)
        if 2 * (held + n + 1) > self.early.shape[0]:
            self.early = _wider(self.early, 4 * (held + n))
        return places

    def _more_labels(self, rows: int) -> None:
        labels = np.zeros((rows, 4), np.int64)
        labels[: self.labels.shape[0]] = self.labels
        values = np.full((rows, self.label_values.shape[1]), np.nan)
        values[: self.label_values.shape[0]] = self.label_values
        self.labels, self.label_values = labels, values
        self._stack_room(rows)

    def _stack_room(self, n: int) -> None:
        if n > self.stacks.shape[1]:
            stacks = _stacks(2 * n)
            stacks[:, : self.stacks.shape[1]] = self.stacks
            self.stacks = stacks

    def _queue_room(self, n: int) -> None:
        size = self.queues.shape[1]
        if n + 1 < size:
            return
        wider = np.zeros((2, power(2 * n + 2)), np.int64)
        wider[:, :size] = self.queues
        ends = ((operations.D_TAIL, operations.D_HEAD), (operations.H_TAIL, operations.H_HEAD))
        for row, (tail, head) in enumerate(ends):
            _spread(wider[row], size, int(self.scalars[tail]), int(self.scalars[head]))
        self.queues = wider

    def make_room(self, events: int | None = None, waiting: int | None = None) -> None:
        """See that one more batch of operations fits everywhere, or so many events of which so many wait."""
        events = self.capacity if events is None else events
        more = max(events, self.capacity)
        if self.params[operations.HAS_ID]:
            tail, head = int(self.scalars[operations.TAIL]), int(self.scalars[operations.HEAD])
            self.ids.make_room(self.ring, tail, head, more)
        remembered = self.remembered + more
        if remembered > self.ring.shape[0]:
            self._wider_ring(power(remembered))
        waiting = max(waiting or 0, self.capacity)
        if self.params[operations.BY_ON] and 2 * (self.pending + waiting + 1) > self.waiting.shape[0]:
            self.waiting = _wider(self.waiting, 4 * (self.pending + waiting))
        slots = int(self.scalars[operations.SLOTS]) + waiting
        if slots > self.kept.shape[0]:
            self._space = grown(self._space, self.width * 2 * slots)
            self.kept = _matrix(self._space, 2 * slots, self.width)
        self._stack_room(slots + 2)

    def _wider_ring(self, rows: int) -> None:
        size = self.ring.shape[0]
        self._ring = grown(self._ring, rows * RING_COLUMNS)
        self.ring = _matrix(self._ring, rows, RING_COLUMNS)
        _spread(self.ring, size, int(self.scalars[operations.TAIL]), int(self.scalars[operations.HEAD]))

    def joined(self) -> None:
        """Tell a snapshot under way what the kernel's last call ended, before slots and places are used again."""
        if self.copy is not None:
            freed = int(self.scalars[operations.FREED])
            self.copy(self.stacks[4, :freed], self.stacks[1, :freed])

    def due(self) -> int | None:
        """Return the first moment at which a tick would let a deadline pass."""
        found = []
        scalars, params = self.scalars, self.params
        mask = self.queues.shape[1] - 1
        if scalars[operations.D_TAIL] < scalars[operations.D_HEAD]:
            found.append(self.labels[self.queues[0, scalars[operations.D_TAIL] & mask], L_KNOWN])
        if params[operations.HAS_LABEL] and scalars[operations.TAIL] < scalars[operations.HEAD]:
            last = self.ring.shape[0] - 1
            found.append(self.ring[scalars[operations.TAIL] & last, R_RECEIVED] + params[operations.HORIZON] + 1)
        if scalars[operations.H_TAIL] < scalars[operations.H_HEAD]:
            label = self.queues[1, scalars[operations.H_TAIL] & mask]
            found.append(self.labels[label, L_KNOWN] + params[operations.WAIT] + 1)
        return int(min(found)) if found else None


    def last_deadline(self) -> int:
        """Return the moment after which nothing that waits now waits any more."""
        scalars, params = self.scalars, self.params
        newest = [0]
        if scalars[operations.TAIL] < scalars[operations.HEAD]:
            newest.append(self.ring[(scalars[operations.HEAD] - 1) & (self.ring.shape[0] - 1), R_RECEIVED])
        for row, tail, head in ((0, operations.D_TAIL, operations.D_HEAD), (1, operations.H_TAIL, operations.H_HEAD)):
            if scalars[tail] < scalars[head]:
                newest.append(self.labels[self.queues[row, (scalars[head] - 1) & (self.queues.shape[1] - 1)], L_KNOWN])
        return int(max(newest) + params[operations.WAIT])


def _matrix(words: NDArray[Any], rows: int, columns: int) -> NDArray[Any]:
    return words[: rows * columns].reshape(rows, columns)


def _stacks(n: int) -> I8:
    """Return five stacks with room for `n` each, and far more where addresses can be reserved."""
    words = reserve(5 * n, np.int64)
    return _matrix(words, 5, words.size // 5)


def _spread(ring: I8, size: int, tail: int, head: int) -> None:
    """Move rows tail to head - 1, each at its number modulo `size`, to where each belongs in the ring grown longer."""
    while tail < head:
        here, there = tail & (size - 1), tail & (ring.shape[0] - 1)
        n = min(head - tail, size - here)
        if here != there:
            ring[there : there + n] = ring[here : here + n]
        tail += n


def _wider(old: I8, rows: int) -> I8:
    new = np.zeros((power(rows), 2), np.int64)
    table.refill(old, new)
    return new
