"""The scan: batches of plain records become columns in one pass over their bytes, without an object a record.

It stands in front of the fast decoder as that one stands in front of pydantic: what it reads, they read with equal
values, and records that are not plain (:mod:`stream_ml.kernels.scan`) are left to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_ml.kernels import scan as kernels
from stream_ml.kernels.stamps import LAST_MS, stamps
from stream_ml.schema.fields import EXACT, WATERSHED, Field, Kind, choices
from stream_ml.schema.lines import NEWLINE, Lines
from stream_ml.schema.texts import Texts, gathered

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]
#: Fewer records are decoded one by one: to begin a pass costs as much as some of them do.
LEAST = 128
MOST_FIELDS = 62
KINDS = {
    Kind.FLOAT: kernels.NUMBER, Kind.INT: kernels.WHOLE, Kind.BOOL: kernels.TRUTH, Kind.TEXT: kernels.TEXT,
    Kind.TIME: kernels.TIME,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plain:
    """A field as the scan reads it.

    Parameters
    ----------
    name, alias
        Its name in the class and in JSON.
    kind
        As :mod:`stream_ml.kernels.scan` numbers them.
    null, needed
        Whether null may stand there, and whether the record must have it.
    low, high
        Least and greatest number.
    default
        What an absent number is; an absent text is missing.
    allowed
        The values that it may have, where they are listed.
    """

    name: str
    alias: str
    kind: int
    null: bool = False
    needed: bool = True
    low: float = -EXACT
    high: float = EXACT
    default: float = np.nan
    allowed: frozenset[Any] | None = None


def plain(field: Field, limits: dict[str, float | int], default: object, *, key: bool) -> Plain | None:
    """Return how the scan reads a field that the fast decoder reads, None if it cannot.

    Parameters
    ----------
    limits
        Bounds of its numbers by ``ge``, ``gt``, ``le``, ``lt``.
    default
        As it stands in the struct, where the field is not required.
    key
        Whether it must not be null.
    """
    node, null = field.schema, False
    while node["type"] in ("nullable", "default"):
        null = null or node["type"] == "nullable"
        node = node["schema"]
    alias = field.alias or ""
    if any(node.get(check) is not None for check in ("min_length", "max_length", "pattern")):
        return None
    if '"' in alias or "\\" in alias or any(ord(letter) < ord(" ") for letter in alias):
        return None
    kind = KINDS[field.kind]
    low = limits.get("ge", np.nextafter(limits.get("gt", -np.inf), np.inf))
    high = limits.get("le", np.nextafter(limits.get("lt", np.inf), -np.inf))
    if kind == kernels.TIME:
        low, high = -LAST_MS // 8, LAST_MS
    told = isinstance(default, (int, float))
    optional = not field.required and (default is None or (kind < kernels.TIME and told))
    return Plain(
        field.name, alias, kind, null and not key, field.required or not optional or (key and default is None),
        max(float(low), -EXACT), min(float(high), EXACT), float(default) if told else np.nan,  # type: ignore[arg-type]
        frozenset(choices(node)) if node["type"] in ("literal", "enum") else None,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scanned:
    """Columns of a batch.

    Parameters
    ----------
    numbers
        float64[n] of each field that is no text; times as epoch ms, NaN is missing.
    texts
        Of each text.
    sure
        bool[n]: which records were read. What columns hold of the others means nothing.
    """

    numbers: dict[str, F8]
    texts: Texts
    sure: NDArray[np.bool_]


class Scan:
    """Reads plain records; one verb, :meth:`read`.

    Parameters
    ----------
    fields
        What a record holds; other members are passed over.

    Examples
    --------
    >>> scan = Scan([Plain("card", "card", kernels.TEXT), Plain("amount", "amount", kernels.NUMBER, low=0)])
    >>> records = [b'{"card": "c%d", "amount": %d.5, "x": null}' % (i, 3 - i) for i in range(5)]
    >>> found = scan.read(records, 100)
    >>> found.numbers["amount"][found.sure].tolist(), found.texts["card"][:2], found.sure.tolist()
    ([3.5, 2.5, 1.5, 0.5], ['c0', 'c1'], [True, True, True, True, False])
    """

    def __init__(self, fields: Sequence[Plain]) -> None:
        names = [field.alias.encode() for field in fields]
        ends = np.cumsum([len(name) for name in names])
        placed = [i for i, field in enumerate(fields) if field.kind >= kernels.NUMBER]
        #: What a record holds.
        self.fields = tuple(fields)
        self._place = {fields[i].name: at for at, i in enumerate(placed)}
        self._names = np.frombuffer(bytearray().join(names) or bytearray(1), np.uint8)
        self._table = np.array(
            [
                [end - len(name), end, field.kind, field.null, self._place.get(field.name, 0)]
                for name, end, field in zip(names, ends, fields, strict=True)
            ],
            np.int64,
        ).reshape(-1, 5)
        self._bounds = np.array([[field.low, field.high] for field in fields], np.float64).reshape(-1, 2)
        self._defaults = np.array([[field.default] for field in fields], np.float64).reshape(-1, 1)
        self._needed = sum(1 << i for i, field in enumerate(fields) if field.needed)

    def read(self, values: Sequence[bytes], limit: int) -> Scanned | None:
        """Return the columns of every field; None if they are better read by others, all of them.

        Parameters
        ----------
        values
            The records.
        limit
            Most bytes that a record may have.
        """
        lines = Lines.of(values)
        if not is_utf8(lines.block):
            return None
        out = np.repeat(self._defaults, len(lines), axis=1)
        places = np.full((len(self._place), len(lines), 3), -1, np.int64)
        text, sure = lines.text, np.empty(len(lines), np.bool_)
        done = kernels.scan(
            text, lines.begins, lines.ends, self._names, self._table, self._bounds, self._needed, out, places, sure
        )
        if done < len(lines):
            return None
        texts = Texts({}, text, {one.name: places[at] for one, at in self._placed(kernels.TEXT)})
        numbers = {one.name: out[i] for i, one in enumerate(self.fields) if one.kind != kernels.TEXT}
        sure &= lines.ends - lines.begins <= limit
        for one, at in self._placed(kernels.NUMBER):
            _round(numbers[one.name], places[at], lines, one, sure)
        for one, at in self._placed(kernels.TIME):
            _date(numbers[one.name], places[at], text, sure)
        self._choose(numbers, texts, sure)
        return Scanned(numbers, texts, sure)

    def _placed(self, kind: int) -> list[tuple[Plain, int]]:
        return [(one, self._place[one.name]) for one in self.fields if one.kind == kind]

    def _choose(self, numbers: dict[str, F8], texts: Texts, sure: NDArray[np.bool_]) -> None:
        """Find the records with a value that is not listed where values are (missing ones were judged)."""
        for field in self.fields:
            if field.allowed is None:
                continue
            if field.kind == kernels.TEXT:
                allowed = field.allowed | {None}
                if not allowed.issuperset(texts[field.name]):
                    sure &= np.array([text in allowed for text in texts[field.name]])
            else:
                column = numbers[field.name]
                sure &= np.isin(column, list(field.allowed)) | np.isnan(column)


def is_utf8(text: bytes | bytearray) -> bool:
    """Return whether bytes are UTF-8."""
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _round(column: F8, places: I8, lines: Lines, field: Plain, sure: NDArray[np.bool_]) -> None:
    """Fill in the numbers that are hard to round; those out of bounds are not sure."""
    for row in np.flatnonzero(places[:, 1] >= 0).tolist():
        begin, length, _ = places[row].tolist()
        column[row] = float(lines.block[begin : begin + length])
        sure[row] &= bool(field.low <= column[row] <= field.high)


def _date(column: F8, places: I8, text: NDArray[np.uint8], sure: NDArray[np.bool_]) -> None:
    """Turn times as they are written into epoch ms; those not understood are not sure."""
    whole = np.abs(column) <= WATERSHED
    column[whole] *= 1000.0
    written = places[:, 1] >= 0
    if not written.any():
        return
    quoted = places[written]
    quoted[:, 1] += 1
    raw, ends = gathered(text, quoted)
    raw[ends - 1] = NEWLINE
    found = np.full(ends.size, np.nan)
    stamps(raw[:-1], found)
    column[written] = found
    sure[written] &= ~np.isnan(found)
