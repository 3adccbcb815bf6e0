"""Records of one shape as lines of JSON: constant pieces, and holes that columns fill.

Nothing is built for a single record: numbers go from their columns to digits, texts from the symbols to strings, and
one kernel call writes all lines of a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from stream_ml.kernels import lines, moves
from stream_ml.schema.symbols import Symbols

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]
U1 = NDArray[np.uint8]
#: JSON values with a byte before each; 0, then where each ends.
Fragments = tuple[bytes, I8]
FATES = ("label", "silence", "none")
_ENCODER = msgspec.json.Encoder()
#: What stands in a hole by its kind; every other kind is a fragment.
_WHAT = {
    "int": lines.WHOLE,
    "time": lines.WHOLE,
    "category": lines.QUOTED,
    "bool": lines.TRUTH,
    "text": lines.TEXT,
    "word": lines.WORD,
    "fate": lines.CHOICE,
    "late": lines.CHOICE,
}
_WORDS = {"fate": [_ENCODER.encode(fate) for fate in FATES], "late": [b"", b',"late":true']}
_ALWAYS = [b"null", b"false", b"true"]


class Hole:
    """A value that differs from record to record.

    Parameters
    ----------
    kind
        As a field's: "float", "int", "bool", "text", "category", "time"; or "word" (int64), "fate" (a place in
        `FATES`), "late" (0 or 1: nothing or a last member), "json" (anything that JSON has).
    slot
        The column of a slot that holds it; None where a column is given with each batch.
    before
        With "word", the text that the number ends.
    """

    __slots__ = ("before", "kind", "slot")

    def __init__(self, kind: str, slot: int | None = None, before: str | None = None) -> None:
        self.kind, self.slot, self.before = kind, slot, before


class Sheet:
    """Lines that grow in memory that is used again."""

    def __init__(self) -> None:
        self._bytes: U1 = np.empty(1 << 16, np.uint8)
        self.size = 0

    def room(self, more: int) -> U1:
        """Return memory in which `more` bytes follow the lines written so far."""
        if self.size + more > self._bytes.size:
            wider = np.empty(2 * (self.size + more), np.uint8)
            wider[: self.size] = self._bytes[: self.size]
            self._bytes = wider
        return self._bytes

    def add(self, line: bytes) -> None:
        """Append a line."""
        self.room(len(line))[self.size : self.size + len(line)] = np.frombuffer(line, np.uint8)
        self.size += len(line)

    def take(self) -> bytes:
        """Return the lines, and begin anew."""
        found = self._bytes[: self.size].tobytes()
        self.size = 0
        return found


class Form:
    r"""Records of one shape.

    Parameters
    ----------
    members
        Names and values of the JSON object; values hold :class:`Hole` where records differ.

    Examples
    --------
    >>> import numpy as np
    >>> from stream_ml.schema.symbols import Symbols
    >>> sheet = Sheet()
    >>> form = Form([("key", Hole("int")), ("mean", Hole("float"))])
    >>> form.write(sheet, 2, [np.array([7.0, np.nan]), np.array([0.5, 1e16])], None, Symbols())
    >>> sheet.take()
    b'{"key":7,"mean":0.5}\n{"key":null,"mean":1e16}\n'
    """

    def __init__(self, members: Iterable[tuple[str, Any]]) -> None:
        self._pieces, self._holes = _pieces(members)
        numbers = [hole for hole in self._holes if hole.kind in _WHAT]
        floats = [hole for hole in self._holes if hole.kind == "float"]
        self._numbers, self._floats = _Matrix(numbers), _Matrix(floats)
        self._apart = [hole for hole in self._holes if hole.kind == "json"]
        self._texts = sum(hole.kind == "text" for hole in numbers)
        words = [word for kind in _WORDS for word in _WORDS[kind]]
        self._first = dict(zip(_WORDS, (lines.WORDS, lines.WORDS + len(FATES)), strict=True))
        table = [self._where(hole) for hole in self._holes]
        self._table = np.array(table, np.int64).reshape(-1, 3)
        parts = [*self._pieces, *_ALWAYS, *words]
        stops = np.cumsum([0, *map(len, parts)])
        self._parts = np.ascontiguousarray(np.stack([stops[:-1], stops[1:]], axis=1))
        self._head = b"".join(parts)
        #: Bytes that a line takes at most, fragments apart.
        self._line = sum(map(len, self._pieces)) + max(lines.LONGEST, *map(len, words)) * len(self._holes)

    def _where(self, hole: Hole) -> tuple[int, int, int]:
        """Return what stands in a hole, its column, its group or first word."""
        if hole.kind in _WHAT:
            return _WHAT[hole.kind], self._numbers.column[hole], self._first.get(hole.kind, 0)
        if hole.kind == "float":
            return lines.FRAGMENT, self._floats.column[hole], 0
        return lines.FRAGMENT, 0, 1 + self._apart.index(hole)

    def write(
        self, sheet: Sheet, n: int, given: Sequence[Any], slots: tuple[F8, I8] | None, symbols: Symbols
    ) -> None:
        """Write `n` records.

        Parameters
        ----------
        given
            Columns of the holes that are in no slot, in their order: float64[n] (texts as symbol codes, NaN where
            missing), int64[n] for "word", "fate" and "late", a list for "json".
        slots
            The slots, float64[slots, width], and the one of each record, int64[n].
        """
        columns = dict(zip((hole for hole in self._holes if hole.slot is None), given, strict=True))
        numbers = self._numbers.fill(n, columns, slots)
        fragments = [_numbers(self._floats.fill(n, columns, slots))]
        fragments += [_json(columns[hole]) for hole in self._apart]
        raws = [raw for raw, _ in fragments]
        source = np.frombuffer(bytearray().join([self._head, *raws, bytes(lines.CHUNK)]), np.uint8)
        sizes = [len(self._head), *(len(raw) for raw, _ in fragments[:-1])]
        counts = [0, *(ends.size for _, ends in fragments[:-1])]
        strides = [self._floats.width, *(1 for _ in self._apart)]
        places = np.stack([np.cumsum(sizes), np.cumsum(counts), np.array(strides)], axis=1)
        ends = np.concatenate([ends for _, ends in fragments])
        rest = n * self._line + source.size + lines.CHUNK
        room = 64 * self._texts * n
        done = np.zeros(3, np.int64)
        while done[0] < n:
            out = sheet.room(rest + room)
            done[1:] = sheet.size, out.size - sheet.size - rest
            lines.weave(
                source, self._parts, self._table, numbers, numbers.view(np.int64), places, ends, symbols.arena,
                symbols.places, out, done,
            )  # fmt: skip
            sheet.size, room = int(done[1]), 2 * room


class _Matrix:
    """Columns side by side: those that slots hold, then those that are given."""

    def __init__(self, holes: Sequence[Hole]) -> None:
        kept = [hole for hole in holes if hole.slot is not None]
        self._given = [hole for hole in holes if hole.slot is None]
        self._slots = np.array([hole.slot for hole in kept], np.int64)
        self.column = {hole: i for i, hole in enumerate([*kept, *self._given])}
        self.width = len(holes)

    def fill(self, n: int, columns: dict[Hole, Any], slots: tuple[F8, I8] | None) -> F8:
        matrix = np.empty((n, self.width))
        if self._slots.size:
            assert slots is not None
            moves.gather(*slots, self._slots, matrix)
        words = matrix.view(np.int64)
        for hole in self._given:
            column = columns[hole]
            (words if column.dtype == np.int64 else matrix)[:, self.column[hole]] = column
        return matrix


def _pieces(members: Iterable[tuple[str, Any]]) -> tuple[list[bytes], list[Hole]]:
    """Return what stands before, between and behind the holes, and the holes."""
    mark = "\x00\x01hole\x01\x00"
    holes: list[Hole] = []

    def told(hole: Any) -> str:
        holes.append(hole)
        return mark if hole.before is None else f"{hole.before}{mark}\x02"

    encoder = msgspec.json.Encoder(enc_hook=told)
    text = b",".join(encoder.encode(name) + b":" + encoder.encode(value) for name, value in members)
    inside = encoder.encode(mark)[1:-1]
    text = text.replace(inside + b"\\u0002", b"\x00").replace(b'"' + inside + b'"', b"\x00")
    pieces = (b"{" + text + b"}\n").split(b"\x00")
    for i, hole in enumerate(holes):
        if hole.kind == "late":  # brings its own name
            pieces[i] = pieces[i].removesuffix(b',"late":')
    return pieces, holes


def _numbers(matrix: F8) -> Fragments:
    """Return numbers, row by row, as JSON, and where each ends."""
    raw = orjson.dumps(matrix.ravel(), option=orjson.OPT_SERIALIZE_NUMPY)
    if b"+" in raw:
        raw = raw.replace(b"+", b"")
    ends = np.empty(matrix.size + 1, np.int64)
    ends[0], ends[1:-1], ends[-1] = 0, np.flatnonzero(np.frombuffer(raw, np.uint8) == ord(",")), len(raw) - 1
    return raw, ends


def _json(values: Sequence[Any]) -> Fragments:
    """Return values as JSON, one after the other with a byte before each, and where each ends."""
    parts = [_ENCODER.encode(value) for value in values]
    ends = np.cumsum([0, *(1 + len(part) for part in parts)])
    return b"," + b",".join(parts), ends
